"""Whether a video can be processed here is answered from memory, disk and what was measured."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from facefusion.config import LimitSettings
from facefusion.media.probe import MediaInfo
from facefusion.system import health
from facefusion.system.health import SystemHealthMonitor


@dataclass(frozen=True)
class Clip:
    width: int = 1280
    height: int = 720
    frames: int | None = 300
    duration: float | None = 10.0
    size_bytes: int = 5_000_000


def test_a_healthy_machine_has_no_problems(tmp_path: Path) -> None:
    now = SystemHealthMonitor(tmp_path, limits=LimitSettings(free_disk_megabytes=1)).check_system_resources()
    assert now.healthy, now.problems
    assert 0 < now.memory_available <= now.memory_total
    assert now.usable_cores >= 1


def test_a_full_disk_and_a_full_memory_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "free_disk", lambda folder: 10 << 20)
    monkeypatch.setattr(health, "available_memory", lambda limits=None: 20 << 20)
    now = SystemHealthMonitor(tmp_path).check_system_resources()
    assert not now.healthy
    assert now.problems == (
        "The outbox's disk has 10 MiB free; 500 MiB are kept free.",
        f"20 MiB of memory are free; a worker needs {300 + LimitSettings().queue_megabytes} MiB.",
    )


def test_an_ordinary_clip_fits(tmp_path: Path) -> None:
    monitor = SystemHealthMonitor(tmp_path, limits=LimitSettings(free_disk_megabytes=1))
    capacity = monitor.estimate_processing_capacity(Clip())
    assert capacity.possible, capacity.reasons
    assert capacity.seconds is None
    assert "after the first job" in capacity.text


def test_what_does_not_fit_is_refused_with_both_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "free_disk", lambda folder: 600 << 20)
    monkeypatch.setattr(health, "available_memory", lambda limits=None: 1 << 30)
    monitor = SystemHealthMonitor(tmp_path)
    large = monitor.estimate_processing_capacity(Clip(7680, 4320, 3000, 100.0, 400_000_000))
    assert not large.possible
    assert len(large.reasons) == 2
    assert "memory; 1.0 GiB are free" in large.reasons[0]
    assert "600 MiB are free" in large.reasons[1]
    assert monitor.estimate_processing_capacity(Clip()).possible


def test_the_time_is_learned_for_each_engine_and_preset_and_survives_a_restart(tmp_path: Path) -> None:
    monitor = SystemHealthMonitor(tmp_path, state_dir=tmp_path)
    for seconds in (10.0, 12.0, 300.0):
        monitor.learn(Clip(), seconds, quality_preset="fast")
    later = SystemHealthMonitor(tmp_path, state_dir=tmp_path)
    twice = Clip(frames=600)
    estimate = later.estimate_processing_capacity(twice, quality_preset="fast")
    assert estimate.seconds == pytest.approx(24.0), "one slow job does not spoil the estimate"
    assert "24 s" in estimate.text
    assert later.estimate_processing_capacity(twice, quality_preset="best").seconds is None
    assert later.estimate_processing_capacity(twice, engine="neural", quality_preset="fast").seconds is None


def test_only_the_latest_jobs_count(tmp_path: Path) -> None:
    monitor = SystemHealthMonitor(tmp_path)
    for seconds in [100.0] * 30 + [1.0] * 20:
        monitor.learn(Clip(), seconds)
    assert monitor.estimate_processing_capacity(Clip()).seconds == pytest.approx(1.0)


@pytest.mark.parametrize("content", ["", "[1]", '{"mesh/balanced": 3}', '{"mesh/balanced": [-1, "x"]}'])
def test_damaged_speeds_are_measured_anew(tmp_path: Path, content: str) -> None:
    (tmp_path / health.SPEEDS_FILE).write_text(content)
    monitor = SystemHealthMonitor(tmp_path, state_dir=tmp_path)
    assert monitor.estimate_processing_capacity(Clip()).seconds is None
    monitor.learn(Clip(), 5.0)
    assert monitor.estimate_processing_capacity(Clip()).seconds == pytest.approx(5.0)


def test_a_video_that_does_not_say_its_length_is_judged_by_its_duration(tmp_path: Path) -> None:
    monitor = SystemHealthMonitor(tmp_path)
    monitor.learn(Clip(), 10.0)
    unknown = monitor.estimate_processing_capacity(Clip(frames=None, duration=20.0))
    assert unknown.seconds == pytest.approx(20.0)


def test_what_the_media_room_finds_out_is_understood(tmp_path: Path) -> None:
    info = MediaInfo(Path("clip.mp4"), "video", "mp4", 1_000_000, 640, 360, frames=100)
    assert SystemHealthMonitor(tmp_path).estimate_processing_capacity(info).memory_needed > 0

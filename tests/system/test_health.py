"""Whether a target can be processed here is answered from memory, disk and earlier jobs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from facefusion.config import LimitSettings
from facefusion.media.probe import probe
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
    monkeypatch.setattr(health, "free_disk", lambda folder: 10 * 10**6)
    monkeypatch.setattr(health, "available_memory", lambda limits=None: 20 * 10**6)
    now = SystemHealthMonitor(tmp_path, limits=LimitSettings(queue_megabytes=512)).check_system_resources()
    assert not now.healthy
    assert now.problems == (
        "The outbox's disk has 10 MB free; 500 MB are kept free.",
        f"20 MB of memory are free; a worker needs {(300 + 512) * 2**20 / 10**6:.0f} MB.",
    )


def test_an_ordinary_clip_fits(tmp_path: Path) -> None:
    monitor = SystemHealthMonitor(tmp_path, limits=LimitSettings(free_disk_megabytes=1))
    capacity = monitor.estimate_processing_capacity(Clip())
    assert capacity.possible, capacity.reasons
    assert capacity.seconds is None
    assert capacity.text.endswith("known after the first job of its kind.")


def test_what_certainly_does_not_fit_is_refused_with_both_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "free_disk", lambda folder: 600 * 10**6)
    monkeypatch.setattr(health, "available_memory", lambda limits=None: 1 << 30)
    monitor = SystemHealthMonitor(tmp_path)
    large = monitor.estimate_processing_capacity(Clip(7680, 4320, 30000, 1000.0, 40 * 10**9))
    assert not large.possible
    assert len(large.reasons) == 2
    assert "memory; 1.1 GB are free" in large.reasons[0]
    assert large.reasons[1] == "It needs at least 1.5 GB on the outbox's disk; 600 MB are free there."
    assert large.text.startswith("It cannot be processed here: ")
    assert monitor.estimate_processing_capacity(Clip()).possible


def test_what_may_not_fit_is_said_and_parts_of_a_long_video_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hour = Clip(1920, 1080, 108_000, 3600.0, 2 * 10**9)
    monitor = SystemHealthMonitor(tmp_path)
    in_a_piece = monitor.estimate_processing_capacity(hour)
    in_parts = monitor.estimate_processing_capacity(hour, in_parts=True)
    assert (in_a_piece.disk_most, in_parts.disk_most) == (3 * 8 * 10**9, 4 * 8 * 10**9)
    assert in_a_piece.disk_least == in_parts.disk_least, "parts are given up where room is short"

    free = in_a_piece.disk_most + 500 * 10**6
    monkeypatch.setattr(health, "free_disk", lambda folder: free)
    assert "may need" not in monitor.estimate_processing_capacity(hour).text
    told = monitor.estimate_processing_capacity(hour, in_parts=True)
    assert told.possible
    assert "It may need up to 32.0 GB on the outbox's disk besides the 500 MB" in told.text


def test_what_a_result_takes_lies_between_the_bounds(tmp_path: Path) -> None:
    """A clip that hardly changes, encoded as badly as can be, and noise in the best quality."""
    still = np.full((240, 320, 3), 128, np.uint8)
    still[60:180, 100:220] = np.arange(120, dtype=np.uint8)[None, :, None]
    noise = np.random.default_rng(5).integers(0, 256, (25, 240, 320, 3), np.uint8)
    for pictures, crf in (([still] * 250, 51), (list(noise), 17)):
        path = tmp_path / "target.mp4"
        write(path, pictures, 20)
        write(tmp_path / "result.mp4", pictures, crf)
        info = probe(path)
        capacity = SystemHealthMonitor(tmp_path).estimate_processing_capacity(info)
        taken = 3 * (tmp_path / "result.mp4").stat().st_size
        assert capacity.disk_least < taken < capacity.disk_most


def write(path: Path, pictures: list[Any], crf: int) -> None:
    with av.open(path, "w") as output:
        stream = output.add_stream("libx264", rate=25, options={"crf": str(crf), "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for picture in pictures:
            output.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        output.mux(stream.encode(None))


def test_the_time_follows_from_the_median_of_earlier_jobs(tmp_path: Path) -> None:
    pixels = 1280 * 720 * 300
    speeds = [pixels / seconds for seconds in (10.0, 12.0, 300.0)]
    estimate = SystemHealthMonitor(tmp_path).estimate_processing_capacity(
        Clip(frames=600), pixels_per_second=speeds
    )
    assert estimate.seconds == pytest.approx(24.0), "one slow job does not spoil the estimate"
    assert "in about 24 s." in estimate.text


def test_a_video_that_does_not_say_its_length_is_judged_by_its_duration(tmp_path: Path) -> None:
    unknown = SystemHealthMonitor(tmp_path).estimate_processing_capacity(
        Clip(frames=None, duration=20.0), pixels_per_second=[1280 * 720 * 30.0]
    )
    assert unknown.seconds == pytest.approx(20.0)

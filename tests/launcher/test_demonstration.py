"""`--demo`, with the real daemon, engine, models and codecs."""

import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from rich.console import Console
from snapshots import BASE

from facefusion.automation.workspace import Workspace
from facefusion.config import AutomationConfig
from facefusion.launcher import session
from facefusion.launcher.demo import CLIP_FILE, make_demo_media
from facefusion.models.samples import Samples
from facefusion.reports.records import JobRecord

SCRIPT = Path(__file__).with_name("real_start.py")


def demonstrate(root: Path) -> subprocess.CompletedProcess[str]:
    words = ["--demo", "--yes", "--accept-use-policy", "1", "--profile", "fast", "--root", str(root)]
    return subprocess.run(
        [sys.executable, str(SCRIPT), *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.slow
def test_the_demonstration_gives_playable_results_and_leaves_the_inbox_alone(tmp_path: Path) -> None:
    mine = tmp_path / "inbox" / "videos" / "mine.mp4"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"not looked at")
    first = demonstrate(tmp_path)
    assert first.returncode == 0, first.stdout + first.stderr
    assert [path.relative_to(tmp_path / "inbox") for path in (tmp_path / "inbox").rglob("*.*")] == [
        Path("videos/mine.mp4")
    ]
    clip = tmp_path / "outbox" / "demo_portrait__demo_face.mp4"
    with av.open(str(clip)) as container:
        assert len(container.streams.audio) == 1
        assert sum(1 for _ in container.decode(video=0)) == 125
    report = json.loads(clip.with_suffix(".json").read_text())
    assert report["swap"]["frames_swapped"] > 100
    assert (tmp_path / "outbox" / "astronaut__demo_face.png").exists()
    assert "demo_face" in (tmp_path / "outbox" / "analytics" / "report.html").read_text()
    assert not (tmp_path / ".automation" / "demo_settings.json").exists()
    settings = json.loads((tmp_path / "automation_config.json").read_text())
    assert settings["face_selector_mode"] == "largest"

    written = clip.stat().st_mtime_ns
    second = demonstrate(tmp_path)
    assert second.returncode == 0, second.stdout + second.stderr
    assert clip.stat().st_mtime_ns == written
    assert "started" not in second.stdout
    assert "from an earlier demonstration" in second.stdout
    assert "from an earlier demonstration" not in first.stdout
    assert "not been accepted" not in second.stdout


@pytest.fixture
def samples(tmp_path: Path) -> Samples:
    picture = np.random.default_rng(1).integers(0, 255, (90, 130, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "group.png"), cv2.resize(picture, (1280, 886), interpolation=cv2.INTER_CUBIC))
    cv2.imwrite(str(tmp_path / "face.png"), cv2.resize(picture, (512, 512), interpolation=cv2.INTER_CUBIC))
    return Samples(astronaut=tmp_path / "face.png", group=tmp_path / "group.png")


class WithoutRoom:
    """A daemon whose disk is full."""

    def __init__(self, *_: object) -> None:
        pass

    def run(self, on_snapshot: object = None) -> int:
        return 0

    def process_videos_batch(self, pairs: object, on_snapshot: Any = None) -> list[JobRecord]:
        on_snapshot(replace(BASE, state="paused", paused="The disk is full."))
        return []


def test_a_demonstration_that_finds_no_room_says_so(
    samples: Samples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "ensure_samples", lambda *_, **__: samples)
    workspace = Workspace.of(tmp_path, AutomationConfig())
    workspace.prepare_state()
    console = Console(file=io.StringIO(), width=100)
    with console.capture() as captured:
        assert session.run_demo(console, workspace, AutomationConfig(), WithoutRoom) == 1
    assert "Not finished: The disk is full." in captured.get()


def test_the_clip_is_made_once_and_always_the_same(samples: Samples) -> None:
    media = make_demo_media(samples)
    first = media.clip.read_bytes()
    written = media.clip.stat().st_mtime_ns
    assert make_demo_media(samples).clip.stat().st_mtime_ns == written
    media.clip.unlink()
    assert make_demo_media(samples).clip.read_bytes() == first
    assert [path.name for path in media.clip.parent.glob("*.mp4")] == [CLIP_FILE]


def test_the_clip_moves_and_has_a_sound(samples: Samples) -> None:
    clip = make_demo_media(samples).clip
    with av.open(str(clip)) as container:
        frames = [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]
    assert len(frames) == 125
    assert frames[0].shape == (720, 1280)
    assert np.abs(frames[0].astype(int) - frames[-1]).mean() > 5
    with av.open(str(clip)) as container:
        sound = np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], axis=1)
    assert sound.shape[1] == pytest.approx(5 * 48000, abs=4096)
    assert 0.01 < np.abs(sound).max() < 0.5

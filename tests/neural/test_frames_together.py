"""On a processor two frames are swapped at a time; nothing but the time it takes may tell."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import pytest

from facefusion import pipeline
from facefusion.config import AutomationConfig
from facefusion.errors import CancelledError
from facefusion.pipeline import SwapProgress, SwapRequest, SwapSession
from facefusion.swap.neural.engine import NeuralPainter
from facefusion.system.threads import plan_threads

if TYPE_CHECKING:
    from facefusion.models.samples import Samples

FRAMES = 7
CONFIG = AutomationConfig.model_validate(
    {"quality_preset": "fast", "execution_providers": ["cpu"], "face_selector_mode": "all"}
)


@pytest.fixture
def clip(samples: Samples, tmp_path: Path) -> Path:
    from facefusion.checkup.benchmark_media import make_clip

    path = tmp_path / "clip.mp4"
    make_clip(samples.group, path, width=640, height=360, frames=FRAMES)
    return path


def pictures(path: Path) -> list[Any]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]


def request(clip: Path, samples: Samples, output: Path) -> SwapRequest:
    return SwapRequest(clip, (samples.astronaut,), "digest", output, CONFIG)


def test_two_frames_at_a_time_give_what_one_at_a_time_gives(
    install: Callable[..., Path],
    samples: Samples,
    clip: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    models = install("inswapper_128", "arcface_w600k_r50")
    draw, together = NeuralPainter.draw, threading.Barrier(2)
    seen: set[int] = set()

    def meeting(painter: NeuralPainter, frame: Any, *more: Any) -> Any:
        if frame.index < 2 and frame.index not in seen:
            seen.add(frame.index)
            together.wait(30)  # raises if the other frame is not being drawn meanwhile
        return draw(painter, frame, *more)

    def alone(cores: int, *more: Any, **kind: Any) -> Any:
        return replace(plan_threads(cores, *more, **kind), swap=1)

    progress: list[SwapProgress] = []
    with monkeypatch.context() as patch:
        patch.setattr(NeuralPainter, "draw", meeting)
        session = SwapSession(models, threads=2)
        result = session.swap(request(clip, samples, tmp_path / "two.mp4"), progress.append, lambda: False)
        session.close()
    assert seen == {0, 1}
    monkeypatch.setattr(pipeline, "plan_threads", alone)
    session = SwapSession(models, threads=2)
    expected = session.swap(
        request(clip, samples, tmp_path / "one.mp4"), lambda progress: None, lambda: False
    )
    session.close()
    assert result.frames == FRAMES and result.engine == "neural"
    assert len(result.tracks) > 1  # several faces in a frame
    assert (result.frames_swapped, result.tracks) == (expected.frames_swapped, expected.tracks)
    counted = [step.frames_done for step in progress]
    assert counted == sorted(counted) and counted[-1] == FRAMES
    for one, other in zip(pictures(tmp_path / "two.mp4"), pictures(tmp_path / "one.mp4"), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_job_is_stopped_while_two_frames_are_under_way(
    install: Callable[..., Path],
    samples: Samples,
    clip: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    session = SwapSession(install("inswapper_128", "arcface_w600k_r50"), threads=2)
    draw, under_way = NeuralPainter.draw, threading.Event()

    def noted(painter: NeuralPainter, frame: Any, *more: Any) -> Any:
        if frame.index == 1:
            under_way.set()
        return draw(painter, frame, *more)

    output = tmp_path / "stopped.mp4"
    with monkeypatch.context() as patch:
        patch.setattr(NeuralPainter, "draw", noted)
        with pytest.raises(CancelledError):
            session.swap(request(clip, samples, output), lambda progress: None, under_way.is_set)
    assert not output.exists()
    again = session.swap(request(clip, samples, output), lambda progress: None, lambda: False)
    session.close()
    assert again.frames == len(pictures(output)) == FRAMES


@pytest.mark.parametrize("cores", [1, 2, 3, 4, 8, 64])
def test_all_cores_are_used_by_no_more_than_two_frames(cores: int) -> None:
    plan = plan_threads(cores, heavy_inference=True)
    assert plan.swap <= 2
    assert cores <= plan.swap * plan.inference <= cores + 1

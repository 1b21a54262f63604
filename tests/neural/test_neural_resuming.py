"""D12 with the neural engine: over frames that are finished the swap model is not asked again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import pytest

from facefusion.config import AutomationConfig
from facefusion.errors import CancelledError
from facefusion.media.segments import Keeping
from facefusion.pipeline import SwapRequest, SwapResult, SwapSession
from facefusion.swap.neural.engine import NeuralPainter

if TYPE_CHECKING:
    from facefusion.models.samples import Samples

FRAMES, EVERY = 12, 4


class Blow:
    """An inspector that ends the job at one frame."""

    def __init__(self, at: int | None) -> None:
        self._at = at

    def inspect(self, frame: Any, seconds: float) -> None:
        if frame.index == self._at:
            raise CancelledError("a blow")

    def memory(self) -> dict[str, Any]:
        return {}

    def recall(self, memory: Any) -> None:
        pass


def pictures(path: Path) -> list[Any]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]


def test_an_interrupted_neural_job_asks_its_model_only_for_what_is_left(
    install: Callable[..., Path], samples: Samples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from facefusion.checkup.benchmark_media import make_clip

    clip = tmp_path / "clip.mp4"
    make_clip(samples.astronaut, clip, width=320, height=240, frames=FRAMES)
    config = AutomationConfig.model_validate({"quality_preset": "fast", "execution_providers": ["cpu"]})
    session = SwapSession(install("inswapper_128", "arcface_w600k_r50"), threads=2)
    drawn: list[int] = []
    draw = NeuralPainter.draw

    def noted(painter: NeuralPainter, frame: Any, *more: Any) -> Any:
        drawn.append(frame.index)
        return draw(painter, frame, *more)

    monkeypatch.setattr(NeuralPainter, "draw", noted)

    def run(name: str, blow: int | None = None) -> tuple[SwapResult, list[Any]]:
        drawn.clear()
        output = tmp_path / f"{name}.mp4"
        request = SwapRequest(
            clip,
            (samples.group,),
            "digest",
            output,
            config,
            inspector=Blow(blow),
            keeping=Keeping(tmp_path / name, {}, EVERY),
        )
        return session.swap(request, lambda progress: None, lambda: False), pictures(output)

    whole, expected = run("whole")
    assert whole.engine == "neural"
    assert sorted(drawn) == list(range(FRAMES))
    with pytest.raises(CancelledError):
        run("broken", blow=10)
    result, got = run("broken")
    session.close()
    assert result.resumed is not None
    assert result.resumed["frame"] == 2 * EVERY
    assert sorted(drawn) == list(range(2 * EVERY, FRAMES))
    assert (result.frames, result.frames_swapped, result.tracks) == (
        whole.frames,
        whole.frames_swapped,
        whole.tracks,
    )
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_array_equal(one, other)

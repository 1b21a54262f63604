"""What a benchmark says before there is anything to report."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facefusion.checkup.benchmark import PerformanceBenchmark
from facefusion.checkup.benchmark_media import make_clip
from facefusion.checkup.benchmark_outlook import Outlook
from facefusion.config import AutomationConfig
from facefusion.jobspec import ProgressCallback, StopRequested, SwapProgress, SwapRequest, SwapResult

FRAMES = 40


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    picture = tmp_path / "picture.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (90, 120, 3), np.uint8)).save(picture)
    make_clip(picture, tmp_path / "clip.mp4", width=160, height=96, frames=FRAMES)
    return tmp_path / "clip.mp4"


class SlowSession:
    """Tells of two frames a second without taking that long; stops the first job where it is told to."""

    def swap(
        self, request: SwapRequest, on_progress: ProgressCallback, should_stop: StopRequested
    ) -> SwapResult:
        on_progress(SwapProgress("preparing", 1, None, 0.0, None))
        for done in range(1, FRAMES + 1):
            on_progress(SwapProgress("swapping", done, FRAMES, 2.0, None))
        raise KeyboardInterrupt

    def close(self) -> None:
        """Nothing is open."""


def test_the_warm_up_says_what_it_does_and_how_long_everything_will_take(clip: Path, tmp_path: Path) -> None:
    told: list[str] = []
    config = AutomationConfig.model_validate({"quality_preset": "fast"})
    bench = PerformanceBenchmark(SlowSession, [clip], config, tmp_path, say=told.append)
    bench.outlook = Outlook(lambda: 0.0)
    bench.outlook.expect(clip, 4)
    with pytest.raises(KeyboardInterrupt):
        bench.job_over_transcode(clip, repeats=3)
    assert told[1] == "  warm-up, which does not count: one of each"
    assert len(told) == 3, "the speed is told once"
    # Four jobs of 20 s each, and as many transcodes of a moment.
    assert told[2].startswith("  warm-up: 2 frames/s; about 1 min 2")


def test_the_time_that_is_left_says_what_it_is_for(clip: Path) -> None:
    now = [0.0]
    outlook = Outlook(lambda: now[0], "with the batches")
    outlook.expect(clip, 4)
    outlook.passed(clip)
    now[0] = 10.0
    assert outlook.text() == "; about 30 s left with the batches"


def test_a_guess_gives_way_to_what_was_measured(clip: Path) -> None:
    now = [0.0]
    outlook = Outlook(lambda: now[0])
    outlook.expect(clip, 4)
    assert (outlook.known, outlook.text()) == (False, "")
    outlook.guess(clip, 100.0)
    now[0] = 40.0
    assert outlook.text() == "; about 6 min 00 s left"
    outlook.passed(clip)
    assert outlook.text() == "; about 2 min 00 s left"

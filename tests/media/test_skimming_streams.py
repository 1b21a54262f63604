"""Skimming finds its frames in streams without an index, too, which are searched by the times of decoding."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from media_clips import Clip, make_clip

from facefusion.media.probe import probe
from facefusion.media.skim import VideoSkimmer


@pytest.mark.parametrize("suffix", ["ts", "m2ts", "mpg"])
@pytest.mark.parametrize("frames", [8, 80])
def test_every_second_is_seen(tmp_path: Path, suffix: str, frames: int) -> None:
    codec = "mpeg2video" if suffix == "mpg" else "libx264"
    options = {} if suffix == "mpg" else {"preset": "veryfast"}  # with pictures out of order
    source = make_clip(tmp_path / f"a.{suffix}", Clip(codec=codec, frames=frames, gop=30, options=options))
    seen = [glance.seconds for glance in VideoSkimmer(source, probe(source)).spread(closest=0.5, farthest=1)]
    seen = [moment - seen[0] for moment in seen]
    assert len(seen) >= frames / 25
    assert all(later - earlier <= 1.05 for earlier, later in itertools.pairwise(seen))
    assert frames / 25 - seen[-1] <= 1.05

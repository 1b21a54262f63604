"""Skimming finds its frames in streams without an index, too, and where time stamps jump."""

from __future__ import annotations

import itertools
import tracemalloc
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
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


def damaged(path: Path, whole: Path, broken: range) -> Path:
    """The pictures of `whole`, the content of some overwritten."""
    with av.open(str(whole)) as old, av.open(str(path), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0], opaque=True)
        for number, packet in enumerate(p for p in old.demux(video=0) if p.size):
            if number in broken:
                bad = av.Packet(bytes(packet.size))
                bad.pts, bad.dts, bad.time_base = packet.pts, packet.dts, packet.time_base
                bad.is_keyframe, packet = packet.is_keyframe, bad
            packet.stream = stream
            new.mux(packet)
    return path


@pytest.mark.parametrize(
    ("broken", "moment"), [(range(25, 26), 0.96), (range(16, 26), 0.60), (range(26), 1.04)]
)
def test_a_moment_that_cannot_be_decoded_is_answered_by_the_picture_before(
    tmp_path: Path, broken: range, moment: float
) -> None:
    clip = Clip(codec="mjpeg", pix_fmt="yuvj420p", frames=50)
    source = damaged(tmp_path / "b.mkv", make_clip(tmp_path / "a.mkv", clip), broken)
    seen = [glance.seconds for glance in VideoSkimmer(source, probe(source)).at([1.0, 1.6])]
    assert seen == pytest.approx([moment, 1.6], abs=0.01)


def test_time_stamps_that_jump_by_decades_cost_no_memory(tmp_path: Path) -> None:
    source = tmp_path / "jump.mkv"
    with av.open(str(source), "w") as out:
        stream = out.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for pts in (*range(60), 25 * 2_000_000_000, 25 * 2_000_000_000 + 1):
            # Not a frame of whatever lies in memory: from that the encoder's rate control may stumble.
            frame = av.VideoFrame.from_ndarray(np.full((72, 64), 128, np.uint8), format="yuv420p")
            frame.pts, frame.time_base = pts, Fraction(1, 25)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    tracemalloc.start()
    try:
        seen = [g.seconds for g in VideoSkimmer(source, probe(source)).spread(closest=1, farthest=2)]
        assert tracemalloc.get_traced_memory()[1] < 10e6
    finally:
        tracemalloc.stop()
    assert seen[-1] >= 2e9
    assert [moment for moment in seen if moment < 1e9][-1] == pytest.approx(59 / 25, abs=0.01)

"""M15: one frame, one pixel, eight thousand pixels."""

from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
from media_clips import Audio, Clip, make_clip, pattern, times
from media_job import process, settings

from facefusion.media.encoding import give_decoding_times
from facefusion.media.frame import PlanarFrame


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [("mp4", "libx264"), ("mkv", "libx265"), ("webm", "libvpx-vp9"), ("mov", "prores_ks"), ("ts", "libx264")],
)
def test_one_frame(tmp_path, suffix, codec):
    pix_fmt = "yuv422p10le" if codec == "prores_ks" else "yuv420p"
    source = make_clip(tmp_path / f"clip.{suffix}", Clip(frames=1, codec=codec, pix_fmt=pix_fmt))
    outcome = process(source, settings(encoder_preset="medium"))
    assert len(times(outcome.path)) == 1


@pytest.mark.parametrize("frames", [1, 2, 3, 4])
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov"])
def test_hevc_shorter_than_its_reordering(tmp_path, suffix, frames):
    """x265 leaves decoding times undefined then, and muxers refuse or misplace the pictures."""
    stamps = [1600 + 533 * i for i in range(frames)]
    clip = Clip(codec="ffv1", time_base=Fraction(1, 1000), stamps=stamps, rate=Fraction(15, 8))
    source = make_clip(tmp_path / "clip.mkv", clip)
    outcome = process(source, settings(suffix, "libx265", encoder_preset="medium"), decode_all=True)
    assert times(outcome.path) == times(source)


@pytest.mark.parametrize("garbage", [None, 506381209866538312, -(1 << 62), 99])
def test_undefined_decoding_times_are_replaced(garbage):
    stamps = [100, 500, 300, 200, 400]
    packets = [SimpleNamespace(pts=stamp, dts=garbage) for stamp in stamps]
    give_decoding_times(packets)
    times = [packet.dts for packet in packets]
    assert times == sorted(set(times))
    assert all(dts <= pts for dts, pts in zip(times, stamps, strict=True))
    assert min(times) >= 100 - 5 * 100


def test_defined_decoding_times_are_left_alone():
    packets = [
        SimpleNamespace(pts=pts, dts=dts) for pts, dts in ((0, -200), (200, -100), (100, 0), (300, 100))
    ]
    give_decoding_times(packets)
    assert [packet.dts for packet in packets] == [-200, -100, 0, 100]


def test_one_frame_with_long_sound(tmp_path):
    source = make_clip(tmp_path / "clip.mp4", Clip(frames=1, audio=[Audio(seconds=2)]))
    outcome = process(source)
    assert outcome.info.of_kind("audio")[0].duration == pytest.approx(2, abs=0.1)


@pytest.mark.parametrize("encoder", ["auto", "libx264", "libx265", "libsvtav1", "libvpx-vp9"])
@pytest.mark.parametrize("size", [(1, 1), (2, 2), (66, 20), (20, 66), (300, 2)])
def test_tiny_videos_never_hang_an_encoder(tmp_path, encoder, size):
    width, height = size
    source = make_clip(tmp_path / "clip.mkv", Clip(width, height, 3, codec="libvpx-vp9"))
    outcome = process(source, settings("mkv", encoder))
    assert (outcome.info.width - width, outcome.info.height - height) in ((0, 0), (width % 2, height % 2))
    if encoder not in ("auto", outcome.plan.encode.encoder):
        assert any("another encoder is used" in sentence for sentence in outcome.warnings)


@pytest.mark.slow
def test_eight_k(tmp_path):
    source = make_clip(tmp_path / "clip.mp4", Clip(7680, 4320, 2))
    outcome = process(source)
    assert (outcome.info.width, outcome.info.height, outcome.info.frames) == (7680, 4320, 2)


def test_regions_at_the_far_corner_of_an_eight_k_frame():
    frame = PlanarFrame(pattern(0, 7681, 4321))
    box = (7661, 4301, 7681, 4321)
    seen = frame.read(box)
    frame.blend(box, 255 - seen, np.full((20, 20), 255, np.uint8))
    assert np.abs(frame.read(box).astype(int).mean() - (255 - seen.astype(int)).mean()) < 12
    small, scale = frame.thumbnail(640)
    assert max(small.shape[:2]) == 640
    assert scale == pytest.approx(640 / 7681)

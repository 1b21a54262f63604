"""M7: 10-bit, HDR10 and HLG keep depth, tags and static metadata, or are refused; never silently wrong."""

import numpy as np
import pytest
from media_clips import Clip, make_clip, pattern, pictures
from media_job import planes, process, psnr, settings

from facefusion.errors import MediaFormatError
from facefusion.media.frame import PlanarFrame
from facefusion.media.plan import plan_output
from facefusion.media.probe import probe
from facefusion.media.view import View

PQ = (9, 9, 16, 1)
HLG = (9, 9, 18, 1)
MASTERING = (
    "log-level=error:bframes=0:hdr10=1:master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)"
    "L(10000000,1):max-cll=1000,400"
)


def hdr_clip(colour, codec="libx265", **more):
    options = {"x265-params": MASTERING} if codec == "libx265" and colour == PQ else {}
    return Clip(128, 96, 5, codec=codec, pix_fmt="yuv420p10le", colour=colour, options=options, **more)


@pytest.mark.parametrize("colour", [PQ, HLG], ids=["pq", "hlg"])
@pytest.mark.parametrize(
    ("codec", "suffix", "container", "encoder"),
    [
        ("libx265", "mp4", "same", "libx265"),
        ("libx265", "mkv", "same", "libx265"),
        ("libx265", "mov", "mp4", "libx265"),
        ("libx265", "mp4", "webm", "libsvtav1"),
        ("libsvtav1", "mp4", "same", "libsvtav1"),
        ("libx264", "mkv", "same", "libx264"),
        ("ffv1", "mkv", "same", "libx265"),
    ],
)
def test_depth_and_tags_are_kept(tmp_path, colour, codec, suffix, container, encoder):
    source = make_clip(tmp_path / f"clip.{suffix}", hdr_clip(colour, codec))
    outcome = process(source, settings(container, video_quality=95), decode_all=True)
    assert outcome.plan.encode.encoder == encoder
    assert outcome.info.depth == 10
    assert outcome.info.hdr == outcome.source.hdr == ("pq" if colour == PQ else "hlg")
    assert outcome.info.colour == outcome.source.colour
    for before, after in zip(pictures(source), pictures(outcome.path), strict=True):
        assert psnr(planes(before)[0] / 4, planes(after)[0] / 4) > 28


@pytest.mark.parametrize(
    ("container", "encoder"), [("same", "auto"), ("mkv", "auto"), ("mp4", "libsvtav1"), ("mp4", "libx264")]
)
def test_mastering_display_and_light_level_are_kept(tmp_path, container, encoder):
    source = make_clip(tmp_path / "clip.mp4", hdr_clip(PQ))
    outcome = process(source, settings(container, encoder))
    assert outcome.source.mastering.luminance == pytest.approx((0.0001, 1000))
    assert outcome.source.light_level == (1000, 400)
    assert outcome.info.light_level == (1000, 400)
    assert np.allclose(outcome.info.mastering.primaries, outcome.source.mastering.primaries, atol=1e-4)
    assert np.allclose(outcome.info.mastering.white, outcome.source.mastering.white, atol=1e-4)
    assert outcome.info.mastering.luminance == pytest.approx(
        outcome.source.mastering.luminance, rel=0.05, abs=1e-3
    )


def test_hdr_is_refused_where_only_eight_bit_can_be_written(tmp_path):
    info = probe(make_clip(tmp_path / "clip.mp4", hdr_clip(PQ)))
    with pytest.raises(MediaFormatError, match="HDR"):
        plan_output(info, settings("webm", "libvpx-vp9"))


def test_ordinary_ten_bit_is_not_called_hdr(tmp_path):
    source = make_clip(tmp_path / "clip.mkv", Clip(pix_fmt="yuv420p10le", colour=(1, 1, 1, 1)))
    outcome = process(source)
    assert (outcome.info.hdr, outcome.info.depth) == ("", 10)


def test_losing_depth_is_said(tmp_path):
    source = make_clip(tmp_path / "clip.mkv", Clip(pix_fmt="yuv420p10le"))
    outcome = process(source, settings("webm", "libvpx-vp9"))
    assert any("10 bit become 8" in sentence for sentence in outcome.warnings)


def flat(colour, luma):
    """A grey frame of one luma value (10 bit, limited range), tagged."""
    frame = pattern(0, 64, 64, "yuv420p10le")
    frame.colorspace, frame.color_primaries, frame.color_trc, frame.color_range = colour
    view = PlanarFrame(frame)
    view.planes[0][:] = luma
    view.planes[1][:] = 512
    view.planes[2][:] = 512
    return view


def test_white_of_ordinary_pictures_is_bright_in_the_view_and_highlights_are_brighter():
    # BT.2408: 203 cd/m2 is 58 % of PQ and 75 % of HLG.
    for colour, signal in ((PQ, 0.5807), (HLG, 0.75)):
        white = flat(colour, round(64 + signal * 876)).read((0, 0, 64, 64)).mean()
        peak = flat(colour, 940 if colour == HLG else round(64 + 0.7518 * 876)).read((0, 0, 64, 64)).mean()
        dark = flat(colour, 64).read((0, 0, 64, 64)).mean()
        assert 200 < white < 245
        assert peak > white + 5
        assert dark < 1


@pytest.mark.parametrize("colour", [PQ, HLG, (9, 9, 14, 1), (1, 12, 1, 1)], ids=["pq", "hlg", "bt2020", "p3"])
def test_blending_back_what_was_read_is_within_rounding(colour):
    shown = View(colour[1], colour[2])
    ramp = np.linspace(60, 240, 64).astype(np.uint8)
    green = np.full((64, 64), 120, np.uint8)
    picture = np.stack([np.tile(ramp, (64, 1)), green, np.tile(ramp[::-1, None], (1, 64))], -1)
    assert np.abs(shown.show(shown.bring_back(picture)).astype(int) - picture).max() <= 1
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, 2)
    assert np.abs(shown.show(shown.bring_back(grey)).astype(int) - grey).max() <= 1


def test_a_face_in_ordinary_colours_lands_at_ordinary_brightness():
    frame = flat(PQ, 300)
    frame.blend((0, 0, 64, 64), np.full((64, 64, 3), 255, np.uint8), np.full((64, 64), 255, np.uint8))
    signal = (planes(frame)[0].mean() - 64) / 876
    # Full white of the view is the brightest light it tells apart: 1000 cd/m2 = 75 % PQ.
    assert signal == pytest.approx(0.752, abs=0.01)
    frame.blend((0, 0, 64, 64), np.full((64, 64, 3), 128, np.uint8), np.full((64, 64), 255, np.uint8))
    assert (planes(frame)[0].mean() - 64) / 876 == pytest.approx(0.42, abs=0.03)


def test_wide_gamut_red_is_not_ordinary_red():
    frame = flat((9, 9, 14, 1), 500)
    red = np.zeros((64, 64, 3), np.uint8)
    red[..., 2] = 255
    frame.blend((0, 0, 64, 64), red, np.full((64, 64), 255, np.uint8))
    samples = [plane.mean() for plane in planes(frame)]
    # BT.709 red has 63 % red and 7 % green light in BT.2020 (BT.2087); with gamma 2.4 82 % and 33 %.
    y = 0.2627 * 0.824 + 0.6780 * 0.330 + 0.0593 * 0.199
    assert (samples[0] - 64) / 876 == pytest.approx(y, abs=0.01)
    # Ten bits leave a trace of the other two.
    assert np.abs(frame.read((0, 0, 64, 64)).astype(int) - red).max() <= 10

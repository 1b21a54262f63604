"""M1: phone clips with a display matrix come out upright, once."""

from fractions import Fraction

import numpy as np
import pytest
from media_clips import Clip, make_clip, pattern, pictures
from media_job import planes, process, psnr

from facefusion.media.frame import PlanarFrame
from facefusion.media.normalise import turn
from facefusion.media.orientation import Orientation
from facefusion.media.probe import probe
from facefusion.media.reader import VideoReader

TURNS = {0: 0, 90: 1, 180: 2, 270: 3}


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv"])
def test_result_is_upright_with_displayed_size_and_no_matrix(tmp_path, degrees, suffix):
    source = make_clip(tmp_path / f"clip.{suffix}", Clip(rotation=degrees, options={"crf": "8"}))
    outcome = process(source)
    size = (96, 64) if degrees % 180 == 0 else (64, 96)
    assert (outcome.source.width, outcome.source.height) == size
    assert outcome.source.rotation == degrees
    for stored, result in zip(pictures(source), pictures(outcome.path), strict=True):
        assert result.rotation == 0
        assert (result.width, result.height) == size
        upright = np.rot90(planes(stored)[0], -TURNS[degrees])
        assert psnr(upright, planes(result)[0]) > 30


@pytest.mark.parametrize("degrees", [90, 180, 270])
@pytest.mark.parametrize(("width", "height"), [(96, 64), (94, 66)])
def test_planes_are_turned_sample_for_sample(tmp_path, degrees, width, height):
    source = make_clip(tmp_path / "clip.mp4", Clip(width=width, height=height, frames=2, rotation=degrees))
    with VideoReader(source, probe(source)) as reader:
        for stored, frame in zip(pictures(source), reader, strict=True):
            for before, after in zip(planes(stored), planes(frame), strict=True):
                assert np.array_equal(np.rot90(before, -TURNS[degrees]), after)


# a, b, c, d of the matrix, and what it does to a picture stored as rows from the top.
MATRICES = {
    "mirrored": ((-1, 0, 0, 1), lambda p: p[:, ::-1]),
    "upside down": ((1, 0, 0, -1), lambda p: p[::-1]),
    "transposed": ((0, 1, 1, 0), lambda p: p.T),
    "anti-transposed": ((0, -1, -1, 0), lambda p: p[::-1, ::-1].T),
}


@pytest.mark.parametrize("name", MATRICES)
def test_mirroring_matrices_are_applied(tmp_path, name):
    (a, b, c, d), wanted = MATRICES[name]
    one = 1 << 16
    matrix = (a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30)
    source = make_clip(tmp_path / "clip.mp4", Clip(frames=1, matrix=matrix))
    with VideoReader(source, probe(source)) as reader:
        frame = next(reader)
        assert np.array_equal(wanted(planes(pictures(source)[0])[0]), planes(frame)[0])


def test_turned_422_keeps_all_its_colour(tmp_path):
    clip = Clip(codec="prores_ks", pix_fmt="yuv422p10le", frames=2, rotation=90)
    source = make_clip(tmp_path / "clip.mov", clip)
    with VideoReader(source, probe(source)) as reader:
        for stored, frame in zip(pictures(source), reader, strict=True):
            for before, after in zip(planes(stored), planes(frame), strict=True):
                assert np.array_equal(np.rot90(before, -1), after)
    outcome = process(source)
    assert outcome.plan.encode.pix_fmt == "yuv444p10le"
    assert any("loses nothing" in sentence for sentence in outcome.warnings)


def test_pixel_shape_turns_with_the_picture(tmp_path):
    source = make_clip(tmp_path / "clip.mp4", Clip(rotation=90, sample_aspect=Fraction(4, 3)))
    outcome = process(source)
    assert outcome.source.sample_aspect == outcome.info.sample_aspect == Fraction(3, 4)


def test_slanted_matrix_is_said_and_not_applied(tmp_path):
    part = round((1 << 16) * 0.5**0.5)
    matrix = (part, part, 0, -part, part, 0, 0, 0, 1 << 30)
    info = probe(make_clip(tmp_path / "clip.mp4", Clip(matrix=matrix)))
    assert (info.width, info.height, info.rotation) == (96, 64, 0)
    assert any("slanted" in sentence for sentence in info.warnings)


@pytest.mark.parametrize(
    ("name", "turned"),
    [
        ("yuv422p16le", "yuv444p16le"),
        ("yuv411p", "yuv444p"),
        ("yuva422p", "yuva444p"),
        ("yuv422p", "yuv440p"),
        ("yuv440p", "yuv422p"),
        ("yuv410p", "yuv410p"),
        ("gbrp10le", "gbrp10le"),
        ("gray", "gray"),
    ],
)
@pytest.mark.parametrize("quarter_turns", [1, 3])
def test_every_subsampling_can_be_turned(name, turned, quarter_turns):
    frame = pattern(1, 96, 64, name)
    result = turn(frame, Orientation(quarter_turns))
    assert result.format.name == turned
    before, after = PlanarFrame(frame).read((0, 0, 96, 64)), PlanarFrame(result).read((0, 0, 64, 96))
    assert np.array_equal(np.rot90(before, -quarter_turns), after)


def test_turned_transparent_vp9(tmp_path):
    """Its transparency needs another decoder, which does not know the display matrix."""
    clip = Clip(codec="libvpx-vp9", pix_fmt="yuva420p", options={"auto-alt-ref": "0"}, rotation=90)
    outcome = process(make_clip(tmp_path / "clip.mkv", clip))
    assert (outcome.info.width, outcome.info.height) == (64, 96)
    assert outcome.info.alpha

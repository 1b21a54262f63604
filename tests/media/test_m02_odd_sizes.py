"""M2: odd sizes lose no frame and shear nothing; where the codec needs even sizes one row is padded."""

import numpy as np
import pytest
from media_clips import Clip, make_clip, pattern, pictures
from media_job import planes, process, psnr, settings

from facefusion.media.frame import PlanarFrame

SIZES = [(855, 480), (641, 361), (321, 1079), (99, 64), (96, 65), (33, 17)]


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_h264_pads_at_most_one_row_and_column_and_says_so(tmp_path, width, height):
    clip = Clip(width=width, height=height, codec="ffv1", frames=4)
    source = make_clip(tmp_path / "clip.mkv", clip)
    outcome = process(source, settings(encoder="libx264", video_quality=95), decode_all=True)
    assert (outcome.info.width - width, outcome.info.height - height) == (width % 2, height % 2)
    said = [sentence for sentence in outcome.warnings if "cannot write" in sentence]
    assert len(said) == (1 if width % 2 or height % 2 else 0)
    result = pictures(outcome.path)
    assert len(result) == 4
    for before, after in zip(pictures(source), result, strict=True):
        old, new = planes(before)[0], planes(after)[0]
        assert psnr(old, new[:height, :width]) > 33
        # The padding repeats the edge, so it does not bleed colour into it.
        assert psnr(new[:height, width - 1], new[:height, -1]) > 25


@pytest.mark.parametrize("encoder", ["libvpx-vp9", "libsvtav1"])
def test_vp9_and_av1_keep_odd_sizes(tmp_path, encoder):
    source = make_clip(tmp_path / "clip.mkv", Clip(width=129, height=71, codec="ffv1", frames=4))
    outcome = process(source, settings(encoder=encoder, video_quality=95), decode_all=True)
    assert (outcome.info.width, outcome.info.height) == (129, 71)
    for before, after in zip(pictures(source), pictures(outcome.path), strict=True):
        assert psnr(planes(before)[0], planes(after)[0]) > 30


def test_444_needs_no_padding(tmp_path):
    source = make_clip(
        tmp_path / "clip.mkv", Clip(width=99, height=65, codec="ffv1", pix_fmt="yuv444p", frames=2)
    )
    outcome = process(source, settings(encoder="libx264"))
    assert (outcome.info.width, outcome.info.height) == (99, 65)


@pytest.mark.parametrize(("width", "height"), [(855, 480), (641, 361), (95, 63), (3, 5), (1, 1)])
@pytest.mark.parametrize("shrink", [1, 2, 3])
def test_reading_an_odd_frame_by_region_shears_nothing(width, height, shrink):
    picture = pattern(3, width, height)
    frame = PlanarFrame(picture)
    for chroma in frame.planes[1:]:
        chroma[:] = 128
    luma = planes(picture)[0].astype(float)
    wanted = np.clip((luma - 16) * 255 / 219, 0, 255)
    whole = frame.read((0, 0, width, height))
    assert np.abs(whole - wanted[..., None]).max() < 1
    x0, y0 = width // 3, height // 3
    assert np.array_equal(frame.read((x0, y0, width, height)), whole[y0:, x0:])
    small = frame.read((0, 0, width, height), shrink)
    assert small.shape == (-(-height // shrink), -(-width // shrink), 3)
    for row, column in {(0, 0), (small.shape[0] - 1, small.shape[1] - 1)}:
        block = luma[row * shrink : (row + 1) * shrink, column * shrink : (column + 1) * shrink]
        assert abs(small[row, column, 0] - np.clip((block.mean() - 16) * 255 / 219, 0, 255)) < 1


def test_smallest_pictures_are_written(tmp_path):
    source = make_clip(tmp_path / "clip.webm", Clip(width=3, height=3, codec="libvpx-vp9", frames=3))
    assert process(source).info.width == 3
    outcome = process(source, settings("mp4", "libx264"))
    assert (outcome.info.width, outcome.info.height) == (4, 4)

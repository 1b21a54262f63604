"""M8: matrix and range are respected in the face's region; tags are copied; nothing else shifts."""

import numpy as np
import pytest
from media_clips import Clip, make_clip, pattern, pictures
from media_job import planes, process, psnr, settings

from facefusion.media.frame import PlanarFrame
from facefusion.media.probe import probe
from facefusion.media.reader import VideoReader

# matrix, primaries, transfer, range (H.273 code points)
TAGS = {
    "bt709 limited": (1, 1, 1, 1),
    "bt709 full": (1, 1, 1, 2),
    "bt601 limited": (6, 6, 6, 1),
    "bt601 full": (5, 5, 6, 2),
    "bt2020": (9, 9, 14, 1),
    "only the matrix": (6, 2, 2, 0),
    "untagged": (2, 2, 2, 0),
}
WEIGHTS = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}


@pytest.mark.parametrize("tags", TAGS)
@pytest.mark.parametrize(
    ("suffix", "codec"), [("mp4", "libx264"), ("mkv", "libx265"), ("webm", "libvpx-vp9"), ("mov", "libx264")]
)
def test_tags_are_copied_and_levels_do_not_move(tmp_path, tags, suffix, codec):
    source = make_clip(tmp_path / f"clip.{suffix}", Clip(codec=codec, colour=TAGS[tags], frames=4))
    outcome = process(source, settings(video_quality=97))
    assert outcome.info.colour == outcome.source.colour
    for before, after in zip(pictures(source), pictures(outcome.path), strict=True):
        for old, new in zip(planes(before), planes(after), strict=True):
            assert abs(float(old.mean()) - float(new.mean())) < 0.5
            assert psnr(old, new) > 30


@pytest.mark.parametrize("tags", [t for t in TAGS if t != "untagged"])
def test_colours_are_read_with_the_tagged_matrix_and_range(tags):
    matrix, primaries, transfer, span = TAGS[tags]
    if tags == "bt2020":
        primaries, transfer = 1, 1  # The change of primaries has tests of its own (M7).
    kr, kb = WEIGHTS[matrix]
    random = np.random.default_rng(5)
    wanted = random.integers(30, 226, (8, 8, 3)).repeat(8, 0).repeat(8, 1).astype(np.uint8)
    blue, green, red = (wanted[..., i] / 255 for i in range(3))
    luma = kr * red + (1 - kr - kb) * green + kb * blue
    frame = pattern(0, 64, 64, "yuv444p")
    frame.colorspace, frame.color_primaries, frame.color_trc, frame.color_range = (
        matrix,
        primaries,
        transfer,
        span,
    )
    view = PlanarFrame(frame)
    scale, low, spread = (255, 0, 255) if span == 2 else (219, 16, 224)
    view.planes[0][:64, :64] = np.round(luma * scale + low)
    view.planes[1][:64, :64] = np.round((blue - luma) / (2 - 2 * kb) * spread + 128)
    view.planes[2][:64, :64] = np.round((red - luma) / (2 - 2 * kr) * spread + 128)
    assert np.abs(view.read((0, 0, 64, 64)).astype(int) - wanted).max() <= 3
    before = planes(view)
    view.blend((0, 0, 64, 64), wanted, np.full((64, 64), 255, np.uint8))
    for old, new in zip(before, planes(view), strict=True):
        assert np.abs(old.astype(int) - new).max() <= 1


@pytest.mark.parametrize(
    ("width", "height", "matrix"), [(640, 480, 6), (720, 576, 6), (1280, 720, 1), (1080, 1920, 1)]
)
def test_untagged_video_is_taken_as_players_take_it(width, height, matrix):
    untagged, tagged = pattern(1, width, height), pattern(1, width, height)
    tagged.colorspace = matrix
    box = (0, 0, 64, 64)
    assert np.array_equal(PlanarFrame(untagged).read(box), PlanarFrame(tagged).read(box))


@pytest.mark.parametrize("tags", TAGS)
def test_picture_away_from_the_face_is_the_decoded_one(tmp_path, tags):
    source = make_clip(tmp_path / "clip.mp4", Clip(colour=TAGS[tags], frames=3))
    with VideoReader(source, probe(source)) as reader:
        for stored, frame in zip(pictures(source), reader, strict=True):
            colour = np.full((20, 20, 3), (40, 90, 200), np.uint8)
            alpha = np.full((20, 20), 200, np.uint8)
            frame.blend((30, 20, 50, 40), colour, alpha)
            for index, (old, new) in enumerate(zip(planes(stored), planes(frame), strict=True)):
                shift = 0 if index == 0 else 1
                outside = np.ones(old.shape, bool)
                outside[20 >> shift : 40 >> shift, 30 >> shift : 50 >> shift] = False
                assert np.array_equal(old[outside], new[outside])
                assert not np.array_equal(old, new)


def test_matrix_tagged_rgb_on_yuv_is_a_known_fault_and_taken_by_size():
    wrong, right = pattern(1, 96, 64), pattern(1, 96, 64)
    wrong.colorspace, right.colorspace = 0, 6
    box = (0, 0, 96, 64)
    assert np.array_equal(PlanarFrame(wrong).read(box), PlanarFrame(right).read(box))

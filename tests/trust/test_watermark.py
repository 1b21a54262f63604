"""The invisible mark: nobody sees it, it is read back after what people do to files, and only where it is."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from PIL import Image

from facefusion.media.frame import PackedFrame, PlanarFrame
from facefusion.trust.watermark import (
    FOUND,
    Watermark,
    _Listener,
    detect_frames,
    detect_photo,
    detect_video,
    pattern,
)

PAYLOAD = 0xC0FFEE42
OTHER = 0x12345678


@pytest.fixture(scope="module")
def picture(samples):
    """Six people before trees."""
    return cv2.imread(str(samples.group), cv2.IMREAD_COLOR)


def camera(picture, count, size=(1280, 720), still=False):
    """A camera that wanders over a picture: BGR views."""
    scale = 1.2 * max(size[0] / picture.shape[1], size[1] / picture.shape[0])
    for index in range(count):
        step = 0 if still else index
        matrix = np.array(
            [[scale + 0.002 * step, 0, -40 - 1.3 * step], [0, scale + 0.002 * step, -20 - 0.6 * step]]
        )
        yield cv2.warpAffine(picture, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)


def _told(heard):
    listener = _Listener()
    listener._heard = heard
    return listener.verdict()


def planar(view, pix_fmt="yuv420p"):
    return PlanarFrame(av.VideoFrame.from_ndarray(view, format="bgr24").reformat(format=pix_fmt))


def samples_of(frame):
    return [plane.copy() for plane in frame.planes]


@pytest.fixture(scope="module")
def marked(picture):
    """Two seconds of 720p, marked."""
    mark = Watermark(PAYLOAD)
    frames = [planar(view) for view in camera(picture, 50)]
    for frame in frames:
        mark.mark(frame)
    return [frame.av_frame for frame in frames]


def encode(path, frames, codec, crf, height=None, **more):
    """What somebody does who sends the file on."""
    options = {"crf": str(crf), "preset": "veryfast", **more}
    if codec == "libx265":
        options |= {"preset": "ultrafast", "x265-params": "log-level=error"}
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=25, options=options)
        width = frames[0].width
        if height:
            width = width * height // frames[0].height // 2 * 2
        stream.width, stream.height, stream.pix_fmt = width, height or frames[0].height, "yuv420p"
        for index, frame in enumerate(frames):
            shown = frame.reformat(stream.width, stream.height, interpolation="BICUBIC") if height else frame
            shown.pts, shown.time_base, shown.pict_type = index, Fraction(1, 25), 0
            out.mux(stream.encode(shown))
        out.mux(stream.encode(None))
    return path


# -- what is written ----------


@pytest.mark.parametrize(
    "pix_fmt",
    [
        "yuv420p",
        "yuvj420p",
        "yuv410p",
        "yuv422p10le",
        "yuv444p12le",
        "yuv420p16le",
        "yuva420p",
        "gray",
        "gray10le",
        "gbrp",
        "gbrp10le",
        "gbrap",
    ],
)
def test_every_kind_of_frame_carries_it(picture, pix_fmt):
    view = next(camera(picture, 1, (641, 361)))
    frame = planar(view, pix_fmt)
    assert not detect_frames([frame]).found
    Watermark(PAYLOAD).mark(frame)
    assert detect_frames([frame]).payload == PAYLOAD


@pytest.mark.parametrize("kind", ["bgr", "bgra", "deep", "gray"])
def test_every_kind_of_photo_carries_it(picture, kind):
    pixels = next(camera(picture, 1, (641, 361)))
    if kind == "bgra":
        pixels = np.dstack([pixels, np.full(pixels.shape[:2], 128, np.uint8)])
    if kind == "deep":
        pixels = pixels.astype(np.uint16) * 257
    if kind == "gray":
        pixels = cv2.cvtColor(cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    frame = PackedFrame(pixels.copy(), gray=kind == "gray")
    Watermark(PAYLOAD).mark(frame)
    assert detect_frames([frame]).payload == PAYLOAD
    if kind == "gray":
        assert (frame.pixels == frame.pixels[..., :1]).all()
    if kind == "bgra":
        assert (frame.pixels[..., 3] == 128).all()


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuvj420p", "yuv420p10le", "gbrp"])
def test_video_changes_by_a_grey_level_at_most(picture, pix_fmt):
    frame = planar(next(camera(picture, 1)), pix_fmt)
    before = samples_of(frame)
    Watermark(PAYLOAD).mark(frame)
    unit = 1 << frame.layout.depth - 8
    change = [(now.astype(float) - old) / unit for now, old in zip(frame.planes, before, strict=True)]
    assert max(np.abs(part).max() for part in change) <= 1
    noise = np.mean(change[0][:, : frame.width] ** 2)
    assert 10 * np.log10(255**2 / noise) > 47
    if not frame.layout.rgb:
        assert not np.any(change[1])
        assert not np.any(change[2])


def test_photos_change_by_two_grey_levels_at_most(picture):
    frame = PackedFrame(picture.copy())
    Watermark(PAYLOAD).mark(frame)
    change = frame.pixels.astype(int) - picture
    assert np.abs(change).max() == 2
    assert 10 * np.log10(255**2 / np.mean(change**2.0)) > 42


@pytest.mark.parametrize(("level", "most"), [(16, 0), (18, 0), (234, 0), (235, 0), (26, 0.1), (110, 0.51)])
def test_even_dark_and_white_areas_show_nothing(level, most):
    frame = planar(np.zeros((720, 1280, 3), np.uint8))
    frame.planes[0][:] = level
    Watermark(PAYLOAD).mark(frame)
    assert np.abs(frame.planes[0][:, :1280].astype(int) - level).mean() <= most


def test_transparent_places_stay_as_they_are(picture):
    pixels = np.dstack([picture, np.full(picture.shape[:2], 255, np.uint8)])
    pixels[200:400, 300:900, 3] = 0
    photo = PackedFrame(pixels.copy())
    Watermark(PAYLOAD).mark(photo)
    assert (photo.pixels[200:400, 300:900] == pixels[200:400, 300:900]).all()
    assert (photo.pixels[..., 3] == pixels[..., 3]).all()
    frame = planar(picture, "gbrap")
    frame.planes[3][200:400, 300:900] = 0
    before = samples_of(frame)
    Watermark(PAYLOAD).mark(frame)
    for now, old in zip(frame.planes, before, strict=True):
        assert (now[200:400, 300:900] == old[200:400, 300:900]).all()
    assert (frame.planes[3] == before[3]).all()
    assert (frame.planes[0] != before[0]).any()


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (40, 30), (159, 91), (160, 90), (161, 1)])
def test_tiny_pictures_are_no_trouble(picture, size):
    frame = planar(cv2.resize(picture, size), "yuv444p")
    before = samples_of(frame)
    Watermark(PAYLOAD).mark(frame)
    changes = [np.abs(now.astype(int) - old) for now, old in zip(frame.planes, before, strict=True)]
    assert changes[0].max() <= 1
    assert not np.any(changes[1:])
    assert detect_frames([frame]).payload in (None, PAYLOAD)


def test_a_payload_must_fit():
    for payload in (-1, 1 << 32):
        with pytest.raises(ValueError, match="32 bits"):
            Watermark(payload)


def test_the_pattern_stays_the_same_so_that_old_results_can_be_read():
    assert hashlib.sha256(pattern(PAYLOAD).tobytes()).hexdigest()[:16] == "9f435fc0cd1deebc"


def test_several_threads_share_one_mark(picture):
    mark = Watermark(PAYLOAD)
    views = list(camera(picture, 24, (640, 360)))
    alone = [planar(view) for view in views]
    for frame in alone:
        mark.mark(frame)
    together = [planar(view) for view in views]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(mark.mark, together))
    for one, other in zip(alone, together, strict=True):
        assert all((a == b).all() for a, b in zip(one.planes, other.planes, strict=True))


# -- what is read back --------


@pytest.mark.parametrize(
    ("codec", "crf", "height"),
    [
        ("libx264", 18, None),
        ("libx264", 28, None),
        ("libx264", 35, None),
        ("libx264", 23, 480),
        ("libx264", 28, 480),
        ("libx264", 23, 360),
        ("libx265", 28, None),
    ],
)
def test_it_survives_encoding_and_scaling(marked, tmp_path, codec, crf, height):
    found = detect_video(encode(tmp_path / "again.mp4", marked, codec, crf, height))
    assert found.payload == PAYLOAD
    assert found.found
    assert found.confidence > FOUND
    assert found.frames == 50


@pytest.mark.parametrize("crf", [32, 36, 40, 44])
def test_where_it_is_faint_nothing_wrong_is_read(marked, tmp_path, crf):
    found = detect_video(encode(tmp_path / "faint.mp4", marked[:25], "libx264", crf, 360))
    assert found.payload in (None, PAYLOAD)
    assert found.further == ()


def test_a_payload_is_told_only_where_it_is_sure():
    """Words that are buried in noise: found more often than read, and hardly ever read wrongly."""
    rng = np.random.default_rng(11)
    signs = pattern(PAYLOAD).astype(np.float32)
    read = [_told(0.075 * signs + rng.normal(size=signs.shape).astype(np.float32)) for _ in range(300)]
    found = [detection for detection in read if detection.found]
    told = [detection.payload for detection in found if detection.payload is not None]
    assert len(read) > len(found) > len(told) > 20
    assert sum(payload != PAYLOAD for payload in told) <= 2


def test_it_survives_in_a_picture_that_does_not_move(picture, tmp_path):
    frames = [planar(view) for view in camera(picture, 25, still=True)]
    for frame in frames:
        Watermark(PAYLOAD).mark(frame)
    path = encode(tmp_path / "still.mp4", [frame.av_frame for frame in frames], "libx264", 28, 480)
    assert detect_video(path).payload == PAYLOAD


@pytest.mark.parametrize(("quality", "scale"), [(95, 1), (75, 1), (75, 0.5), (60, 1)])
def test_it_survives_in_photos(samples, tmp_path, quality, scale):
    with Image.open(samples.astronaut) as image:
        pixels = np.asarray(image.convert("RGB"))[..., ::-1]
    frame = PackedFrame(pixels.copy())
    Watermark(PAYLOAD).mark(frame)
    result = Image.fromarray(frame.pixels[..., ::-1])
    size = (round(result.width * scale), round(result.height * scale))
    path = tmp_path / "photo.jpg"
    result.resize(size, Image.Resampling.LANCZOS).save(path, quality=quality)
    found = detect_photo(path)
    assert found.payload == PAYLOAD
    assert found.frames == 1


def test_it_survives_the_palette_of_a_gif(picture, tmp_path):
    images = []
    for view in camera(picture, 6, (480, 270)):
        frame = planar(view, "gbrp")
        Watermark(PAYLOAD).mark(frame)
        images.append(Image.fromarray(frame.av_frame.to_ndarray(format="rgb24")))
    path = tmp_path / "moving.gif"
    images[0].save(path, save_all=True, append_images=images[1:], duration=80)
    assert detect_video(path).payload == PAYLOAD


def test_a_long_video_is_read_in_places(picture, tmp_path):
    frames = [planar(view) for view in camera(picture, 40, (384, 216))]
    for frame in frames:
        Watermark(PAYLOAD).mark(frame)
    path = encode(tmp_path / "long.mp4", [frames[i % 40].av_frame for i in range(700)], "libx264", 23, g="25")
    found = detect_video(path)
    assert found.payload == PAYLOAD
    assert found.frames <= 576


def test_what_is_not_marked_is_not_found(picture, samples, tmp_path):
    views = [planar(view).av_frame for view in camera(picture, 25)]
    for height in (None, 480):
        found = detect_video(encode(tmp_path / "clean.mp4", views, "libx264", 28, height))
        assert (found.found, found.payload, found.further) == (False, None, ())
        assert found.frames == 25
    for path in (samples.astronaut, samples.group):
        assert not detect_photo(path).found


def test_noise_and_empty_pictures_are_not_taken_for_marks():
    rng = np.random.default_rng(7)
    for number in range(20):
        noise = rng.integers(0, 256, (180 + number, 320, 3), dtype=np.uint8)
        assert not detect_frames([PackedFrame(noise)]).found
    for level in (0, 100, 255):
        assert not detect_frames([PackedFrame(np.full((180, 320, 3), level, np.uint8))]).found
    assert not detect_frames([]).found


def test_a_result_that_became_a_target_shows_both_marks(marked, tmp_path):
    first = encode(tmp_path / "first.mp4", marked, "libx264", 20)
    again = []
    with av.open(str(first)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            target = PlanarFrame(frame, number)
            Watermark(OTHER).mark(target)
            again.append(target.av_frame)
    found = detect_video(encode(tmp_path / "second.mp4", again, "libx264", 20))
    assert {found.payload, *found.further} == {PAYLOAD, OTHER}


def test_one_mark_is_not_taken_for_several(marked, tmp_path):
    for crf in (18, 30):
        assert detect_video(encode(tmp_path / "one.mp4", marked, "libx264", crf)).further == ()

"""M9 (and M7, M8): every pixel format is processed in its own depth and subsampling, or refused clearly."""

import av
import numpy as np
import pytest
from av.video.reformatter import VideoReformatter
from media_clips import Clip, make_clip, pattern, pictures
from media_job import planes, process, psnr, settings

from facefusion.errors import MediaFormatError
from facefusion.media.frame import PlanarFrame
from facefusion.media.layouts import layout_of, planar_equivalent
from facefusion.media.normalise import Normaliser
from facefusion.media.plan import plan_output
from facefusion.media.probe import MediaInfo, probe
from facefusion.media.reader import VideoReader

PLANAR = [
    "yuv420p",
    "yuv422p",
    "yuv444p",
    "yuv440p",
    "yuv411p",
    "yuv410p",
    "yuvj420p",
    "yuvj422p",
    "yuvj444p",
    "yuvj440p",
    "yuva420p",
    "yuva422p",
    "yuva444p",
    "yuv420p9le",
    "yuv420p10le",
    "yuv422p10le",
    "yuv444p10le",
    "yuv440p10le",
    "yuv420p12le",
    "yuv422p12le",
    "yuv444p12le",
    "yuv440p12le",
    "yuv420p14le",
    "yuv422p14le",
    "yuv444p14le",
    "yuv420p16le",
    "yuv422p16le",
    "yuv444p16le",
    "yuva420p10le",
    "yuva422p10le",
    "yuva444p10le",
    "yuva444p12le",
    "yuva444p16le",
    "gray",
    "gray9le",
    "gray10le",
    "gray12le",
    "gray14le",
    "gray16le",
    "gbrp",
    "gbrp9le",
    "gbrp10le",
    "gbrp12le",
    "gbrp14le",
    "gbrp16le",
    "gbrap",
    "gbrap10le",
    "gbrap12le",
    "gbrap16le",
]
PACKED = [
    "nv12",
    "nv21",
    "nv16",
    "nv24",
    "nv42",
    "nv20le",
    "p010le",
    "p012le",
    "p016le",
    "p210le",
    "p212le",
    "p216le",
    "p410le",
    "p412le",
    "p416le",
    "yuyv422",
    "uyvy422",
    "yvyu422",
    "y210le",
    "y212le",
    "rgb24",
    "bgr24",
    "rgb0",
    "bgr0",
    "0rgb",
    "0bgr",
    "rgba",
    "bgra",
    "argb",
    "abgr",
    "rgb48le",
    "bgr48le",
    "rgba64le",
    "bgra64le",
    "ayuv64le",
    "yuv420p10be",
    "yuv422p10be",
    "gbrp10be",
    "gray10be",
    "gray16be",
    "rgb48be",
]
BOXES = [(0, 0, 16, 16), (11, 7, 54, 38), (10, 6, 11, 7), (93, 63, 95, 65), (0, 0, 95, 65)]


def changed_samples(before, after, layout, box, alpha, size):
    """Per plane: which samples may have changed (blocks with a pixel whose alpha is not 0)."""
    x0, y0, x1, y1 = box
    touched = np.zeros((size[1], size[0]), bool)
    touched[y0:y1, x0:x1] = alpha > 0
    allowed = []
    for index, plane in enumerate(before):
        sx, sy = (layout.sx, layout.sy) if index in (1, 2) and not layout.rgb else (0, 0)
        padded = np.zeros((plane.shape[0] << sy, plane.shape[1] << sx), bool)
        padded[: touched.shape[0], : touched.shape[1]] = touched
        blocks = padded.reshape(plane.shape[0], 1 << sy, plane.shape[1], 1 << sx)
        allowed.append(blocks.any((1, 3)))
    return allowed


@pytest.mark.parametrize("name", PLANAR)
@pytest.mark.parametrize("box", BOXES, ids=str)
def test_blending_changes_no_sample_outside_the_mask(name, box):
    random = np.random.default_rng(len(name) + box[0])
    frame = PlanarFrame(pattern(1, 95, 65, name))
    before = planes(frame)
    size = (box[3] - box[1], box[2] - box[0])
    colour = random.integers(0, 256, (*size, 3), dtype=np.uint8)
    frame.blend(box, colour, np.zeros(size, np.uint8))
    for old, new in zip(before, planes(frame), strict=True):
        assert np.array_equal(old, new)
    alpha = random.integers(0, 256, size, dtype=np.uint8) * (random.random(size) < 0.4).astype(np.uint8)
    frame.blend(box, colour, alpha)
    after = planes(frame)
    allowed = changed_samples(before, after, frame.layout, box, alpha, (95, 65))
    for index, (old, new, may) in enumerate(zip(before, after, allowed, strict=True)):
        assert np.array_equal(old[~may], new[~may])
        if frame.layout.alpha and index == 3:
            assert np.array_equal(old, new)
    if alpha.size > 100:
        assert not np.array_equal(before[0], after[0])


@pytest.mark.parametrize("name", PLANAR)
def test_what_was_read_blends_back_to_the_same_picture(name):
    """Colours survive the way out and in: replacement by what was read changes samples by rounding only."""
    smooth = pattern(0, 96, 64, name)
    frame = PlanarFrame(smooth)
    layout = frame.layout
    for index, plane in enumerate(frame.planes[: 1 if layout.gray else 3]):
        rows, columns = np.mgrid[0 : plane.shape[0], 0 : plane.shape[1]]
        centre = 0.5 if index or layout.rgb else 0.45
        ripple = centre + 0.1 * np.sin(rows / 24 + index) * np.cos(columns / 31)
        plane[:] = ripple * ((1 << layout.depth) - 1)
    before = planes(frame)
    seen = frame.read((0, 0, 96, 64))
    frame.blend((0, 0, 96, 64), seen, np.full((64, 96), 255, np.uint8))
    step = (1 << layout.depth) / 256
    for old, new in zip(before, planes(frame), strict=True):
        assert np.abs(old.astype(float) - new).max() <= 2.0 * step
    again = frame.read((0, 0, 96, 64))
    assert np.abs(again.astype(int) - seen).max() <= 2


@pytest.mark.parametrize("name", PLANAR)
def test_reading_agrees_with_a_plain_formula(name):
    """8-bit BGR against BT.601/709 written out in floating point, chroma from the nearest sample."""
    frame = PlanarFrame(pattern(2, 95, 65, name))
    got = frame.read((0, 0, 95, 65)).astype(float)
    assert np.abs(got - reference_bgr(frame)).max() < 1.01


def reference_bgr(frame):
    layout = frame.layout
    samples = [plane.astype(float) for plane in planes(frame)[:3]]
    top = (1 << layout.depth) - 1
    if layout.rgb:
        return np.stack([samples[1], samples[0], samples[2]], -1) * 255 / top
    full = layout.full_range
    unit = 1 << (layout.depth - 8)
    luma = samples[0] / top if full else (samples[0] - 16 * unit) / (219 * unit)
    if layout.gray:
        return np.clip(luma * 255, 0, 255)[..., None].repeat(3, -1)
    scale = top if full else 224 * unit
    chroma = []
    for plane in samples[1:]:
        spread = plane.repeat(1 << layout.sx, 1).repeat(1 << layout.sy, 0)[: luma.shape[0], : luma.shape[1]]
        chroma.append((spread - (1 << (layout.depth - 1))) / scale)
    kr, kb = 0.299, 0.114
    red = luma + 2 * (1 - kr) * chroma[1]
    blue = luma + 2 * (1 - kb) * chroma[0]
    green = (luma - kr * red - kb * blue) / (1 - kr - kb)
    return np.clip(np.stack([blue, green, red], -1) * 255, 0, 255)


@pytest.mark.parametrize("name", PACKED + [n for n in PLANAR if n not in ("yuv440p12le",)])
def test_frames_reach_the_engine_with_the_decoded_samples(tmp_path, name):
    """Planes are the decoder's, sample for sample, unpacked where the format interleaves."""
    random = np.random.default_rng(7)
    frame = av.VideoFrame(96, 64, name)
    bits = max(component.bits for component in av.VideoFormat(name).components)
    for plane in frame.planes:
        if bits == 8:
            np.frombuffer(plane, np.uint8)[:] = random.integers(0, 256, plane.buffer_size)
        else:
            dtype = ">u2" if name.endswith("be") else "<u2"
            samples = random.integers(0, 1 << bits, plane.buffer_size // 2)
            # The p and y formats keep their samples in the high bits.
            high = name.startswith(("p0", "p2", "p4", "y2"))
            np.frombuffer(plane, dtype)[:] = samples << (16 - bits) if high else samples
    clip = Clip(codec="rawvideo", pix_fmt=name, frames=1, pictures=[frame])
    source = make_clip(tmp_path / "clip.nut", clip)
    (decoded,) = pictures(source)
    if decoded.format.name == name:
        with VideoReader(source, probe(source)) as reader:
            got = next(reader)
    else:
        # NUT has no name for this format.
        decoded = frame
        got = PlanarFrame(Normaliser(MediaInfo(source, "video", "nut", 1, 96, 64)).apply(frame))
    assert got.layout.name == planar_equivalent(name)
    if got.layout.name == name:
        for old, new in zip(planes(decoded), planes(got), strict=True):
            assert np.array_equal(old, new)
    else:
        back = VideoReformatter().reformat(got.av_frame, format=name, threads=1)
        for index, (old, new) in enumerate(zip(decoded.planes, back.planes, strict=True)):
            a, b = (np.frombuffer(p, np.uint8).reshape(-1, p.line_size) for p in (old, new))
            used = mask_of_used_bytes(name, a.shape, index)
            assert np.array_equal(a * used, b * used)


def mask_of_used_bytes(name, shape, plane):
    """Bytes of a line that hold samples: not the padding, not the X of RGBX."""
    used = np.zeros(shape, np.uint8)
    line = {"nv": 1, "p0": 2, "p2": 2, "p4": 2}.get(name[:2], 0)
    if line:
        wide = 96 * line * (2 if plane and name[1:3] in ("v24", "v42", "410", "412", "416") else 1)
        used[:, : wide * (2 if name == "nv20le" else 1)] = 1
        return used
    used[:, : 96 * av.VideoFormat(name).padded_bits_per_pixel // 8] = 1
    if name in ("rgb0", "bgr0"):
        used[:, 3::4] = 0
    if name in ("0rgb", "0bgr"):
        used[:, 0::4] = 0
    return used


def test_nv12_and_p010_are_unpacked_as_the_definition_says(tmp_path):
    for name, dtype, shift in (("nv12", np.uint8, 0), ("p010le", np.uint16, 6)):
        frame = av.VideoFrame(96, 64, name)
        random = np.random.default_rng(3)
        luma = random.integers(0, 1 << (10 if shift else 8), (64, 96))
        chroma = random.integers(0, 1 << (10 if shift else 8), (32, 96))
        np.frombuffer(frame.planes[0], dtype).reshape(64, -1)[:, :96] = luma << shift
        np.frombuffer(frame.planes[1], dtype).reshape(32, -1)[:, :96] = chroma << shift
        got = planes(Normaliser(MediaInfo(tmp_path, "video", "nut", 1, 96, 64)).apply(frame))
        assert np.array_equal(got[0], luma)
        assert np.array_equal(got[1], chroma[:, 0::2])
        assert np.array_equal(got[2], chroma[:, 1::2])


@pytest.mark.parametrize("name", ["gbrpf32le", "grayf32le", "xyz12le", "bayer_rggb8"])
def test_formats_that_cannot_be_processed_are_refused_by_name(tmp_path, name):
    info = MediaInfo(tmp_path / "clip.mkv", "video", "mkv", 1, 96, 64, pix_fmt=name)
    with pytest.raises(MediaFormatError, match=name):
        plan_output(info, settings())
    with pytest.raises(MediaFormatError, match=name):
        Normaliser(info).apply(av.VideoFrame(96, 64, name))


ENCODED = {
    # pixel format, codec, container: what is written
    ("yuv420p", "libx264", "mp4"): ("libx264", "yuv420p"),
    ("yuv422p", "libx264", "mp4"): ("libx264", "yuv422p"),
    ("yuv444p", "libx264", "mkv"): ("libx264", "yuv444p"),
    ("yuvj420p", "libx264", "mp4"): ("libx264", "yuvj420p"),
    ("yuv420p10le", "libx264", "mp4"): ("libx264", "yuv420p10le"),
    ("yuv422p10le", "libx264", "mov"): ("libx264", "yuv422p10le"),
    ("yuv420p10le", "libx265", "mp4"): ("libx265", "yuv420p10le"),
    ("yuv420p12le", "libx265", "mkv"): ("libx265", "yuv420p12le"),
    ("yuv444p12le", "libx265", "mkv"): ("libx265", "yuv444p12le"),
    ("yuv422p10le", "prores_ks", "mov"): ("libx265", "yuv422p10le"),
    ("yuva444p10le", "prores_ks", "mov"): ("prores_ks", "yuva444p10le"),
    ("yuva420p", "libvpx-vp9", "webm"): ("libvpx-vp9", "yuva420p"),
    ("yuv444p", "libvpx-vp9", "webm"): ("libvpx-vp9", "yuv444p"),
    ("yuv420p10le", "libsvtav1", "webm"): ("libsvtav1", "yuv420p10le"),
    ("gray", "libx264", "mp4"): ("libx264", "yuv420p"),
    ("gray10le", "libx264", "mkv"): ("libx264", "yuv420p10le"),
    ("yuv411p", "ffv1", "mkv"): ("libx264", "yuv422p"),
    ("yuv410p", "ffv1", "mkv"): ("libx264", "yuv420p"),
    ("bgr0", "ffv1", "mkv"): ("libx264", "yuv444p"),
    ("yuv420p16le", "ffv1", "mkv"): ("libx265", "yuv420p12le"),
    ("yuvj422p", "mjpeg", "avi"): ("libx264", "yuvj422p"),
    ("argb", "qtrle", "mov"): ("prores_ks", "yuva444p10le"),
}


@pytest.mark.parametrize(("name", "codec", "suffix"), ENCODED, ids=lambda value: str(value))
def test_results_keep_depth_and_subsampling_and_look_the_same(tmp_path, name, codec, suffix):
    options = {"auto-alt-ref": "0"} if name.startswith("yuva") and "vpx" in codec else {}
    size = {"width": 128, "height": 96, "frames": 3}
    source = make_clip(tmp_path / f"clip.{suffix}", Clip(codec=codec, pix_fmt=name, options=options, **size))
    outcome = process(source, settings(video_quality=98), decode_all=True)
    assert (outcome.plan.encode.encoder, outcome.plan.encode.pix_fmt) == ENCODED[name, codec, suffix]
    old, new = (
        layout_of(planar_equivalent(outcome.source.pix_fmt)),
        layout_of(planar_equivalent(outcome.info.pix_fmt)),
    )
    kept = (
        old.depth <= new.depth
        and (old.gray or (old.sx >= new.sx and old.sy >= new.sy))
        and old.alpha <= new.alpha
    )
    if not kept:
        assert any("is written as" in sentence for sentence in outcome.warnings)
    with (
        VideoReader(source, outcome.source) as first,
        VideoReader(outcome.path, outcome.info) as second,
    ):
        for before, after in zip(first, second, strict=True):
            box = (0, 0, 128, 96)
            assert psnr(before.read(box, 2), after.read(box, 2)) > 24
            if old.alpha:
                assert (
                    psnr(
                        planes(before)[3] / (1 << old.depth) * 255, planes(after)[3] / (1 << new.depth) * 255
                    )
                    > 30
                )


def test_the_decoders_reference_pictures_are_not_touched(tmp_path):
    """Blending into a picture that later ones are predicted from must not show in those."""
    source = make_clip(
        tmp_path / "clip.mp4", Clip(frames=30, gop=30, bframes=2, options={"preset": "medium"})
    )
    untouched = [planes(frame) for frame in pictures(source)]
    info = probe(source)
    with VideoReader(source, info, threads=2) as reader:
        for index, frame in enumerate(reader):
            got = planes(frame)
            for old, new in zip(untouched[index], got, strict=True):
                assert np.array_equal(old, new), f"picture {index}"
            everything = (0, 0, frame.width, frame.height)
            red = np.full((frame.height, frame.width, 3), (0, 0, 255), np.uint8)
            frame.blend(everything, red, np.full(red.shape[:2], 255, np.uint8))
            assert frame.read((0, 0, 8, 8)).reshape(-1, 3).mean(0) == pytest.approx((0, 0, 255), abs=4)

"""Moving GIF, WebP and PNG files as targets: same kind, same delays, untouched pictures unchanged."""

import struct
import zlib

import numpy as np
import pytest
from media_job import settings
from PIL import Image

from facefusion.errors import MediaFormatError, VanishedError, VerificationError
from facefusion.media.open import open_reader, open_writer
from facefusion.media.plan import plan_output
from facefusion.media.probe import probe
from facefusion.media.verify import ExpectedAnimation, verify_video

DELAYS = [40, 80, 120, 500, 40, 0]


def make(path, *, alpha=False, colours=200, loop=0, **options):
    """Six pictures with a moving square on a gradient."""
    pictures = []
    for index in range(len(DELAYS)):
        rows, columns = np.mgrid[0:48, 0:64]
        pixels = np.stack([rows * 5, columns * 3, (rows + columns) % 128 * 2], -1).astype(np.uint8)
        if colours < 256:
            pixels = (pixels // 64 * 64).astype(np.uint8)
        pixels[10:20, 5 + index * 4 : 15 + index * 4] = (250, 30, 60)
        image = Image.fromarray(pixels)
        if alpha:
            mask = np.full((48, 64), 255, np.uint8)
            mask[: 10 + index, :20] = 0
            image.putalpha(Image.fromarray(mask))
        pictures.append(image)
    more = {} if loop is None else {"loop": loop}
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=DELAYS, **more, **options)
    return path


def shown(path):
    """Every picture as RGBA, and its delay."""
    with Image.open(path) as image:
        result = []
        for number in range(image.n_frames):
            image.seek(number)
            result.append((np.asarray(image.convert("RGBA")), round(image.info.get("duration") or 0)))
        return result, image.info.get("loop")


def process(source, change=None, config=None):
    info = probe(source)
    plan = plan_output(info, config or settings())
    out = source.with_name(f"{source.stem}__result{plan.suffix}")
    with open_reader(source, info) as reader, open_writer(out, info, plan) as writer:
        for frame in reader:
            if change:
                change(frame)
            writer.write(frame)
        writer.commit()
    verify_video(out, writer.expected())
    return out, plan


KINDS = [("gif", {}), ("webp", {"lossless": True}), ("png", {})]


@pytest.mark.parametrize(("suffix", "options"), KINDS, ids=lambda value: str(value))
@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("loop", [None, 0, 3])
def test_nothing_changes_where_no_face_is(tmp_path, suffix, options, alpha, loop):
    source = make(tmp_path / f"clip.{suffix}", alpha=alpha, loop=loop, **options)
    out, plan = process(source)
    assert (plan.kind, out.suffix) == ("animation", f".{suffix}")
    before, loops = shown(source)
    after, loops_now = shown(out)
    assert [delay for _, delay in after] == [delay for _, delay in before]
    assert loops_now == loops
    for (old, _), (new, _) in zip(before, after, strict=True):
        visible = old[..., 3] > 0
        assert np.array_equal(old[..., 3] > 127, new[..., 3] > 127)
        assert np.array_equal(old[visible], new[visible])


@pytest.mark.parametrize(
    ("suffix", "options"), [*KINDS, ("webp", {"quality": 90})], ids=lambda value: str(value)
)
def test_a_changed_region_appears_and_the_rest_stays(tmp_path, suffix, options):
    source = make(tmp_path / f"clip.{suffix}", colours=200, **options)
    box = (30, 20, 50, 40)

    def paint(frame):
        colour = np.full((20, 20, 3), (200, 60 + frame.index * 10, 20), np.uint8)
        frame.blend(box, colour, np.full((20, 20), 255, np.uint8))

    out, _ = process(source, paint)
    lossy = options.get("quality")
    for index, ((old, _), (new, _)) in enumerate(zip(shown(source)[0], shown(out)[0], strict=True)):
        middle = new[24:36, 34:46, :3].reshape(-1, 3).mean(0)
        assert middle == pytest.approx((20, 60 + index * 10, 200), abs=8 if lossy else 1)
        outside = np.ones(old.shape[:2], bool)
        outside[20:40, 30:50] = False
        if not lossy:
            assert np.array_equal(old[outside], new[outside])


@pytest.mark.parametrize("lossless", [False, True])
def test_moving_webp_stays_lossy_or_lossless(tmp_path, lossless):
    source = tmp_path / "clip.webp"
    noise = np.random.default_rng(3).integers(90, 120, (2, 48, 64, 3), dtype=np.uint8)
    first, second = (Image.fromarray(part) for part in noise)
    first.save(source, save_all=True, append_images=[second], lossless=lossless, icc_profile=bytes(9000))
    out, _ = process(source)
    assert (b"VP8L" in out.read_bytes()) == lossless


def test_many_colours_in_a_gif_are_dithered_not_refused(tmp_path):
    source = make(tmp_path / "clip.gif")
    random = np.random.default_rng(1)

    def paint(frame):
        noise = random.integers(0, 255, (40, 40, 3), dtype=np.uint8)
        frame.blend((5, 5, 45, 45), noise, np.full((40, 40), 255, np.uint8))

    out, _ = process(source, paint)
    assert len(shown(out)[0]) == 6


def test_every_picture_is_read_as_it_is_shown(tmp_path):
    source = make(tmp_path / "clip.gif")
    info = probe(source)
    assert (info.kind, info.frames, info.width, info.height) == ("animation", 6, 64, 48)
    with open_reader(source, info) as reader:
        for (wanted, _), frame in zip(shown(source)[0], reader, strict=True):
            assert np.array_equal(frame.read((0, 0, 64, 48))[..., ::-1], wanted[..., :3])
        assert [frame.index for frame in reader.glimpses(3, 1)] == [0, 1, 2]


def with_delay(path, numerator, denominator):
    """An animated PNG whose second picture stays for that many seconds."""
    data = bytearray(make(path).read_bytes())
    at, pictures = 8, 0
    while at < len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        pictures += name == b"fcTL"
        if name == b"fcTL" and pictures == 2:
            struct.pack_into(">HH", data, at + 28, numerator, denominator)
            struct.pack_into(">I", data, at + 8 + length, zlib.crc32(bytes(data[at + 4 : at + 8 + length])))
        at += 12 + length
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("delay", [(1, 3), (6021, 50), (65535, 99), (65535, 1)])
def test_a_picture_that_stays_for_minutes_keeps_its_time(tmp_path, delay):
    source = with_delay(tmp_path / "clip.png", *delay)
    out, _ = process(source)
    with Image.open(out) as image:
        image.seek(1)
        assert image.info["duration"] == pytest.approx(1000 * delay[0] / delay[1], abs=1)


def test_a_source_that_goes_away_is_not_called_a_full_disk(tmp_path):
    source = make(tmp_path / "clip.webp")
    info = probe(source)
    writer = open_writer(tmp_path / "result.webp", info, plan_output(info, settings()))
    source.unlink()
    with pytest.raises(VanishedError, match=r"clip\.webp is no longer there"), writer:
        pass
    assert not (tmp_path / "result.webp").exists()


def test_avif_sequence_becomes_animated_webp_and_says_so(tmp_path):
    source = make(tmp_path / "clip.avif")
    out, plan = process(source)
    assert out.suffix == ".webp"
    assert any("animated WebP" in sentence for sentence in plan.warnings)


def test_colour_profile_is_kept(tmp_path):
    from PIL import ImageCms

    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for suffix in ("webp", "png"):
        out, _ = process(make(tmp_path / f"clip.{suffix}", icc_profile=icc))
        with Image.open(out) as image:
            assert image.info["icc_profile"] == icc


def test_uncommitted_animation_leaves_no_file(tmp_path):
    source = make(tmp_path / "clip.gif")
    info = probe(source)
    out = tmp_path / "result.gif"
    with open_reader(source, info) as reader, open_writer(out, info, plan_output(info, settings())) as writer:
        writer.write(next(reader))
    assert not out.exists()


def test_cut_off_animation_fails(tmp_path):
    source = make(tmp_path / "clip.gif")
    source.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
    with pytest.raises(MediaFormatError):
        process(source)


@pytest.mark.parametrize("wrong", [{"frames": 5}, {"width": 63}, {"milliseconds": 2000}])
def test_verification_sees_what_is_wrong(tmp_path, wrong):
    source = make(tmp_path / "clip.gif")
    right = {"frames": 6, "width": 64, "height": 48, "milliseconds": sum(DELAYS)}
    verify_video(source, ExpectedAnimation(**right))
    with pytest.raises(VerificationError):
        verify_video(source, ExpectedAnimation(**{**right, **wrong}))

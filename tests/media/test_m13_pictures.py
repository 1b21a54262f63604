"""M13: a picture of every kind is written as what it was, in its own depth and colours."""

import io

import cv2
import numpy as np
import pytest
from media_job import psnr, settings
from photo_scenes import BOX, exif_with, rewrite, scene, srgb
from PIL import Image, JpegImagePlugin

from facefusion.media.photos import read_face_picture
from facefusion.media.probe import probe


@pytest.mark.parametrize("family", ["png", "webp", "bmp", "tiff"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P"])
def test_lossless_pictures_stay_bit_identical_outside_the_face(tmp_path, family, mode):
    if family == "bmp" and mode == "RGBA":
        pytest.skip("BMP has no transparency")
    pixels = Image.fromarray(scene())
    if mode == "RGBA":
        pixels.putalpha(Image.fromarray(np.tile(np.arange(0, 255, 255 / 96).astype(np.uint8)[:96], (64, 1))))
    elif mode != "RGB":
        pixels = pixels.convert(mode)
    source = tmp_path / f"photo.{family}"
    pixels.save(source, family, **({"lossless": True, "exact": True} if family == "webp" else {}))
    wanted = np.asarray(Image.open(source).convert("RGBA"))
    out, _, _ = rewrite(source, blend=True)
    with Image.open(out) as image:
        got = np.asarray(image.convert("RGBA"))
        if mode == "L" and family != "webp":
            assert image.mode == "L"
    outside = np.ones((64, 96), bool)
    outside[BOX[1] : BOX[3], BOX[0] : BOX[2]] = False
    assert np.array_equal(got[outside], wanted[outside])
    assert np.array_equal(got[..., 3], wanted[..., 3])
    inside = got[BOX[1] : BOX[3], BOX[0] : BOX[2], :3]
    assert np.all(inside == ((103, 103, 103) if mode == "L" and family != "webp" else (220, 60, 20)))


@pytest.mark.parametrize("lossless", [False, True])
@pytest.mark.parametrize("profile", [b"", bytes(9000)])
def test_webp_stays_lossy_or_lossless_whatever_lies_before_the_picture(tmp_path, lossless, profile):
    source = tmp_path / "photo.webp"
    image = Image.fromarray(scene())
    image.putalpha(200)
    image.save(source, lossless=lossless, quality=80, icc_profile=profile)
    out, photo, _ = rewrite(source)
    assert photo.metadata.lossless == lossless
    assert (b"VP8L" in out.read_bytes()) == lossless


@pytest.mark.parametrize("suffix", ["png", "tiff"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_sixteen_bits_are_kept(tmp_path, suffix, channels):
    random = np.random.default_rng(3)
    pixels = random.integers(0, 65536, (64, 96, channels), dtype=np.uint16)
    source = tmp_path / f"photo.{suffix}"
    cv2.imwrite(str(source), pixels[..., 0] if channels == 1 else pixels)
    info = probe(source)
    assert info.depth == 16
    out, photo, plan = rewrite(source, blend=True)
    assert photo.frame.depth == 16
    assert plan.warnings == ()
    got = cv2.imread(str(out), cv2.IMREAD_UNCHANGED)
    assert got.dtype == np.uint16
    got = got.reshape(64, 96, -1)
    assert got.shape[2] == channels
    outside = np.ones((64, 96), bool)
    outside[BOX[1] : BOX[3], BOX[0] : BOX[2]] = False
    assert np.array_equal(got[outside], pixels[outside])
    if channels > 1:
        assert np.all(got[30, 40, :3] == np.array([20, 60, 220]) * 257)


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg_keeps_its_kind_and_is_compressed_only_once(tmp_path, subsampling, progressive):
    source = tmp_path / "photo.JPG"
    Image.fromarray(scene()).save(
        source, "JPEG", quality=90, subsampling=subsampling, progressive=progressive, dpi=(72, 72)
    )
    out, _, _ = rewrite(source, config=settings(photo_quality=96))
    assert out.suffix == ".jpg"
    with Image.open(out) as image, Image.open(source) as old:
        assert JpegImagePlugin.get_sampling(image) == subsampling
        assert bool(image.info.get("progressive")) == progressive
        assert image.info["dpi"] == (72, 72)
        once = io.BytesIO()
        old.save(once, "JPEG", quality=96, subsampling=subsampling)
        direct = np.asarray(Image.open(once).convert("RGB"))
        assert psnr(np.asarray(image.convert("RGB")), direct) > 45


def test_quality_is_as_configured(tmp_path):
    source = tmp_path / "photo.jpg"
    noise = np.random.default_rng(1).integers(0, 255, (200, 200, 3), dtype=np.uint8)
    Image.fromarray(noise).save(source, quality=95)
    sizes = [rewrite(source, config=settings(photo_quality=q))[0].stat().st_size for q in (40, 70, 95)]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[2] / 2


def test_cmyk(tmp_path):
    source = tmp_path / "photo.jpg"
    Image.fromarray(scene()).convert("CMYK").save(source, quality=97)
    assert psnr(read_face_picture(source)[..., ::-1], scene()) > 30
    out, photo, _ = rewrite(source)
    assert Image.open(out).mode == "RGB"
    assert any("CMYK" in sentence for sentence in photo.warnings)


@pytest.mark.parametrize("orientation", [1, 6])
def test_heic(tmp_path, orientation):
    pillow_heif = pytest.importorskip("pillow_heif", reason="no HEIC library for this platform")
    pillow_heif.register_heif_opener()
    source = tmp_path / "photo.heic"
    Image.fromarray(scene()).save(
        source, "HEIF", quality=95, chroma=444, exif=exif_with(orientation), icc_profile=srgb()
    )
    size = (96, 64) if orientation == 1 else (64, 96)
    info = probe(source)
    assert (info.width, info.height) == size
    assert read_face_picture(source).shape == (*size[::-1], 3)
    out, _, _ = rewrite(source)
    assert out.suffix == ".heic"
    with Image.open(out) as image:
        assert image.size == size
        assert image.info["icc_profile"] == srgb()
        upright = scene() if orientation == 1 else np.rot90(scene(), -1)
        assert psnr(np.asarray(image.convert("RGB")), upright) > 30


@pytest.mark.parametrize("bits", [10, 12])
@pytest.mark.parametrize("channels", [3, 4])
def test_deep_heic_keeps_its_depth(tmp_path, monkeypatch, bits, channels):
    pillow_heif = pytest.importorskip("pillow_heif", reason="no HEIC library for this platform")
    monkeypatch.setattr(pillow_heif.options, "SAVE_HDR_TO_12_BIT", bits == 12)
    ramp = np.linspace(0, 65535, 96 * 64).reshape(64, 96).astype(np.uint16)
    pixels = np.dstack([ramp, ramp[::-1], ramp[:, ::-1], np.full_like(ramp, 65535)])[..., :channels]
    source = tmp_path / "photo.heic"
    mode = "BGRA;16" if channels == 4 else "BGR;16"
    made = pillow_heif.from_bytes(mode, (96, 64), np.ascontiguousarray(pixels).tobytes())
    made[0].info["icc_profile"] = srgb()
    made.save(
        source, quality=100, chroma=444, exif=exif_with(1), xmp=b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"
    )
    assert probe(source).depth == bits
    assert probe(source).warnings == ()
    out, photo, _ = rewrite(source, blend=True)
    assert photo.frame.depth == 16
    assert photo.frame.pixels.max() > 65400
    got = pillow_heif.open_heif(out, convert_hdr_to_8bit=False, bgr_mode=True)
    assert (got.info["bit_depth"], got.mode) == (bits, mode)
    assert got.info["icc_profile"] == srgb()
    assert b"xmpmeta" in got.info["xmp"]
    assert got.info["exif"]
    outside = np.ones((64, 96), bool)
    outside[BOX[1] - 8 : BOX[3] + 8, BOX[0] - 8 : BOX[2] + 8] = False
    error = np.abs(np.asarray(got)[outside].astype(int) - pixels[outside]) / 65535
    # Finer than 8 bit could be.
    assert error[..., :3].mean() < 1 / 1000
    middle = np.asarray(got)[(BOX[1] + BOX[3]) // 2, (BOX[0] + BOX[2]) // 2, :3] / 257
    assert middle == pytest.approx((20, 60, 220), abs=6)


def test_avif(tmp_path):
    source = tmp_path / "photo.avif"
    Image.fromarray(scene()).save(source, quality=95)
    out, _, _ = rewrite(source)
    assert out.suffix == ".avif"
    assert psnr(np.asarray(Image.open(out).convert("RGB")), scene()) > 28


def test_several_pages_use_the_first_and_say_so(tmp_path):
    pages = [Image.fromarray(scene()), Image.new("RGB", (96, 64))]
    pages[0].save(tmp_path / "scan.tiff", save_all=True, append_images=pages[1:])
    _, photo, _ = rewrite(tmp_path / "scan.tiff")
    assert any("only the first" in sentence for sentence in photo.warnings)


def test_still_gif_becomes_png_without_loss(tmp_path):
    Image.fromarray(scene()).quantize(256).save(tmp_path / "photo.gif")
    out, _, plan = rewrite(tmp_path / "photo.gif")
    assert out.suffix == ".png"
    assert plan.warnings
    wanted = np.asarray(Image.open(tmp_path / "photo.gif").convert("RGB"))
    assert np.array_equal(np.asarray(Image.open(out).convert("RGB")), wanted)


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1)])
def test_tiny_pictures(tmp_path, size):
    Image.new("RGB", size, (10, 20, 30)).save(tmp_path / "photo.png")
    out, photo, _ = rewrite(tmp_path / "photo.png")
    assert photo.frame.thumbnail(100)[0].max() == 30
    assert Image.open(out).size == size

"""M13: pictures of every kind are read upright and in the right colours, and written as what they were."""

import functools
import io
import struct
import zlib

import av
import cv2
import numpy as np
import pytest
from media_clips import Clip, make_clip
from media_job import psnr, settings
from PIL import Image, ImageCms, JpegImagePlugin, PngImagePlugin, TiffImagePlugin

from facefusion.errors import MediaFormatError
from facefusion.media.label_reader import read_label
from facefusion.media.photos import read_face_picture, read_photo, write_photo
from facefusion.media.plan import plan_output
from facefusion.media.probe import probe
from facefusion.media.verify import verify_photo

BOX = (20, 10, 60, 50)


def scene(width=96, height=64):
    """Smooth RGB with a bright upper left corner."""
    rows, columns = np.mgrid[0:height, 0:width]
    pixels = np.stack([60 + rows, 80 + columns, 200 - rows - columns], -1)
    pixels[:16, :24] = (250, 240, 230)
    return pixels.astype(np.uint8)


def rewrite(source, *, blend=False, config=None):
    """Read, perhaps change, write and verify."""
    photo = read_photo(source)
    plan = plan_output(photo.info, config or settings())
    if blend:
        x0, y0, x1, y1 = BOX
        colour = np.full((y1 - y0, x1 - x0, 3), (20, 60, 220), np.uint8)
        photo.frame.blend(BOX, colour, np.full(colour.shape[:2], 255, np.uint8))
    out = source.with_name(f"{source.stem}__result{plan.suffix}")
    write_photo(out, photo, plan)
    verify_photo(out, photo.frame.width, photo.frame.height)
    return out, photo, plan


@functools.cache
def srgb():
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def exif_with(orientation, *, thumbnail=b""):
    """EXIF with make, orientation, dimensions and a maker's note."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "Maker"
    inner = exif.get_ifd(0x8769)
    inner[0xA002], inner[0xA003] = 96, 64
    inner[0x927C] = b"note\0\x01\x02"
    return exif.tobytes()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("family", ["jpeg", "png", "webp", "tiff"])
def test_exif_orientation_is_applied_once(tmp_path, orientation, family):
    upright = scene()
    stored = {
        1: lambda p: p,
        2: lambda p: p[:, ::-1],
        3: lambda p: p[::-1, ::-1],
        4: lambda p: p[::-1],
        5: lambda p: p.transpose(1, 0, 2),
        6: lambda p: np.rot90(p, 1),
        7: lambda p: p[::-1, ::-1].transpose(1, 0, 2),
        8: lambda p: np.rot90(p, -1),
    }[orientation](upright)
    source = tmp_path / f"photo.{family}"
    options = {"jpeg": {"quality": 97, "subsampling": 0}, "webp": {"lossless": True}}.get(family, {})
    Image.fromarray(np.ascontiguousarray(stored)).save(source, family, exif=exif_with(orientation), **options)
    info = probe(source)
    assert (info.width, info.height) == (96, 64)
    assert psnr(read_face_picture(source)[..., ::-1], upright) > 38
    out, photo, _ = rewrite(source)
    assert psnr(photo.frame.read((0, 0, 96, 64))[..., ::-1], upright) > 38
    with Image.open(out) as image:
        assert image.size == (96, 64)
        assert image.getexif().get(0x0112, 1) == 1
        assert psnr(np.asarray(image.convert("RGB")), upright) > 36


def test_exif_is_kept_but_for_orientation_and_the_old_thumbnail(tmp_path):
    source = tmp_path / "photo.jpg"
    thumbnail = io.BytesIO()
    Image.fromarray(scene()).resize((32, 20)).save(thumbnail, "JPEG")
    block = bytearray(exif_with(6))
    # A second directory with the thumbnail, as cameras write it.
    tiff = block[6:]
    order = "<" if tiff[:2] == b"II" else ">"
    first = struct.unpack_from(order + "I", tiff, 4)[0]
    link = first + 2 + 12 * struct.unpack_from(order + "H", tiff, first)[0]
    second = len(tiff) + len(tiff) % 2
    tiff += b"\0" * (second - len(tiff))
    struct.pack_into(order + "I", tiff, link, second)
    data = thumbnail.getvalue()
    entries = struct.pack(order + "HHII", 0x0201, 4, 1, second + 30) + struct.pack(
        order + "HHII", 0x0202, 4, 1, len(data)
    )
    tiff += struct.pack(order + "H", 2) + entries + struct.pack(order + "I", 0) + data
    Image.fromarray(scene()).save(source, exif=bytes(block[:6] + tiff))
    with Image.open(source) as image:
        assert image.getexif().get_ifd(0x014A) is not None
        assert data in image.info["exif"]
    out, _, _ = rewrite(source)
    with Image.open(out) as image:
        exif = image.getexif()
        assert exif[0x010F] == "Maker"
        inner = exif.get_ifd(0x8769)
        assert (inner[0xA002], inner[0xA003]) == (64, 96)
        assert inner[0x927C] == b"note\0\x01\x02"
        assert data[20:200] not in image.info["exif"]


@pytest.mark.parametrize("family", ["jpeg", "png", "webp", "tiff", "avif"])
def test_colour_profile_and_xmp_are_kept(tmp_path, family):
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><tiff:Orientation>6</tiff:Orientation> dear</x:xmpmeta>'
    source = tmp_path / f"photo.{family}"
    options = {"xmp": xmp} if family in ("jpeg", "webp", "avif") else {}
    if family == "png":
        chunks = PngImagePlugin.PngInfo()
        chunks.add_itxt("XML:com.adobe.xmp", xmp.decode())
        chunks.add_text("Author", "Me")
        options = {"pnginfo": chunks}
    if family == "tiff":
        options = {"tiffinfo": {700: xmp, 315: "Me", 270: "A scene"}}
    Image.fromarray(scene()).save(source, family, icc_profile=srgb(), **options)
    out, _, _ = rewrite(source)
    with Image.open(out) as image:
        assert image.info["icc_profile"] == srgb()
        kept = image.tag_v2.get(700) if family == "tiff" else image.info.get("xmp")
        kept = kept.encode() if isinstance(kept, str) else kept
        assert b"dear" in kept
        assert b"Orientation>1<" in kept
        if family == "png":
            assert image.text["Author"] == "Me"
        if family == "tiff":
            assert (image.tag_v2[315], image.tag_v2[270]) == ("Me", "A scene")


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


def test_sixteen_bit_profile_survives(tmp_path):
    pixels = np.random.default_rng(3).integers(0, 65536, (64, 96, 3), dtype=np.uint16)
    profile = [np.frombuffer(srgb(), np.uint8)]
    _, data = cv2.imencodeWithMetadata(".png", pixels, [cv2.IMAGE_METADATA_ICCP], profile)
    (tmp_path / "photo.png").write_bytes(bytes(data))
    out, _, _ = rewrite(tmp_path / "photo.png")
    assert Image.open(out).info["icc_profile"] == srgb()
    from facefusion.media import tiff

    (tmp_path / "photo.tif").write_bytes(tiff.encode(pixels, icc=srgb(), dpi=(300, 300)))
    out, _, _ = rewrite(tmp_path / "photo.tif")
    with Image.open(out) as image:
        assert image.info["icc_profile"] == srgb()
        assert image.info["dpi"] == (300, 300)
    assert np.array_equal(cv2.imread(str(out), cv2.IMREAD_UNCHANGED), pixels)


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


def test_gray_gives_a_gray_face(tmp_path):
    source = tmp_path / "photo.png"
    Image.fromarray(scene()).convert("L").save(source)
    picture = read_face_picture(source)
    assert picture.shape == (64, 96, 3)
    assert np.array_equal(picture[..., 0], picture[..., 2])


def test_sixteen_bit_gray_source_picture_is_not_burnt_out(tmp_path):
    source = tmp_path / "photo.png"
    cv2.imwrite(str(source), (np.full((32, 32), 128, np.uint16) * 257))
    assert read_face_picture(source).mean() == pytest.approx(128, abs=1)


def test_transparent_source_picture_is_laid_over_gray(tmp_path):
    pixels = np.zeros((32, 32, 4), np.uint8)
    pixels[:, 16:] = (200, 100, 50, 255)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    picture = read_face_picture(tmp_path / "photo.png")
    assert tuple(picture[0, 0]) == (127, 127, 127)
    assert tuple(picture[0, 31]) == (50, 100, 200)


def profile_with_red_and_blue_exchanged():
    """An ICC profile (version 2, gamma 2.2) of a display whose red is blue: shows if profiles are used."""

    def xyz(*values):
        return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(value * 65536) for value in values))

    red, green, blue = (0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141)
    gamma = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(2.2 * 256)) + b"\0\0"
    name = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + bytes(78 + 3)
    tags = {
        b"desc": name,
        b"cprt": b"text\0\0\0\0none",
        b"wtpt": xyz(0.9642, 1.0, 0.8249),
        b"rXYZ": xyz(*blue),
        b"gXYZ": xyz(*green),
        b"bXYZ": xyz(*red),
        b"rTRC": gamma,
        b"gTRC": gamma,
        b"bTRC": gamma,
    }
    table, body = struct.pack(">I", len(tags)), b""
    for tag, data in tags.items():
        data += b"\0" * (-len(data) % 4)
        table += tag + struct.pack(">II", 128 + 4 + 12 * len(tags) + len(body), len(data))
        body += data
    size = 128 + len(table) + len(body)
    head = struct.pack(">I4sI4s4s4s12x4s", size, b"\0\0\0\0", 0x02100000, b"mntr", b"RGB ", b"XYZ ", b"acsp")
    head = head.ljust(68, b"\0") + struct.pack(">3i", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + table + body


def test_colours_of_a_source_picture_are_those_its_profile_means(tmp_path):
    source = tmp_path / "photo.png"
    Image.new("RGB", (8, 8), (220, 120, 40)).save(source, icc_profile=profile_with_red_and_blue_exchanged())
    # BGR of (40, 120, 220).
    assert read_face_picture(source)[0, 0].astype(int) == pytest.approx((220, 120, 40), abs=6)


def test_lab_source_picture(tmp_path):
    lab = ImageCms.createProfile("LAB")
    source = tmp_path / "photo.tif"
    transform = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), lab, "RGB", "LAB")
    image = ImageCms.applyTransform(Image.fromarray(scene()), transform)
    image.save(source, icc_profile=ImageCms.ImageCmsProfile(lab).tobytes())
    assert psnr(read_face_picture(source)[..., ::-1], scene()) > 30


def test_first_picture_of_an_animation_is_the_source_face(tmp_path):
    pictures = [Image.fromarray(scene()), Image.new("RGB", (96, 64))]
    pictures[0].save(tmp_path / "face.webp", save_all=True, append_images=pictures[1:], lossless=True)
    assert np.array_equal(read_face_picture(tmp_path / "face.webp")[..., ::-1], scene())


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


def test_deep_avif_is_written_with_eight_bits_and_says_so(tmp_path):
    source = make_clip(tmp_path / "clip.mp4", Clip(64, 64, 1, codec="libsvtav1", pix_fmt="yuv420p10le"))
    # A still AVIF of 10 bit, as libav writes it.
    photo = tmp_path / "photo.avif"
    with av.open(str(source)) as old, av.open(str(photo), "w", format="avif") as new:
        stream = new.add_stream_from_template(old.streams.video[0], opaque=True)
        for packet in old.demux(video=0):
            if packet.size:
                packet.stream = stream
                new.mux(packet)
    out, read, _ = rewrite(photo)
    assert any("10 bit" in sentence for sentence in read.warnings)
    assert Image.open(out).size == (64, 64)


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


def test_video_as_a_source_picture_is_refused_with_advice(tmp_path):
    with pytest.raises(MediaFormatError, match="is a video") as caught:
        read_face_picture(make_clip(tmp_path / "face.mp4"))
    assert "still" in caught.value.remedy


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1)])
def test_tiny_pictures(tmp_path, size):
    Image.new("RGB", size, (10, 20, 30)).save(tmp_path / "photo.png")
    out, photo, _ = rewrite(tmp_path / "photo.png")
    assert photo.frame.thumbnail(100)[0].max() == 30
    assert Image.open(out).size == size


@pytest.mark.parametrize("suffix", ["tif", "jpg", "png", "bmp"])
@pytest.mark.parametrize("dpi", [(0xFFFFFFFF, 1), (1, 0), (0, 1), (0xFFFFFFFF, 0xFFFFFFFF)])
def test_a_resolution_nobody_can_mean_does_not_keep_a_picture_from_being_written(tmp_path, suffix, dpi):
    source = tmp_path / f"photo.{suffix}"
    Image.fromarray(scene()).save(source)
    if suffix == "tif":
        cv2.imwrite(str(source), scene()[..., ::-1].astype(np.uint16) * 257)
        patch_rationals(source, *dpi)
    elif suffix == "jpg":
        exif = Image.Exif()
        exif[0x011A] = exif[0x011B] = TiffImagePlugin.IFDRational(*dpi)
        exif[0x0128] = 2
        Image.fromarray(scene()).save(source, exif=exif)
    elif suffix == "png":
        insert_density(source, dpi[0])
    else:
        data = bytearray(source.read_bytes())
        struct.pack_into("<ii", data, 38, -1, -1)
        source.write_bytes(data)
    out, _, _ = rewrite(source)
    assert psnr(read_face_picture(out)[..., ::-1], scene()) > 30


def patch_rationals(path, numerator, denominator):
    """Say this resolution in a TIFF file that says none."""
    data = bytearray(path.read_bytes())
    first = struct.unpack_from("<I", data, 4)[0]
    count = struct.unpack_from("<H", data, first)[0]
    entries = [bytes(data[first + 2 + 12 * i : first + 14 + 12 * i]) for i in range(count)]
    entries = [entry for entry in entries if struct.unpack_from("<H", entry)[0] not in (282, 283, 296)]
    entries += [struct.pack("<HHII", tag, 5, 1, len(data)) for tag in (282, 283)]
    entries.append(struct.pack("<HHIHH", 296, 3, 1, 2, 0))
    data += struct.pack("<II", numerator, denominator)
    struct.pack_into("<I", data, 4, len(data))
    entries.sort(key=lambda entry: struct.unpack_from("<H", entry)[0])
    data += struct.pack("<H", len(entries)) + b"".join(entries) + struct.pack("<I", 0)
    path.write_bytes(data)


def insert_density(path, pixels_a_metre):
    """Say this resolution in a PNG file."""
    data = path.read_bytes()
    body = b"pHYs" + struct.pack(">IIB", pixels_a_metre, pixels_a_metre, 1)
    chunk = struct.pack(">I", 9) + body + struct.pack(">I", zlib.crc32(body))
    path.write_bytes(data[:33] + chunk + data[33:])


@pytest.mark.parametrize("tag", [700, 34675])
@pytest.mark.parametrize(
    ("kind", "value"), [(4, (4_000_000_000,)), (12, (1.5,)), (3, (1, 2, 3)), (2, "words")]
)
def test_numbers_in_the_place_of_xmp_or_profile_mean_nothing(tmp_path, tag, kind, value):
    source = tmp_path / "photo.tif"
    directory = TiffImagePlugin.ImageFileDirectory_v2()
    directory.tagtype[tag] = kind
    directory[tag] = value
    Image.fromarray(scene()).save(source, tiffinfo=directory)
    assert read_label(source) is None
    out, _, _ = rewrite(source)
    assert np.array_equal(read_face_picture(out)[..., ::-1], scene())

"""M13: orientation, profiles and what else is said beside the pixels goes along, and only once."""

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from media_job import psnr
from photo_scenes import exif_with, rewrite, scene, srgb
from PIL import Image, PngImagePlugin, TiffImagePlugin

from facefusion.media.label_reader import read_label
from facefusion.media.photos import read_face_picture
from facefusion.media.probe import probe


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

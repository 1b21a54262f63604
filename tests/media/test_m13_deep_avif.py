"""M13: AVIF photos of 10 and 12 bit keep their depth."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from media_clips import Clip, make_clip
from photo_scenes import BOX, exif_with, rewrite, srgb
from PIL import Image

from facefusion.media import avif
from facefusion.media.photos import read_photo
from facefusion.media.probe import probe

WIDTH, HEIGHT = 96, 64
XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"
PQ = b"\x00\x09\x00\x10"
"""Primaries of BT.2020 and the transfer of HDR10, as they stand in a file."""

pytestmark = pytest.mark.skipif(not avif.can_be_deep(), reason="this build of OpenCV writes no AVIF")


def ramps(channels: int) -> Any:
    """Smooth from corner to corner, so that an encoder can keep what 8 bit could not hold."""
    slope = np.add.outer(np.linspace(0, 0.3, HEIGHT), np.linspace(0, 0.7, WIDTH))
    planes = [slope, slope, 0.1 + 0.8 * slope, 1 - slope]
    return (np.dstack(planes)[..., :channels].squeeze() * 65535).astype(np.uint16)


def write(path: Path, bits: int, channels: int, orientation: int = 1, like: bytes = b"") -> Path:
    blocks = {
        cv2.IMAGE_METADATA_EXIF: exif_with(orientation).removeprefix(b"Exif\0\0"),
        cv2.IMAGE_METADATA_XMP: XMP,
        cv2.IMAGE_METADATA_ICCP: srgb(),
    }
    path.write_bytes(avif.encode(ramps(channels), bits, 99, like, blocks))
    return path


def finer_than_eight_bits(got: Any, expected: Any) -> bool:
    """In the mean, and in the number of shades in one colour."""
    error = np.abs(got.astype(int) - expected.astype(int)) / 65535
    one = got.reshape(len(got), -1) if got.ndim < 3 else got[..., 0]
    return bool(error.mean() < 1 / 500) and len(np.unique(one)) > 300


@pytest.mark.parametrize("bits", [10, 12])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_depth_transparency_and_metadata_are_kept(tmp_path: Path, bits: int, channels: int) -> None:
    source = write(tmp_path / "photo.avif", bits, channels)
    info = probe(source)
    assert (info.depth, info.warnings) == (bits, ())
    out, photo, _ = rewrite(source, blend=True)
    assert (photo.frame.depth, photo.warnings) == (16, [])
    data = out.read_bytes()
    assert avif.depth(data) == bits
    got = avif.decode(data)
    assert got is not None
    outside = np.ones((HEIGHT, WIDTH), bool)
    outside[BOX[1] - 8 : BOX[3] + 8, BOX[0] - 8 : BOX[2] + 8] = False
    assert np.abs(got[outside].astype(int) - ramps(channels)[outside]).mean() / 65535 < 1 / 500
    assert len(np.unique(got[outside].reshape(outside.sum(), -1)[:, 0])) > 300
    with Image.open(out) as image:
        assert image.mode == {1: "L", 3: "RGB", 4: "RGBA"}[channels]
        assert image.info["xmp"] == XMP
        assert image.getexif()[0x010F] == "Maker"
        if channels > 1:
            assert image.info["icc_profile"] == srgb()
    if channels > 1:
        middle = got[(BOX[1] + BOX[3]) // 2, (BOX[0] + BOX[2]) // 2, :3] / 257
        assert middle == pytest.approx((20, 60, 220), abs=8)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_orientation_is_applied_once(tmp_path: Path, orientation: int) -> None:
    source = write(tmp_path / "photo.avif", 10, 3, orientation)
    turned = {1: 0, 3: 2, 6: -1, 8: 1}[orientation]
    upright = np.rot90(ramps(3), turned)
    out, photo, _ = rewrite(source)
    assert finer_than_eight_bits(photo.frame.pixels, upright)
    got = avif.decode(out.read_bytes())
    assert got is not None
    assert finer_than_eight_bits(got, upright)
    with Image.open(out) as image:
        assert image.getexif().get(0x0112, 1) == 1


def test_hdr_stays_hdr(tmp_path: Path) -> None:
    source = write(tmp_path / "photo.avif", 10, 3, like=PQ)
    assert avif.colours(source.read_bytes()) == PQ
    out, _, _ = rewrite(source)
    data = out.read_bytes()
    assert avif.colours(data) == PQ
    with av.open(io.BytesIO(data)) as container:
        context = container.streams.video[0].codec_context
        assert (context.color_primaries, context.color_trc) == (9, 16)


def test_a_picture_that_libav_has_written_is_kept_too(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", Clip(64, 64, 1, codec="libsvtav1", pix_fmt="yuv420p10le"))
    photo = tmp_path / "photo.avif"
    with av.open(str(clip)) as old, av.open(str(photo), "w", format="avif") as new:
        stream: Any = new.add_stream_from_template(old.streams.video[0], opaque=True)
        for packet in old.demux(video=0):
            if packet.size:
                packet.stream = stream
                new.mux(packet)
    out, read, _ = rewrite(photo)
    assert read.warnings == []
    assert avif.depth(out.read_bytes()) == 10
    assert Image.open(out).size == (64, 64)


def test_colour_that_is_written_at_half_its_resolution_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write(tmp_path / "photo.avif", 10, 3)
    monkeypatch.setattr(avif, "fine_colour", lambda data: True)  # no encoder here writes such a file
    assert probe(source).warnings == ("AVIF with 10 bit is written with colour at half its resolution.",)


@pytest.mark.parametrize(
    ("mode", "subsampling", "fine"),
    [("RGB", "4:4:4", True), ("RGB", "4:2:2", True), ("RGB", "4:2:0", False), ("L", "4:0:0", False)],
)
def test_a_file_tells_how_fine_its_colour_is(tmp_path: Path, mode: str, subsampling: str, fine: bool) -> None:
    path = tmp_path / "photo.avif"
    Image.new(mode, (64, 64)).save(path, subsampling=subsampling)
    assert avif.fine_colour(path.read_bytes()) is fine


def test_without_an_encoder_eight_bits_are_written_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write(tmp_path / "photo.avif", 10, 3)
    monkeypatch.setattr(avif, "can_be_deep", lambda: False)
    out, photo, _ = rewrite(source)
    assert photo.warnings == ["The picture has 10 bit a channel; it is processed and written with 8."]
    assert avif.depth(out.read_bytes()) == 8


def test_what_opencv_cannot_read_is_reduced_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write(tmp_path / "photo.avif", 10, 3)
    monkeypatch.setattr(avif, "decode", lambda data: None)
    photo = read_photo(source)
    assert photo.frame.depth == 8
    assert photo.warnings == ["The picture has 10 bit a channel; it is processed and written with 8."]

"""What a written file says about how it came about is read back from every kind that has a place for it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pillow_heif
import pytest
from media_clips import Audio, Clip, make_clip
from media_job import settings
from PIL import Image

from facefusion.media.label_reader import read_label
from facefusion.media.labels import Label, labelled
from facefusion.media.open import open_reader, open_writer
from facefusion.media.photos import read_photo, write_photo
from facefusion.media.plan import plan_output
from facefusion.media.probe import probe
from facefusion.media.verify import verify_photo, verify_video

DEEP = b"<a>" * 5000 + b"</a>" * 5000
LABEL = Label("http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia", "tool 1")
SIXTEEN = ["deep.png", "deep.tif", "deep.avif"]
STILLS = ["a.jpg", "a.png", "a.webp", "a.tif", "a.avif", "a.heic", "a.jp2", *SIXTEEN]
OWN_ENTITY = '\ufeff<!DOCTYPE a [<!ENTITY b "c">]><r:RDF xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#">&b;</r:RDF>'
OWN_WORDS = b"""<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" dc:format="image/jpeg"
 xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:CreatorTool="camera 7" xmp:Rating="4">
<Iptc4xmpExt:DigitalSourceType xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
>http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture</Iptc4xmpExt:DigitalSourceType>
</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>"""


def scene(index: int = 0) -> np.ndarray:
    rows, columns = np.mgrid[0:64, 0:96]
    pixels = np.stack([60 + rows, 80 + columns, 200 - rows - columns], -1).astype(np.uint8)
    pixels[10:20, 10 + index * 8 : 20 + index * 8] = (250, 30, 60)
    return pixels


def still(path: Path, **options: object) -> Path:
    pillow_heif.register_heif_opener()
    if path.stem == "deep":
        step, depth = (4, [cv2.IMWRITE_AVIF_DEPTH, 10]) if path.suffix == ".avif" else (257, [])
        cv2.imwrite(str(path), scene().astype(np.uint16) * step, depth)
    else:
        Image.fromarray(scene()).save(path, **options)
    return path


def rewritten(source: Path, label: Label | None = LABEL) -> Path:
    """Read, write and verify, as the pipeline does."""
    info = probe(source)
    plan = replace(plan_output(info, settings()), label=label)
    out = source.with_name(f"out{plan.suffix}")
    if info.kind == "photo":
        photo = read_photo(source)
        write_photo(out, photo, plan)
        verify_photo(out, photo.frame.width, photo.frame.height)
        return out
    with open_reader(source, info) as reader, open_writer(out, info, plan) as writer:
        for frame in reader:
            writer.write(frame)
        writer.commit()
        expected = writer.expected()
    verify_video(out, expected, decode_all=True)
    return out


@pytest.mark.parametrize("name", STILLS)
def test_photos(tmp_path: Path, name: str) -> None:
    source = still(tmp_path / name)
    assert read_label(rewritten(source, None)) is None
    assert read_label(rewritten(source)) == LABEL


@pytest.mark.parametrize("suffix", ["gif", "webp", "png"])
def test_animations(tmp_path: Path, suffix: str) -> None:
    pictures = [Image.fromarray(scene(index)) for index in range(3)]
    source = tmp_path / f"a.{suffix}"
    pictures[0].save(source, save_all=True, append_images=pictures[1:], duration=80)
    assert read_label(rewritten(source, None)) is None
    out = rewritten(source)
    assert read_label(out) == LABEL
    assert probe(out).frames == 3


@pytest.mark.parametrize("suffix", ["mp4", "m4v", "mov", "mkv", "webm"])
def test_videos(tmp_path: Path, suffix: str) -> None:
    codec, sound = ("libvpx-vp9", "libopus") if suffix == "webm" else ("libx264", "aac")
    clip = Clip(codec=codec, audio=[Audio(sound)], metadata={"title": "a title"})
    source = make_clip(tmp_path / f"a.{suffix}", clip, muxer="mp4" if suffix == "m4v" else None)
    assert read_label(rewritten(source, None)) is None
    out = rewritten(source)
    assert read_label(out) == LABEL
    assert probe(out).metadata["title"] == "a title"


@pytest.mark.parametrize("name", ["a.ts", "a.bmp"])
def test_kinds_without_a_place_are_written_all_the_same(tmp_path: Path, name: str) -> None:
    source = tmp_path / name
    if source.suffix == ".ts":
        make_clip(source)
    else:
        still(source)
    assert read_label(rewritten(source)) is None


@pytest.mark.parametrize("name", ["a.jpg", "a.webp"])
def test_other_words_of_the_picture_stay_and_the_old_source_type_goes(tmp_path: Path, name: str) -> None:
    out = rewritten(still(tmp_path / name, xmp=OWN_WORDS))
    assert read_label(out) == LABEL
    xmp = read_photo(out).metadata.xmp
    assert b'dc:format="image/jpeg"' in xmp
    assert b'xmp:Rating="4"' in xmp
    assert b"digitalCapture" not in xmp
    assert b"camera 7" not in xmp


@pytest.mark.parametrize(
    "packet",
    [
        b"<x:xmpmeta",
        b"\xff\xfe\0",
        b"<a/>",
        b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
        OWN_ENTITY.encode("utf-16-be"),
        b"text",
        OWN_WORDS.replace(b"</rdf:Description>", DEEP + b"</rdf:Description>"),
    ],
)
def test_damaged_words_are_replaced_and_that_is_said(tmp_path: Path, packet: bytes) -> None:
    assert not labelled(packet, LABEL).complete
    source = still(tmp_path / "a.jpg", xmp=packet)
    photo = read_photo(source)
    write_photo(tmp_path / "out.jpg", photo, replace(plan_output(photo.info, settings()), label=LABEL))
    assert read_label(tmp_path / "out.jpg") == LABEL
    assert any("XMP" in warning for warning in photo.warnings)


def test_words_that_leave_no_room_in_a_jpeg_are_left_out_and_that_is_said(tmp_path: Path) -> None:
    photo = read_photo(still(tmp_path / "a.jpg"))
    photo.metadata = replace(photo.metadata, xmp=OWN_WORDS.replace(b"image/jpeg", b"x" * 65_400))
    write_photo(tmp_path / "out.jpg", photo, replace(plan_output(photo.info, settings()), label=LABEL))
    assert read_label(tmp_path / "out.jpg") == LABEL
    assert any("leaves no room" in warning for warning in photo.warnings)


def test_a_label_written_as_elements_is_read_too(tmp_path: Path) -> None:
    path = still(tmp_path / "a.png")
    assert read_label(path) is None
    capture = read_label(still(tmp_path / "b.jpg", xmp=OWN_WORDS))
    assert capture is not None
    assert (capture.source_type.rsplit("/", 1)[-1], capture.tool) == ("digitalCapture", "camera 7")

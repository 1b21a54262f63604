"""M11: what cannot be read fails clearly, with category and remedy; nothing hangs, nothing is called done."""

import os
import struct
import time
import zlib

import av
import numpy as np
import pytest
from media_clips import Audio, Clip, make_clip
from media_job import process
from PIL import Image

from facefusion.errors import ErrorCategory, InputFileError, MediaFormatError, VanishedError
from facefusion.media.photos import read_photo
from facefusion.media.probe import probe
from facefusion.media.reader import VideoReader


def refused(path, words):
    with pytest.raises(MediaFormatError, match=words) as caught:
        probe(path)
    assert caught.value.category is ErrorCategory.FORMAT
    assert path.name in caught.value.message
    assert len(caught.value.remedy) > 20


def test_empty_file(tmp_path):
    path = tmp_path / "clip.mp4"
    path.touch()
    refused(path, "empty")


def test_nothing_but_zeros(tmp_path):
    path = tmp_path / "clip.mkv"
    path.write_bytes(bytes(200_000))
    refused(path, "zeros")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"Dear diary, today I renamed a file.\n" * 40, "text"),
        ("Лиебер Tagebuch, heute ä ö ü\n".encode() * 40, "text"),
        (b"%PDF-1.7\n" + bytes(range(256)) * 8, "PDF"),
        (b"PK\x03\x04" + bytes(range(256)) * 8, "archive"),
        (b"#EXTM3U\nhttp://example.com/live.ts\n", "text"),
        (b"ffconcat version 1.0\nfile '/etc/passwd'\n", "text"),
        (b"\x7fELF" + bytes(range(256)) * 8, "program"),
        (np.random.default_rng(1).bytes(5000), "not a video"),
        (b"\x00", "zeros"),
        (b"A", "not a video"),
    ],
)
def test_something_else_under_the_name_of_a_video(tmp_path, content, words):
    path = tmp_path / "clip.mp4"
    path.write_bytes(content)
    refused(path, words)


def test_picture_under_the_name_of_a_video_and_the_reverse(tmp_path):
    for family in ("png", "jpeg", "gif", "webp"):
        path = tmp_path / f"{family}.mp4"
        Image.new("RGB", (32, 32)).save(path, family)
        refused(path, f"{family.upper()} picture, not a video")
    clip = make_clip(tmp_path / "clip.mkv").rename(tmp_path / "photo.jpg")
    refused(clip, "not a picture")


def test_another_name_of_the_right_kind_is_harmless(tmp_path):
    clip = make_clip(tmp_path / "clip.mkv").rename(tmp_path / "clip.mp4")
    outcome = process(clip)
    assert outcome.path.suffix == ".mkv"
    Image.new("RGB", (32, 32)).save(tmp_path / "photo.jpg", "PNG")
    assert probe(tmp_path / "photo.jpg").container == "png"


def cut(path, share):
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


@pytest.mark.parametrize("suffix", ["mp4", "mov"])
def test_mp4_whose_index_is_missing(tmp_path, suffix):
    path = make_clip(tmp_path / f"clip.{suffix}", Clip(frames=60, audio=[Audio(seconds=2)]))
    refused(cut(path, 0.6), "cut off")


def test_mp4_with_its_index_in_front_cut_in_the_middle(tmp_path):
    clip = Clip(frames=60, muxer_options={"movflags": "faststart"})
    refused(cut(make_clip(tmp_path / "clip.mp4", clip), 0.6), "cut off: it should have")


def test_recording_that_was_never_finished(tmp_path):
    """An mp4 as a crashed recorder leaves it: `ftyp` and an open-ended `mdat`, no `moov`."""
    path = tmp_path / "clip.mp4"
    path.write_bytes(
        struct.pack(">I4s4sI", 16, b"ftyp", b"isom", 512) + struct.pack(">I4s", 0, b"mdat") + b"x" * 9999
    )
    refused(path, "index .moov. .* missing")


@pytest.mark.parametrize(
    ("suffix", "codec", "muxer"), [("mkv", "libx264", None), ("avi", "mpeg4", None), ("wmv", "wmv2", "asf")]
)
@pytest.mark.parametrize("share", [0.3, 0.7, 0.97])
def test_cut_off_files_of_other_kinds(tmp_path, suffix, codec, muxer, share):
    path = make_clip(
        tmp_path / f"clip.{suffix}", Clip(frames=80, codec=codec, audio=[Audio("ac3")]), muxer=muxer
    )
    refused(cut(path, share), "cut off")


def test_cut_off_transport_stream_gives_what_there_is_or_fails(tmp_path):
    """A recording of a broadcast begins and ends anywhere; that is no fault."""
    path = make_clip(tmp_path / "clip.ts", Clip(frames=80, audio=[Audio(seconds=3)]))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 188 * 6 // 10 * 188 + 50])
    outcome = process(path)
    assert 20 < outcome.info.frames < 80
    assert any("ends in the middle of a packet" in warning for warning in outcome.warnings)
    refused(cut(path, 0.01), "clip.ts")


def test_transport_stream_that_ends_with_a_whole_packet_is_a_recording(tmp_path):
    path = make_clip(tmp_path / "clip.ts", Clip(frames=80, audio=[Audio(seconds=3)]))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 188 * 6 // 10 * 188])
    outcome = process(path)
    assert 20 < outcome.info.frames < 80
    assert not any("packet" in warning for warning in outcome.warnings)


def test_header_that_never_ends_is_given_up_in_time(tmp_path):
    started = time.monotonic()
    packet = b"\x47\x1f\xff\x10" + b"\xff" * 184
    stream = tmp_path / "padding.ts"
    stream.write_bytes(packet * 200_000)
    refused(stream, "padding.ts")
    matroska = tmp_path / "void.mkv"
    header = bytes.fromhex("1a45dfa39f4286810142f7810142f2810442f381084282886d6174726f736b614287810442858102")
    matroska.write_bytes(
        header + bytes.fromhex("18538067 01ffffffffffffff") + (b"\xec\x40\x10" + bytes(16)) * 1_000_000
    )
    refused(matroska, "void.mkv")
    boxes = tmp_path / "boxes.mp4"
    boxes.write_bytes(
        struct.pack(">I4s4sI", 16, b"ftyp", b"isom", 0) + struct.pack(">I4s", 8, b"free") * 2_000_000
    )
    refused(boxes, "boxes.mp4")
    assert time.monotonic() - started < 30


def test_video_that_claims_to_be_huge(tmp_path):
    path = make_clip(tmp_path / "clip.mp4")
    data = bytearray(path.read_bytes())
    at = data.find(b"avc1") + 28
    data[at : at + 4] = struct.pack(">HH", 65535, 65535)
    path.write_bytes(data)
    try:
        info = probe(path)  # The bit stream knows better than the container.
        assert (info.width, info.height) == (96, 64)
    except MediaFormatError as error:
        assert "large" in error.message


def test_sound_only_and_pictureless_files_say_so(tmp_path):
    clip = make_clip(tmp_path / "clip.mp4", Clip(audio=[Audio(seconds=1)]))
    path = tmp_path / "song.mp4"
    with av.open(str(clip)) as old, av.open(str(path), "w") as new:
        stream = new.add_stream_from_template(old.streams.audio[0])
        for packet in old.demux(audio=0):
            if packet.size:
                packet.stream = stream
                new.mux(packet)
    refused(path, "only sound")


def test_damage_in_the_middle_is_survived_and_said(tmp_path):
    path = make_clip(tmp_path / "clip.mkv", Clip(frames=80, gop=10))
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 300] = np.random.default_rng(2).bytes(300)
    path.write_bytes(data)
    outcome = process(path)
    assert any("amaged" in warning for warning in outcome.warnings)
    assert outcome.info.frames >= 60


def test_a_reader_that_meets_mostly_damage_fails(tmp_path):
    path = make_clip(tmp_path / "clip.mp4", Clip(frames=80, gop=5, muxer_options={"movflags": "faststart"}))
    data = bytearray(path.read_bytes())
    info = probe(path)
    start = len(data) // 3
    data[start:] = np.random.default_rng(2).bytes(len(data) - start)
    path.write_bytes(data)
    with VideoReader(path, info) as reader, pytest.raises(MediaFormatError, match="damaged or cut off"):
        list(reader)


def test_vanished_and_strange_files(tmp_path):
    with pytest.raises(VanishedError):
        probe(tmp_path / "gone.mp4")
    with pytest.raises(InputFileError):
        probe(tmp_path)
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(InputFileError):
        probe(tmp_path / "pipe.mp4")


@pytest.mark.parametrize(
    "name",
    ["concat:a.mp4", "http:clip.mp4", "-i.mp4", "%d.mp4", "pipe:0.mp4", "ü e\u0301 😀.mp4", "a\nb.mp4"],
)
def test_a_name_is_never_a_command_or_an_address(tmp_path, name):
    assert process(make_clip(tmp_path / "clip.mp4").rename(tmp_path / name)).info.frames == 12


def test_undecodable_name(tmp_path):
    path = make_clip(tmp_path / "clip.mp4").rename(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.mp4"))
    assert process(path).info.frames == 12


@pytest.mark.parametrize("family", ["png", "jpeg", "webp", "tiff", "bmp", "gif"])
def test_cut_off_pictures(tmp_path, family):
    path = tmp_path / f"photo.{family}"
    noise = np.random.default_rng(3).integers(0, 255, (80, 80, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path, family)
    cut(path, 0.5)
    with pytest.raises(MediaFormatError, match="damaged"):
        read_photo(path)


def test_picture_file_without_end_is_not_read_into_memory(tmp_path):
    path = tmp_path / "photo.png"
    Image.new("RGB", (8, 8)).save(path)
    os.truncate(path, 1 << 40)
    with pytest.raises(MediaFormatError, match="1,099,511,627,776 bytes; that is too much"):
        read_photo(path)
    refused(path, "too much")


def test_picture_that_claims_to_be_huge(tmp_path):
    path = tmp_path / "bomb.png"
    Image.new("1", (8, 8)).save(path)
    data = bytearray(path.read_bytes())
    data[16:24] = struct.pack(">II", 60_000, 60_000)
    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    path.write_bytes(data)
    with pytest.raises(MediaFormatError, match="60000x60000"):
        read_photo(path)

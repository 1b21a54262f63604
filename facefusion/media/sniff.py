"""What a file is, told from its first bytes and its box structure; never from its name.

Demuxers guess, and some guess wildly (a text file can be opened as a subtitle, a playlist or a "tty" video).
So the family is decided here first, and only the demuxers of that family are allowed to open the file. The
same look finds files that were cut off: their headers promise more bytes than there are.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from facefusion.errors import FaceFusionError, InputFileError, MediaFormatError, VanishedError
from facefusion.media.boxes import top_boxes
from facefusion.media.reading import readable

_HEAD = 4096
_INCOMPLETE = "Copy the file again: it did not arrive completely."


@dataclass(frozen=True)
class FileKind:
    """Family of a file.

    Attributes:
        family: `mp4`, `mov`, `mkv`, `webm`, `avi`, `ts`, `mpeg`, `asf`, `flv`, `ogg`, `mxf` ... for videos;
            `jpeg`, `png`, `webp`, `gif`, `bmp`, `tiff`, `heif`, `avif`, `jp2` ... for pictures.
        picture: true for the latter.
        demuxer: libav's name of the demuxer that opens it (empty for pictures).
    """

    family: str
    picture: bool
    demuxer: str = ""


_PICTURES: tuple[tuple[bytes, int, str], ...] = (
    (b"\xff\xd8\xff", 0, "jpeg"),
    (b"\x89PNG\r\n\x1a\n", 0, "png"),
    (b"GIF87a", 0, "gif"),
    (b"GIF89a", 0, "gif"),
    (b"WEBP", 8, "webp"),
    (b"II*\x00", 0, "tiff"),
    (b"MM\x00*", 0, "tiff"),
    (b"II+\x00", 0, "tiff"),
    (b"MM\x00+", 0, "tiff"),
    (b"\x00\x00\x00\x0cjP  \r\n\x87\n", 0, "jp2"),
    (b"\xff\x4f\xff\x51", 0, "jp2"),
    (b"\x00\x00\x00\x0cJXL \r\n\x87\n", 0, "jxl"),
)
_VIDEOS: tuple[tuple[bytes, int, str, str], ...] = (
    (b"AVI ", 8, "avi", "avi"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", 0, "asf", "asf"),
    (b"FLV\x01", 0, "flv", "flv"),
    (b"OggS", 0, "ogg", "ogg"),
    (b"\x06\x0e\x2b\x34\x02\x05\x01\x01", 0, "mxf", "mxf"),
    (b"\x00\x00\x01\xba", 0, "mpeg", "mpeg"),
    (b"\x00\x00\x01\xb3", 0, "mpeg", "mpegvideo"),
    (b"YUV4MPEG2", 0, "y4m", "yuv4mpegpipe"),
    (b"DKIF", 0, "ivf", "ivf"),
    (b"nut/multimedia container\x00", 0, "nut", "nut"),
)
VIDEO_SUFFIXES = frozenset(
    (
        *(".mp4", ".m4v", ".mov", ".qt", ".mkv", ".webm", ".avi", ".wmv", ".asf", ".flv", ".f4v"),
        *(".3gp", ".3g2", ".mpg", ".mpeg", ".vob", ".ts", ".m2ts", ".mts", ".ogv", ".mxf"),
    )
)
PICTURE_SUFFIXES = frozenset(
    (
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".dib", ".tif", ".tiff", ".gif"),
        *(".heic", ".heif", ".hif", ".avif", ".jp2", ".jxl"),
    )
)
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_ASF_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_BOXES = {b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"moof", b"styp", b"sidx", b"udta"}
_OTHER = {
    b"%PDF": "a PDF document",
    b"PK\x03\x04": "a zip archive or office document",
    b"Rar!": "a RAR archive",
    b"7z\xbc\xaf": "a 7-Zip archive",
    b"\x1f\x8b": "a gzip archive",
    b"\x7fELF": "a program",
    b"MZ": "a program",
    b"ID3": "a sound file",
    b"fLaC": "a sound file",
    b"{\\rtf": "a text document",
    b"<!DO": "a web page",
    b"<htm": "a web page",
    b"<?xm": "an XML document",
}


def identify(path: Path) -> FileKind:
    """Tell what kind of media a file holds.

    Raises:
        MediaFormatError: empty, cut off, or no media; the message says which.
        VanishedError: the file is gone.
        InputFileError: it cannot be read.
    """
    with readable(path):
        if not path.is_file():
            # Opening a pipe would wait for ever.
            raise _not_a_file(path)
        with path.open("rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(0)
            head = stream.read(_HEAD)
            return _identify(path.name, stream, head, size)


def check_name(path: Path, kind: FileKind) -> None:
    """Refuse a picture that calls itself a video, and the reverse: somebody was mistaken about it.

    Names of the right kind (a PNG called .jpg, Matroska called .mp4) are common and harmless.

    Raises:
        MediaFormatError: the name promises something else than the content.
    """
    suffix = path.suffix.lower()
    if kind.picture and suffix in VIDEO_SUFFIXES:
        raise MediaFormatError(
            f"{path.name} is a {kind.family.upper()} picture, not a video.",
            remedy=f"Rename it to {path.stem}.{kind.family} and drop it again.",
        )
    if not kind.picture and suffix in PICTURE_SUFFIXES:
        raise MediaFormatError(
            f"{path.name} is a video ({kind.family}), not a picture.",
            remedy=f"Rename it to {path.stem}.{kind.family} and drop it again.",
        )


def _not_a_file(path: Path) -> FaceFusionError:
    if not path.exists():
        return VanishedError(f"{path.name} is no longer there.")
    return InputFileError(f"{path.name} is not an ordinary file.")


def _identify(name: str, stream: BinaryIO, head: bytes, size: int) -> FileKind:
    if size == 0:
        raise MediaFormatError(f"{name} is empty (0 bytes).", remedy=_INCOMPLETE)
    if not head.strip(b"\0"):
        raise MediaFormatError(f"{name} holds nothing but zeros.", remedy=_INCOMPLETE)
    for magic, offset, family in _PICTURES:
        if head[offset : offset + len(magic)] == magic:
            return FileKind(family, True)
    if (
        head[:2] == b"BM"
        and len(head) > 26
        and struct.unpack_from("<I", head, 14)[0] in (12, 40, 52, 56, 64, 108, 124)
    ):
        return FileKind("bmp", True)
    if head[4:8] in _BOXES:
        return _identify_boxes(name, stream, head, size)
    if head[:4] == b"\x1a\x45\xdf\xa3":
        _check_matroska(name, head, size)
        family = "webm" if b"webm" in head[:64] else "mkv"
        return FileKind(family, False, "matroska,webm")
    for magic, offset, family, demuxer in _VIDEOS:
        if head[offset : offset + len(magic)] == magic:
            if family == "avi" and len(head) >= 12:
                # OpenDML files hold several RIFF chunks; the first one never exceeds the file.
                _check_size(name, struct.unpack_from("<I", head, 4)[0] + 8, size)
            if family == "asf":
                _check_asf(name, head, size)
            return FileKind(family, False, demuxer)
    if _is_transport_stream(head):
        return FileKind("ts", False, "mpegts")
    raise MediaFormatError(
        f"{name} is not a video or a picture{_guess(head)}.",
        remedy="Drop a video or a picture; renaming a file does not change what it is.",
    )


def _identify_boxes(name: str, stream: BinaryIO, head: bytes, size: int) -> FileKind:
    """ISO base media: walk the top-level boxes, which must fit the file and include the index (`moov`)."""
    brand = head[8:12] if head[4:8] == b"ftyp" else b"qt  "
    brands = {brand} | {
        head[i : i + 4] for i in range(16, min(len(head), struct.unpack_from(">I", head)[0]), 4)
    }
    if head[4:8] == b"ftyp" and brand in (b"avif", b"avis"):
        return FileKind("avif", True)
    if head[4:8] == b"ftyp" and brand in _HEIF_BRANDS:
        return FileKind("avif" if b"avif" in brands else "heif", True)
    found: set[bytes] = set()
    for box in top_boxes(stream, size):
        found.add(box.kind)
        if box.end > size and box.kind in (b"mdat", b"moov", b"moof"):
            raise _cut_off(name, box.end, size)
    if b"moov" not in found:
        raise MediaFormatError(
            f"{name} is cut off or was never finished: the index (moov) that belongs to this kind of file is "
            "missing.",
            remedy="Copy the file again. If it comes from a recording that was interrupted, repair it with "
            "the camera or a recovery tool first.",
        )
    return FileKind("mov" if brand == b"qt  " else "mp4", False, "mov,mp4,m4a,3gp,3g2,mj2")


def _check_matroska(name: str, head: bytes, size: int) -> None:
    """The segment's size, where the writer knew it, must fit the file."""
    at = head.find(b"\x18\x53\x80\x67")
    if at < 0 or at + 12 > len(head):
        return
    first = head[at + 4]
    if first == 0:
        return
    width = 9 - first.bit_length()
    value = int.from_bytes(head[at + 4 : at + 4 + width], "big") & ((1 << (7 * width)) - 1)
    if value != (1 << (7 * width)) - 1:
        _check_size(name, at + 4 + width + value, size)


def _check_asf(name: str, head: bytes, size: int) -> None:
    """The file properties object says the size, unless the file was broadcast."""
    at = head.find(_ASF_PROPERTIES)
    if at >= 0 and at + 92 <= len(head):
        promised = struct.unpack_from("<Q", head, at + 40)[0]
        broadcast = struct.unpack_from("<I", head, at + 88)[0] & 1
        if not broadcast:
            _check_size(name, promised, size)


def _check_size(name: str, promised: int, size: int) -> None:
    if promised > size:
        raise _cut_off(name, promised, size)


def _cut_off(name: str, promised: int, size: int) -> MediaFormatError:
    return MediaFormatError(
        f"{name} is cut off: it should have {promised:,} bytes and has {size:,}.", remedy=_INCOMPLETE
    )


def webp_is_lossless(data: bytes) -> bool:
    """Whether the (first) picture of a WebP file was stored without loss."""
    at = 12
    while at + 8 <= len(data):
        name, length = data[at : at + 4], struct.unpack_from("<I", data, at + 4)[0]
        if name in (b"VP8 ", b"VP8L"):
            return name == b"VP8L"
        # A picture of an animation lies inside its chunk, after the 16 bytes that say where and how long.
        at += 8 + (16 if name == b"ANMF" else length + length % 2)
    return True


def ends_inside_a_packet(path: Path) -> bool:
    """Whether an MPEG-TS file ends before its last packet does; recordings end with whole packets.

    Raises:
        VanishedError, InputFileError: the file cannot be read.
    """
    with readable(path), path.open("rb") as file:
        packet = _transport_packet(file.read(2048))
        return packet > 0 and file.seek(0, os.SEEK_END) % packet != 0


def _is_transport_stream(head: bytes) -> bool:
    return _transport_packet(head) > 0


def _transport_packet(head: bytes) -> int:
    """Bytes of an MPEG-TS packet, 0 for other files.

    There is a sync byte every 188 bytes (192 with the time codes of Blu-ray and cameras).
    """
    for packet, start in ((188, 0), (192, 4), (204, 0)):
        places = range(start, min(len(head), packet * 8), packet)
        if len(places) >= 3 and all(head[place] == 0x47 for place in places):
            return packet
    return 0


def _guess(head: bytes) -> str:
    for magic, what in _OTHER.items():
        if head.startswith(magic):
            return f" but {what}"
    sample = head[:512]
    printable = sum(32 <= byte < 127 or byte in (9, 10, 13) or byte >= 128 for byte in sample)
    try:
        sample[: sample.rfind(b" ") + 1 or len(sample)].decode("utf-8")
    except UnicodeDecodeError:
        return ""
    return " but text" if printable == len(sample) else ""

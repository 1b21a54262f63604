"""Read the label of any file; see `labels`."""

from __future__ import annotations

import io
import mmap
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from facefusion.media.labels import GIF_BLOCK, GIF_TRAILER, XMP_BOX, Label, label_in
from facefusion.media.photo_reader import open_picture
from facefusion.media.sniff import identify
from facefusion.media.source import open_input

_MOST_BYTES = 16 << 20


def read_label(path: Path) -> Label | None:
    """The label of a file; None where it has none.

    Raises:
        InputFileError, MediaFormatError, VanishedError: the file cannot be read, or is nothing known here.
    """
    kind = identify(path)
    if kind.family in ("mkv", "webm"):
        with open_input(path, kind) as container:
            return Label.from_tags(container.metadata)
    return label_in(_packet(path, kind.family, picture=kind.picture))


def _packet(path: Path, family: str, *, picture: bool) -> bytes:
    if family in ("mp4", "mov", "jp2"):
        return _boxed_packet(path)
    if family == "gif":
        return _gif_packet(path)
    if not picture:
        return b""
    with open_picture(path) as image:
        found = image.tag_v2.get(700) if image.format == "TIFF" else image.info.get("xmp")
    return found.encode("utf-8", "replace") if isinstance(found, str) else bytes(found or b"")


def _boxed_packet(path: Path) -> bytes:
    with path.open("rb") as stream:
        for kind, size in _boxes(stream):
            if kind == b"uuid" and 16 < size < _MOST_BYTES:
                content = stream.read(size)
                if content.startswith(XMP_BOX):
                    return content[16:]
    return b""


def _boxes(stream: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Kind and content length of each top-level box, the stream standing at its content."""
    at, end = 0, stream.seek(0, io.SEEK_END)
    while at + 8 <= end:
        stream.seek(at)
        size, kind = struct.unpack(">I4s", stream.read(8))
        header = 8
        if size == 1:
            size, header = int.from_bytes(stream.read(8)), 16
        elif size == 0:
            size = end - at
        if size < header:
            return
        yield kind, min(size, end - at) - header
        at += size


def _gif_packet(path: Path) -> bytes:
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        start = content.find(GIF_BLOCK)
        end = content.find(GIF_TRAILER[:9], start) if start >= 0 else -1
        return content[start + len(GIF_BLOCK) : end] if end >= 0 else b""

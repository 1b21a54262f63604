"""Read the label of any file; see `labels`."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

from facefusion.media.boxes import top_boxes
from facefusion.media.labels import GIF_BLOCK, GIF_TRAILER, XMP_BOX, Label, label_in
from facefusion.media.photo_reader import open_picture
from facefusion.media.reading import readable
from facefusion.media.sniff import identify
from facefusion.media.source import open_input

_MOST_BYTES = 16 << 20
"""Larger packets are taken for something else than words."""


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
        packet: bytes = image.info.get("xmp") or b""
    return packet


def _boxed_packet(path: Path) -> bytes:
    with readable(path), path.open("rb") as stream:
        for box in top_boxes(stream, stream.seek(0, os.SEEK_END)):
            if box.kind == b"uuid" and len(XMP_BOX) < box.end - box.content < _MOST_BYTES:
                stream.seek(box.content)
                content = stream.read(box.end - box.content)
                if content.startswith(XMP_BOX):
                    return content[len(XMP_BOX) :]
    return b""


def _gif_packet(path: Path) -> bytes:
    with (
        readable(path),
        path.open("rb") as stream,
        mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content,
    ):
        start = content.find(GIF_BLOCK)
        if start < 0:
            return b""
        start += len(GIF_BLOCK)
        end = content.find(GIF_TRAILER[:9], start, start + _MOST_BYTES)
        return content[start:end] if end >= 0 else b""

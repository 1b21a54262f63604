"""Top-level boxes of ISO base media and JPEG 2000. Source: ISO 14496-12, section 4.2."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

_MOST = 100_000
"""Boxes that are looked at; films in small fragments have some ten thousand."""


@dataclass(frozen=True)
class Box:
    """One box.

    Attributes:
        kind: its four letters.
        content: where its content begins, in bytes from the start of the file.
        end: where it ends by its own words, which may be behind the end of a file that was cut off.
    """

    kind: bytes
    content: int
    end: int


def top_boxes(stream: BinaryIO, size: int) -> Iterator[Box]:
    """The boxes of a file, one after the other; ends where they make no sense any more.

    Args:
        stream: the file; it may be moved between two boxes.
        size: of the file in bytes.
    """
    at = 0
    for _ in range(_MOST):
        stream.seek(at)
        header = stream.read(16)
        if len(header) < 8:
            return
        length, kind = struct.unpack_from(">I4s", header)
        begins = 8
        if length == 1 and len(header) == 16:
            length, begins = struct.unpack_from(">Q", header, 8)[0], 16
        elif length == 0:
            length = size - at
        if length < begins:
            return
        yield Box(kind, at + begins, at + length)
        at += length

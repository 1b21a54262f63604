"""Keep a photo's EXIF and XMP, except for what would now be wrong.

The blocks are changed in place, byte for byte, instead of being taken apart and written anew: makers' notes
hold offsets that only survive that way. Source: EXIF 2.32 (CIPA DC-008), TIFF 6.0.
"""

from __future__ import annotations

import re
import struct

_ORIENTATION = 0x0112
_EXIF_IFD = 0x8769
_WIDTH = 0xA002
_HEIGHT = 0xA003
_HEADER = b"Exif\0\0"
_XMP_ORIENTATION = re.compile(rb"(tiff:Orientation(?:=\"|=\'|>))\d")


def orientation_tag(exif: bytes) -> int:
    """The orientation (1 to 8); 1 where there is none or the block is damaged."""
    try:
        block = _Block(exif)
        for tag, at in block.entries(block.first):
            if tag == _ORIENTATION:
                value = block.unpack("H", at + 8)
                return value if 1 <= value <= 8 else 1
    except (struct.error, ValueError):
        pass  # A damaged block says nothing; the picture is shown as it is stored, as viewers do.
    return 1


def upright(exif: bytes, width: int, height: int) -> bytes:
    """The block for a picture that is stored upright now.

    Orientation becomes 1, the pixel dimensions are corrected, and the embedded thumbnail is cut out of the
    directory: it would still show the old picture.

    Args:
        exif: the block, with or without the leading "Exif" mark.
        width: of the picture as it is written.
        height: of the picture as it is written.

    Returns:
        The corrected block, or nothing where it was too damaged to be trusted.
    """
    try:
        block = _Block(exif)
        for tag, at in block.entries(block.first):
            if tag == _ORIENTATION:
                block.pack("H", at + 8, 1)
            elif tag == _EXIF_IFD:
                for inner, place in block.entries(block.unpack("I", at + 8)):
                    if inner in (_WIDTH, _HEIGHT):
                        block.set_number(place, width if inner == _WIDTH else height)
        block.drop_thumbnail()
        return block.bytes()
    except (struct.error, ValueError):
        return b""


def upright_xmp(xmp: bytes) -> bytes:
    """The XMP packet with its orientation set to 1."""
    return _XMP_ORIENTATION.sub(rb"\g<1>1", xmp)


class _Block:
    """A TIFF structure in memory."""

    def __init__(self, exif: bytes) -> None:
        self._marked = exif.startswith(_HEADER)
        self._data = bytearray(exif[len(_HEADER) :] if self._marked else exif)
        order = bytes(self._data[:2])
        if order not in (b"II", b"MM"):
            raise ValueError("no TIFF structure")
        self._order = "<" if order == b"II" else ">"
        self.first = self.unpack("I", 4)

    def unpack(self, kind: str, at: int) -> int:
        return int(struct.unpack_from(self._order + kind, self._data, at)[0])

    def pack(self, kind: str, at: int, value: int) -> None:
        struct.pack_into(self._order + kind, self._data, at, value)

    def entries(self, directory: int) -> list[tuple[int, int]]:
        """Tags of a directory and where their entries lie."""
        count = self.unpack("H", directory)
        places = [directory + 2 + 12 * index for index in range(count)]
        return [(self.unpack("H", place), place) for place in places]

    def set_number(self, entry: int, value: int) -> None:
        """Overwrite a single SHORT or LONG."""
        if self.unpack("H", entry + 2) == 3:
            self.pack("H", entry + 8, min(value, 65535))
        else:
            self.pack("I", entry + 8, value)

    def drop_thumbnail(self) -> None:
        """End the chain of directories after the first; wipe what the second one points to."""
        link = self.first + 2 + 12 * self.unpack("H", self.first)
        second = self.unpack("I", link)
        if not second:
            return
        self.pack("I", link, 0)
        where = {tag: self.unpack("I", place + 8) for tag, place in self.entries(second)}
        start, length = where.get(0x0201, 0), where.get(0x0202, 0)
        if start and start + length <= len(self._data):
            self._data[start : start + length] = bytes(length)

    def bytes(self) -> bytes:
        return (_HEADER if self._marked else b"") + bytes(self._data)

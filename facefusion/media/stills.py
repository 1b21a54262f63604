"""Make moving GIF, WebP and PNG files out of still pictures, one after the other.

Pillow and libav keep a whole animation in memory or lose the exact delays; the files themselves are simple
rows of pictures. Each picture is compressed by Pillow, taken out of its still file and put into the row, cut
down to what changed since the one before.

Sources: GIF89a, the WebP container specification (RFC 9649), the PNG specification, third edition (APNG).
"""

from __future__ import annotations

import io
import struct
import zlib
from fractions import Fraction
from typing import Any, BinaryIO, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image as Pillow

from facefusion.media.labels import gif_block, png_xmp

RGBA = npt.NDArray[np.uint8]
_SIXTEEN_BITS = 0xFFFF


class Packer(Protocol):
    """Writes one kind of animation."""

    align: int
    """Offsets of partial pictures must be multiples of this."""

    def begin(
        self, out: BinaryIO, size: tuple[int, int], loops: int | None, icc: bytes, xmp: bytes = b""
    ) -> None:
        """Write the header. `loops`: 0 for ever, None where the source does not say; `xmp` may be empty."""

    def add(self, pixels: RGBA, place: tuple[int, int], milliseconds: int) -> None:
        """Write one picture: (h, w, 3) RGB or (h, w, 4) RGBA, its upper left corner, how long it stays."""

    def end(self) -> None:
        """Finish the file."""


class GifPacker:
    """GIF89a with a palette for every picture.

    Args:
        alpha: pictures have transparent places; then each replaces the one before completely.
    """

    align = 1

    def __init__(self, *, alpha: bool) -> None:
        self._alpha = alpha

    def begin(
        self, out: BinaryIO, size: tuple[int, int], loops: int | None, icc: bytes, xmp: bytes = b""
    ) -> None:
        """See `Packer.begin`. GIF has no colour profiles."""
        self._out = out
        out.write(b"GIF89a" + struct.pack("<HHBBB", *size, 0x70, 0, 0))
        if loops is not None:
            out.write(b"\x21\xff\x0bNETSCAPE2.0\x03\x01" + struct.pack("<H", min(loops, 65535)) + b"\0")
        if xmp:
            out.write(gif_block(xmp))

    def add(self, pixels: RGBA, place: tuple[int, int], milliseconds: int) -> None:
        """See `Packer.add`."""
        indexed, transparent = _indexed(pixels, self._alpha)
        colours, data = _gif_parts(indexed)
        disposal = 2 if self._alpha else 1
        packed = disposal << 2 | (transparent is not None)
        delay = min(65535, round(milliseconds / 10))
        self._out.write(b"\x21\xf9\x04" + struct.pack("<BHBB", packed, delay, transparent or 0, 0))
        bits = (len(colours) // 3).bit_length() - 2
        self._out.write(b"\x2c" + struct.pack("<HHHHB", *place, *indexed.size, 0x80 | bits) + colours + data)

    def end(self) -> None:
        """See `Packer.end`."""
        self._out.write(b"\x3b")


class WebpPacker:
    """Animated WebP.

    Args:
        alpha: pictures have transparent places.
        lossless: store them without loss.
        quality: 1 to 100 otherwise.
    """

    align = 2

    def __init__(self, *, alpha: bool, lossless: bool, quality: int) -> None:
        self._alpha = alpha
        self._options = {
            "lossless": lossless,
            "quality": 80 if lossless else quality,
            "method": 4,
            "exact": True,
        }

    def begin(
        self, out: BinaryIO, size: tuple[int, int], loops: int | None, icc: bytes, xmp: bytes = b""
    ) -> None:
        """See `Packer.begin`."""
        self._out = out
        self._xmp = xmp
        flags = 0x02 | (0x04 if xmp else 0) | (0x10 if self._alpha else 0) | (0x20 if icc else 0)
        out.write(b"RIFF\0\0\0\0WEBP")
        self._chunk(b"VP8X", struct.pack("<I", flags) + _three(size[0] - 1) + _three(size[1] - 1))
        if icc:
            self._chunk(b"ICCP", icc)
        self._chunk(b"ANIM", struct.pack("<IH", 0, min(1 if loops is None else loops, 65535)))

    def add(self, pixels: RGBA, place: tuple[int, int], milliseconds: int) -> None:
        """See `Packer.add`."""
        buffer = io.BytesIO()
        Pillow.fromarray(pixels).save(buffer, "WEBP", **self._options)
        still = buffer.getvalue()
        bitstream = b""
        at = 12
        while at + 8 <= len(still):
            name, length = still[at : at + 4], struct.unpack_from("<I", still, at + 4)[0]
            length += length % 2
            if name in (b"ALPH", b"VP8 ", b"VP8L"):
                bitstream += still[at : at + 8 + length]
            at += 8 + length
        height, width = pixels.shape[:2]
        where = _three(place[0] // 2) + _three(place[1] // 2) + _three(width - 1) + _three(height - 1)
        # 2: the picture replaces what is under it instead of being blended over it.
        self._chunk(b"ANMF", where + _three(milliseconds) + b"\x02" + bitstream)

    def end(self) -> None:
        """See `Packer.end`."""
        if self._xmp:
            self._chunk(b"XMP ", self._xmp)
        size = self._out.tell()
        self._out.seek(4)
        self._out.write(struct.pack("<I", size - 8))
        self._out.seek(size)

    def _chunk(self, name: bytes, data: bytes) -> None:
        self._out.write(name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2))


class PngPacker:
    """Animated PNG."""

    align = 1

    def __init__(self) -> None:
        self._sequence = 0
        self._count = 0

    def begin(
        self, out: BinaryIO, size: tuple[int, int], loops: int | None, icc: bytes, xmp: bytes = b""
    ) -> None:
        """See `Packer.begin`."""
        self._out = out
        self._size = size
        self._loops = 1 if loops is None else loops
        self._icc = icc
        self._xmp = xmp

    def add(self, pixels: RGBA, place: tuple[int, int], milliseconds: int) -> None:
        """See `Packer.add`."""
        buffer = io.BytesIO()
        Pillow.fromarray(pixels).save(buffer, "PNG", compress_level=6)
        header, data = _png_parts(buffer.getvalue())
        if self._count == 0:
            self._out.write(b"\x89PNG\r\n\x1a\n")
            self._chunk(b"IHDR", header)
            if self._icc:
                self._chunk(b"iCCP", b"icc\0\0" + zlib.compress(self._icc))
            if self._xmp:
                self._out.write(png_xmp(self._xmp))
            self._control = self._out.tell()
            self._chunk(b"acTL", struct.pack(">II", 0, self._loops))
        height, width = pixels.shape[:2]
        timing = struct.pack(">HHBB", *_fraction(milliseconds), 0, 0)
        self._chunk(b"fcTL", struct.pack(">IIIII", self._next(), width, height, *place) + timing)
        if self._count == 0:
            self._chunk(b"IDAT", data)
        else:
            self._chunk(b"fdAT", struct.pack(">I", self._next()) + data)
        self._count += 1

    def end(self) -> None:
        """See `Packer.end`."""
        self._chunk(b"IEND", b"")
        size = self._out.tell()
        self._out.seek(self._control)
        self._chunk(b"acTL", struct.pack(">II", self._count, self._loops))
        self._out.seek(size)

    def _next(self) -> int:
        self._sequence += 1
        return self._sequence - 1

    def _chunk(self, name: bytes, data: bytes) -> None:
        check = struct.pack(">I", zlib.crc32(name + data))
        self._out.write(struct.pack(">I", len(data)) + name + data + check)


def _fraction(milliseconds: int) -> tuple[int, int]:
    """A time in seconds as numerator and denominator of 16 bit each, as exact as that allows."""
    finest = max(1, min(1000, _SIXTEEN_BITS * 1000 // max(milliseconds, 1)))
    seconds = Fraction(milliseconds, 1000).limit_denominator(finest)
    return min(seconds.numerator, _SIXTEEN_BITS), seconds.denominator


def _three(value: int) -> bytes:
    return struct.pack("<I", min(value, 0xFFFFFF))[:3]


def _indexed(pixels: RGBA, alpha: bool) -> tuple[Any, int | None]:
    """A palette picture: exact where 256 colours are enough, else dithered; and its transparent index."""
    colours = np.ascontiguousarray(pixels[..., :3])
    clear = pixels[..., 3] < 128 if alpha and pixels.shape[2] == 4 else None
    room = 255 if clear is not None else 256
    keys = colours.astype(np.uint32) @ np.array([65536, 256, 1], np.uint32)
    if clear is not None:
        keys = np.where(clear, keys[~clear][0] if (~clear).any() else 0, keys)
    unique, places = np.unique(keys, return_inverse=True)
    if len(unique) <= room:
        image = Pillow.fromarray(places.reshape(keys.shape).astype(np.uint8), "P")
        palette = np.stack([unique >> 16, unique >> 8 & 255, unique & 255], -1).astype(np.uint8)
        image.putpalette(palette.tobytes())
    else:
        source = Pillow.fromarray(colours)
        best = source.quantize(room, method=Pillow.Quantize.MEDIANCUT)
        image = source.quantize(palette=best, dither=Pillow.Dither.FLOYDSTEINBERG)
    if clear is None:
        return image, None
    indices = np.asarray(image).copy()
    indices[clear] = 255
    marked = Pillow.fromarray(indices, "P")
    marked.putpalette((image.getpalette() or [])[: 255 * 3])
    return marked, 255


def _gif_parts(image: Any) -> tuple[bytes, bytes]:
    """Palette (a power of two of colours) and compressed data of a palette picture."""
    palette = bytes(image.getpalette() or b"")[:768].ljust(768, b"\0")
    used = int(np.asarray(image).max()) + 1
    size = max(2, 1 << (used - 1).bit_length())
    buffer = io.BytesIO()
    image.save(buffer, "GIF", optimize=False, interlace=0)
    still = buffer.getvalue()
    at = 13 + (3 << ((still[10] & 7) + 1) if still[10] & 0x80 else 0)
    while still[at] == 0x21:
        at += 2
        while still[at]:
            at += still[at] + 1
        at += 1
    local = still[at + 9]
    at += 10 + (3 << ((local & 7) + 1) if local & 0x80 else 0)
    return palette[: size * 3], still[at:-1]


def _png_parts(still: bytes) -> tuple[bytes, bytes]:
    """IHDR and all IDAT data of a PNG file."""
    header, data = b"", b""
    at = 8
    while at < len(still):
        length, name = struct.unpack_from(">I4s", still, at)
        body = still[at + 8 : at + 8 + length]
        if name == b"IHDR":
            header = body
        elif name == b"IDAT":
            data += body
        at += 12 + length
    return header, data

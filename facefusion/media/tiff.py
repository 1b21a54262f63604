"""Write 16-bit TIFF files with their colour profile; no library at hand does both. Source: TIFF 6.0."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

_BYTE, _ASCII, _SHORT, _LONG, _RATIONAL, _UNDEFINED = 1, 2, 3, 4, 5, 7


def encode(
    pixels: npt.NDArray[Any],
    *,
    icc: bytes = b"",
    xmp: bytes = b"",
    dpi: tuple[float, float] | None = None,
    texts: Mapping[int, str] | None = None,
) -> bytes:
    """Encode as little-endian TIFF, deflate-compressed in one strip.

    Args:
        pixels: (h, w), (h, w, 3) BGR or (h, w, 4) BGRA, uint16.
        icc: colour profile.
        xmp: XMP packet.
        dpi: pixels per inch.
        texts: descriptive tags (author, copyright ...) by number.
    """
    height, width = pixels.shape[:2]
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    order = {1: [0], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[channels]
    samples = pixels.reshape(height, width, channels)[..., order].astype("<u2")
    strip = zlib.compress(np.ascontiguousarray(samples).tobytes(), 6)
    entries: list[tuple[int, int, int, bytes]] = [
        (256, _LONG, 1, struct.pack("<I", width)),
        (257, _LONG, 1, struct.pack("<I", height)),
        (258, _SHORT, channels, struct.pack(f"<{channels}H", *[16] * channels)),
        (259, _SHORT, 1, struct.pack("<H", 8)),
        (262, _SHORT, 1, struct.pack("<H", 1 if channels == 1 else 2)),
        (273, _LONG, 1, struct.pack("<I", 8)),
        (274, _SHORT, 1, struct.pack("<H", 1)),
        (277, _SHORT, 1, struct.pack("<H", channels)),
        (278, _LONG, 1, struct.pack("<I", height)),
        (279, _LONG, 1, struct.pack("<I", len(strip))),
    ]
    if dpi is not None:
        for tag, value in ((282, dpi[0]), (283, dpi[1])):
            entries.append((tag, _RATIONAL, 1, struct.pack("<II", round(value * 1000), 1000)))
        entries.append((296, _SHORT, 1, struct.pack("<H", 2)))
    if channels == 4:
        # 2: transparency that the colours are not multiplied with.
        entries.append((338, _SHORT, 1, struct.pack("<H", 2)))
    if xmp:
        entries.append((700, _BYTE, len(xmp), xmp))
    if icc:
        entries.append((34675, _UNDEFINED, len(icc), icc))
    for tag, text in (texts or {}).items():
        ascii_text = text.encode("utf-8", "replace") + b"\0"
        entries.append((tag, _ASCII, len(ascii_text), ascii_text))
    return _assemble(strip, sorted(entries))


def _assemble(strip: bytes, entries: list[tuple[int, int, int, bytes]]) -> bytes:
    """Header, strip, values that do not fit into their entries, directory."""
    body = bytearray(strip)
    body += b"\0" * (len(body) % 2)
    table = b""
    for tag, kind, count, value in entries:
        if len(value) > 4:
            place = 8 + len(body)
            body += value + b"\0" * (len(value) % 2)
            value = struct.pack("<I", place)
        table += struct.pack("<HHI", tag, kind, count) + value.ljust(4, b"\0")
    directory = struct.pack("<H", len(entries)) + table + struct.pack("<I", 0)
    return struct.pack("<2sHI", b"II", 42, 8 + len(body)) + bytes(body) + directory

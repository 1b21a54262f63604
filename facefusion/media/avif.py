"""AVIF photos of 10 and 12 bit, through OpenCV; Pillow knows 8 bit alone. Source: AV1-ISOBMFF 1.3."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

_HEAD_BYTES = 1 << 16
"""What describes the picture stands before it, within so many bytes."""
_COLOURS = b"colrnclx"


def can_be_deep() -> bool:
    """Whether this build of OpenCV can write them."""
    return bool(cv2.haveImageWriter("a.avif"))


def depth(data: bytes) -> int:
    """Bits a channel of the picture in a file."""
    flags = _flags(data)
    return (12 if flags & 0x20 else 10) if flags & 0x40 else 8


def fine_colour(data: bytes) -> bool:
    """Whether the picture in a file has colour at more than half its resolution, across or down."""
    grey, halved = _flags(data) & 0x10, _flags(data) & 0x0C
    return not grey and halved != 0x0C


def decode(data: bytes) -> npt.NDArray[np.uint16] | None:
    """Samples (h, w), (h, w, 3) BGR or (h, w, 4) BGRA spread over the range of 16 bit, as they are stored.

    Shifted back they are what they were. None where OpenCV cannot read the file.
    """
    samples: Any = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if samples is None or samples.dtype != np.uint16:
        return None
    bits = depth(data)
    return np.asarray(samples << (16 - bits) | samples >> (2 * bits - 16), np.uint16)


def encode(
    samples: npt.NDArray[np.uint16], bits: int, quality: int, like: bytes, blocks: dict[int, bytes]
) -> bytes:
    """A file of such samples; colour at half the resolution, as the encoder has no other.

    Args:
        samples: see `decode`.
        bits: a channel, 10 or 12.
        quality: 1 to 100.
        like: primaries and transfer of the file it is made of, see `colours`; empty for sRGB's.
        blocks: metadata by OpenCV's numbers.

    Raises:
        ValueError, cv2.error: the encoder refuses the picture.
    """
    stored = np.ascontiguousarray(samples >> (16 - bits))
    options = [cv2.IMWRITE_AVIF_DEPTH, bits, cv2.IMWRITE_AVIF_QUALITY, quality]
    content = [np.frombuffer(block, np.uint8) for block in blocks.values()]
    done, buffer = cv2.imencodeWithMetadata(".avif", stored, list(blocks), content, options)
    if not done:
        raise ValueError("the AVIF encoder refused the picture")
    encoded = bytearray(buffer)
    at = encoded.find(_COLOURS, 0, _HEAD_BYTES)
    if like and at > 0:  # what a file says here holds, whatever the picture inside says
        encoded[at + len(_COLOURS) : at + len(_COLOURS) + len(like)] = like
    return bytes(encoded)


def colours(data: bytes) -> bytes:
    """Primaries and transfer of a file, four bytes as they are stored; empty where it does not say."""
    at = data.find(_COLOURS, 0, _HEAD_BYTES) + len(_COLOURS)
    return data[at : at + 4] if at >= len(_COLOURS) else b""


def _flags(data: bytes) -> int:
    """Of the decoder's configuration: depth, monochrome, subsampling."""
    at = data.find(b"av1C", 0, _HEAD_BYTES)
    found: Any = data[at + 6 : at + 7] if at > 0 else b""
    return int(found[0]) if found else 0

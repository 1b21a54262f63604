"""Display matrices and EXIF orientations: the eight ways a stored picture can lie on its side."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[Any]
_TURN = {1: cv2.ROTATE_90_CLOCKWISE, 2: cv2.ROTATE_180, 3: cv2.ROTATE_90_COUNTERCLOCKWISE}


@dataclass(frozen=True)
class Orientation:
    """What makes a stored picture upright: first mirror left to right, then turn.

    Attributes:
        quarter_turns: clockwise, 0 to 3.
        mirror: mirror before turning.
    """

    quarter_turns: int = 0
    mirror: bool = False

    @property
    def swaps_sides(self) -> bool:
        """Whether width and height change places."""
        return self.quarter_turns % 2 == 1

    @property
    def is_upright(self) -> bool:
        """Whether nothing has to be done."""
        return self.quarter_turns == 0 and not self.mirror

    def displayed(self, width: int, height: int) -> tuple[int, int]:
        """Displayed width and height of a picture stored with these."""
        return (height, width) if self.swaps_sides else (width, height)

    def apply(self, samples: Samples, out: Samples | None = None) -> Samples:
        """Turn an array (rows, columns, ...) upright, into `out` where given."""
        if self.mirror:
            samples = cv2.flip(samples, 1)
        if self.quarter_turns:
            return np.asarray(cv2.rotate(samples, _TURN[self.quarter_turns], dst=out))
        if out is not None:
            np.copyto(out, samples)
            return out
        return samples


UPRIGHT = Orientation()

# EXIF 2.32, tag 0x0112: the value says where row 0 and column 0 are.
EXIF_ORIENTATIONS = {
    1: UPRIGHT,
    2: Orientation(0, True),
    3: Orientation(2),
    4: Orientation(2, True),
    5: Orientation(3, True),
    6: Orientation(1),
    7: Orientation(1, True),
    8: Orientation(3),
}


def orientation_of(frame: Any) -> tuple[Orientation, str]:
    """Orientation of a decoded video frame, from its display matrix.

    Returns:
        The orientation, and a sentence where the matrix is not one of the eight (then it is not applied).
    """
    data = next((item for item in frame.side_data if item.type.name == "DISPLAYMATRIX"), None)
    if data is None:
        return UPRIGHT, ""
    a, b, _, c, d, *_ = struct.unpack("=9i", bytes(data)[:36])
    return orientation_of_matrix(a, b, c, d)


def orientation_of_matrix(a: int, b: int, c: int, d: int) -> tuple[Orientation, str]:
    """As `orientation_of`, from the matrix' linear part: x' = a x + c y, y' = b x + d y (y downwards)."""
    unit = max(abs(a), abs(b), abs(c), abs(d))
    if unit == 0:
        return UPRIGHT, ""
    linear = tuple(round(value / unit) if abs(value) in (0, unit) else None for value in (a, b, c, d))
    found = _BY_MATRIX.get(linear)
    if found is None:
        return (
            UPRIGHT,
            "The video asks to be shown slanted (its display matrix is no multiple of 90 degrees); "
            "it is not turned.",
        )
    return found, ""


_BY_MATRIX: dict[tuple[int | None, ...], Orientation] = {
    (1, 0, 0, 1): Orientation(0),
    (0, 1, -1, 0): Orientation(1),
    (-1, 0, 0, -1): Orientation(2),
    (0, -1, 1, 0): Orientation(3),
    (-1, 0, 0, 1): Orientation(0, True),
    (0, 1, 1, 0): Orientation(3, True),
    (1, 0, 0, -1): Orientation(2, True),
    (0, -1, -1, 0): Orientation(1, True),
}

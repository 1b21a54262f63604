"""Fine detail: how grainy or sharp a picture is, measured where there are no features."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

SOFTENING = (0.0, 0.7, 1.1, 1.6)
"""Standard deviations, in pixels, of the atlas' variants from sharp to soft."""


def sharpness(luma: NDArray[np.uint8]) -> float:
    """Mean difference between neighbouring pixels, in grey levels, features included.

    It is what moves from frame to frame when the picture moves by a pixel.
    """
    grey = luma.astype(np.int16)
    return float(np.abs(np.diff(grey, axis=0)).mean() + np.abs(np.diff(grey, axis=1)).mean())


def atlas_sharpness(pyramid: Sequence[Sequence[NDArray[np.uint8]]], places: Floats) -> Floats:
    """Sharpness of a source, for every size of its atlas (rows) and every variant (columns).

    Args:
        pyramid: BGR pictures, each size half the one before; of each the variants of `SOFTENING`.
        places: (n, 2) landmarks in the largest.
    """
    low, high = places.min(0), places.max(0)
    return np.array(
        [
            [sharpness_of_middle(picture, low * 0.5**level, high * 0.5**level) for picture in variants]
            for level, variants in enumerate(pyramid)
        ],
        np.float32,
    )


def sharpness_of_middle(image: NDArray[np.uint8], low: Floats, high: Floats) -> float:
    """Sharpness of a BGR picture in the middle of a face's box, from `low` to `high`."""
    x0, y0 = np.round(low + 0.2 * (high - low)).astype(int)
    x1, y1 = np.round(low + 0.8 * (high - low)).astype(int)
    part = image[max(0, y0) : max(0, y1), max(0, x0) : max(0, x1)]
    if min(part.shape[:2]) < _SMALLEST:
        return 0.0
    return sharpness(np.asarray(cv2.cvtColor(part, cv2.COLOR_BGR2GRAY), np.uint8))


class SoftnessControl:
    """Chooses the variant of the atlas that is as soft as the target.

    A sharp photo on a soft video looks pasted on, and its grain crawls when the head moves.
    """

    def __init__(self) -> None:
        self.variant = 0
        self._count = 0
        self._seen: list[float] = []

    @property
    def due(self) -> bool:
        """Whether the target should be measured in this frame: often at first, then now and then."""
        self._count += 1
        return self._count <= 8 or self._count % 16 == 0

    def take(self, target: float, drawn: Floats) -> None:
        """Take in one measurement.

        Args:
            target: sharpness of the target's face.
            drawn: (variants,) sharpness with which each variant would be drawn here.
        """
        self._seen = [*self._seen[-8:], target]
        ratio = (drawn + 0.3) / (float(np.median(self._seen)) + 0.3)
        fitting = np.flatnonzero(ratio <= _SHARPER)
        best = int(fitting[0]) if len(fitting) else len(drawn) - 1
        # A change shows; between two variants that both serve the present one stays.
        if best > self.variant or ratio[best] < 0.9 * _SHARPER:
            self.variant = best


_SHARPER = 1.35
"""Sharpness over the target's that still looks like part of it."""
_SMALLEST = 10

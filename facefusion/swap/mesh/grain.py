"""Fine detail: how grainy or sharp a picture is, measured where there are no features."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

SOFTENING = (0.0, 0.7, 1.1, 1.6)
"""Standard deviations, in pixels, of the atlas' variants from sharp to soft."""

_BLOCKS = 8


def fine_detail(luma: NDArray[np.uint8]) -> float:
    """Standard deviation of what varies from pixel to pixel, in grey levels.

    Source: Immerkaer, "Fast noise variance estimation" (1996): a filter that sees neither edges nor
    gradients. The median over blocks leaves brows, beards and eyes out.

    Args:
        luma: (h, w) uint8, at least 16 x 16.
    """
    laplacian = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    response = np.abs(cv2.filter2D(luma, cv2.CV_32F, laplacian))[1:-1, 1:-1]
    blocks = cv2.resize(response, (_BLOCKS, _BLOCKS), interpolation=cv2.INTER_AREA)
    return float(np.median(blocks)) * float(np.sqrt(np.pi / 2)) / 6.0


def sharpness(luma: NDArray[np.uint8]) -> float:
    """Mean difference between neighbouring pixels, in grey levels, features included.

    It is what moves from frame to frame when the picture moves by a pixel.
    """
    grey = luma.astype(np.int16)
    return float(np.abs(np.diff(grey, axis=0)).mean() + np.abs(np.diff(grey, axis=1)).mean())


class SoftnessControl:
    """Finds the variant of the atlas that is as soft as the target, by trying and comparing.

    A sharp photo on a soft video looks pasted on, and its grain crawls when the head moves.
    """

    def __init__(self) -> None:
        self._place = 1.0
        self._count = 0

    @property
    def variant(self) -> int:
        """Index into `SOFTENING`."""
        return round(self._place)

    @property
    def due(self) -> bool:
        """Whether the next drawing should be measured: often at first, then now and then."""
        self._count += 1
        return self._count <= 12 or self._count % 16 == 0

    def report(self, drawn: float, target: float) -> None:
        """Take in one measurement of `sharpness`; from painter threads; a lost one does not matter."""
        ratio = (drawn + 0.3) / (target + 0.3)
        step = 0.34 if self._count < 16 else 0.17
        if ratio > 1.3:
            self._place = min(self._place + step, len(SOFTENING) - 1.0)
        elif ratio < 1.1:
            self._place = max(self._place - step, 0.0)

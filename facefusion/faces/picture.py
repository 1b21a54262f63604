"""How good a picture is: its grain, and whether its colours say anything."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

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


def colour_spread(image: NDArray[np.uint8]) -> float:
    """How far colours leave a single line, in steps of CIELAB: near 0 in black-and-white or toned pictures.

    Args:
        image: (h, w, 3) uint8 BGR.
    """
    lab = cv2.cvtColor(image, cv2.COLOR_BGR2LAB)[..., 1:].reshape(-1, 2)
    return float(np.sqrt(max(np.linalg.eigvalsh(np.cov(lab.astype(np.float64).T))[0], 0.0)))

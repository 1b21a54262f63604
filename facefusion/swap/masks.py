"""Soft masks in a face's region. Each is worked out only where it is not empty."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Mask = NDArray[np.uint8]


def add_polygons(
    mask: Mask, outlines: Sequence[Floats], *, sigma: float, shares: Sequence[float] | None = None
) -> None:
    """Add filled polygons with a soft edge; where something is already, the stronger stays.

    Args:
        mask: (h, w) uint8, changed in place.
        outlines: (n, 2) float32 each, pixels. They should lie near one another.
        sigma: of the edge, pixels.
        shares: 0..1 of full strength for each; full where not given.
    """
    strengths = [round(255 * share) for share in shares or [1.0] * len(outlines)]
    filled = [entry for entry in zip(outlines, strengths, strict=True) if entry[1] > 0]
    filled.sort(key=lambda entry: entry[1])  # the strongest is drawn last, over the others
    if not filled:
        return
    sigma = max(0.6, sigma)
    margin = int(np.ceil(3 * sigma)) + 1
    height, width = mask.shape
    corners = np.concatenate([outline for outline, _ in filled])
    low = np.floor(corners.min(0)).astype(int) - margin
    high = np.ceil(corners.max(0)).astype(int) + margin + 1
    x0, y0, x1, y1 = max(0, low[0]), max(0, low[1]), min(width, high[0]), min(height, high[1])
    if x1 <= x0 or y1 <= y0:
        return
    part = np.zeros((y1 - y0, x1 - x0), np.uint8)
    for outline, strength in filled:
        cv2.fillPoly(part, [np.round((outline - (x0, y0)) * 16).astype(np.int32)], strength, cv2.LINE_AA, 4)
    size = 2 * int(np.ceil(2.5 * sigma)) + 1
    part = np.asarray(cv2.GaussianBlur(part, (size, size), sigma), np.uint8)
    place = mask[y0:y1, x0:x1]
    np.maximum(place, part, out=place)


def grown_hull(points: Floats, share: float) -> Floats:
    """Convex hull of points (n, >=2), larger on all sides by a share of its width."""
    hull = cv2.convexHull(np.ascontiguousarray(points[:, :2], np.float32))[:, 0]
    away = hull - hull.mean(0)
    reach = share * float(np.ptp(hull[:, 0]))
    return np.asarray(hull + away / (np.linalg.norm(away, axis=1, keepdims=True) + 1e-6) * reach, np.float32)


def fading_silhouette(inside: NDArray[np.bool_], size: float) -> Mask:
    """Opacity that fades towards the edge of a shape, uint8; worked out on a small copy.

    Args:
        inside: (h, w) bool.
        size: of the face, pixels; the fade is about 4 % of it. At the edge of the picture nothing fades.
    """
    height, width = inside.shape
    shrink = max(1.0, size / 96)
    small = (max(4, round(width / shrink)), max(4, round(height / shrink)))
    mask = cv2.resize(inside.view(np.uint8) * np.uint8(255), small, interpolation=cv2.INTER_AREA)
    mask = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    mask = cv2.erode(mask, np.ones((5, 5), np.uint8), borderType=cv2.BORDER_REPLICATE)
    mask = cv2.GaussianBlur(mask, (0, 0), 1.3, borderType=cv2.BORDER_REPLICATE)[1:-1, 1:-1]
    return np.asarray(cv2.resize(mask, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)

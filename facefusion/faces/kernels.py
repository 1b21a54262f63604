"""Loops of the faces room that run in every frame, compiled with Numba. They release the GIL."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[Any]


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def close_up(features: Array, matrix: Array, origin: Array, side: int) -> Array:
    """Bilinear square cut out of a feature map; outside of the map lies zero.

    Args:
        features: (h, w, channels) float32.
        matrix: (2, 2) float32, from cells of the close-up to cells of the map.
        origin: (2,) float32, x and y of the close-up's corner in the map.
        side: of the close-up, in cells. The middle of the first cell lies at 0.5.

    Returns:
        (side, side, channels) float32.
    """
    height, width, channels = features.shape
    out = np.zeros((side, side, channels), np.float32)
    for row in range(side):
        for column in range(side):
            x, y = np.float32(column + 0.5), np.float32(row + 0.5)
            at_x = matrix[0, 0] * x + matrix[0, 1] * y + origin[0] - np.float32(0.5)
            at_y = matrix[1, 0] * x + matrix[1, 1] * y + origin[1] - np.float32(0.5)
            x0, y0 = int(np.floor(at_x)), int(np.floor(at_y))
            for dy in range(2):
                for dx in range(2):
                    if 0 <= y0 + dy < height and 0 <= x0 + dx < width:
                        across = at_x - np.float32(x0) if dx else np.float32(1.0) - (at_x - np.float32(x0))
                        down = at_y - np.float32(y0) if dy else np.float32(1.0) - (at_y - np.float32(y0))
                        share = across * down
                        cell = features[y0 + dy, x0 + dx]
                        for k in range(channels):
                            out[row, column, k] += share * cell[k]
    return out


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def calm(shapes: Array, centre: int, nearness: Array, groups: Array, noise: float) -> Array:
    """Each group of points averaged with those moments at which it looked the same.

    Args:
        shapes: (n, points, 3) float32, one moment after the other.
        centre: the moment that is calmed.
        nearness: (n,) float64, weight of each moment by its distance in time.
        groups: (points,) int64, 0 to the number of groups - 1.
        noise: root mean square distance of a group's points that noise explains.

    Returns:
        (points, 3) float32.
    """
    moments, points = shapes.shape[:2]
    count = groups.max() + 1
    members, weights = np.zeros(count), np.zeros((count, moments))
    for p in range(points):
        members[groups[p]] += 1
        for n in range(moments):
            for k in range(3):
                weights[groups[p], n] += (shapes[n, p, k] - shapes[centre, p, k]) ** 2
    for g in range(count):
        total = 0.0
        for n in range(moments):
            square = weights[g, n] / max(members[g], 1.0)
            weights[g, n] = nearness[n] * np.exp(-square / (2 * noise * noise))
            total += weights[g, n]
        for n in range(moments):
            weights[g, n] /= total
    out = np.zeros((points, 3), np.float32)
    for n in range(moments):
        for p in range(points):
            share = np.float32(weights[groups[p], n])
            for k in range(3):
                out[p, k] += share * shapes[n, p, k]
    return out


def warm_up() -> None:
    """Compile everything for the types it is used with, or load it from the cache on disk."""
    close_up(np.zeros((4, 4, 2), np.float32), np.eye(2, dtype=np.float32), np.zeros(2, np.float32), 2)
    calm(np.zeros((3, 4, 3), np.float32), 1, np.ones(3), np.zeros(4, np.int64), 0.1)

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


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _redness_and_luma(picture: Array, x: float, y: float) -> tuple[float, float]:
    """Of an (h, w, 3) uint8 BGR picture at a place, bilinear: (r - b) / (r + b), and the luma's logarithm."""
    height, width = picture.shape[:2]
    x, y = min(max(x, 0.0), width - 1.001), min(max(y, 0.0), height - 1.001)
    x0, y0 = int(x), int(y)
    blue, green, red = 0.0, 0.0, 0.0
    for dy in range(2):
        for dx in range(2):
            share = abs(1 - dx - (x - x0)) * abs(1 - dy - (y - y0))
            blue += share * picture[y0 + dy, x0 + dx, 0]
            green += share * picture[y0 + dy, x0 + dx, 1]
            red += share * picture[y0 + dy, x0 + dx, 2]
    luma = 0.114 * blue + 0.587 * green + 0.299 * red
    return (red - blue) / (red + blue + 24.0), np.log(luma + 16.0)


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def white_above(picture: Array, upper: Array, lower: Array, up: Array) -> float:
    """How far the white of an eye goes on above the points of its upper lid.

    What is white is told by what lies between the lids, what is skin by what lies under the eye. A lid's own
    edge is dark, so the way up ends there.

    Args:
        picture: (h, w, 3) uint8 BGR.
        upper, lower: (n, 2) float32, lid points above one another, pixels.
        up: (2,) float32, as long as the eye is wide, pointing from the eye to the brow.

    Returns:
        A share of the eye's width; 0 where white and skin have the same colour.
    """
    columns, inside, under = upper.shape[0], 7, 5
    eye, skin = np.empty((columns * inside, 2)), np.empty((columns * under, 2))
    for i in range(columns):
        for j in range(inside):
            share = 0.2 + 0.1 * j
            x = upper[i, 0] + (lower[i, 0] - upper[i, 0]) * share
            y = upper[i, 1] + (lower[i, 1] - upper[i, 1]) * share
            eye[i * inside + j] = _redness_and_luma(picture, x, y)
        for j in range(under):
            share = 0.25 + 0.0625 * j
            skin[i * under + j] = _redness_and_luma(
                picture, lower[i, 0] - up[0] * share, lower[i, 1] - up[1] * share
            )
    bright = eye[:, 1] >= np.percentile(eye[:, 1], 60)
    white_red, white_luma = np.median(eye[bright, 0]), np.median(eye[bright, 1])
    skin_red, skin_luma = np.median(skin[:, 0]), np.median(skin[:, 1])
    if white_luma < skin_luma - 0.6:  # closed: nothing but lashes
        return 0.0
    by_red, by_luma = 16.0 * (white_red - skin_red), white_luma - skin_luma
    unlike = by_red * (white_red - skin_red) + by_luma * by_luma
    step = 0.5 / np.sqrt(up[0] * up[0] + up[1] * up[1])
    found = np.zeros(columns - 2)
    for i in range(1, columns - 1):
        begun, share = False, -3.0 * step
        while share < 0.4 and (begun or share <= 0):
            red, luma = _redness_and_luma(picture, upper[i, 0] + up[0] * share, upper[i, 1] + up[1] * share)
            white = by_red * (red - skin_red) + by_luma * (luma - skin_luma) > 0.65 * unlike
            white = white and luma > white_luma - 0.3
            if begun and not white:
                break
            begun = begun or white
            share += step
        if begun:
            found[i - 1] = max(share, 0.0)
    sure = min(max((skin_red - white_red - 0.03) / 0.03, 0.0), 1.0)
    reach = np.median(found)
    return float(sure * reach * min(max((reach - 0.03) / 0.04, 0.0), 1.0))


def warm_up() -> None:
    """Compile everything for the types it is used with, or load it from the cache on disk."""
    close_up(np.zeros((4, 4, 2), np.float32), np.eye(2, dtype=np.float32), np.zeros(2, np.float32), 2)
    lid, up = np.zeros((7, 2), np.float32), np.array([0, -4], np.float32)
    white_above(np.zeros((16, 16, 3), np.uint8), lid, lid, up)
    calm(np.zeros((3, 4, 3), np.float32), 1, np.ones(3), np.zeros(4, np.int64), 0.1)

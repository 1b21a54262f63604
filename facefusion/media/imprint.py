"""Add a faint pattern to a picture, in its own samples: the loops beneath an invisible mark.

A pattern is a grid of signs laid over the whole picture, each cell a rectangle of pixels. How strongly a cell
shows is decided by what lies under it: rich texture hides more than an even wall, and nothing is written into
black or white. Amplitudes are fractions of a grey level; what whole samples cannot hold is spread over a
2 x 2 pattern of pixels, so that the mean of the cell is right.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Strength:
    """How strongly a pattern is added, in grey levels of 8-bit full-range pictures.

    Attributes:
        even: amplitude where the picture is even.
        rich: amplitude where it is rich in texture.
        texture: range of the samples in a cell from which it is rich.
    """

    even: float
    rich: float
    texture: float


# Range of the samples in a cell, in 8-bit grey levels, below which it is even.
_EVEN = 2.0
# Grey levels above black, and below white, where the pattern begins, and where it has its full amplitude.
_DARK, _LIT = 4.0, 40.0
_BRIGHT, _DIMMED = 2.0, 10.0
_SAMPLES = 4  # a cell is judged by this many samples in both directions, at most
# What is added before rounding down, by the parity of row and column.
_DITHER = ((0.125, 0.625), (0.875, 0.375))


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def cell_edges(cells: int, pixels: int) -> Array:
    """Edges of `cells` equal parts of `pixels`: (cells + 1,) int64, rounded."""
    edges = np.empty(cells + 1, np.int64)
    for i in range(cells + 1):
        edges[i] = (2 * i * pixels + cells) // (2 * cells)
    return edges


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def amplitudes(
    luma: Array,
    size: tuple[int, int],
    signs: Array,
    strength: tuple[float, float, float],
    black: float,
    white: float,
    unit: float,
) -> Array:
    """Signed amplitude of every cell, in samples of the picture.

    Args:
        luma: (rows, line) samples that stand for brightness; columns past the picture are not read.
        size: width and height of the picture.
        signs: (cells down, cells across) int8, -1 and 1.
        strength: `even`, `rich` and `texture` of `Strength`.
        black: sample value of black.
        white: sample value of white.
        unit: samples per 8-bit grey level.

    Returns:
        float32, shape of `signs`.
    """
    even, rich, full = strength
    down, across = signs.shape
    rows, columns = cell_edges(down, size[1]), cell_edges(across, size[0])
    out = np.zeros((down, across), np.float32)
    for r in range(down):
        y0, y1 = rows[r], rows[r + 1]
        if y1 == y0:
            continue
        step_y = max(1, (y1 - y0 + _SAMPLES - 1) // _SAMPLES)
        for c in range(across):
            x0, x1 = columns[c], columns[c + 1]
            if x1 == x0:
                continue
            step_x = max(1, (x1 - x0 + _SAMPLES - 1) // _SAMPLES)
            least, most, total, count = 65535, 0, 0, 0
            for y in range(y0, y1, step_y):
                for x in range(x0, x1, step_x):
                    value = int(luma[y, x])
                    least = min(least, value)
                    most = max(most, value)
                    total += value
                    count += 1
            texture = ((most - least) / unit - _EVEN) / (full - _EVEN)
            mean = total / count
            light = ((mean - black) / unit - _DARK) / (_LIT - _DARK)
            shade = ((white - mean) / unit - _BRIGHT) / (_DIMMED - _BRIGHT)
            amplitude = even + (rich - even) * min(max(texture, 0.0), 1.0)
            out[r, c] = amplitude * unit * min(max(min(light, shade), 0.0), 1.0) * signs[r, c]
    return out


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def add_cells(
    samples: Array, size: tuple[int, int], cells: Array, channels: int, colours: int, black: int, white: int
) -> None:
    """Add the amplitude of its cell to every sample, in place.

    Samples that are black or white (or beyond) stay; the others end at these, never beyond.

    Args:
        samples: (rows, line) uint8 or uint16; a pixel is `channels` samples that lie side by side.
        size: width and height of the picture in pixels.
        cells: what `amplitudes` returned.
        channels: samples per pixel.
        colours: how many of them are changed, from the first.
        black: lowest sample value that is drawn.
        white: highest.
    """
    down, across = cells.shape
    rows, columns = cell_edges(down, size[1]), cell_edges(across, size[0])
    count = size[0] * channels
    steps = np.zeros((2, count), np.int32)
    for r in range(down):
        for parity in range(2):
            step = steps[parity]
            for c in range(across):
                amplitude = abs(cells[r, c])
                one = np.int32(amplitude + _DITHER[parity][0])
                other = np.int32(amplitude + _DITHER[parity][1])
                if cells[r, c] < 0:
                    one, other = -one, -other
                for x in range(columns[c], columns[c + 1]):
                    for k in range(colours):
                        step[x * channels + k] = other if x & 1 else one
        for y in range(rows[r], rows[r + 1]):
            line = samples[y]
            step = steps[y & 1]
            for i in range(count):
                old = np.int32(line[i])
                new = min(max(old + step[i], np.int32(black)), np.int32(white))
                line[i] = new if black < old < white else old


def warm_up() -> None:
    """Compile (or load from the cache on disk) what video and photos of 8 bit and more need."""
    signs, strength = np.ones((1, 1), np.int8), (0.5, 1.0, 6.0)
    for dtype in (np.uint8, np.uint16):
        plane = np.zeros((2, 6), dtype)
        cells = amplitudes(plane, (2, 2), signs, strength, 0.0, 255.0, 1.0)
        amplitudes(plane.reshape(2, 2, 3)[..., 1], (2, 2), signs, strength, 0.0, 255.0, 1.0)
        add_cells(plane, (2, 2), cells, 1, 1, 0, 255)

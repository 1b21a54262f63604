"""Small matrices behind rewritten convolutions: an axis in, fewer multiplications, an axis out.

Source: Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (2016); the matrices are Cook and
Toom's for the points given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]

TILE = 4
TAPS = 3

# Share of the multiplications from which adding up neighbours costs more than it saves.
_WORTH_SUMS = 0.85


def both_axes(matrix: Matrix) -> Matrix:
    """What a matrix for one axis is for rows and columns at once."""
    return np.asarray(np.kron(matrix, matrix), np.float64)


@dataclass(frozen=True)
class Share:
    """Points of both axes together that are multiplied with kernels of their own, or `times` with the same.

    Attributes:
        points: (times, kernels), counted row by row.
        kernel: (kernels, 9), from a kernel of 3x3.
    """

    points: NDArray[np.intp]
    kernel: Matrix


@dataclass(frozen=True)
class Scheme:
    """How a tile of `TILE` outputs of a kernel of three taps comes about, along one axis:
    `outgoing @ ((kernel @ taps) * (incoming @ window))`.

    Attributes:
        stride: of the convolution.
        incoming: (points, window).
        kernel: (points, 3).
        outgoing: (TILE, points). Column 1 is all ones: what is added to that point is added to every output.
    """

    stride: int
    incoming: Matrix
    kernel: Matrix
    outgoing: Matrix

    @property
    def points(self) -> int:
        """Multiplications for a tile."""
        return len(self.incoming)

    @property
    def window(self) -> int:
        """Inputs that a tile depends on."""
        return int(self.incoming.shape[1])

    @property
    def shares(self) -> tuple[Share, ...]:
        """All points of both axes, by how often their kernels are used."""
        alike: dict[tuple[float, ...], list[int]] = {}
        for point, taps in enumerate(self.kernel):
            alike.setdefault(tuple(taps), []).append(point)
        found: dict[int, list[list[int]]] = {}
        for rows in alike.values():
            for columns in alike.values():
                points = [row * self.points + column for row in rows for column in columns]
                found.setdefault(len(points), []).append(points)
        kernel = both_axes(self.kernel)
        return tuple(
            Share(np.array(points).T, kernel[[first for first, *_ in points]]) for points in found.values()
        )


def cook_toom(points: Sequence[float], taps: int) -> tuple[Matrix, Matrix, Matrix]:
    """`incoming`, `kernel` and `outgoing` for a kernel of `taps` taps; infinity is a further point."""
    count = len(points) + 1
    tile = count - taps + 1
    incoming, kernel, outgoing = np.zeros((count, count)), np.zeros((count, taps)), np.zeros((tile, count))
    for row, point in enumerate(points):
        others = [other for other in points if other != point]
        incoming[row, :-1] = np.poly(others)[::-1]
        kernel[row] = point ** np.arange(taps) / np.prod(point - np.array(others))
        outgoing[:, row] = point ** np.arange(tile)
    incoming[-1] = np.poly(points)[::-1]
    kernel[-1, -1] = outgoing[-1, -1] = 1
    return incoming, kernel, outgoing


def _every_output() -> Scheme:
    return Scheme(1, *cook_toom((0.0, 1.0, -1.0, 2.0, -2.0), TAPS))


def _every_other_output() -> Scheme:
    """Outer taps meet every other input, the middle tap meets those in between."""
    incoming, kernel, outgoing = cook_toom((0.0, 1.0, -1.0, 2.0), TAPS - 1)
    outer, window = len(incoming), 2 * TILE + 1
    both = np.zeros((outer + TILE, window))
    both[:outer, ::2] = incoming
    both[outer:, 1::2] = np.eye(TILE)
    taps = np.zeros((outer + TILE, TAPS))
    taps[:outer, ::2] = kernel
    taps[outer:, 1] = 1
    return Scheme(2, both, taps, np.concatenate([outgoing, np.eye(TILE)], axis=1))


SCHEMES = {1: _every_output(), 2: _every_other_output()}
"""By stride: 6 multiplications for 4 outputs instead of 12, and 9 instead of 12."""


@dataclass(frozen=True)
class Lines:
    """A part of what an axis that is resized and then convolved is put together from.

    Attributes:
        incoming: (lines, small) that are multiplied; None for the axis as it is.
        kernel: (kernels, 3), what they are multiplied with, from a kernel of three taps.
        outgoing: (large, kernels * lines), what is added up to the outputs.
    """

    incoming: Matrix | None
    kernel: Matrix
    outgoing: Matrix


def resized_lines(resize: Matrix) -> tuple[Lines, ...]:
    """How an axis that is resized and then convolved with three taps, zeros around, is computed.

    Where it is doubled, the outer taps meet the same pixels one apart: the outputs need nothing of them but
    sums of neighbours, which Cook and Toom's points give with 5 multiplications for 4. The pixels at the rim
    count by themselves, too, so the axis is lengthened: its last pixel, and nothing, stand beyond it once
    more. What cannot be put together from that is computed with each tap by itself.

    Args:
        resize: (n, m), how an axis of m is resized to n.
    """
    larger, small = resize.shape
    first, middle, last = np.split(resized_taps(resize), TAPS, axis=1)
    incoming, kernel, outgoing = cook_toom((0.0, 1.0, -1.0, 2.0), TAPS - 1)
    points, tiles = len(kernel), -(-(small + 3) // TILE)
    lengthened = np.zeros((tiles * TILE + 1, small))
    lengthened[2 : small + 2] = np.eye(small)
    lengthened[0, 0] = lengthened[small + 3, -1] = 1
    met = np.concatenate([lengthened[:-1], lengthened[1:]], axis=1)
    sums = np.linalg.lstsq(met.T, np.concatenate([first, last], axis=1).T, rcond=None)[0].T
    fits = np.allclose(sums @ met, np.concatenate([first, last], axis=1), atol=1e-9)
    if not fits or points * tiles + small > _WORTH_SUMS * TAPS * small:
        return (Lines(None, np.eye(TAPS), np.concatenate([first, middle, last], axis=1)),)
    parts = [Lines(None, np.array([[0.0, 1.0, 0.0]]), middle)]
    for point in range(points):
        windows = [incoming[point] @ lengthened[i * TILE : i * TILE + points] for i in range(tiles)]
        added = sums.reshape(larger, tiles, TILE) @ outgoing[:, point]
        outer = np.array([[kernel[point, 0], 0.0, kernel[point, 1]]])
        parts.append(Lines(np.array(windows), outer, added))
    return tuple(parts)


def resized_taps(resize: Matrix) -> Matrix:
    """What a kernel's three taps, each multiplied with the axis before it is resized, are put together by.

    Args:
        resize: (n, m), how an axis of m is resized to n.

    Returns:
        (n, 3 * m): resized first and then convolved, zeros around.
    """
    larger, smaller = resize.shape
    shifted = np.zeros((larger, TAPS, smaller))
    shifted[1:, 0], shifted[:, 1], shifted[:-1, 2] = resize[:-1], resize, resize[1:]
    return shifted.reshape(larger, TAPS * smaller)

"""Where the pixels of a face lie while processors work on them, and what can be done with them there.

A bench has memory and tools: the processor's with NumPy and OpenCV (`cpu_bench`), or those of a graphics
processor with torch (`device_bench`). Shapes, types and orders are the same on all of them, so a `Processor`
does not know on which one it works. `facefusion.swap.layers.Benches` is the one place that chooses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from facefusion.faces.five_points import Affine, Image, crop_corners
from facefusion.models.contracts import Pixels
from facefusion.swap.contract import Patch

Array = Any
"""A NumPy array, or its like in the memory of a device."""

Mask = NDArray[np.uint8]


@dataclass(frozen=True)
class Layer:
    """A `Patch` whose pixels lie on a bench: its box, colour (h, w, 3) and alpha (h, w)."""

    box: tuple[int, int, int, int]
    colour: Array
    alpha: Array


class Region(Protocol):
    """A copy of the frame's pixels round one face, on a bench. See `facefusion.media.frame` for reading."""

    @property
    def width(self) -> int:
        """In pixels."""
        ...

    @property
    def height(self) -> int:
        """In pixels."""
        ...

    @property
    def bench(self) -> Bench:
        """On which it lies."""
        ...

    def cut(self, affine: Affine, size: int) -> Array:
        """(size, size, 3) uint8 BGR; see `facefusion.faces.five_points.cut_aligned`."""
        ...

    def stamp(self, crop: Array, mask: Array, affine: Affine) -> Layer | None:
        """An aligned crop back in its place; the region stays as it is.

        Args:
            crop: (s, s, 3) uint8 BGR.
            mask: (s, s) uint8, opacity.
            affine: from the region to the crop.
        """
        ...

    def lay(self, layer: Layer) -> None:
        """Blend a layer into the region."""
        ...

    def changed(self) -> Layer:
        """The whole region, opaque where a layer was laid."""
        ...


class Bench(Protocol):
    """Tools for the pixels of one face. Arrays are of this bench unless they are said to be NumPy arrays."""

    def region(self, pixels: Image) -> Region:
        """A region of a frame: (h, w, 3) uint8 BGR, a NumPy array."""
        ...

    def layer(self, patch: Patch) -> Layer:
        """A patch, brought here."""
        ...

    def patch(self, layer: Layer) -> Patch:
        """A layer as NumPy arrays.

        Raises:
            EngineError: a network gave numbers that are none, see `require_finite`.
        """
        ...

    def put(self, pixels: NDArray[np.uint8], *, constant: bool = False) -> Array:
        """A NumPy array, brought here; what is constant only once."""
        ...

    def fetch(self, values: Array) -> NDArray[Any]:
        """As NumPy array. On a device this waits, so it is for what a person's program must know.

        Raises:
            EngineError: see `patch`.
        """
        ...

    def tensor(self, crops: Array, pixels: Pixels) -> Array:
        """Crops (n, h, w, 3) uint8 BGR as a network's input, see `facefusion.faces.five_points.to_tensor`."""
        ...

    def pictures(self, tensor: Array) -> Array:
        """Tensor (n, 3, h, w) RGB, 0 to 1 (clipped), as (n, h, w, 3) uint8 BGR."""
        ...

    def denormalised(self, tensor: Array, pixels: Pixels) -> Array:
        """Tensor (n, 3, h, w) on the scale of a normalised input, back to 0 to 1 in the same order."""
        ...

    def require_finite(self, tensor: Array, title: str) -> None:
        """Fail, at the latest in `patch` or `fetch`, if a network (its file name) gave numbers that are none.

        Raises:
            EngineError: it did.
        """
        ...

    def mixed(self, before: Array, after: Array, share: float) -> Array:
        """Pictures, `after` with only a share (0..1) of its effect."""
        ...

    def resized(self, picture: Array, size: int) -> Array:
        """(h, w, 3) uint8 as (size, size, 3), bilinear."""
        ...

    def reduced(self, picture: Array, factor: int) -> Array:
        """(h, w, 3) uint8, whose sides are multiples of the factor, averaged down by it."""
        ...

    def members(self, scores: Array, classes: Sequence[int]) -> Array:
        """(h, w) float32 of 0 and 1: where the best of the scores (c, h, w) is one of the classes."""
        ...

    def settled(self, seen: Array, size: int, blur: float) -> Array:
        """(h, w) visibility 0..1 as mask (size, size) uint8: smoothed, and its upper half stretched.

        So edges are soft, and lie inside.
        """
        ...

    def strictest(self, masks: Sequence[Array]) -> Array:
        """The least of all, pixel by pixel."""
        ...


@dataclass(frozen=True)
class Stamping:
    """How a crop is put back into a picture.

    Attributes:
        box: x0, y0, x1, y1 of the picture that it may touch.
        side: of the crop, averaged down first where it has far more pixels than the face.
        affine: from the box to that crop.
    """

    box: tuple[int, int, int, int]
    side: int
    affine: Affine


def plan_stamp(affine: Affine, size: int, width: int, height: int) -> Stamping | None:
    """How a crop of `size` pixels comes back into a picture; None where it lies outside.

    Args:
        affine: from the picture to the crop.
    """
    corners = crop_corners(affine, size)
    x0, y0 = (int(v) for v in np.maximum(np.floor(corners.min(0)).astype(int), 0))
    high = np.ceil(corners.max(0)).astype(int) + 1
    x1, y1 = min(int(high[0]), width), min(int(high[1]), height)
    if x1 <= x0 or y1 <= y0:
        return None
    to_crop = affine.copy()
    to_crop[:, 2] += affine[:, :2] @ (x0, y0)
    # A crop with far more pixels than the face would alias.
    shrink = int(np.sqrt(abs(np.linalg.det(affine[:, :2]))))
    side = max(1, size // shrink) if shrink > 1 else size
    if side != size:
        factor = side / size
        to_crop *= factor
        to_crop[:, 2] += (factor - 1) / 2
    return Stamping((x0, y0, x1, y1), side, to_crop)

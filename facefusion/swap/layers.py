"""Processors that change a face in a region of a frame, one after another, before the region is written back.

The region is a copy of the frame's pixels round one face. A processor reads an aligned crop of it, and
answers with a patch for it; so an enhancer sees what the swapper painted, and the frame is touched once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from facefusion.faces.five_points import Affine, Floats, Image, crop_corners
from facefusion.faces.landmarks import Face
from facefusion.media.frame import PackedFrame
from facefusion.swap.contract import Canvas, Patch

Mask = NDArray[np.uint8]


@dataclass(frozen=True)
class FaceView:
    """A face in the coordinates of a picture: five landmarks (5, 2), and the mesh."""

    five: Floats
    mesh: Face

    def shifted(self, dx: float, dy: float) -> FaceView:
        """The same face in a picture whose origin lies elsewhere."""
        return FaceView(self.five + np.array([dx, dy], np.float32), self.mesh.shifted(dx, dy))


class Processor(Protocol):
    """Changes one face. Safe to use from several threads."""

    @property
    def name(self) -> str:
        """As the quality profiles call it."""
        ...

    def reach(self, five: Floats) -> NDArray[np.float64]:
        """(n, 2) corners of what it may change."""
        ...

    def apply(self, region: PackedFrame, view: FaceView) -> Patch | None:
        """What is to be laid over the region (which stays as it is), or None."""
        ...


def process(
    frame: Canvas, view: FaceView, processors: Sequence[Processor], *, first: Patch | None = None
) -> Patch | None:
    """Run processors on one face of a frame; the frame stays as it is.

    Args:
        first: what was drawn for the frame before; the processors see it, and it is part of the answer.
    """
    reached = [processor.reach(view.five) for processor in processors]
    if first is not None:
        reached.append(np.array(first.box, np.float64).reshape(2, 2) - (0, 1))
    corners = np.concatenate(reached)
    x0, y0 = (int(v) for v in np.maximum(np.floor(corners.min(0)).astype(int), 0))
    high = np.ceil(corners.max(0)).astype(int) + 1
    x1, y1 = min(int(high[0]), frame.width), min(int(high[1]), frame.height)
    if x1 - x0 < 8 or y1 - y0 < 8:
        return None
    region = PackedFrame(frame.read((x0, y0, x1, y1)))
    local = view.shifted(-x0, -y0)
    if len(processors) == 1 and first is None:
        patch = processors[0].apply(region, local)
        if patch is None:
            return None
        a, b, c, d = patch.box
        return Patch((a + x0, b + y0, c + x0, d + y0), patch.colour, patch.alpha)
    changed = np.zeros((y1 - y0, x1 - x0), np.uint8)

    def lay(patch: Patch | None) -> None:
        if patch is not None:
            region.blend(patch.box, patch.colour, patch.alpha)
            a, b, c, d = patch.box
            changed[b:d, a:c] |= patch.alpha

    if first is not None:
        a, b, c, d = first.box
        lay(Patch((a - x0, b - y0, c - x0, d - y0), first.colour, first.alpha))
    for processor in processors:
        lay(processor.apply(region, local))
    if not changed.any():
        return None
    # What the layers mixed is final; where none of them was, the frame's own samples stay.
    return Patch((x0, y0, x1, y1), region.pixels, np.where(changed > 0, 255, 0).astype(np.uint8))


def stamp(crop: Image, mask: Mask, affine: Affine, width: int, height: int) -> Patch | None:
    """An aligned crop back in its place.

    Args:
        crop: (s, s, 3) uint8 BGR.
        mask: (s, s) uint8, opacity.
        affine: from the picture to the crop.
        width, height: of the picture.
    """
    size = len(crop)
    corners = crop_corners(affine, size)
    x0, y0 = (int(v) for v in np.maximum(np.floor(corners.min(0)).astype(int), 0))
    high = np.ceil(corners.max(0)).astype(int) + 1
    x1, y1 = min(int(high[0]), width), min(int(high[1]), height)
    if x1 <= x0 or y1 <= y0:
        return None
    to_crop = affine.copy()
    to_crop[:, 2] += affine[:, :2] @ (x0, y0)
    # A crop with far more pixels than the face would alias: averaged down first.
    shrink = int(np.sqrt(abs(np.linalg.det(affine[:, :2]))))
    if shrink > 1:
        side = max(1, size // shrink)
        crop, mask = (
            np.asarray(cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA), np.uint8)
            for picture in (crop, mask)
        )
        factor = side / size
        to_crop *= factor
        to_crop[:, 2] += (factor - 1) / 2
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    # Colour and mask together: four channels are warped in half the time of three. Beyond the crop's edge
    # both are zero, so the edge itself must not show.
    four = cv2.cvtColor(crop, cv2.COLOR_BGR2BGRA)
    cv2.insertChannel(mask, four, 3)
    four[[0, -1], :, 3] = 0
    four[:, [0, -1], 3] = 0
    there = cv2.warpAffine(four, to_crop, (x1 - x0, y1 - y0), flags=flags)
    colour, alpha = cv2.cvtColor(there, cv2.COLOR_BGRA2BGR), cv2.extractChannel(there, 3)
    return Patch((x0, y0, x1, y1), np.asarray(colour, np.uint8), np.asarray(alpha, np.uint8))


def mixed(before: Image, after: Image, share: float) -> Image:
    """`after` with only a share (0..1) of its effect."""
    if share >= 1.0:
        return after
    return np.asarray(cv2.addWeighted(after, share, before, 1.0 - share, 0.0), np.uint8)

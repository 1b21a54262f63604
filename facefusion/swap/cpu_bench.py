"""The processor's bench: NumPy and OpenCV."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from facefusion.errors import EngineError
from facefusion.faces.five_points import (
    Affine,
    Floats,
    Image,
    cut_aligned,
    denormalised,
    to_pictures,
    to_tensor,
)
from facefusion.media.frame import PackedFrame
from facefusion.models.contracts import Pixels
from facefusion.swap.bench import Layer, Mask, plan_stamp
from facefusion.swap.contract import Patch


class CpuRegion(PackedFrame):
    """See `Region`."""

    def __init__(self, bench: CpuBench, pixels: Image) -> None:
        super().__init__(pixels)
        self.bench = bench
        self._changed: Mask = np.zeros(pixels.shape[:2], np.uint8)

    def cut(self, affine: Affine, size: int) -> Image:
        """See `Region.cut`."""
        return cut_aligned(self, affine, size)

    def stamp(self, crop: Image, mask: Mask, affine: Affine) -> Layer | None:
        """See `Region.stamp`."""
        plan = plan_stamp(affine, len(crop), self.width, self.height)
        if plan is None:
            return None
        if plan.side != len(crop):
            side = (plan.side, plan.side)
            crop, mask = (
                np.asarray(cv2.resize(picture, side, interpolation=cv2.INTER_AREA), np.uint8)
                for picture in (crop, mask)
            )
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        # Colour and mask together: four channels are warped in half the time of three. Beyond the crop's edge
        # both are zero, so the edge itself must not show.
        four = cv2.cvtColor(crop, cv2.COLOR_BGR2BGRA)
        cv2.insertChannel(mask, four, 3)
        four[[0, -1], :, 3] = 0
        four[:, [0, -1], 3] = 0
        x0, y0, x1, y1 = plan.box
        there = cv2.warpAffine(four, plan.affine, (x1 - x0, y1 - y0), flags=flags)
        return Layer(plan.box, cv2.cvtColor(there, cv2.COLOR_BGRA2BGR), cv2.extractChannel(there, 3))

    def lay(self, layer: Layer) -> None:
        """See `Region.lay`."""
        self.blend(layer.box, layer.colour, layer.alpha)
        x0, y0, x1, y1 = layer.box
        self._changed[y0:y1, x0:x1] |= layer.alpha

    def changed(self) -> Layer:
        """See `Region.changed`."""
        alpha = np.where(self._changed > 0, 255, 0).astype(np.uint8)
        return Layer((0, 0, self.width, self.height), self.pixels, alpha)


class CpuBench:
    """See `Bench`."""

    def region(self, pixels: Image) -> CpuRegion:
        """See `Bench.region`."""
        return CpuRegion(self, pixels)

    def layer(self, patch: Patch) -> Layer:
        """See `Bench.layer`."""
        return Layer(patch.box, patch.colour, patch.alpha)

    def patch(self, layer: Layer) -> Patch:
        """See `Bench.patch`."""
        return Patch(layer.box, np.asarray(layer.colour, np.uint8), np.asarray(layer.alpha, np.uint8))

    def put(self, pixels: NDArray[np.uint8], *, constant: bool = False) -> NDArray[np.uint8]:
        """See `Bench.put`."""
        return pixels

    def fetch(self, values: NDArray[Any]) -> NDArray[Any]:
        """See `Bench.fetch`."""
        return values

    def tensor(self, crops: Image, pixels: Pixels) -> Floats:
        """See `Bench.tensor`."""
        return to_tensor(crops, pixels)

    def pictures(self, tensor: NDArray[np.floating]) -> Image:
        """See `Bench.pictures`."""
        return to_pictures(tensor)

    def denormalised(self, tensor: NDArray[np.floating], pixels: Pixels) -> Floats:
        """See `Bench.denormalised`."""
        return denormalised(tensor, pixels)

    def require_finite(self, tensor: NDArray[np.floating], title: str) -> None:
        """See `Bench.require_finite`."""
        if not np.isfinite(tensor).all():
            raise EngineError(f"{title} computed numbers that are not finite.")

    def mixed(self, before: Image, after: Image, share: float) -> Image:
        """See `Bench.mixed`."""
        if share >= 1.0:
            return after
        return np.asarray(cv2.addWeighted(after, share, before, 1.0 - share, 0.0), np.uint8)

    def resized(self, picture: Image, size: int) -> Image:
        """See `Bench.resized`."""
        return np.asarray(cv2.resize(picture, (size, size)), np.uint8)

    def reduced(self, picture: Image, factor: int) -> Image:
        """See `Bench.reduced`."""
        size = (picture.shape[1] // factor, picture.shape[0] // factor)
        return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)

    def members(self, scores: NDArray[np.floating], classes: Sequence[int]) -> Floats:
        """See `Bench.members`."""
        return np.isin(scores.argmax(0), np.array(classes)).astype(np.float32)

    def settled(self, seen: NDArray[np.floating], size: int, blur: float) -> Mask:
        """See `Bench.settled`."""
        wide = cv2.resize(np.clip(seen, 0, 1).astype(np.float32), (size, size))
        soft = cv2.GaussianBlur(wide, (0, 0), blur)
        return np.asarray((np.clip(soft, 0.5, 1.0) - 0.5) * 510.0 + 0.5, np.float32).astype(np.uint8)

    def strictest(self, masks: Sequence[Mask]) -> Mask:
        """See `Bench.strictest`."""
        result = masks[0]
        for mask in masks[1:]:
            result = np.minimum(result, mask)
        return result


CPU = CpuBench()

"""The bench of a graphics processor: torch tensors, whose device may as well be the processor.

Sampling conventions. A pixel's centre lies at its whole-numbered coordinate, as in OpenCV; torch counts from
-1 to 1 between the *edges* of the picture (`align_corners=False`), so pixel i of n is (2 i + 1) / n - 1.
Averaging down, resizing and rounding follow OpenCV's `INTER_AREA`, `INTER_LINEAR` and round-half-to-even.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from facefusion.errors import EngineError
from facefusion.faces.five_points import Affine, Image, invert, normalisation, plan_cut
from facefusion.models.contracts import Pixels
from facefusion.swap.bench import Layer, plan_stamp
from facefusion.swap.contract import Patch
from facefusion.system.device import Device, Tensor


class DeviceRegion:
    """See `Region`."""

    def __init__(self, bench: DeviceBench, pixels: Image) -> None:
        self.bench = bench
        self.height, self.width = pixels.shape[:2]
        self._pixels = bench.device.array(pixels)
        self._changed = self.bench.torch.zeros_like(self._pixels[..., 0])

    def cut(self, affine: Affine, size: int) -> Tensor:
        """See `Region.cut`."""
        bench, plan = self.bench, plan_cut(affine, size, self.width, self.height)
        x0, y0, x1, y1 = plan.box
        planes = bench.planes(self._pixels[y0:y1, x0:x1])
        if plan.shrink > 1:
            # Windows that are cut by the edge average what is there.
            pool = bench.torch.nn.functional.avg_pool2d
            planes = pool(planes, plan.shrink, ceil_mode=True, count_include_pad=False).round()
        return bench.bytes_of(bench.warped(planes, invert(plan.affine), (size, size), "border"))

    def stamp(self, crop: Tensor, mask: Tensor, affine: Affine) -> Layer | None:
        """See `Region.stamp`."""
        plan = plan_stamp(affine, len(crop), self.width, self.height)
        if plan is None:
            return None
        bench = self.bench
        four = bench.planes(bench.torch.cat([crop, mask[..., None]], 2))
        if plan.side != len(crop):
            weights = bench.device.constant(_area_weights(len(crop), plan.side))
            four = (weights @ four @ weights.T).round()
        # What lies at or beyond the crop's edge must not show.
        inner = bench.torch.nn.functional.pad(four[:, 3:, 1:-1, 1:-1], (1, 1, 1, 1))
        four = bench.torch.cat([four[:, :3], inner], 1)
        x0, y0, x1, y1 = plan.box
        there = bench.bytes_of(bench.warped(four, plan.affine, (y1 - y0, x1 - x0), "zeros"))
        return Layer(plan.box, there[..., :3], there[..., 3])

    def lay(self, layer: Layer) -> None:
        """See `Region.lay`."""
        x0, y0, x1, y1 = layer.box
        place = self._pixels[y0:y1, x0:x1]
        share = layer.alpha[..., None].float() / 255.0
        old = place.float()
        # Truncating a value moved up by a half, as `facefusion.media.kernels.blend_samples` does.
        place.copy_((old + share * (layer.colour.float() - old) + 0.5).to(place.dtype))
        self._changed[y0:y1, x0:x1] |= layer.alpha

    def changed(self) -> Layer:
        """See `Region.changed`."""
        alpha = (self._changed > 0).to(self._pixels.dtype) * 255
        return Layer((0, 0, self.width, self.height), self._pixels, alpha)


class DeviceBench:
    """See `Bench`. One for each face: a network's broken numbers are known for the face they belong to."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.torch = device.torch
        self._doubts: list[tuple[str, Tensor]] = []

    def region(self, pixels: Image) -> DeviceRegion:
        """See `Bench.region`."""
        return DeviceRegion(self, pixels)

    def layer(self, patch: Patch) -> Layer:
        """See `Bench.layer`."""
        return Layer(patch.box, self.device.array(patch.colour), self.device.array(patch.alpha))

    def patch(self, layer: Layer) -> Patch:
        """See `Bench.patch`: everything comes in one piece, and this is where one waits for the device."""
        parts = [layer.colour.reshape(-1), layer.alpha.reshape(-1)]
        parts += [finite.reshape(1).to(layer.alpha.dtype) for _, finite in self._doubts]
        values = self.device.host(self.torch.cat(parts))
        size = layer.alpha.numel()
        self._settle_doubts(values[4 * size :])
        shape = tuple(layer.alpha.shape)
        return Patch(
            layer.box, values[: 3 * size].reshape(*shape, 3), values[3 * size : 4 * size].reshape(shape)
        )

    def put(self, pixels: NDArray[np.uint8], *, constant: bool = False) -> Tensor:
        """See `Bench.put`."""
        return self.device.constant(pixels) if constant else self.device.array(pixels)

    def fetch(self, values: Tensor) -> NDArray[Any]:
        """See `Bench.fetch`."""
        if self._doubts:
            self._settle_doubts(self.device.host(self.torch.stack([finite for _, finite in self._doubts])))
        return self.device.host(values)

    def tensor(self, crops: Tensor, pixels: Pixels) -> Tensor:
        """See `Bench.tensor`."""
        gain, shift = self._norm(pixels)
        planes = crops.flip(3) if pixels.order == "rgb" else crops
        planes = planes.float() * gain - shift
        return (planes.permute(0, 3, 1, 2) if pixels.layout != "nhwc" else planes).contiguous()

    def pictures(self, tensor: Tensor) -> Tensor:
        """See `Bench.pictures`."""
        return (tensor.float() * 255.0).round().clamp(0, 255).byte().permute(0, 2, 3, 1).flip(3)

    def denormalised(self, tensor: Tensor, pixels: Pixels) -> Tensor:
        """See `Bench.denormalised`."""
        gain, shift = self._norm(pixels)
        return ((tensor.permute(0, 2, 3, 1).float() + shift) / (gain * 255.0)).permute(0, 3, 1, 2)

    def require_finite(self, tensor: Tensor, title: str) -> None:
        """See `Bench.require_finite`: looked at where one waits anyway."""
        self._doubts.append((title, tensor.isfinite().all()))

    def _settle_doubts(self, finite: NDArray[Any]) -> None:
        for (title, _), good in zip(self._doubts, finite, strict=True):
            if not good:
                raise EngineError(f"{title} computed numbers that are not finite.")
        self._doubts.clear()

    def mixed(self, before: Tensor, after: Tensor, share: float) -> Tensor:
        """See `Bench.mixed`."""
        if share >= 1.0:
            return after
        return (after.float() * share + before.float() * (1.0 - share)).round().byte()

    def resized(self, picture: Tensor, size: int) -> Tensor:
        """See `Bench.resized`."""
        return self.bytes_of(self._bilinear(self.planes(picture), size))

    def reduced(self, picture: Tensor, factor: int) -> Tensor:
        """See `Bench.reduced`."""
        return self.bytes_of(self.torch.nn.functional.avg_pool2d(self.planes(picture), factor))

    def members(self, scores: Tensor, classes: Sequence[int]) -> Tensor:
        """See `Bench.members`."""
        best = scores.argmax(0)
        inside = self.torch.zeros_like(best, dtype=self.torch.float32)
        for number in classes:
            inside += best == number
        return inside

    def settled(self, seen: Tensor, size: int, blur: float) -> Tensor:
        """See `Bench.settled`."""
        wide = self._bilinear(seen[None, None].float().clamp(0, 1), size)
        kernel = self.device.constant(_gaussian(blur))
        reach = len(kernel) // 2
        functional = self.torch.nn.functional
        # Like OpenCV, mirrored without doubling the edge; a mask is always wider than that.
        soft = functional.pad(wide, (reach,) * 4, mode="reflect")
        soft = functional.conv2d(soft, kernel.reshape(1, 1, 1, -1))
        soft = functional.conv2d(soft, kernel.reshape(1, 1, -1, 1))
        return ((soft[0, 0].clamp(0.5, 1.0) - 0.5) * 510.0 + 0.5).byte()

    def strictest(self, masks: Sequence[Tensor]) -> Tensor:
        """See `Bench.strictest`."""
        result = masks[0]
        for mask in masks[1:]:
            result = self.torch.minimum(result, mask)
        return result

    def planes(self, picture: Tensor) -> Tensor:
        """(h, w, c) uint8 as (1, c, h, w) float32."""
        return picture.permute(2, 0, 1)[None].float()

    def bytes_of(self, planes: Tensor) -> Tensor:
        """The way back of `planes`, rounded."""
        return planes[0].round().clamp(0, 255).byte().permute(1, 2, 0)

    def warped(self, planes: Tensor, affine: Affine, size: tuple[int, int], beyond: str) -> Tensor:
        """Planes (1, c, h, w) sampled bilinearly.

        Args:
            affine: from coordinates of the result to those of the planes, in pixels.
            size: height and width of the result.
            beyond: what lies outside: `zeros`, or `border` to repeat it.
        """
        high, wide = (int(side) for side in planes.shape[2:])
        whole = np.vstack([affine, [0.0, 0.0, 1.0]])
        theta = (_to_unit(wide, high) @ whole @ np.linalg.inv(_to_unit(size[1], size[0])))[None, :2]
        functional = self.torch.nn.functional
        grid = functional.affine_grid(
            self.device.array(theta.astype(np.float32)), [1, 1, *size], align_corners=False
        )
        return functional.grid_sample(planes, grid, padding_mode=beyond, align_corners=False)

    def _bilinear(self, planes: Tensor, size: int) -> Tensor:
        return self.torch.nn.functional.interpolate(
            planes, (size, size), mode="bilinear", align_corners=False, antialias=False
        )

    def _norm(self, pixels: Pixels) -> tuple[Tensor, Tensor]:
        gain, shift = normalisation(pixels)
        return self.device.constant(gain), self.device.constant(shift)


def _to_unit(width: int, height: int) -> NDArray[np.float64]:
    """(3, 3) from pixels to torch's -1 to 1 between the edges."""
    return np.array([[2 / width, 0, 1 / width - 1], [0, 2 / height, 1 / height - 1], [0, 0, 1]])


@lru_cache(maxsize=8)
def _gaussian(sigma: float) -> NDArray[np.float32]:
    """OpenCV's kernel for float pictures. Always the same array."""
    size = round(sigma * 8 + 1) | 1
    return np.asarray(cv2.getGaussianKernel(size, sigma, cv2.CV_32F), np.float32).ravel()


@lru_cache(maxsize=64)
def _area_weights(size: int, side: int) -> NDArray[np.float32]:
    """(side, size): shares of the pixels of a line in those of a shorter one. Always the same array."""
    edges = np.arange(side + 1) * (size / side)
    pixel = np.arange(size)
    shared = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    return np.asarray(np.clip(shared, 0, None) * (side / size), np.float32)

"""Masks of aligned crops: the box, what is in front of the face, its parts, its outline."""

from __future__ import annotations

from functools import lru_cache
from typing import Protocol

import cv2
import numpy as np

from facefusion.faces.five_points import Affine, transform
from facefusion.models.contracts import OccluderContract, ParserContract
from facefusion.swap.bench import Array, Bench, Mask
from facefusion.swap.layers import FaceView
from facefusion.swap.masks import add_polygons, grown_hull
from facefusion.system.networks import Network

# Share of the crop over which the box fades.
_BOX_FADE = 0.15


class CropMask(Protocol):
    """Says how far each pixel of a crop may be painted over."""

    def mask(self, bench: Bench, before: Array, after: Array, view: FaceView, affine: Affine) -> Array:
        """(s, s) uint8.

        Args:
            bench: where the crops lie, and the mask is wanted.
            before: (s, s, 3) uint8 BGR, the target.
            after: the same crop, swapped.
            view: the face in the picture that the crop was cut from.
            affine: from that picture to the crop.
        """
        ...


@lru_cache(maxsize=32)
def box_mask(size: int, fade: float = _BOX_FADE) -> Mask:
    """(size, size) uint8: 255 inside, fading to 0 at the border. Always the same array, read-only."""
    reach = max(1, int(size * fade / 2))
    mask = np.zeros((size, size), np.uint8)
    mask[reach : size - reach, reach : size - reach] = 255
    mask = np.asarray(cv2.GaussianBlur(mask, (0, 0), max(0.5, reach / 2)), np.uint8)
    mask[[0, -1]] = 0
    mask[:, [0, -1]] = 0
    mask.setflags(write=False)
    return mask


class OcclusionMask:
    """Hands, hair and microphones in front of the face stay (XSeg)."""

    def __init__(self, network: Network, contract: OccluderContract) -> None:
        self._input = network.require(network.inputs[0].name, 1, contract.size, contract.size, 3).name
        self._network = network
        self._contract = contract

    def mask(self, bench: Bench, before: Array, after: Array, view: FaceView, affine: Affine) -> Array:
        """See `CropMask.mask`."""
        size = self._contract.size
        crop = bench.resized(before, size)
        seen = self._network.run({self._input: bench.tensor(crop[None], self._contract.pixels)})[0]
        return bench.settled(seen.reshape(size, size), len(before), self._contract.blur)


class RegionMask:
    """Only the parts of a face are painted (BiSeNet)."""

    def __init__(self, network: Network, contract: ParserContract) -> None:
        self._input = network.require(network.inputs[0].name, 1, 3, contract.size, contract.size).name
        self._network = network
        self._contract = contract
        self._parts = sorted(contract.parts.values())

    def mask(self, bench: Bench, before: Array, after: Array, view: FaceView, affine: Affine) -> Array:
        """See `CropMask.mask`."""
        size = self._contract.size
        crop = bench.resized(after, size)
        scores = self._network.run({self._input: bench.tensor(crop[None], self._contract.pixels)})[0]
        return bench.settled(bench.members(scores[0], self._parts), len(after), 5.0)


class OutlineMask:
    """Nothing outside of the mesh's outline is painted, up to a little above the brows."""

    def mask(self, bench: Bench, before: Array, after: Array, view: FaceView, affine: Affine) -> Array:
        """See `CropMask.mask`."""
        mask = np.zeros((len(before), len(before)), np.uint8)
        hull = grown_hull(transform(affine, view.mesh.points[:, :2]).astype(np.float32), 0.02)
        add_polygons(mask, [hull], sigma=len(before) / 40)
        return bench.put(mask)

"""Face enhancers: GFPGAN, CodeFormer, RestoreFormer++, GPEN."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from facefusion.faces.five_points import Floats, align, crop_corners
from facefusion.models.contracts import EnhancerContract, Template
from facefusion.swap.bench import Layer, Region
from facefusion.swap.layers import FaceView
from facefusion.swap.neural.masks import box_mask
from facefusion.system.batching import BatchRunner
from facefusion.system.networks import Network


class FaceEnhancer:
    """See `Processor`.

    Args:
        network: input `input`, and `weight` where the contract says so.
        blend: 0 to 1, share of the enhanced face.
        weight: 0 to 1, faithful or beautiful, for models that can be asked.
        runner: runs the network for many threads; the network itself if None.

    Raises:
        ModelMissingError: the network takes something else.
    """

    name = "face_enhancer"

    def __init__(
        self,
        network: Network,
        contract: EnhancerContract,
        template: Template,
        *,
        blend: float = 1.0,
        weight: float = 0.5,
        runner: BatchRunner | None = None,
    ) -> None:
        network.require("input", 1, 3, contract.size, contract.size)
        self._title = network.title
        self._runner = runner or network
        self._contract = contract
        self._template = template
        self._blend = blend
        self._extra = {"weight": np.array([weight])} if contract.weight else {}
        for name in self._extra:
            network.input(name)

    def reach(self, five: Floats) -> NDArray[np.float64]:
        """See `Processor.reach`."""
        return crop_corners(align(five, self._template, self._contract.size), self._contract.size)

    def apply(self, region: Region, view: FaceView) -> Layer | None:
        """See `Processor.apply`."""
        bench, size = region.bench, self._contract.size
        affine = align(view.five, self._template, size)
        before = region.cut(affine, size)
        tensor = bench.tensor(before[None], self._contract.pixels)
        output = self._runner.run_batch({"input": tensor}, self._extra)
        bench.require_finite(output, self._title)
        after = bench.pictures((output + 1.0) / 2.0)[0]
        mask = bench.put(box_mask(size), constant=True)
        return region.stamp(bench.mixed(before, after, self._blend), mask, affine)

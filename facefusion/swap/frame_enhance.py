"""Frame enhancers: the detail of whole pictures that were enlarged in overlapping tiles."""

from __future__ import annotations

import cv2
import numpy as np

from facefusion.faces.five_points import Image
from facefusion.models.contracts import FrameEnhancerContract
from facefusion.swap.bench import Bench
from facefusion.swap.contract import Canvas
from facefusion.swap.layers import Benches
from facefusion.system.device import joined
from facefusion.system.networks import Network

# Tiles that go through the network together, where it takes batches.
_TILES_AT_ONCE = 8


class FrameEnhancer:
    """Enlarges frames `scale` times and gives them the enlarged picture's detail at their own size.

    Args:
        network: one tile in, the enlarged tile out.

    Raises:
        ModelMissingError: the network takes something else.
    """

    name = "frame_enhancer"

    def __init__(self, network: Network, contract: FrameEnhancerContract) -> None:
        self._input = network.require(network.inputs[0].name, 1, 3, contract.tile, contract.tile).name
        self._network = network
        self._contract = contract

    def refine(self, frame: Canvas, benches: Benches | None = None) -> None:
        """Enhance a frame in place; its size stays. Done on the processor if no benches are given."""
        box = (0, 0, frame.width, frame.height)
        image = frame.read(box)
        picture = (benches or Benches()).work(lambda bench: self._refined(bench, image))
        frame.blend(box, picture, np.full((frame.height, frame.width), 255, np.uint8))

    def _refined(self, bench: Bench, image: Image) -> Image:
        """A picture (h, w, 3) uint8 BGR enlarged, and averaged down to its own size.

        The picture is mirrored beyond its edges; of every tile the inner border is thrown away, so that
        no seam shows.
        """
        contract = self._contract
        height, width = image.shape[:2]
        border, step = contract.inner_border, contract.tile - 2 * contract.inner_border
        outer = max(contract.outer_border, border)
        rows, columns = (-(-(side + 2 * (outer - border)) // step) for side in (height, width))
        wide = cv2.copyMakeBorder(
            image,
            outer,
            rows * step + 2 * border - height - outer,
            outer,
            columns * step + 2 * border - width - outer,
            cv2.BORDER_REFLECT_101 if min(height, width) > contract.tile else cv2.BORDER_REPLICATE,
        )
        places = [(row * step, column * step) for row in range(rows) for column in range(columns)]
        keep, edge = step * contract.scale, border * contract.scale
        there = bench.put(np.asarray(wide, np.uint8))
        result = bench.put(np.empty((rows * step, columns * step, 3), np.uint8))
        for first in range(0, len(places), _TILES_AT_ONCE):
            chosen = places[first : first + _TILES_AT_ONCE]
            tiles = joined([there[None, y : y + contract.tile, x : x + contract.tile] for y, x in chosen])
            output = self._network.run_batch({self._input: bench.tensor(tiles, contract.pixels)})
            bench.require_finite(output, self._network.title)
            for (y, x), tile in zip(chosen, bench.pictures(output), strict=True):
                inner = bench.reduced(tile[edge : edge + keep, edge : edge + keep], contract.scale)
                result[y : y + step, x : x + step] = inner
        start = outer - border
        part = result[start : start + height, start : start + width]
        return np.ascontiguousarray(bench.fetch(part))

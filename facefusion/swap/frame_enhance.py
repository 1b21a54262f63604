"""Frame enhancers: whole pictures enlarged in overlapping tiles."""

from __future__ import annotations

import cv2
import numpy as np

from facefusion.faces.five_points import Image, to_pictures, to_tensor
from facefusion.models.contracts import FrameEnhancerContract
from facefusion.swap.contract import Canvas
from facefusion.system.networks import Network

# Tiles that go through the network together, where it takes batches.
_TILES_AT_ONCE = 8


class FrameEnhancer:
    """Enlarges pictures `scale` times; `refine` gives a frame the enlarged picture's detail at its own size.

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

    def refine(self, frame: Canvas) -> None:
        """Enhance a frame in place; its size stays."""
        box = (0, 0, frame.width, frame.height)
        large = self.enlarge(frame.read(box))
        picture = cv2.resize(large, (frame.width, frame.height), interpolation=cv2.INTER_AREA)
        alpha = np.full((frame.height, frame.width), 255, np.uint8)
        frame.blend(box, np.asarray(picture, np.uint8), alpha)

    def enlarge(self, image: Image) -> Image:
        """(h, w, 3) uint8 BGR as (h * scale, w * scale, 3).

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
        scale, keep = contract.scale, step * contract.scale
        result = np.empty((rows * keep, columns * keep, 3), np.uint8)
        for first in range(0, len(places), _TILES_AT_ONCE):
            chosen = places[first : first + _TILES_AT_ONCE]
            tiles = np.stack(
                [np.asarray(wide, np.uint8)[y : y + contract.tile, x : x + contract.tile] for y, x in chosen]
            )
            output = self._network.run_batch({self._input: to_tensor(tiles, contract.pixels)})
            edge = border * scale
            for (y, x), tile in zip(chosen, to_pictures(output), strict=True):
                inner = tile[edge : edge + keep, edge : edge + keep]
                result[y * scale : y * scale + keep, x * scale : x * scale + keep] = inner
        start = (outer - border) * scale
        return np.ascontiguousarray(result[start : start + height * scale, start : start + width * scale])

"""68 landmarks (2DFAN4).

Source: Bulat and Tzimiropoulos, "How far are we from solving the 2D & 3D Face Alignment problem?" (2017).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from facefusion.faces.five_points import cut_aligned, invert, to_tensor, transform
from facefusion.faces.landmarks import Readable
from facefusion.models.contracts import LandmarkerContract
from facefusion.system.networks import Network

Floats = NDArray[np.float32]

# A face's longer side takes up this many of the 256 pixels that the network was trained with.
_FACE_SHARE = 195 / 256


class Landmarker68:
    """Finds landmarks in a face's box.

    Raises:
        ModelMissingError: the network takes something else.
    """

    def __init__(self, network: Network, contract: LandmarkerContract) -> None:
        self._input = network.require(network.inputs[0].name, 1, 3, contract.size, contract.size).name
        self._network = network
        self._contract = contract

    def locate(self, picture: Readable, box: tuple[float, float, float, float]) -> tuple[Floats, float]:
        """(68, 2) landmarks in pixels of the picture, and the mean certainty, 0 to 1."""
        size = self._contract.size
        x0, y0, x1, y1 = box
        scale = _FACE_SHARE * size / max(x1 - x0, y1 - y0, 1.0)
        shift = size / 2 - scale * np.array([(x0 + x1) / 2, (y0 + y1) / 2])
        affine = np.concatenate([np.eye(2) * scale, shift[:, None]], axis=1)
        crop = cut_aligned(picture, affine, size)
        outputs = self._network.run({self._input: to_tensor(crop[None], self._contract.pixels)})
        marks = outputs[0].reshape(self._contract.points, 3)
        points = marks[:, :2].astype(np.float64) * (size / self._contract.grid)
        return transform(invert(affine), points).astype(np.float32), float(np.clip(marks[:, 2], 0, 1).mean())


def five_from_68(points: Floats) -> Floats:
    """(5, 2) five landmarks out of 68."""
    eyes = [points[36:42].mean(0), points[42:48].mean(0)]
    return np.array([*eyes, points[30], points[48], points[54]], np.float32)

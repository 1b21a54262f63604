"""YOLOv8-face: one output (1, 20, n): box centre and size, score, five landmarks with their confidence."""

from __future__ import annotations

import numpy as np

from facefusion.errors import ModelMissingError
from facefusion.faces.finding import Candidates, FoundFace, Image, prepare_picture, settle
from facefusion.models.contracts import DetectorContract
from facefusion.system.networks import Network


class YoloFace:
    """See `FaceFinder`.

    Raises:
        ModelMissingError: the network has other outputs.
    """

    def __init__(
        self, network: Network, contract: DetectorContract, *, threshold: float = 0.5, nms: float = 0.4
    ) -> None:
        shape = network.outputs[0].shape
        if len(shape) != 3 or shape[1] not in (20, None):
            raise ModelMissingError(f"{network.title} gives {shape} instead of (1, 20, n).")
        self._network = network
        self._contract = contract
        self._threshold = threshold
        self._nms = nms

    def find(self, image: Image) -> list[FoundFace]:
        """See `FaceFinder.find`."""
        tensor, scale = prepare_picture(image, self._contract)
        rows = self._network.run({self._network.inputs[0].name: tensor})[0][0].T
        rows = rows[rows[:, 4] >= self._threshold]
        centre, half = rows[:, :2], rows[:, 2:4] / 2
        found = Candidates(
            np.concatenate([centre - half, centre + half], axis=1),
            rows[:, 4],
            rows[:, 5:20].reshape(-1, 5, 3)[:, :, :2],
        )
        return settle(found, scale, nms=self._nms)

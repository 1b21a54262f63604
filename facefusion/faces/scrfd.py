"""SCRFD and RetinaFace: nine outputs, two anchors in each cell of three grids.

Source: Guo et al., "Sample and Computation Redistribution for Efficient Face Detection" (2021).
"""

from __future__ import annotations

import numpy as np

from facefusion.errors import ModelMissingError
from facefusion.faces.finding import Candidates, FoundFace, Image, cell_corners, prepare_picture, settle
from facefusion.models.contracts import DetectorContract
from facefusion.system.networks import Network

_STRIDES = (8, 16, 32)
_ANCHORS = 2


class Scrfd:
    """See `FaceFinder`.

    Args:
        network: scores, box distances and landmark distances, each for the strides 8, 16 and 32.
        threshold: least score.
        nms: see `finding.settle`.

    Raises:
        ModelMissingError: the network has other outputs.
    """

    def __init__(
        self, network: Network, contract: DetectorContract, *, threshold: float = 0.5, nms: float = 0.4
    ) -> None:
        if len(network.outputs) != 9:
            raise ModelMissingError(f"{network.title} has {len(network.outputs)} outputs instead of 9.")
        self._network = network
        self._contract = contract
        self._threshold = threshold
        self._nms = nms
        self._cells = [cell_corners(contract.size, stride, _ANCHORS) for stride in _STRIDES]

    def find(self, image: Image) -> list[FoundFace]:
        """See `FaceFinder.find`."""
        tensor, scale = prepare_picture(image, self._contract)
        outputs = self._network.run({self._network.inputs[0].name: tensor})
        boxes, scores, fives = [], [], []
        for grid, (stride, cells) in enumerate(zip(_STRIDES, self._cells, strict=True)):
            score = outputs[grid].reshape(-1)
            chosen = np.flatnonzero(score >= self._threshold)
            corner = cells[chosen]
            sides = outputs[grid + 3].reshape(-1, 4)[chosen] * stride
            marks = outputs[grid + 6].reshape(-1, 5, 2)[chosen] * stride
            boxes.append(np.concatenate([corner - sides[:, :2], corner + sides[:, 2:]], axis=1))
            scores.append(score[chosen])
            fives.append(corner[:, None] + marks)
        found = Candidates(np.concatenate(boxes), np.concatenate(scores), np.concatenate(fives))
        return settle(found, scale, nms=self._nms)

"""YuNet: twelve outputs; class, object, box and landmarks for each of three grids, one anchor per cell.

Source: Wu et al., "YuNet: A Tiny Millisecond-level Face Detector" (2023).
"""

from __future__ import annotations

import numpy as np

from facefusion.errors import ModelMissingError
from facefusion.faces.finding import Candidates, FoundFace, Image, cell_corners, prepare_picture, settle
from facefusion.models.contracts import DetectorContract
from facefusion.system.networks import Network

_STRIDES = (8, 16, 32)


class YuNet:
    """See `FaceFinder`.

    Raises:
        ModelMissingError: the network has other outputs.
    """

    def __init__(
        self, network: Network, contract: DetectorContract, *, threshold: float = 0.5, nms: float = 0.4
    ) -> None:
        if len(network.outputs) != 12:
            raise ModelMissingError(f"{network.title} has {len(network.outputs)} outputs instead of 12.")
        self._network = network
        self._contract = contract
        self._threshold = threshold
        self._nms = nms
        self._cells = [cell_corners(contract.size, stride, 1) for stride in _STRIDES]

    def find(self, image: Image) -> list[FoundFace]:
        """See `FaceFinder.find`."""
        tensor, scale = prepare_picture(image, self._contract)
        outputs = self._network.run({self._network.inputs[0].name: tensor})
        boxes, scores, fives = [], [], []
        for grid, (stride, cells) in enumerate(zip(_STRIDES, self._cells, strict=True)):
            score = outputs[grid].reshape(-1) * outputs[grid + 3].reshape(-1)
            chosen = np.flatnonzero(score >= self._threshold)
            corner = cells[chosen]
            raw = outputs[grid + 6].reshape(-1, 4)[chosen]
            centre, half = corner + raw[:, :2] * stride, np.exp(raw[:, 2:]) * (stride / 2)
            boxes.append(np.concatenate([centre - half, centre + half], axis=1))
            scores.append(score[chosen])
            fives.append(corner[:, None] + outputs[grid + 9].reshape(-1, 5, 2)[chosen] * stride)
        found = Candidates(np.concatenate(boxes), np.concatenate(scores), np.concatenate(fives))
        return settle(found, scale, nms=self._nms)

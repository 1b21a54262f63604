"""An ONNX face detector in the place of the embedded one."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from facefusion.faces.detect import Detection
from facefusion.faces.finding import FaceFinder, FoundFace

Floats = NDArray[np.float32]


class Detector(Protocol):
    """What following and searching need of a detector; see `facefusion.faces.detect.FaceDetector`."""

    @property
    def input_size(self) -> int:
        """Longest side, in pixels, that is of use: larger pictures are reduced to it."""
        ...

    def detect(self, image: NDArray[np.uint8], *, scale: float = 1.0) -> list[Detection]:
        """Find faces, best score first; results are divided by `scale`."""
        ...


class FinderDetector:
    """See `Detector`.

    Args:
        finder: the network.
        size: side of its input in pixels.
    """

    def __init__(self, finder: FaceFinder, size: int) -> None:
        self._finder = finder
        self._size = size

    @property
    def input_size(self) -> int:
        """See `Detector.input_size`."""
        return self._size

    def detect(self, image: NDArray[np.uint8], *, scale: float = 1.0) -> list[Detection]:
        """See `Detector.detect`."""
        return [_detection(face, scale) for face in self._finder.find(image)]


def _detection(face: FoundFace, scale: float) -> Detection:
    """The box as the embedded detector draws it: a square from the brows to the chin, so that the landmark
    model is given the region it was made for. Ears are not known; they are put beside the eyes."""
    left, right, nose, corner, other = np.asarray(face.five, np.float32) / scale
    mouth = (corner + other) / 2
    across = right - left
    middle = (left + right) / 2
    down = mouth - middle
    side = 2.15 * max(float(np.linalg.norm(across)) * 1.15, float(np.linalg.norm(down)) * 1.05)
    centre = middle + 0.45 * down
    x0, y0 = (float(value) for value in centre - side / 2)
    keypoints = np.stack([left, right, nose, mouth, left - 0.45 * across, right + 0.45 * across])
    return Detection((x0, y0, x0 + side, y0 + side), keypoints, face.score)

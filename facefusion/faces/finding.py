"""What the ONNX face detectors have in common: the shrunk picture, the faces, one face per place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from facefusion.faces.five_points import to_tensor
from facefusion.models.contracts import DetectorContract

Floats = NDArray[np.float32]
Image = NDArray[np.uint8]


@dataclass(frozen=True)
class FoundFace:
    """A face with five landmarks, in pixels of the picture.

    Attributes:
        box: x0, y0, x1, y1.
        five: (5, 2) float32, see `facefusion.faces.five_points`.
        score: 0 to 1.
    """

    box: tuple[float, float, float, float]
    five: Floats
    score: float


class FaceFinder(Protocol):
    """Finds faces in a picture."""

    def find(self, image: Image) -> list[FoundFace]:
        """Faces of (h, w, 3) uint8 BGR, best score first."""
        ...


@dataclass(frozen=True)
class Candidates:
    """Raw answers of a network: boxes (n, 4), scores (n,), landmarks (n, 5, 2); pixels of its input."""

    boxes: Floats
    scores: Floats
    fives: Floats


def prepare_picture(image: Image, contract: DetectorContract) -> tuple[Floats, float]:
    """The picture shrunk (or enlarged) into the detector's square, padded right and below with zeros.

    Returns:
        The input tensor, and the factor by which the picture was reduced.
    """
    height, width = image.shape[:2]
    size = contract.size
    # Rounded down along the shorter side, as the detectors' authors do it.
    ratio = height / width
    inner = (max(1, int(size / ratio)), size) if ratio > 1 else (size, max(1, int(size * ratio)))
    square = np.zeros((size, size, 3), np.uint8)
    square[: inner[1], : inner[0]] = cv2.resize(image, inner)
    return to_tensor(square[None], contract.pixels), inner[1] / height


def settle(found: Candidates, scale: float, *, nms: float) -> list[FoundFace]:
    """One face per place, best first, in pixels of the picture.

    Args:
        found: above the threshold.
        scale: factor by which the picture was reduced.
        nms: overlap (intersection over union) above which two candidates are one face.
    """
    boxes, fives = found.boxes / scale, found.fives / scale
    faces = []
    for index in suppress(boxes, found.scores, nms):
        x0, y0, x1, y1 = (float(value) for value in boxes[index])
        faces.append(FoundFace((x0, y0, x1, y1), fives[index], float(found.scores[index])))
    return faces


def suppress(boxes: Floats, scores: Floats, threshold: float) -> list[int]:
    """Indices that stay, best first; boxes are counted in whole pixels, edges included."""
    area = (boxes[:, 2] - boxes[:, 0] + 1) * (boxes[:, 3] - boxes[:, 1] + 1)
    order = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    while order.size:
        best, rest = order[0], order[1:]
        kept.append(int(best))
        low = np.maximum(boxes[best, :2], boxes[rest, :2])
        high = np.minimum(boxes[best, 2:], boxes[rest, 2:])
        shared = np.maximum(high - low + 1, 0).prod(axis=1)
        order = rest[shared / (area[best] + area[rest] - shared) <= threshold]
    return kept


def cell_corners(size: int, stride: int, anchors: int) -> Floats:
    """(n, 2) x and y of the upper left corners of a grid's cells, each repeated for its anchors."""
    axis = np.arange(size // stride, dtype=np.float32) * stride
    y, x = np.meshgrid(axis, axis, indexing="ij")
    return np.repeat(np.stack([x.ravel(), y.ravel()], axis=1), anchors, axis=0)

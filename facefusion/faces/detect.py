"""Finding faces in a whole picture: BlazeFace, full range.

Source: Bazarevsky et al., "BlazeFace: Sub-millisecond Neural Face Detection on Mobile GPUs" (2019), and the
model card of MediaPipe Face Detection. The anchors are the middles of 48 x 48 cells.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from facefusion.faces.runtime import Model

Floats = NDArray[np.float32]

FULL_RANGE = "face_detection_full_range_sparse.tflite"
_INPUT = 192


@dataclass(frozen=True)
class Detection:
    """One face in a picture, in pixels of that picture.

    Attributes:
        box: x0, y0, x1, y1.
        keypoints: (6, 2): eye at the image's left, eye at the right, nose tip, mouth, left ear, right ear.
        score: 0 to 1.
    """

    box: tuple[float, float, float, float]
    keypoints: Floats
    score: float

    @property
    def area(self) -> float:
        """Area of the box in square pixels."""
        return max(0.0, self.box[2] - self.box[0]) * max(0.0, self.box[3] - self.box[1])

    def shifted(self, dx: float, dy: float) -> Detection:
        """The same face in a picture whose origin lies elsewhere."""
        x0, y0, x1, y1 = self.box
        offset = np.array([dx, dy], np.float32)
        return Detection((x0 + dx, y0 + dy, x1 + dx, y1 + dy), self.keypoints + offset, self.score)

    @property
    def roll(self) -> float:
        """Angle of the line between the eyes, in radians."""
        dx, dy = self.keypoints[1] - self.keypoints[0]
        return float(np.arctan2(dy, dx))


class FaceDetector:
    """BlazeFace on a letterboxed copy of the picture.

    Args:
        models_dir: folder with the installed model files.
        threshold: least score of a face.
    """

    def __init__(self, models_dir: Path, *, threshold: float = 0.55, threads: int = 1) -> None:
        self._model = Model(models_dir / FULL_RANGE, threads=threads)
        self._anchors = _grid(48)
        self._threshold = threshold
        self.runtime = self._model.runtime

    @property
    def input_size(self) -> int:
        """Longest side, in pixels, that is of use: larger pictures are reduced to it."""
        return _INPUT

    def detect(self, image: NDArray[np.uint8], *, scale: float = 1.0) -> list[Detection]:
        """Find faces, best score first.

        Args:
            image: (h, w, 3) uint8 BGR.
            scale: results are divided by it; pass the factor by which `image` was reduced.
        """
        size = _INPUT
        height, width = image.shape[:2]
        ratio = size / max(height, width)
        inner = (max(1, round(width * ratio)), max(1, round(height * ratio)))
        small = image if inner == (width, height) else cv2.resize(image, inner, interpolation=cv2.INTER_AREA)
        left, top = (size - inner[0]) // 2, (size - inner[1]) // 2
        square = np.zeros((size, size, 3), np.uint8)
        square[top : top + inner[1], left : left + inner[0]] = small
        tensor = cv2.cvtColor(square, cv2.COLOR_BGR2RGB).astype(np.float32)[None] / 127.5 - 1.0
        boxes, scores = self._decode(self._model(tensor))
        offset = np.array([left, top], np.float32)
        found = []
        for index in _suppress(boxes[:, :4], scores):
            points = (boxes[index, 4:].reshape(6, 2) - offset) / (ratio * scale)
            corners = (boxes[index, :4].reshape(2, 2) - offset) / (ratio * scale)
            x0, y0, x1, y1 = (float(value) for value in corners.ravel())
            found.append(Detection((x0, y0, x1, y1), points.astype(np.float32), float(scores[index])))
        return found

    def _decode(self, outputs: list[Floats]) -> tuple[Floats, Floats]:
        regression, logits = sorted(outputs, key=lambda output: -output.size)
        regression, logits = regression.reshape(-1, 16), logits.reshape(-1)
        scores = np.asarray(1.0 / (1.0 + np.exp(-np.clip(logits, -80.0, 80.0))), np.float32)
        chosen = np.flatnonzero(scores > self._threshold)
        raw, anchors = regression[chosen], self._anchors[chosen] * _INPUT
        centre, half = anchors + raw[:, :2], raw[:, 2:4] / 2
        points = raw[:, 4:].reshape(-1, 6, 2) + anchors[:, None]
        boxes = np.concatenate([centre - half, centre + half, points.reshape(-1, 12)], axis=1)
        return boxes, scores[chosen]


def overlap(a: tuple[float, ...] | Floats, b: tuple[float, ...] | Floats) -> float:
    """Intersection over union of two boxes (x0, y0, x1, y1)."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return float(shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared))


def _grid(cells: int) -> Floats:
    axis = (np.arange(cells, dtype=np.float32) + 0.5) / cells
    y, x = np.meshgrid(axis, axis, indexing="ij")
    return np.stack([x.ravel(), y.ravel()], axis=1)


def _suppress(boxes: Floats, scores: Floats, threshold: float = 0.3) -> list[int]:
    kept: list[int] = []
    for index in np.argsort(-scores):
        if all(overlap(boxes[index], boxes[other]) < threshold for other in kept):
            kept.append(int(index))
    return kept

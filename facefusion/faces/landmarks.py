"""468 mesh landmarks, eye contours and irises of one face.

Sources: Kartynnik et al., "Real-time Facial Surface Geometry from Monocular Video on Mobile GPUs" (2019) for
the mesh; Ablavatski et al., "Real-time Pupil Tracking from Monocular Video for Digital Puppetry" (2020) for
the eyes. The mesh model alone hardly closes the lids when the person blinks; the iris model does, so its eye
contour replaces the mesh's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from facefusion.faces.detect import Detection
from facefusion.faces.runtime import load_model
from facefusion.faces.topology import (
    LANDMARK_COUNT,
    LEFT_EYE_CONTOUR,
    LEFT_EYE_CORNERS,
    LEFT_LIDS,
    RIGHT_EYE_CONTOUR,
    RIGHT_EYE_CORNERS,
    RIGHT_LIDS,
)

Floats = NDArray[np.float32]
Image = NDArray[np.uint8]

LANDMARKS = "face_landmark.tflite"
IRIS = "iris_landmark.tflite"
_MESH_INPUT = 192
_EYE_INPUT = 64


class Readable(Protocol):
    """What landmarks need of a picture; `facefusion.media` frames have it."""

    @property
    def width(self) -> int:
        """Width in pixels."""
        ...

    @property
    def height(self) -> int:
        """Height in pixels."""
        ...

    def read(self, box: tuple[int, int, int, int], shrink: int = 1) -> Image:
        """Region x0, y0, x1, y1 as BGR uint8, reduced by an integer factor."""
        ...


@dataclass(frozen=True)
class Face:
    """Geometry of one face in one picture, in pixels of that picture.

    Attributes:
        points: (468, 3) float32; z has the scale of x and grows away from the camera.
        irises: (2, 3) float32, left and right in the image: centre x, y and radius.
        lids: (2,) float32, how far each eye is open: lid distance over eye width.
        presence: 0 to 1, the model's belief that this is a face.
    """

    points: Floats
    irises: Floats
    lids: Floats
    presence: float

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Bounding box of the mesh: x0, y0, x1, y1."""
        low, high = self.points[:, :2].min(0), self.points[:, :2].max(0)
        return float(low[0]), float(low[1]), float(high[0]), float(high[1])

    @property
    def size(self) -> float:
        """Longer side of the bounding box in pixels."""
        x0, y0, x1, y1 = self.box
        return max(x1 - x0, y1 - y0)

    def shifted(self, dx: float, dy: float) -> Face:
        """The same face in a picture whose origin lies elsewhere."""
        points, irises = self.points.copy(), self.irises.copy()
        points[:, :2] += (dx, dy)
        irises[:, :2] += (dx, dy)
        return replace(self, points=points, irises=irises)


class Landmarker:
    """Mesh and iris models, run on regions that follow a detection or the previous frame's face."""

    def __init__(self, models_dir: Path, *, threads: int = 1) -> None:
        self._mesh = load_model(models_dir / LANDMARKS, threads=threads)
        self._iris = load_model(models_dir / IRIS, threads=threads)
        self.runtime = self._mesh.runtime

    def from_detection(self, picture: Readable, detection: Detection) -> Face:
        """Landmarks of a detected face; a second pass on the first one's result removes the box's error."""
        x0, y0, x1, y1 = detection.box
        centre = np.array([(x0 + x1) / 2, (y0 + y1) / 2], np.float32)
        points, presence = self._locate(picture, centre, max(x1 - x0, y1 - y0) * 1.5, detection.roll)
        if presence < 0.2:
            return _face(points, points, presence, np.zeros((2, 3), np.float32))
        return self._follow(picture, points)

    def follow(self, picture: Readable, previous: Face) -> Face:
        """Landmarks near where the face was in the previous frame."""
        return self._follow(picture, previous.points)

    def _follow(self, picture: Readable, points: Floats) -> Face:
        roll = eye_roll(points)
        rotation = _rotation(-roll)
        upright = points[:, :2] @ rotation.T
        low, high = upright.min(0), upright.max(0)
        centre = ((low + high) / 2) @ rotation
        points, presence = self._locate(picture, centre, float((high - low).max()) * 1.5, roll)
        if presence < 0.2:
            return _face(points, points, presence, np.zeros((2, 3), np.float32))
        refined, irises = self._refine_eyes(picture, points)
        return _face(points, refined, presence, irises)

    def _locate(self, picture: Readable, centre: Floats, size: float, roll: float) -> tuple[Floats, float]:
        crop, inverse = cut(picture, centre, size, roll, _MESH_INPUT)
        tensor = crop[None, :, :, ::-1].astype(np.float32) / 255.0
        coordinates, logit = sorted(self._mesh(tensor), key=lambda output: -output.size)
        points = coordinates.reshape(LANDMARK_COUNT, 3).astype(np.float32)
        flat = points[:, :2] @ inverse[:, :2].T + inverse[:, 2]
        depth = points[:, 2:] * (size / _MESH_INPUT)
        presence = 1.0 / (1.0 + float(np.exp(-logit.ravel()[0])))
        return np.concatenate([flat, depth], axis=1).astype(np.float32), presence

    def _refine_eyes(self, picture: Readable, points: Floats) -> tuple[Floats, Floats]:
        refined, irises = points.copy(), np.zeros((2, 3), np.float32)
        for side, (corners, contour) in enumerate(
            ((LEFT_EYE_CORNERS, LEFT_EYE_CONTOUR), (RIGHT_EYE_CORNERS, RIGHT_EYE_CONTOUR))
        ):
            ends = points[list(corners), :2]
            width = float(np.linalg.norm(ends[1] - ends[0]))
            crop, inverse = cut(picture, ends.mean(0), max(width, 4.0) * 2.3, eye_roll(points), _EYE_INPUT)
            if side == 1:  # the model knows one side only
                crop = crop[:, ::-1]
            tensor = np.ascontiguousarray(crop[None, :, :, ::-1]).astype(np.float32) / 255.0
            outline, iris = sorted(self._iris(tensor), key=lambda output: -output.size)
            eye = np.concatenate([outline.reshape(-1, 3)[:16, :2], iris.reshape(5, 3)[:, :2]])
            if side == 1:
                eye[:, 0] = _EYE_INPUT - eye[:, 0]
            eye = eye @ inverse[:, :2].T + inverse[:, 2]
            refined[list(contour), :2] = eye[:16]
            irises[side, :2] = eye[16]
            irises[side, 2] = np.linalg.norm(eye[17:] - eye[16], axis=1).mean()
        return refined, irises


def eye_roll(points: Floats) -> float:
    """Angle of the line between the outer eye corners, in radians."""
    dx, dy = points[263, :2] - points[33, :2]
    return float(np.arctan2(dy, dx))


def cut(picture: Readable, centre: Floats, size: float, roll: float, side: int) -> tuple[Image, Floats]:
    """Upright square crop of a picture.

    Args:
        picture: where to read from.
        centre: (2,) middle of the square.
        size: side of the square in pixels of the picture.
        roll: angle of the square, radians.
        side: side of the result in pixels.

    Returns:
        (side, side, 3) uint8 BGR, and the (2, 3) affine from the crop to the picture. What lies outside the
        picture repeats its border.
    """
    scale = size / side
    rotation = _rotation(roll) * scale
    inverse = np.concatenate([rotation, (centre - rotation @ (side / 2, side / 2))[:, None]], axis=1)
    corners = (
        np.array([[0, 0], [side, 0], [0, side], [side, side]], np.float32) @ inverse[:, :2].T + inverse[:, 2]
    )
    shrink = max(1, int(scale))
    low = np.clip(np.floor(corners.min(0)).astype(int) - 2, 0, (picture.width - 1, picture.height - 1))
    high = np.clip(np.ceil(corners.max(0)).astype(int) + 2, low + 1, (picture.width, picture.height))
    region = picture.read((int(low[0]), int(low[1]), int(high[0]), int(high[1])), shrink)
    # Centres of reduced pixels lie at (i + 0.5) * shrink - 0.5 of the full ones.
    to_region = inverse.copy()
    to_region[:, 2] += (shrink - 1) * -0.5 - low
    to_region /= shrink
    crop = cv2.warpAffine(
        region,
        to_region,
        (side, side),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(crop, np.uint8), inverse.astype(np.float32)


def lid_opening(points: Floats) -> Floats:
    """(2,) lid distance over eye width, left and right in the image; open about 0.3, closed under 0.1."""
    opening = np.zeros(2, np.float32)
    for side, (lids, corners) in enumerate(((LEFT_LIDS, LEFT_EYE_CORNERS), (RIGHT_LIDS, RIGHT_EYE_CORNERS))):
        upper, lower = np.array(lids)[1:-1].T
        gap = np.linalg.norm(points[upper, :2] - points[lower, :2], axis=1).mean()
        opening[side] = gap / (np.linalg.norm(points[corners[0], :2] - points[corners[1], :2]) + 1e-6)
    return opening


def _face(points: Floats, refined: Floats, presence: float, irises: Floats) -> Face:
    return Face(refined, irises, lid_opening(refined), presence)


def _rotation(angle: float) -> Floats:
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.array([[cosine, -sine], [sine, cosine]], np.float32)

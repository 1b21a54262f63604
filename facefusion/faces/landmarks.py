"""468 mesh landmarks and the irises of one face in a picture; see `attention` for the network."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from facefusion.faces.attention import ATTENTION_MESH, INPUT, AttentionMesh
from facefusion.faces.detect import Detection
from facefusion.faces.kernels import white_above
from facefusion.faces.topology import (
    LEFT_EYE_CORNERS,
    LEFT_LIDS,
    RIGHT_EYE_CORNERS,
    RIGHT_LIDS,
    load_topology,
)

Floats = NDArray[np.float32]
Image = NDArray[np.uint8]

_SURE = 1 - 1e-8  # presence; a face seen upside down stays below, one seen upright rarely does
_MARGIN = 1.5  # side of the square that is looked at, over the face's own; what the network was trained with
_MARGINS = (1.35, 1.5, 1.7)
_TURNS = (-0.15, 0.0, 0.15)  # radians
_EYES = tuple(
    (*np.array(lids).T, corners)
    for lids, corners in ((LEFT_LIDS, LEFT_EYE_CORNERS), (RIGHT_LIDS, RIGHT_EYE_CORNERS))
)
"""Left and right in the image: upper and lower lid points, and the corners."""


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
    """The attention mesh, run on regions that follow a detection or the previous frame's face."""

    def __init__(self, models_dir: Path, *, threads: int = 1) -> None:
        self._network = AttentionMesh(models_dir / ATTENTION_MESH, threads=threads)
        self._mirror = load_topology(models_dir).mirror
        self.runtime = self._network.runtime

    def from_detection(self, picture: Readable, detection: Detection) -> Face:
        """Landmarks of a detected face.

        A face that stands on its head is detected, too, but as one that does not: unless it surely looks like
        a face, it is also looked at the other way round.
        """
        face = self._detected(picture, detection, detection.roll)
        if face.presence >= _SURE:
            return face
        turned = self._detected(picture, detection, detection.roll + np.pi)
        return max(face, turned, key=lambda seen: seen.presence)

    def follow(self, picture: Readable, previous: Face) -> Face:
        """Landmarks near where the face was in the previous frame."""
        roll = eye_roll(previous.points)
        centre, side = _square_round(previous.points, roll)
        return self._look(picture, centre, side * _MARGIN, roll)

    def study(self, picture: Readable, face: Face) -> Face:
        """Landmarks of a still picture: the mean of many looks, each turned, sized or mirrored differently.

        What one look gets wrong (the network's leaning to one side, the grid of a small picture) another gets
        wrong the other way.
        """
        looks = []
        for turn in _TURNS:
            roll = eye_roll(face.points) + turn
            centre, side = _square_round(face.points, roll)
            for margin in _MARGINS:
                looks += [
                    self._look(picture, centre, side * margin, roll, mirrored=mirrored)
                    for mirrored in (False, True)
                ]
        points = np.mean([look.points - (0, 0, look.points[:, 2].mean()) for look in looks], axis=0)
        points = points.astype(np.float32)
        irises = np.mean([look.irises for look in looks], axis=0).astype(np.float32)
        return Face(points, irises, lid_opening(points), float(np.mean([look.presence for look in looks])))

    def _detected(self, picture: Readable, detection: Detection, roll: float) -> Face:
        """A second pass on the first one's result removes the box's error."""
        x0, y0, x1, y1 = detection.box
        centre = np.array([(x0 + x1) / 2, (y0 + y1) / 2], np.float32)
        face = self._look(picture, centre, max(x1 - x0, y1 - y0) * _MARGIN, roll)
        return face if face.presence < 0.2 else self.follow(picture, face)

    def _look(
        self, picture: Readable, centre: Floats, size: float, roll: float, *, mirrored: bool = False
    ) -> Face:
        crop, inverse = cut(picture, centre, size, roll, INPUT)
        if mirrored:
            crop = np.ascontiguousarray(crop[:, ::-1])
        rgb = cv2.cvtColor(crop, cv2.COLOR_BGR2RGB)
        seen = self._network(np.multiply(rgb, np.float32(1 / 255))[None])
        points, irises = lift_lids(crop, seen.points), seen.irises
        if mirrored:
            points, irises = points[self._mirror], irises[::-1].copy()
            points[:, 0], irises[:, 0] = INPUT - points[:, 0], INPUT - irises[:, 0]
        scale = size / INPUT
        points[:, :2] = points[:, :2] @ inverse[:, :2].T + inverse[:, 2]
        points[:, 2] *= scale
        irises[:, :2] = irises[:, :2] @ inverse[:, :2].T + inverse[:, 2]
        irises[:, 2] *= scale
        return Face(points, irises, lid_opening(points), seen.presence)


def _square_round(points: Floats, roll: float) -> tuple[Floats, float]:
    """Middle (2,) and side of the upright square round landmarks, seen at an angle."""
    rotation = _rotation(-roll)
    upright = points[:, :2] @ rotation.T
    low, high = upright.min(0), upright.max(0)
    return ((low + high) / 2) @ rotation, float((high - low).max())


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


def lift_lids(picture: Image, points: Floats) -> Floats:
    """Points (468, 3) in a BGR picture, the upper lids lifted to where the white of the eyes ends.

    The network has seen few eyes that were torn open; it leaves their lids half way.
    """
    points = points.copy()
    for upper, lower, (outer, inner) in _EYES:
        if not np.isfinite(points[[outer, inner, *upper, *lower], :2]).all():
            continue  # compiled loops do not stop at what is no number
        along = points[inner, :2] - points[outer, :2]
        up = np.array([along[1], -along[0]], np.float32)
        if up @ (points[lower, :2] - points[upper, :2]).mean(0) > 0:
            up = -up
        if up @ up < 1.0:  # an eye of no width
            continue
        reach = white_above(picture, points[upper, :2], points[lower, :2], up)
        points[upper, :2] += _ARCH[:, None] * np.float32(reach) * up
    return points


_ARCH = np.array([0.45, 0.8, 0.97, 1.0, 0.97, 0.8, 0.45], np.float32)
"""How far each point of an upper lid moves when the eye opens, from one corner to the other."""


def lid_opening(points: Floats) -> Floats:
    """(2,) lid distance over eye width, left and right in the image; open about 0.3, closed under 0.1."""
    opening = np.zeros(2, np.float32)
    for side, (upper, lower, (outer, inner)) in enumerate(_EYES):
        gap = np.linalg.norm(points[upper[1:-1], :2] - points[lower[1:-1], :2], axis=1).mean()
        opening[side] = gap / (np.linalg.norm(points[outer, :2] - points[inner, :2]) + 1e-6)
    return opening


def mouth_gap(points: Floats) -> float:
    """Distance of the inner lips over the mouth's width, both of (468, >=2) points in a picture."""
    width = np.linalg.norm(points[78, :2] - points[308, :2]) + 1e-6
    return float(np.linalg.norm(points[13, :2] - points[14, :2]) / width)


def _rotation(angle: float) -> Floats:
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.array([[cosine, -sine], [sine, cosine]], np.float32)

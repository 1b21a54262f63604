"""Calm without lag: landmarks smoothed over a short window that looks both ways.

Head pose is fitted by a local parabola (Savitzky and Golay, 1964), so constant motion and acceleration pass
unchanged. What remains in the head's own frame is expression: its points are averaged with those neighbours
in time that differ by no more than the landmarks' noise, so that a blink of three frames keeps its shape
while a resting face rests.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from facefusion.faces.align import Pose, fit_pose
from facefusion.faces.kernels import calm
from facefusion.faces.landmarks import Face, lid_opening
from facefusion.faces.topology import (
    LANDMARK_COUNT,
    LEFT_EYE_CONTOUR,
    LEFT_EYE_CORNERS,
    RIGHT_EYE_CONTOUR,
    RIGHT_EYE_CORNERS,
)

Floats = NDArray[np.float32]

RADIUS = 6
"""Frames looked ahead and back."""

_TIME_SIGMA = 2.2
_NOISE = 0.011  # of the distance between the outer eye corners
_EYES = (np.array(LEFT_EYE_CONTOUR), np.array(RIGHT_EYE_CONTOUR))


@dataclass(frozen=True)
class PosedFace:
    """A face taken apart into head pose and what the head's own frame shows."""

    face: Face
    pose: Pose
    shape: Floats
    gaze: Floats

    @classmethod
    def of(cls, face: Face, reference: Floats) -> PosedFace:
        """Fit the pose against a canonical reference shape (468, 3)."""
        pose = fit_pose(reference, face.points)
        return cls(face, pose, pose.invert(face.points), _gaze(face))


class Smoother:
    """Smooths one moment of a track.

    Args:
        groups: landmark numbers that move together (lips, each eye, brows ...); the rest is one more group.
    """

    def __init__(self, groups: Sequence[Sequence[int]]) -> None:
        self._groups = np.full(LANDMARK_COUNT, len(groups), np.int64)
        for number, group in reversed(list(enumerate(groups))):
            self._groups[list(group)] = number

    def smooth(self, window: Sequence[PosedFace], centre: int) -> Face:
        """The face at `window[centre]`, calmed by its neighbours of the same track (consecutive frames)."""
        here = window[centre]
        if len(window) < 3:
            return here.face
        offsets = np.arange(len(window), dtype=np.float64) - centre
        nearness = np.exp(-(offsets**2) / (2 * _TIME_SIGMA**2))
        shapes = np.stack([posed.shape for posed in window])
        shape = calm(shapes, centre, nearness, self._groups, _NOISE)
        pose = _smooth_pose([posed.pose for posed in window], centre)
        points = pose.apply(shape)
        gazes = np.stack([posed.gaze for posed in window])
        distance = np.abs(gazes - gazes[centre]).max(axis=(1, 2))
        weight = nearness * np.exp(-(distance**2) / (2 * 0.05**2))
        gaze = np.tensordot(weight / weight.sum(), gazes, axes=1)
        return replace(here.face, points=points, irises=_irises(points, gaze), lids=lid_opening(points))


def _smooth_pose(poses: Sequence[Pose], centre: int) -> Pose:
    here = poses[centre]
    scales = np.array([pose.scale for pose in poses])
    offsets = np.array([pose.offset for pose in poses])
    rotations = np.array([pose.rotation for pose in poses])
    rows = np.concatenate(
        [
            np.log(scales / here.scale)[:, None],
            offsets - here.offset,
            _logs(here.rotation.T @ rotations),
        ],
        axis=1,
    )
    value = _parabola(len(poses), centre) @ rows
    return Pose(
        here.scale * float(np.exp(value[0])),
        np.asarray(here.rotation @ _exp(value[4:]), np.float32),
        np.asarray(here.offset + value[1:4], np.float32),
    )


@cache
def _parabola(count: int, centre: int) -> NDArray[np.float64]:
    """(count,) shares of the values in the least-squares parabola through them, at `centre`."""
    offsets = np.arange(count, dtype=np.float64) - centre
    weight = np.exp(-(offsets**2) / (2 * (RADIUS * 0.8) ** 2))
    powers = np.stack([offsets**k for k in range(3 if count >= 5 else 2)], axis=1)
    return np.asarray(np.linalg.pinv(powers * weight[:, None])[0] * weight)


def _gaze(face: Face) -> Floats:
    """(2, 3): iris place from the eye's middle, and radius, in the eye's own frame, over its width."""
    out = np.zeros((2, 3), np.float32)
    for side, (corners, contour) in enumerate(zip((LEFT_EYE_CORNERS, RIGHT_EYE_CORNERS), _EYES, strict=True)):
        axes, middle, width = _eye_frame(face.points, corners, contour)
        out[side, :2] = axes @ (face.irises[side, :2] - middle) / width
        out[side, 2] = face.irises[side, 2] / width
    return out


def _irises(points: Floats, gaze: Floats) -> Floats:
    out = np.zeros((2, 3), np.float32)
    for side, (corners, contour) in enumerate(zip((LEFT_EYE_CORNERS, RIGHT_EYE_CORNERS), _EYES, strict=True)):
        axes, middle, width = _eye_frame(points, corners, contour)
        out[side, :2] = middle + axes.T @ gaze[side, :2] * width
        out[side, 2] = gaze[side, 2] * width
    return out


def _eye_frame(
    points: Floats, corners: tuple[int, int], contour: NDArray[np.int64]
) -> tuple[Floats, Floats, float]:
    along = points[corners[1], :2] - points[corners[0], :2]
    width = float(np.linalg.norm(along)) + 1e-6
    x, y = along / width
    return np.array([[x, y], [-y, x]], np.float32), points[list(corners), :2].mean(0), width


def _logs(rotations: Floats) -> NDArray[np.float64]:
    """(n, 3) rotation vectors of small rotations (n, 3, 3)."""
    r = rotations.astype(np.float64)
    axes = np.stack([r[:, 2, 1] - r[:, 1, 2], r[:, 0, 2] - r[:, 2, 0], r[:, 1, 0] - r[:, 0, 1]], axis=1) / 2
    sines = np.sqrt((axes**2).sum(axis=1))
    angles = np.arctan2(sines, (np.trace(r, axis1=1, axis2=2) - 1) / 2)
    return np.asarray(axes * np.where(sines < 1e-9, 1.0, angles / np.maximum(sines, 1e-9))[:, None])


def _exp(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rotation of a rotation vector (Rodrigues)."""
    angle = float(np.linalg.norm(vector))
    if angle < 1e-12:
        return np.eye(3)
    x, y, z = vector / angle
    k = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.asarray(np.eye(3) + np.sin(angle) * k + (1 - np.cos(angle)) * k @ k)

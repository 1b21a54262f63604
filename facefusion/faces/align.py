"""Head pose: similarities between a face's canonical shape and its place in a picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facefusion.faces.topology import STABLE

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Pose:
    """Similarity that takes canonical coordinates to a picture: y = scale * x @ rotation + offset."""

    scale: float
    rotation: Floats
    offset: Floats

    def apply(self, points: Floats) -> Floats:
        """Canonical points (n, 3) to the picture."""
        return np.asarray(self.scale * points @ self.rotation + self.offset, np.float32)

    def invert(self, points: Floats) -> Floats:
        """Points of the picture (n, 3) to canonical coordinates."""
        return np.asarray((points - self.offset) @ self.rotation.T / self.scale, np.float32)


_STABLE = np.array(STABLE)


def fit_pose(canonical: Floats, points: Floats) -> Pose:
    """Least-squares similarity from canonical to picture coordinates.

    Source: Umeyama, "Least-squares estimation of transformation parameters between two point
    patterns" (1991), on the points that expressions hardly move.
    """
    a, b = canonical[_STABLE].astype(np.float64), points[_STABLE].astype(np.float64)
    mean_a, mean_b = a.mean(0), b.mean(0)
    a, b = a - mean_a, b - mean_b
    u, values, vt = np.linalg.svd(a.T @ b)
    rotation = u @ vt
    if np.linalg.det(rotation) < 0:
        u[:, 2] = -u[:, 2]
        values[2] = -values[2]
        rotation = u @ vt
    scale = float(values.sum() / (a * a).sum())
    offset = mean_b - scale * mean_a @ rotation
    return Pose(scale, rotation.astype(np.float32), offset.astype(np.float32))


def canonicalise(points: Floats, mirror: NDArray[np.int32]) -> tuple[Floats, Floats]:
    """Frontal, centred shape of unit size.

    A face is nearly symmetric; the frame in which the face and its mirror image agree best faces forward.

    Returns:
        (468, 3) the shape itself, and (468, 3) its symmetric part; x to the right, y down, z away from the
        camera, distance between the outer eye corners = 1.
    """
    flipped = points[mirror] * np.array([-1.0, 1.0, 1.0], np.float32)
    pose = fit_pose(flipped, points)
    # Half of the rotation between the mirror image and the face leads to the frame of symmetry.
    middle = _half_rotation(pose.rotation)
    shape = (points - points.mean(0)) @ middle.T
    if shape[33, 0] > shape[263, 0]:  # half of a turn past a half circle leads the other way round
        shape = shape * np.array([-1.0, -1.0, 1.0], np.float32)
    shape = shape / np.linalg.norm(shape[33] - shape[263])
    mirrored = shape[mirror] * np.array([-1.0, 1.0, 1.0], np.float32)
    shape = shape - np.array([(shape - mirrored)[list(STABLE), 0].mean() / 2, 0, 0], np.float32)
    mirrored = shape[mirror] * np.array([-1.0, 1.0, 1.0], np.float32)
    return shape.astype(np.float32), ((shape + mirrored) / 2).astype(np.float32)


def _half_rotation(rotation: Floats) -> Floats:
    """Rotation by half the angle about the same axis (Rodrigues)."""
    r = rotation.astype(np.float64)
    axis = np.array([r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1]])
    sine = np.linalg.norm(axis) / 2
    angle = np.arctan2(sine, (np.trace(r) - 1) / 2) / 2
    if sine < 1e-9:
        return np.eye(3, dtype=np.float32)
    x, y, z = axis / (2 * sine)
    k = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.asarray(np.eye(3) + np.sin(angle) * k + (1 - np.cos(angle)) * k @ k, np.float32)

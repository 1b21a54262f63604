"""Head pose: a known similarity is found again; shapes of turned heads come out frontal."""

from __future__ import annotations

import numpy as np
import pytest
from face_material import Models, Portrait
from numpy.typing import NDArray

from facefusion.faces.align import Pose, canonicalise, fit_pose
from facefusion.faces.topology import STABLE


def rotation(yaw: float, pitch: float, roll: float) -> NDArray[np.float32]:
    """Row-vector rotation matrix from degrees."""
    a, b, c = np.radians([yaw, pitch, roll])
    about_y = np.array([[np.cos(a), 0, -np.sin(a)], [0, 1, 0], [np.sin(a), 0, np.cos(a)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), np.sin(b)], [0, -np.sin(b), np.cos(b)]])
    about_z = np.array([[np.cos(c), np.sin(c), 0], [-np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return (about_y @ about_x @ about_z).astype(np.float32)


@pytest.fixture(scope="module")
def shape(models: Models, astronaut: Portrait) -> NDArray[np.float32]:
    return canonicalise(astronaut.face.points, models.topology.mirror)[1]


ANGLES = [(0, 0, 0), (40, 0, 0), (-60, 15, 0), (10, -30, 90), (0, 0, 180), (25, 25, -135)]


@pytest.mark.parametrize("angles", ANGLES)
@pytest.mark.parametrize("scale", [0.4, 87.0, 2100.0])
def test_a_known_similarity_is_recovered(
    shape: NDArray[np.float32], angles: tuple[float, float, float], scale: float
) -> None:
    turn, offset = rotation(*angles), np.array([512.0, -40.0, 3.0], np.float32)
    points = (scale * shape @ turn + offset).astype(np.float32)
    pose = fit_pose(shape, points)
    assert pose.scale == pytest.approx(scale, rel=1e-4)
    assert np.allclose(pose.rotation, turn, atol=1e-4)
    assert np.linalg.det(pose.rotation) == pytest.approx(1.0, abs=1e-4)
    assert np.allclose(pose.apply(shape), points, atol=2e-3 + 1e-4 * scale)
    assert np.allclose(pose.invert(points), shape, atol=1e-3 + 2e-3 / scale)


def test_expression_does_not_turn_the_head(models: Models, shape: NDArray[np.float32]) -> None:
    """Points that expressions move have no say."""
    points = Pose(100.0, rotation(20, 5, 10), np.array([50, 60, 0], np.float32)).apply(shape)
    moved = points.copy()
    free = [i for i in (*models.topology.lips, *models.topology.left_brow, 199, 200) if i not in STABLE]
    moved[free] += (0.0, 25.0, 5.0)
    before, after = fit_pose(shape, points), fit_pose(shape, moved)
    assert np.allclose(before.rotation, after.rotation, atol=1e-5)
    assert before.scale == pytest.approx(after.scale)


def test_a_mirrored_face_is_turned_and_not_reflected(shape: NDArray[np.float32]) -> None:
    pose = fit_pose(shape, (shape * (-1, 1, 1)).astype(np.float32))
    assert np.linalg.det(pose.rotation) == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize("angles", [(0, 0, 0), (35, 0, 0), (-50, 0, 0), (20, 0, 60), (-15, 0, 170)])
def test_the_shape_of_a_turned_head_faces_forward(
    models: Models, shape: NDArray[np.float32], angles: tuple[float, float, float]
) -> None:
    points = (80 * shape @ rotation(*angles) + (300, 200, 0)).astype(np.float32)
    own, symmetric = canonicalise(points, models.topology.mirror)
    # Nodding cannot be told by symmetry; turning and tilting can.
    assert np.allclose(own, symmetric, atol=2e-3)
    assert np.linalg.norm(own[33] - own[263]) == pytest.approx(1.0, abs=1e-3)
    assert own[33, 0] < 0 < own[263, 0]
    assert abs(own[33, 2] - own[263, 2]) < 2e-3
    assert abs(own[33, 1] - own[263, 1]) < 2e-3

"""The attention mesh gives what its authors' own program gives, in every part of the face."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from face_material import Models, Portrait, packed

from facefusion.faces.attention import ATTENTION_MESH, AttentionMesh, Looked
from facefusion.faces.topology import INNER_LIPS

# Pixels in the part [20:212, 128:320] of the sample picture, as MediaPipe 0.10.21 finds them there.
MESH = {10: (100.40, 45.39), 152: (94.99, 159.24)}
LIPS = {61: (74.03, 119.20), 291: (117.59, 120.30), 13: (95.42, 123.78), 14: (95.06, 130.08)}
EYES = {159: (74.93, 77.56), 145: (75.20, 84.50), 386: (120.42, 80.61), 374: (118.74, 86.70)}
BROWS = {105: (70.51, 65.83), 334: (127.74, 68.36)}
IRISES = ((75.66, 81.08), (118.56, 83.62))


@pytest.fixture(scope="module")
def network(models: Models) -> AttentionMesh:
    return AttentionMesh(models.folder / ATTENTION_MESH)


@pytest.fixture(scope="module")
def seen(network: AttentionMesh, astronaut: Portrait) -> Looked:
    return look(network, astronaut.picture[20:212, 128:320])


def look(network: AttentionMesh, part: np.ndarray) -> Looked:
    return network(np.ascontiguousarray(part[None, :, :, ::-1]).astype(np.float32) / 255.0)


@pytest.mark.parametrize("expected", [MESH, LIPS, EYES, BROWS], ids=["mesh", "lips", "eyes", "brows"])
def test_landmarks_are_those_of_the_reference(seen: Looked, expected: dict[int, tuple[float, float]]) -> None:
    for point, place in expected.items():
        assert seen.points[point, :2] == pytest.approx(place, abs=0.02)


def test_irises_are_those_of_the_reference(seen: Looked) -> None:
    assert seen.irises[:, :2] == pytest.approx(np.array(IRISES), abs=0.02)
    assert np.all((seen.irises[:, 2] > 2.0) & (seen.irises[:, 2] < 5.0))


def test_a_face_is_told_from_no_face(network: AttentionMesh, seen: Looked) -> None:
    assert seen.presence > 0.95
    assert look(network, np.full((192, 192, 3), 128, np.uint8)).presence < 0.2


def test_lips_drawn_apart_are_seen_apart(network: AttentionMesh, seen: Looked, astronaut: Portrait) -> None:
    """The mesh alone keeps a mouth near its usual width; its close-up does not."""
    part = astronaut.picture[20:212, 128:320].copy()
    corner, other = seen.points[61, :2], seen.points[291, :2]
    centre = (corner + other) / 2
    x, y = np.meshgrid(np.arange(192, dtype=np.float32), np.arange(192, dtype=np.float32))
    near = np.exp(-(((x - centre[0]) / 34) ** 4) - ((y - centre[1] - 3) / 20) ** 4)
    narrowed = cv2.remap(part, x + (x - centre[0]) * near * 0.5, y, cv2.INTER_LINEAR)
    mouth = look(network, narrowed).points[list(INNER_LIPS)]
    usual = seen.points[list(INNER_LIPS)]
    assert np.ptp(mouth[:, 0]) < 0.8 * np.ptp(usual[:, 0])


def test_a_studied_picture_does_not_lean_to_one_side(models: Models, astronaut: Portrait) -> None:
    """What is found in the mirror image is the mirror image of what is found."""
    picture = astronaut.picture
    mirrored = np.ascontiguousarray(picture[:, ::-1])
    face = models.landmarker.study(packed(picture), astronaut.face)
    twin = models.landmarker.study(packed(mirrored), models.face(mirrored))
    back = twin.points[models.topology.mirror]
    back[:, 0] = picture.shape[1] - back[:, 0]
    away = np.linalg.norm(back[:, :2] - face.points[:, :2], axis=1)
    assert away.max() < 0.012 * face.size

"""The expression is the target's: mouth, lids, gaze, and the way the head is held."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from face_material import (
    LEFT_EYE,
    RIGHT_EYE,
    Image,
    Models,
    Portrait,
    camera,
    eyes_painted_shut,
    eyes_squeezed,
    middle,
    mouth_opened,
    pursed,
    shown,
    warped,
)
from swapping import Swapped, closer, mouth_gap, swap

from facefusion.faces.landmarks import Face, eye_roll
from facefusion.swap.mesh.engine import MeshEngine
from facefusion.swap.mesh.source import MeshSource

SOURCES = pytest.mark.parametrize("whose", ["man", "woman"])


def _source(request: pytest.FixtureRequest, whose: str) -> MeshSource:
    source: MeshSource = request.getfixturevalue(f"source_{whose}")
    return source


def _faces(models: Models, swapped: Sequence[Swapped]) -> list[Face]:
    return [models.face(frame.picture) for frame in swapped]


@SOURCES
def test_a_mouth_that_opens_in_the_target_opens_in_the_result(
    models: Models,
    mesh_engine: MeshEngine,
    target_astronaut: Portrait,
    whose: str,
    request: pytest.FixtureRequest,
) -> None:
    calm = [target_astronaut.picture] * 4
    opening = [mouth_opened(target_astronaut, models, share) for share in (0.05, 0.1, 0.15, 0.2)]
    swapped = swap(models, mesh_engine, _source(request, whose), calm + opening)[3:]
    wanted = np.array([mouth_gap(frame.target) for frame in swapped])
    got = np.array([mouth_gap(face) for face in _faces(models, swapped)])
    assert np.corrcoef(wanted, got)[0, 1] > 0.85
    assert np.ptp(got) > 0.5 * np.ptp(wanted)


@pytest.mark.parametrize("whose", ["man", "astronaut"])
def test_lids_that_close_in_the_target_close_in_the_result(
    models: Models,
    mesh_engine: MeshEngine,
    target_astronaut: Portrait,
    target_man: Portrait,
    whose: str,
    request: pytest.FixtureRequest,
) -> None:
    target = target_man if whose == "astronaut" else target_astronaut
    shut = eyes_painted_shut(target)
    swapped = swap(models, mesh_engine, _source(request, whose), [target.picture] * 8 + [shut] * 2)
    opened, closed = (models.face(swapped[place].picture).lids.mean() for place in (7, 9))
    assert opened > 0.19
    assert closed < 0.62 * opened
    assert closed < 0.15


@SOURCES
def test_lids_close_by_degrees(
    models: Models,
    mesh_engine: MeshEngine,
    target_astronaut: Portrait,
    whose: str,
    request: pytest.FixtureRequest,
) -> None:
    frames = [target_astronaut.picture] * 8
    frames += [eyes_squeezed(target_astronaut, models, share) for share in (0.3, 0.6, 0.8)]
    frames += [target_astronaut.picture]
    faces = _faces(models, swap(models, mesh_engine, _source(request, whose), frames))[7:]
    lids = np.array([face.lids.mean() for face in faces])
    assert lids[3] < 0.75 * lids[0]
    assert lids[3] < lids[2] < lids[0] * 1.05
    assert lids[4] > 0.9 * lids[0]


def _looking(portrait: Portrait, aside: float) -> Image:
    """Irises moved by a share of the eye's width."""
    picture, points = portrait.picture, portrait.face.points[:, :2]
    for iris, corners in zip(portrait.face.irises, (LEFT_EYE, RIGHT_EYE), strict=True):
        ends = points[list(corners)]
        width = float(np.linalg.norm(ends[1] - ends[0]))
        angles = np.linspace(0, 2 * np.pi, 12, endpoint=False)
        ring = np.stack([np.cos(angles), np.sin(angles)], axis=1)
        old = np.concatenate([iris[None, :2], iris[:2] + 0.9 * iris[2] * ring])
        still = np.concatenate([ends.mean(0) + 0.9 * width * ring * (1, 0.8), ends])
        picture = warped(picture, old, old + np.array([aside * width, 0.0]), still)
    return picture


def _gaze(face: Face) -> float:
    """Place of the irises between the corners of their eyes, mean of both."""
    out = []
    for iris, corners in zip(face.irises, (LEFT_EYE, RIGHT_EYE), strict=True):
        first, last = face.points[list(corners), :2]
        along = (last - first) / np.linalg.norm(last - first)
        out.append(float((iris[:2] - (first + last) / 2) @ along / np.linalg.norm(last - first)))
    return float(np.mean(out))


def test_the_result_looks_where_the_target_looks(
    models: Models, mesh_engine: MeshEngine, astronaut: Portrait, source_man: MeshSource
) -> None:
    near = closer(models, astronaut, 200, (400, 320))
    frames = [_looking(near, aside) for aside in (-0.12, -0.06, 0.0, 0.06, 0.12)]
    swapped = swap(models, mesh_engine, source_man, frames)
    wanted = [_gaze(frame.target) for frame in swapped]
    got = [_gaze(face) for face in _faces(models, swapped)]
    assert np.ptp(wanted) > 0.06
    assert np.corrcoef(wanted, got)[0, 1] > 0.9
    assert np.ptp(got) > 0.5 * np.ptp(wanted)


@SOURCES
def test_the_head_is_held_as_in_the_target(
    models: Models, mesh_engine: MeshEngine, astronaut: Portrait, whose: str, request: pytest.FixtureRequest
) -> None:
    frames = []
    for turn in (-25, 0, 15, 30):
        matrix = camera(middle(astronaut.face), size=(320, 240), zoom=150 / astronaut.face.size, turn=turn)
        frames.append(shown(astronaut.picture, matrix, (320, 240)))
    for frame in frames:
        [swapped] = swap(models, mesh_engine, _source(request, whose), [frame])
        off = np.degrees(eye_roll(models.face(swapped.picture).points) - eye_roll(swapped.target.points))
        assert abs(off) < 2.0


def test_a_still_face_gives_still_pictures(
    models: Models, mesh_engine: MeshEngine, source_man: MeshSource, target_astronaut: Portrait
) -> None:
    """What is drawn settles; it does not creep or pulse."""
    frames = swap(models, mesh_engine, source_man, [target_astronaut.picture] * 30)
    change = [np.abs(a.picture.astype(int) - b.picture.astype(int)).mean() for a, b in pairwise(frames[20:])]
    assert max(change) < 0.35


def test_eyes_shut_in_the_source_stay_open_in_the_result(
    models: Models, mesh_engine: MeshEngine, target_astronaut: Portrait, source_woman: MeshSource
) -> None:
    assert source_woman.lids.max() < 0.15
    [swapped] = swap(models, mesh_engine, source_woman, [target_astronaut.picture])
    assert models.face(swapped.picture).lids.min() > 0.7 * target_astronaut.face.lids.min()


def test_pursed_lips_stay_narrow(
    models: Models, mesh_engine: MeshEngine, target_astronaut: Portrait, source_man: MeshSource
) -> None:
    """The width of the source's mouth is added to a resting mouth, and less of it to one drawn together."""
    narrow = pursed(target_astronaut)
    swapped = swap(models, mesh_engine, source_man, [target_astronaut.picture] * 8 + [narrow])
    before, after = (_mouth_width(models.face(swapped[place].picture)) for place in (7, 8))
    asked = _mouth_width(models.face(narrow)) / _mouth_width(target_astronaut.face)
    assert asked < 0.85
    assert after / before < asked + 0.1


def _mouth_width(face: Face) -> float:
    return float(np.linalg.norm(face.points[61, :2] - face.points[291, :2]) / face.size)


def test_a_sleeper_in_a_single_picture_goes_on_sleeping(
    models: Models, mesh_engine: MeshEngine, target_astronaut: Portrait, source_man: MeshSource
) -> None:
    """No other frame tells how wide these eyes open."""
    shut = eyes_painted_shut(target_astronaut)
    [swapped] = swap(models, mesh_engine, source_man, [shut])
    assert models.face(swapped.picture).lids.max() < 0.15

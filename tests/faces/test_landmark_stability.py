"""Landmarks stick to the face however the picture is moved, turned and scaled; lids tell open from shut."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from face_material import (
    LEFT_EYE,
    RIGHT_EYE,
    Image,
    Models,
    Portrait,
    camera,
    carried,
    eyes_painted_shut,
    eyes_squeezed,
    middle,
    mouth_opened,
    packed,
    planar,
    shown,
)
from numpy.typing import NDArray

from facefusion.faces.landmarks import Readable, cut

Framed = Callable[[Image], Readable]
SIZE = (480, 400)


def _errors(models: Models, portrait: Portrait, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance of every landmark from where it should be, in % of the face's size in the view."""
    face = models.face(shown(portrait.picture, matrix, SIZE))
    scale = np.sqrt(abs(np.linalg.det(matrix[:, :2])))
    away = np.linalg.norm(face.points[:, :2] - carried(portrait.face.points, matrix), axis=1)
    return np.asarray(100 * away / (portrait.face.size * scale))


@pytest.mark.parametrize("shift", [(0.5, 0.25), (1.0, 0.0), (37.3, -21.6)])
def test_landmarks_follow_a_translation(
    models: Models, astronaut: Portrait, shift: tuple[float, float]
) -> None:
    at = (SIZE[0] / 2 + shift[0], SIZE[1] / 2 + shift[1])
    errors = _errors(models, astronaut, camera(middle(astronaut.face), size=SIZE, at=at))
    assert errors.mean() < 0.4
    assert errors.max() < 1.2


@pytest.mark.parametrize("turn", [-60, -30, 12, 30, 60])
def test_landmarks_follow_a_rotation(models: Models, astronaut: Portrait, turn: int) -> None:
    errors = _errors(models, astronaut, camera(middle(astronaut.face), size=SIZE, turn=turn))
    assert errors.mean() < 0.7
    assert errors.max() < 2.0


@pytest.mark.parametrize("zoom", [0.45, 0.7, 1.4, 2.2])
def test_landmarks_follow_a_change_of_size(models: Models, astronaut: Portrait, zoom: float) -> None:
    errors = _errors(models, astronaut, camera(middle(astronaut.face), size=SIZE, zoom=zoom))
    assert errors.mean() < 1.0
    assert errors.max() < 3.0


@pytest.mark.parametrize("step", [10, -10])
def test_landmarks_follow_a_head_that_turns_upside_down(
    models: Models, astronaut: Portrait, step: int
) -> None:
    face = None
    for turn in range(0, 19 * step, step):
        matrix = camera(middle(astronaut.face), size=SIZE, turn=turn)
        frame = packed(shown(astronaut.picture, matrix, SIZE))
        face = models.face(frame.pixels) if face is None else models.landmarker.follow(frame, face)
        away = np.linalg.norm(face.points[:, :2] - carried(astronaut.face.points, matrix), axis=1)
        assert away.mean() < 0.015 * astronaut.face.size, turn
        assert away.max() < 0.05 * astronaut.face.size, turn


def test_landmarks_rest_when_they_are_followed_on_a_still_picture(
    models: Models, astronaut: Portrait
) -> None:
    frame, face = packed(astronaut.picture), astronaut.face
    seen = []
    for _ in range(12):
        face = models.landmarker.follow(frame, face)
        seen.append(face.points[:, :2])
    away = np.linalg.norm(np.array(seen[2:]) - seen[2], axis=2)
    assert away.max() < 0.006 * face.size


def test_the_visible_part_of_a_face_cut_by_the_border_is_still_located(
    models: Models, astronaut: Portrait
) -> None:
    x0, _, x1, _ = astronaut.face.box
    edge = int(x0 + 0.25 * (x1 - x0))
    picture = np.ascontiguousarray(astronaut.picture[:, edge:])
    face = models.face(picture)
    inside = astronaut.face.points[:, 0] > edge + 0.1 * (x1 - x0)
    away = np.linalg.norm(face.points[:, :2] + (edge, 0) - astronaut.face.points[:, :2], axis=1)
    assert np.median(away[inside]) < 0.04 * astronaut.face.size


def test_irises_lie_between_the_lids(models: Models, astronaut: Portrait) -> None:
    for iris, corners in zip(astronaut.face.irises, (LEFT_EYE, RIGHT_EYE), strict=True):
        ends = astronaut.face.points[list(corners), :2]
        width = np.linalg.norm(ends[1] - ends[0])
        assert np.linalg.norm(iris[:2] - ends.mean(0)) < 0.25 * width
        assert 0.15 * width < iris[2] < 0.35 * width


def test_depth_grows_away_from_the_camera(astronaut: Portrait) -> None:
    z = astronaut.face.points[:, 2]
    assert z[1] < z[[234, 454]].min() - 0.2 * astronaut.face.size


@pytest.mark.parametrize("whose", ["astronaut", "man"])
def test_lids_tell_open_eyes_from_painted_ones(
    models: Models, whose: str, request: pytest.FixtureRequest
) -> None:
    portrait = _enlarged(models, request.getfixturevalue(whose))
    shut = models.face(eyes_painted_shut(portrait))
    assert (shut.lids < 0.65 * portrait.face.lids).all()
    assert shut.lids.max() < 0.15


def test_lids_close_by_degrees(models: Models, astronaut: Portrait) -> None:
    portrait = _enlarged(models, astronaut)
    lids = np.array([models.face(eyes_squeezed(portrait, models, s)).lids for s in (0.0, 0.3, 0.6, 0.8)])
    assert (np.diff(lids, axis=0) < -0.02).all()
    assert (lids[-1] < 0.5 * lids[0]).all()


def test_the_mouth_opens_by_degrees(models: Models, astronaut: Portrait) -> None:
    portrait = _enlarged(models, astronaut)
    gaps = []
    for share in (0.0, 0.1, 0.2):
        points = models.face(mouth_opened(portrait, models, share)).points
        gaps.append(np.linalg.norm(points[13] - points[14]))
    assert gaps[0] * 1.2 < gaps[1] < gaps[2] / 1.1


@pytest.mark.parametrize("frame", [packed, planar])
@pytest.mark.parametrize("size", [40.0, 190.0, 300.0, 900.0])
@pytest.mark.parametrize("axis", [0, 1])
def test_a_crop_shows_what_lies_under_it(frame: Framed, size: float, axis: int) -> None:
    """The affine of a crop is exact at every reduction, at an angle, and beyond the border."""
    along = np.mgrid[0:480, 0:640].astype(np.float32)[1 - axis]
    picture = (along / 4 + 40).astype(np.uint8)[..., None].repeat(3, axis=2)
    whole = frame(picture)
    exact = whole.read((0, 0, 640, 480))[..., 1].astype(np.float32).mean() - picture.mean()
    crop, affine = cut(whole, np.array([300.0, 260.0], np.float32), size, 0.4, 96)
    yy, xx = np.mgrid[0:96, 0:96].astype(np.float32)
    at = np.stack([xx, yy], axis=-1) @ affine[:, :2].T + affine[:, 2]
    inside = (at[..., 0] > 12) & (at[..., 0] < 627) & (at[..., 1] > 12) & (at[..., 1] < 467)
    # A quarter of a grey level is one pixel; the picture was rounded down.
    off = 4 * (crop[..., 1].astype(np.float32) - exact + 0.5 - (at[..., axis] + 0.5) / 4 - 40)[inside]
    assert inside.any()
    assert abs(off.mean()) < 1.2
    assert np.abs(off).max() < 10


def _enlarged(models: Models, portrait: Portrait) -> Portrait:
    matrix = camera(middle(portrait.face), size=(320, 240), zoom=140 / portrait.face.size)
    view = shown(portrait.picture, matrix, (320, 240))
    return Portrait(view, models.face(view))

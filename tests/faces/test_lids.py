"""Upper lids lie where the white of an eye ends, also when it is torn open."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from face_material import UPPER_LIDS, Models, Portrait
from numpy.typing import NDArray

from facefusion.faces.landmarks import lid_opening, lift_lids
from facefusion.faces.topology import LEFT_EYE_CORNERS, LEFT_LIDS, RIGHT_EYE_CORNERS, RIGHT_LIDS

Floats = NDArray[np.float32]
Image = NDArray[np.uint8]
Colour = tuple[int, int, int]

SKIN, WHITE, LASHES, IRIS = (120, 150, 205), (205, 212, 215), (40, 45, 60), (50, 60, 70)
WIDTH = 30.0
EYES = (((66.0, 90.0), LEFT_LIDS, LEFT_EYE_CORNERS), ((126.0, 90.0), RIGHT_LIDS, RIGHT_EYE_CORNERS))
SHARES = np.sin(np.pi * np.array([0.14, 0.28, 0.4, 0.5, 0.6, 0.72, 0.86]))


def points_of_lids(height: float) -> Floats:
    """(468, 3) landmarks whose upper lids arch `height` pixels over the corners, the lower ones 5 below."""
    points = np.zeros((468, 3), np.float32)
    for (x, y), lids, (outer, inner) in EYES:
        sign = 1.0 if outer == LEFT_EYE_CORNERS[0] else -1.0
        points[outer, :2], points[inner, :2] = (x - sign * WIDTH / 2, y), (x + sign * WIDTH / 2, y)
        for (upper, lower), share in zip(lids, SHARES, strict=True):
            along = x - sign * WIDTH / 2 * np.cos(np.pi * np.arcsin(share) / np.pi)
            points[upper, :2], points[lower, :2] = (along, y - height * share), (along, y + 5 * share)
        places = np.linspace(x - sign * WIDTH * 0.42, x + sign * WIDTH * 0.42, 7)
        for (upper, lower), place in zip(lids, places, strict=True):
            points[upper, 0] = points[lower, 0] = place
    return points


def picture_of_eyes(
    points: Floats, skin: tuple[int, int, int] = SKIN, white: tuple[int, int, int] = WHITE
) -> Image:
    """Two eyes as the landmarks say, looking aside, with lashes along the upper lid."""
    picture = np.full((192, 192, 3), skin, np.uint8)
    for (x, y), lids, (outer, inner) in EYES:
        upper, lower = np.array(lids).T
        margin = points[[outer, *upper, inner], :2]
        outline = np.round(np.concatenate([margin, points[lower[::-1], :2]]) * 16).astype(np.int32)
        inside = np.zeros(picture.shape[:2], np.uint8)
        cv2.fillPoly(inside, [outline], 255, cv2.LINE_AA, 4)
        eye = np.full_like(picture, white)
        cv2.circle(eye, (round(x + 7), round(y)), 5, IRIS, -1, cv2.LINE_AA)
        share = inside[..., None] / 255.0
        picture = np.asarray(picture * (1 - share) + eye * share, np.uint8)
        cv2.polylines(
            picture, [np.round((margin - (0, 1.5)) * 16).astype(np.int32)], False, LASHES, 3, cv2.LINE_AA, 4
        )
    return picture


def test_lids_of_eyes_torn_open_are_lifted_to_their_edge() -> None:
    open_wide, half_way = points_of_lids(11.0), points_of_lids(6.0)
    lifted = lift_lids(picture_of_eyes(open_wide), half_way)
    for _, lids, _corners in EYES:
        upper = np.array(lids)[1:-1, 0]
        assert np.abs(lifted[upper, 1] - open_wide[upper, 1]).max() < 2.5
        assert half_way[upper, 1].mean() - lifted[upper, 1].mean() > 2.0
    lower = [pair[1] for _, lids, _ in EYES for pair in lids]
    assert np.array_equal(lifted[lower], half_way[lower])


@pytest.mark.parametrize("height", [6.0, 11.0])
def test_lids_that_lie_at_their_edge_stay(height: float) -> None:
    points = points_of_lids(height)
    assert np.abs(lift_lids(picture_of_eyes(points), points) - points).max() < 0.5


def test_closed_lids_stay() -> None:
    closed = points_of_lids(-4.0)
    assert np.abs(lift_lids(picture_of_eyes(closed), closed) - closed).max() < 0.5


def test_without_colour_nothing_is_known_and_nothing_moves() -> None:
    open_wide, half_way = points_of_lids(11.0), points_of_lids(6.0)
    grey = picture_of_eyes(open_wide, skin=(160, 160, 160), white=(215, 215, 215))
    assert np.array_equal(lift_lids(grey, half_way), half_way)


@pytest.mark.parametrize("number", [np.nan, np.inf, 1e6])
@pytest.mark.parametrize("part", ["lid", "corner", "all"])
def test_points_that_are_nowhere_do_no_harm(number: float, part: str) -> None:
    points = points_of_lids(6.0)
    picture = picture_of_eyes(points)
    points[{"lid": LEFT_LIDS[3][0], "corner": LEFT_EYE_CORNERS[0], "all": slice(None)}[part]] = number
    lifted = lift_lids(picture, points)
    lower = [pair[1] for _, lids, _ in EYES for pair in lids]
    assert np.array_equal(lifted[lower], points[lower], equal_nan=True)


@pytest.mark.parametrize("width", [0.0, 1e-30, 0.5])
def test_an_eye_of_no_width_has_no_lids_to_lift(width: float) -> None:
    points = points_of_lids(6.0)
    picture = picture_of_eyes(points_of_lids(11.0))
    for _, _, (outer, inner) in EYES:
        points[outer, :2], points[inner, :2] = 0.0, (width, 0.0)
    assert np.array_equal(lift_lids(picture, points), points)


def test_eyes_of_a_photo_that_are_seen_rightly_stay(models: Models, astronaut: Portrait) -> None:
    """The network sees usual eyes well; pulled down by hand, their lids come back."""
    points, picture = astronaut.face.points, astronaut.picture
    usual = lid_opening(points)
    assert np.abs(lid_opening(lift_lids(picture, points)) - usual).max() < 0.06
    pulled = points.copy()
    for upper, (outer, inner) in zip(UPPER_LIDS, (LEFT_EYE_CORNERS, RIGHT_EYE_CORNERS), strict=True):
        pulled[list(upper), 1] += 0.12 * np.linalg.norm(points[outer, :2] - points[inner, :2])
    assert np.all(lid_opening(lift_lids(picture, pulled)) >= lid_opening(pulled))

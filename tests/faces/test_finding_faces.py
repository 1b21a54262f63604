"""Faces are found where they are, and nowhere else."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from face_material import Image, Models, Portrait, camera, carried, middle, packed, planar, shown

from facefusion.faces.detect import Detection, FaceDetector, overlap
from facefusion.faces.track import find_faces, largest


def test_the_one_face_of_a_portrait_is_found_where_it_is(models: Models, astronaut: Portrait) -> None:
    [face] = models.faces(astronaut.picture)
    assert overlap(face.box, (168.0, 66.0, 276.0, 186.0)) > 0.7
    assert face.presence > 0.9


def test_all_six_faces_of_a_group_are_found_the_largest_first(models: Models, group: list[Portrait]) -> None:
    faces = models.faces(group[0].picture)
    assert len(faces) == 6
    centres = np.array([middle(face) for face in faces])
    known = np.array([(114, 333), (324, 212), (519, 348), (795, 421), (960, 142), (1182, 343)])
    nearest = np.linalg.norm(centres[:, None] - known[None], axis=2)
    assert sorted(nearest.argmin(1)) == [0, 1, 2, 3, 4, 5]
    assert nearest.min(1).max() < 15
    sizes = [face.size for face in faces]
    assert sizes == sorted(sizes, reverse=True)
    assert largest(faces) is faces[0]


def test_a_face_that_stands_on_its_head_is_not_taken_for_one_that_does_not(
    models: Models, astronaut: Portrait
) -> None:
    """Detectors find such faces, with eyes and mouth in the wrong places."""
    picture = np.ascontiguousarray(astronaut.picture[::-1, ::-1])
    corner = np.array(picture.shape[1::-1], np.float32) - 1
    upright = astronaut.face
    x0, y0, x1, y1 = upright.box
    box = (corner[0] - x1, corner[1] - y1, corner[0] - x0, corner[1] - y0)
    middle_x, middle_y, side = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2, upright.size
    eyes_and_more = np.array([(-0.2, -0.15), (0.2, -0.15), (0, 0.05), (0, 0.2), (-0.4, -0.1), (0.4, -0.1)])
    keypoints = (eyes_and_more * side + (middle_x, middle_y)).astype(np.float32)
    face = models.landmarker.from_detection(packed(picture), Detection(box, keypoints, 0.7))
    error = np.linalg.norm(corner - face.points[:, :2] - upright.points[:, :2], axis=1)
    assert error.max() < 0.06 * side


def _fields() -> list[tuple[str, Image]]:
    random = np.random.default_rng(11)
    noise = random.integers(0, 256, (360, 480, 3)).astype(np.uint8)
    clouds = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 17), None, 0, 255, cv2.NORM_MINMAX)
    ramp = np.repeat(np.linspace(0, 255, 480).astype(np.uint8)[None, :, None], 360, axis=0).repeat(3, axis=2)
    board = (np.indices((360, 480)).sum(0) // 40 % 2 * 255).astype(np.uint8)[..., None].repeat(3, axis=2)
    return [
        ("noise", noise),
        ("clouds", np.asarray(clouds, np.uint8)),
        ("ramp", ramp),
        ("board", board),
        ("grey", np.full((360, 480, 3), 127, np.uint8)),
        ("black", np.zeros((360, 480, 3), np.uint8)),
        ("single pixel", np.zeros((1, 1, 3), np.uint8)),
        ("single row", np.full((1, 700, 3), 90, np.uint8)),
    ]


@pytest.mark.parametrize("picture", [pytest.param(image, id=name) for name, image in _fields()])
def test_no_face_is_seen_where_there_is_none(models: Models, picture: Image) -> None:
    assert models.faces(picture) == []
    assert find_faces(planar(_even(picture)), models.detector, models.landmarker) == []


def _even(picture: Image) -> Image:
    height, width = picture.shape[:2]
    return np.ascontiguousarray(np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge"))


def test_a_small_face_in_a_large_picture_is_found(models: Models, astronaut: Portrait) -> None:
    scene = np.full((900, 1600, 3), 120, np.uint8)
    ratio = 34 / astronaut.face.size
    small = cv2.resize(astronaut.picture, None, fx=ratio, fy=ratio, interpolation=cv2.INTER_AREA)
    scene[150 : 150 + small.shape[0], 260 : 260 + small.shape[1]] = small
    [face] = models.faces(scene)
    expected = np.array(middle(astronaut.face)) * ratio + (260, 150)
    assert np.linalg.norm(np.array(middle(face)) - expected) < 4
    assert 26 < face.size < 44


def test_a_face_at_the_border_of_a_large_picture_is_found(models: Models, astronaut: Portrait) -> None:
    zoom = 90 / astronaut.face.size
    matrix = camera(middle(astronaut.face), size=(1600, 900), zoom=zoom, at=(40, 150))
    [face] = models.faces(shown(astronaut.picture, matrix, (1600, 900)))
    assert np.linalg.norm(np.array(middle(face)) - (40, 150)) < 9


@pytest.mark.parametrize("turn", [-60, -30, 30, 60])
def test_turned_heads_are_found(models: Models, astronaut: Portrait, turn: int) -> None:
    matrix = camera(middle(astronaut.face), size=(400, 400), turn=turn)
    [face] = models.faces(shown(astronaut.picture, matrix, (400, 400)))
    assert (
        np.linalg.norm(np.array(middle(face)) - carried(np.array([middle(astronaut.face)]), matrix)[0])
        < 0.1 * face.size
    )


def test_a_video_frame_gives_the_same_face_as_a_photo(models: Models, astronaut: Portrait) -> None:
    [photo] = models.faces(astronaut.picture)
    [video] = find_faces(planar(astronaut.picture), models.detector, models.landmarker)
    away = np.linalg.norm(photo.points[:, :2] - video.points[:, :2], axis=1)
    assert away.max() < 0.02 * photo.size


class _Misled(FaceDetector):
    """Reports one more face, larger than all others, where there is none."""

    def __init__(self, inner: FaceDetector, box: tuple[float, float, float, float]) -> None:
        self._inner = inner
        self._box = box

    @property
    def input_size(self) -> int:
        return self._inner.input_size

    def detect(self, image: Image, *, scale: float = 1.0) -> list[Detection]:
        found = self._inner.detect(image, scale=scale)
        x0, y0, x1, y1 = self._box
        points = np.array([(x0 + (x1 - x0) * a, y0 + (y1 - y0) * b) for a, b in _FEATURES], np.float32)
        return [Detection(self._box, points, 0.99), *found]


_FEATURES = ((0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.5, 0.8), (0.1, 0.5), (0.9, 0.5))


def test_a_false_alarm_does_not_hide_the_largest_face(models: Models, astronaut: Portrait) -> None:
    """The landmark model knows better than the detector; the next candidate gets its turn."""
    scene = np.full((512, 900, 3), 120, np.uint8)
    scene[:, :512] = astronaut.picture
    misled = _Misled(models.detector, (600.0, 150.0, 820.0, 370.0))
    faces = find_faces(packed(scene), misled, models.landmarker, limit=1)
    assert middle(faces[0]) == pytest.approx(middle(astronaut.face), abs=5)


def test_a_face_can_be_told_in_the_coordinates_of_a_larger_picture(astronaut: Portrait) -> None:
    face = astronaut.face
    moved = face.shifted(100.0, -20.0)
    x0, y0, x1, y1 = face.box
    assert moved.box == pytest.approx((x0 + 100, y0 - 20, x1 + 100, y1 - 20))
    assert np.allclose(moved.irises - face.irises, [100, -20, 0])
    assert moved.size == pytest.approx(face.size)
    assert (moved.points[:, 2] == face.points[:, 2]).all()

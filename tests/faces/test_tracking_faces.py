"""A face keeps its number through a scene, and only there."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
import pytest
from face_material import Image, Models, Portrait, camera, carried, middle, moving, packed, planar, shown

from facefusion.faces import track
from facefusion.faces.track import FaceTracker, Observation

SIZE = (320, 240)


def follow(
    models: Models, frames: Iterable[Image], mode: str = "largest", detect_every: int = 12
) -> list[list[Observation]]:
    tracker = FaceTracker(
        models.detector,
        models.landmarker,
        mode=mode,  # type: ignore[arg-type]
        detect_every=detect_every,
    )
    return [tracker.observe(packed(frame)) for frame in frames]


def numbers(seen: list[list[Observation]]) -> list[list[int]]:
    return [sorted(observation.track for observation in frame) for frame in seen]


def still(portrait: Portrait, face_pixels: float = 100.0, at: tuple[float, float] | None = None) -> Image:
    zoom = face_pixels / portrait.face.size
    return shown(portrait.picture, camera(middle(portrait.face), size=SIZE, zoom=zoom, at=at), SIZE)


def together(left: Image, right: Image) -> Image:
    """Two views side by side."""
    return np.hstack([left[:, 60:260], right[:, 60:260]])


def test_one_face_keeps_its_number_and_its_landmarks_while_everything_moves(
    models: Models, astronaut: Portrait
) -> None:
    views, matrices = moving(astronaut, 60)
    seen = follow(models, views)
    assert numbers(seen) == [[0]] * 60
    for [observation], matrix in zip(seen, matrices, strict=True):
        face = observation.face
        away = np.linalg.norm(face.points[:, :2] - carried(astronaut.face.points, matrix), axis=1)
        assert away.mean() < 0.015 * face.size
        assert away.max() < 0.04 * face.size


def test_video_frames_are_followed_like_pictures(models: Models, astronaut: Portrait) -> None:
    views, _ = moving(astronaut, 15)
    tracker = FaceTracker(models.detector, models.landmarker, mode="largest")
    seen = [tracker.observe(planar(view)) for view in views]
    assert numbers(seen) == [[0]] * 15
    for [one], [other] in zip(seen, follow(models, views), strict=True):
        assert np.abs(one.face.points - other.face.points)[:, :2].max() < 0.03 * one.face.size


def test_most_frames_are_followed_without_looking_for_faces(
    models: Models, astronaut: Portrait, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0
    detect = models.detector.detect

    def counted(image: Image, *, scale: float = 1.0) -> object:
        nonlocal looks
        looks += 1
        return detect(image, scale=scale)

    monkeypatch.setattr(models.detector, "detect", counted)
    views, _ = moving(astronaut, 48)
    assert numbers(follow(models, views)) == [[0]] * 48
    assert looks <= 6


def test_a_cut_begins_a_new_track_at_once(models: Models, astronaut: Portrait, man: Portrait) -> None:
    views = [still(astronaut)] * 8 + [still(man)] * 8
    assert numbers(follow(models, views)) == [[0]] * 8 + [[1]] * 8


def test_a_cut_to_the_same_face_elsewhere_begins_a_new_track(models: Models, astronaut: Portrait) -> None:
    views = [still(astronaut, 90)] * 6 + [still(astronaut, 130, at=(90, 130))] * 6
    assert numbers(follow(models, views)) == [[0]] * 6 + [[1]] * 6


def test_a_flash_and_a_fade_are_no_cut(models: Models, astronaut: Portrait) -> None:
    view = still(astronaut)
    flash = cv2.convertScaleAbs(view, alpha=1.0, beta=70)
    faded = [cv2.convertScaleAbs(view, alpha=a, beta=0) for a in (0.9, 0.7, 0.5, 0.4, 0.6, 0.8)]
    views = [view, view, flash, view, view, *faded, view]
    assert numbers(follow(models, views)) == [[0]] * len(views)


def test_nothing_is_followed_where_no_face_is(models: Models) -> None:
    random = np.random.default_rng(2)
    views = [random.integers(0, 256, (240, 320, 3)).astype(np.uint8) for _ in range(4)]
    assert numbers(follow(models, [*views, *[np.full((240, 320, 3), 90, np.uint8)] * 4], "all")) == [[]] * 8


def test_a_face_that_comes_late_is_found_within_three_frames(models: Models, astronaut: Portrait) -> None:
    empty = np.full((240, 320, 3), 150, np.uint8)
    seen = numbers(follow(models, [empty] * 7 + [still(astronaut)] * 5))
    assert seen[:7] == [[]] * 7
    assert seen[9:] == [[0]] * 3


def _hidden(view: Image, portrait: Portrait) -> Image:
    covered = view.copy()
    cv2.rectangle(covered, (100, 55), (220, 190), (128, 128, 128), -1)
    return covered


def test_a_face_hidden_for_a_few_frames_keeps_its_number(models: Models, astronaut: Portrait) -> None:
    view = still(astronaut)
    seen = numbers(follow(models, [view] * 4 + [_hidden(view, astronaut)] * 5 + [view] * 6))
    assert seen[:4] == [[0]] * 4
    assert seen[5:9] == [[]] * 4
    assert seen[-3:] == [[0]] * 3


def test_a_face_that_was_long_away_gets_a_new_number(models: Models, astronaut: Portrait) -> None:
    view = still(astronaut)
    seen = numbers(follow(models, [view] * 3 + [_hidden(view, astronaut)] * 25 + [view] * 4))
    assert seen[-1] == [1]


def test_the_largest_face_is_kept_while_another_grows_a_little_larger(
    models: Models, astronaut: Portrait, man: Portrait
) -> None:
    """One face must not lose its swap because somebody leans forward."""
    views = [together(still(astronaut, 100), still(man, 84 + index)) for index in range(32)]
    seen = follow(models, views)
    assert numbers(seen) == [[0]] * 32
    assert all(middle(frame[0].face)[0] < 200 for frame in seen)


def test_nobody_takes_the_place_of_a_face_that_is_hidden_for_a_moment(
    models: Models, astronaut: Portrait, man: Portrait
) -> None:
    """A hand passes in front of the chosen face; the person beside it is not swapped instead."""
    view = together(still(astronaut, 100), still(man, 84))
    covered = view.copy()
    covered[55:190, 40:160] = 128
    seen = numbers(follow(models, [view] * 4 + [covered] * 4 + [view] * 6))
    assert seen[:4] == [[0]] * 4
    assert seen[4:8] == [[]] * 4
    assert seen[-3:] == [[0]] * 3


def test_the_next_face_takes_over_when_the_chosen_one_has_gone(
    models: Models, astronaut: Portrait, man: Portrait
) -> None:
    view = together(still(astronaut, 100), still(man, 84))
    alone = view.copy()
    alone[:, :200] = 128
    seen = follow(models, [view] * 4 + [alone] * 26)
    assert numbers(seen)[:4] == [[0]] * 4
    assert numbers(seen)[-5:] == [[1]] * 5
    assert middle(seen[-1][0].face)[0] > 200


def test_the_largest_face_is_the_one_followed(models: Models, astronaut: Portrait, man: Portrait) -> None:
    [frame] = follow(models, [together(still(astronaut, 70), still(man, 110))])
    assert len(frame) == 1
    assert middle(frame[0].face)[0] > 200


def test_a_face_that_clearly_takes_the_scene_becomes_the_largest(
    models: Models, astronaut: Portrait, man: Portrait
) -> None:
    views = [together(still(astronaut, 70), still(man, 50 + 4 * index)) for index in range(24)]
    seen = follow(models, views)
    assert middle(seen[0][0].face)[0] < 200 < middle(seen[-1][0].face)[0]
    assert seen[0][0].track != seen[-1][0].track


def test_all_faces_of_a_group_are_followed_at_once(models: Models, group: list[Portrait]) -> None:
    """Each is a small part of the picture; each keeps its number."""
    size = (960, 600)
    centre, expected = (640, 340), []
    views, matrices = [], []
    for index in range(16):
        matrix = camera(centre, size=size, zoom=0.74, turn=0.15 * index, at=(480 + index, 300))
        views.append(shown(group[0].picture, matrix, size))
        matrices.append(matrix)
    seen = follow(models, views, "all")
    assert numbers(seen) == [[0, 1, 2, 3, 4, 5]] * 16
    for number in range(6):
        places = [middle(o.face) for frame in seen for o in frame if o.track == number]
        expected = [carried(np.array([middle(p.face)]), matrices[-1])[0] for p in group]
        assert min(np.linalg.norm(np.array(places[-1]) - e) for e in expected) < 12
        steps = np.linalg.norm(np.diff(places, axis=0), axis=1)
        assert steps.max() < 8


def test_a_small_face_in_a_wide_shot_is_followed(models: Models, astronaut: Portrait) -> None:
    size = (1280, 720)
    views = []
    for index in range(6):
        zoom = 55 / astronaut.face.size
        matrix = camera(middle(astronaut.face), size=size, zoom=zoom, at=(380 + 3 * index, 280))
        views.append(shown(astronaut.picture, matrix, size))
    assert numbers(follow(models, views)) == [[0]] * 6


def test_two_tracks_do_not_stay_on_one_face(
    models: Models, astronaut: Portrait, man: Portrait, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of two neighbours goes, the other moves into the gap, and both searches end on the same face."""
    both = np.full((240, 320, 3), 120, np.uint8)
    both[:, :160] = still(man, 80)[:, 80:240]
    both[:, 160:] = still(astronaut, 80)[:, 80:240]
    alone = np.full((240, 320, 3), 120, np.uint8)
    alone[:, 98:258] = still(astronaut, 80)[:, 80:240]
    monkeypatch.setattr(track, "_CUT", 9.0)
    seen = follow(models, [both] * 2 + [alone] * 26, "all")
    assert numbers(seen)[0] == [0, 1]
    assert [len(frame) for frame in seen[-12:]] == [1] * 12


def test_a_face_that_leaves_the_picture_is_let_go(models: Models, astronaut: Portrait) -> None:
    views = [still(astronaut, at=(160 + 14 * index, 120)) for index in range(22)]
    seen = numbers(follow(models, views))
    assert seen[0] == [0]
    assert seen[-1] == []

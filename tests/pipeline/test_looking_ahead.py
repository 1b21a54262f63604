"""Between following faces and painting them: a few frames of patience, and no memory of the rest."""

from __future__ import annotations

import gc
import weakref
from dataclasses import dataclass, replace

import numpy as np
from face_material import Models, Portrait

from facefusion.faces.landmarks import Face
from facefusion.faces.smooth import RADIUS
from facefusion.faces.track import Observation
from facefusion.targets import _Analyst, _Task


@dataclass(eq=False)
class Frame:
    index: int


class Tracker:
    """Sees a face in the frames it is told, a little further to the right each time."""

    def __init__(self, face: Face, tracks: dict[int, int] | None = None) -> None:
        self._face = face
        self._tracks = tracks
        self.seen: list[weakref.ref[Face]] = []

    def observe(self, frame: Frame) -> list[Observation]:
        track = 0 if self._tracks is None else self._tracks.get(frame.index)
        if track is None:
            return []
        face = self._face.shifted(2.0 * frame.index, 0.0)
        self.seen.append(weakref.ref(face))
        return [Observation(track, face)]


class Painter:
    """Notes the order in which it is asked to look."""

    def __init__(self) -> None:
        self.studied: list[tuple[int, int]] = []

    def study(self, frame: Frame, track: int, face: Face) -> object:
        self.studied.append((frame.index, track))
        return None


def analyst(models: Models, tracker: Tracker) -> tuple[_Analyst, Painter]:
    painter = Painter()
    return _Analyst(tracker, painter, models.topology), painter  # type: ignore[arg-type]


def _indices(tasks: list[_Task]) -> list[int]:
    return [task.frame.index for task in tasks]


def test_frames_are_handed_out_in_order_once_their_neighbours_are_known(
    models: Models, astronaut: Portrait
) -> None:
    made, painter = analyst(models, Tracker(astronaut.face))
    out = [_indices(made(Frame(index))) for index in range(12)]
    assert out == [[]] * RADIUS + [[index] for index in range(12 - RADIUS)]
    assert _indices(made(None)) == list(range(12 - RADIUS, 12))
    assert painter.studied == [(index, 0) for index in range(12)]


def test_constant_motion_comes_out_as_it_went_in(models: Models, astronaut: Portrait) -> None:
    made, _ = analyst(models, Tracker(astronaut.face))
    tasks = [task for index in range(20) for task in made(Frame(index))] + made(None)
    for task in tasks:
        [(_, face, _)] = task.faces
        expected = astronaut.face.points + np.array([2.0 * task.frame.index, 0, 0], np.float32)
        assert np.abs(face.points - expected)[:, :2].max() < 0.2


def test_what_was_handed_out_is_forgotten(models: Models, astronaut: Portrait) -> None:
    """M14: an hour of video needs no more memory than a second."""
    tracker = Tracker(astronaut.face)
    made, _ = analyst(models, tracker)
    frames: list[weakref.ref[Frame]] = []
    for index in range(80):
        frame = Frame(index)
        frames.append(weakref.ref(frame))
        made(frame)
        del frame
    gc.collect()
    assert sum(reference() is not None for reference in frames) <= RADIUS
    assert sum(reference() is not None for reference in tracker.seen) <= 2 * RADIUS + 1


def test_a_face_is_not_smoothed_across_its_absence_or_into_another_track(
    models: Models, astronaut: Portrait
) -> None:
    """Track 0 in frames 0 to 5, nobody in 6, track 1 elsewhere from 7 on."""
    tracks = {**dict.fromkeys(range(6), 0), **dict.fromkeys(range(7, 14), 1)}
    made, painter = analyst(models, Tracker(astronaut.face, tracks))
    tasks = [task for index in range(14) for task in made(Frame(index))] + made(None)
    assert [len(task.faces) for task in tasks] == [1] * 6 + [0] + [1] * 7
    assert painter.studied == [(index, track) for index, track in sorted(tracks.items())]


def test_many_short_tracks_leave_nothing_behind(models: Models, astronaut: Portrait) -> None:
    made, _ = analyst(models, Tracker(replace(astronaut.face), {index: index for index in range(150)}))
    for index in range(150):
        made(Frame(index))
    assert len(made._references) <= 64

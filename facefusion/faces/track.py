"""Following faces through a video: which face is which, and when a scene ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from facefusion.faces.detect import Detection, overlap
from facefusion.faces.finder_detector import Detector
from facefusion.faces.landmarks import Face, Landmarker, Readable

Box = tuple[float, float, float, float]
SelectorMode = Literal["largest", "all"]

# A face that follows worse than this has left, or something hides it.
_PRESENCE = 0.5
# Mean luma difference (0..1) between two frames that starts a new scene.
_CUT = 0.11
_GRID = 24
# Frames for which a lost face is remembered, so that it keeps its number when it comes back.
_MEMORY = 15


class Trackable(Readable, Protocol):
    """What tracking needs of a frame; `facefusion.media` frames have it."""

    def thumbnail(self, max_side: int) -> tuple[NDArray[np.uint8], float]:
        """The whole picture as small BGR uint8, and the factor by which it was reduced."""
        ...

    def luma_samples(self, step: int) -> NDArray[np.float32]:
        """Every `step`-th luma sample in both directions, 0..1."""
        ...


@dataclass(frozen=True)
class Observation:
    """A face that was followed into one frame.

    Attributes:
        track: number of the track; a new scene starts new tracks.
        face: where it is.
    """

    track: int
    face: Face


class FaceTracker:
    """Detects every few frames and after a cut; in between follows the landmarks.

    Args:
        detector, landmarker: warm models.
        mode: `largest` follows one face of the scene, `all` every one.
        detect_every: frames between two detections.
    """

    def __init__(
        self, detector: Detector, landmarker: Landmarker, *, mode: SelectorMode, detect_every: int = 12
    ) -> None:
        self._detector = detector
        self._landmarker = landmarker
        self._mode = mode
        self._detect_every = detect_every
        self._tracks: dict[int, Face] = {}
        self._lost: dict[int, tuple[Face, int]] = {}
        self._bystanders: list[Box] = []
        self._next = 0
        self._since_detection = self._since_search = detect_every
        self._last_luma: NDArray[np.float32] | None = None

    def observe(self, frame: Trackable) -> list[Observation]:
        """Faces of the next frame."""
        if self._is_cut(frame):
            self._tracks.clear()
            self._lost.clear()
            self._bystanders.clear()
            self._since_detection = self._since_search = self._detect_every
        self._lost = {track: (face, age + 1) for track, (face, age) in self._lost.items() if age < _MEMORY}
        followed = {}
        for track, face in self._tracks.items():
            moved = self._landmarker.follow(frame, face)
            if moved.presence >= _PRESENCE and _plausible(face, moved, frame):
                followed[track] = moved
        missing = {track: (face, 0) for track, face in self._tracks.items() if track not in followed}
        self._lost |= missing
        self._tracks = followed
        self._since_detection += 1
        self._since_search += 1
        # Without a face, look more often: the beginning of an appearance matters.
        due = self._detect_every if self._tracks else min(3, self._detect_every)
        if missing or self._since_detection >= due:
            self._since_detection = 0
            known, self._bystanders = self._bystanders, []
            self._take(frame, _look(frame, self._detector), known)
            wanted = self._mode == "all" or not self._tracks
            if wanted and (missing or self._since_search >= self._detect_every):
                self._since_search = 0
                self._take(frame, _look_closely(frame, self._detector), known)
            self._drop_twins()
        return [Observation(track, face) for track, face in self._tracks.items()]

    def _take(self, frame: Trackable, found: Sequence[Detection], bystanders: Sequence[Box]) -> None:
        """Follow what was found from now on, unless it is followed already.

        Args:
            bystanders: boxes of faces that were seen before and not chosen.
        """
        for detection in sorted(found, key=lambda detection: -detection.area):
            if any(overlap(detection.box, face.box) >= 0.2 for face in self._tracks.values()):
                continue
            if self._mode == "largest" and not self._takes_the_scene(detection, bystanders):
                self._bystanders.append(detection.box)
                continue
            face = self._landmarker.from_detection(frame, detection)
            if face.presence < _PRESENCE:
                continue
            if self._mode == "largest":
                self._tracks.clear()
            self._tracks[self._number(face)] = face

    def _takes_the_scene(self, detection: Detection, bystanders: Sequence[Box]) -> bool:
        """The chosen face is kept until another one clearly takes the scene.

        While it is hidden for a moment, nobody who stood beside it takes its place; a face that nobody has
        seen before is itself, somewhere else.
        """
        rivals = list(self._tracks.values())
        if any(overlap(detection.box, box) > 0.3 for box in bystanders):
            rivals += [face for face, _ in self._lost.values()]
        return detection.area > 1.8 * max((face.size**2 for face in rivals), default=0.0)

    def _number(self, face: Face) -> int:
        """The track that was lost here a moment ago, or a new one."""
        for track, (old, _) in self._lost.items():
            if overlap(old.box, face.box) > 0.3:
                del self._lost[track]
                return track
        self._next += 1
        return self._next - 1

    def _drop_twins(self) -> None:
        """Two tracks on one face: the older stays."""
        kept: dict[int, Face] = {}
        for track, face in sorted(self._tracks.items()):
            if all(overlap(face.box, other.box) < 0.4 for other in kept.values()):
                kept[track] = face
        self._tracks = kept

    def _is_cut(self, frame: Trackable) -> bool:
        step = max(1, max(frame.width, frame.height) // (_GRID * 2))
        luma = frame.luma_samples(step)
        last, self._last_luma = self._last_luma, luma
        if last is None or last.shape != luma.shape:
            return last is not None
        difference = float(np.abs(luma - last).mean())
        # A change of brightness alone (a flash, a fade) is not a new scene.
        shape = float(np.abs((luma - luma.mean()) - (last - last.mean())).mean())
        return min(difference, shape * 1.3) > _CUT


def find_faces(
    frame: Trackable, detector: Detector, landmarker: Landmarker, *, limit: int | None = None
) -> list[Face]:
    """All faces of a single picture, largest first: at most `limit` of them."""
    found = _look(frame, detector)
    for share, least in ((0.6, 0.0), (0.45, 0.6), (0.25, 0.75)):
        for detection in _look_closely(frame, detector, share):
            if detection.score >= least and all(overlap(detection.box, other.box) < 0.3 for other in found):
                found.append(detection)
    faces: list[Face] = []
    for detection in sorted(found, key=lambda detection: -detection.area):
        if len(faces) == limit:
            break
        face = landmarker.from_detection(frame, detection)
        if face.presence >= _PRESENCE and all(overlap(face.box, other.box) < 0.4 for other in faces):
            faces.append(landmarker.follow(frame, face))
    return sorted(faces, key=lambda face: -face.size)


def largest(faces: Sequence[Face]) -> Face:
    """The face with the largest extent."""
    return max(faces, key=lambda face: face.size)


def _look(frame: Trackable, detector: Detector) -> list[Detection]:
    """What looks like a face when the whole picture is seen at once."""
    small, scale = frame.thumbnail(detector.input_size)
    return detector.detect(small, scale=scale)


def _look_closely(frame: Trackable, detector: Detector, share: float = 0.6) -> list[Detection]:
    """What looks like a face in overlapping parts, each a share of the picture in both directions.

    A face of less than a twentieth of what is looked at is not found.
    """
    found: list[Detection] = []
    if max(frame.width, frame.height) < 2 * detector.input_size:
        return found
    for x0, y0, x1, y1 in _parts(frame.width, frame.height, share):
        shrink = max(1, max(x1 - x0, y1 - y0) // (2 * detector.input_size))
        part = frame.read((x0, y0, x1, y1), shrink)
        for detection in detector.detect(part, scale=part.shape[1] / (x1 - x0)):
            moved = detection.shifted(x0, y0)
            # What one part cuts off lies whole in another; what the picture cuts off does not.
            if (
                (x0 == 0 or moved.box[0] > x0 + 2)
                and (y0 == 0 or moved.box[1] > y0 + 2)
                and (x1 == frame.width or moved.box[2] < x1 - 2)
                and (y1 == frame.height or moved.box[3] < y1 - 2)
            ):
                found.append(moved)
    return found


def _parts(width: int, height: int, share: float) -> list[tuple[int, int, int, int]]:
    w, h = max(1, int(width * share)), max(1, int(height * share))
    count = int(np.ceil((1 - share) / (share * 0.7))) + 1
    lefts, tops = (np.linspace(0, room, count).astype(int).tolist() for room in (width - w, height - h))
    return [(x, y, x + w, y + h) for y in tops for x in lefts]


def _plausible(before: Face, after: Face, frame: Readable) -> bool:
    """A followed face neither jumps in size nor leaves the picture."""
    ratio = after.size / (before.size + 1e-6)
    x0, y0, x1, y1 = after.box
    inside = min(x1, frame.width) - max(x0, 0) > 0.3 * (x1 - x0) and min(y1, frame.height) - max(
        y0, 0
    ) > 0.3 * (y1 - y0)
    return 0.6 < ratio < 1.6 and inside and after.size >= 12

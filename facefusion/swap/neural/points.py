"""Five landmarks for the aligners: of a landmark model, else of a detector, else of the mesh.

Landmarks of those models are what the networks were trained with, but they tremble from frame to frame; the
mesh is calm. So they are asked now and then, and what they find corrects the mesh, averaged over the track.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from facefusion.faces.detect import overlap
from facefusion.faces.finding import FaceFinder, FoundFace
from facefusion.faces.five_points import Floats, align, five_from_mesh, invert, transform
from facefusion.faces.landmarks import Face, Readable
from facefusion.faces.landmarks68 import Landmarker68, five_from_68
from facefusion.faces.recent import PerTrack
from facefusion.models.contracts import Template

_LEAST_OVERLAP = 0.2
_LEAST_CERTAINTY = 0.5
# Side of the region that the detector sees, in sizes of the face.
_SURROUNDINGS = 2.4
_ASKED_AT_FIRST = 4
_ASKED_EVERY = 12


@dataclass
class _Track:
    seen: int = 0
    corrections: list[NDArray[np.float64]] = field(default_factory=list)


class FivePoints:
    """Finds five landmarks of faces whose mesh is known.

    Args:
        finder: a detector, or None.
        landmarker: a model of 68 landmarks, or None; where it is sure, it has the last word.
        template: in whose coordinates corrections are averaged.
    """

    def __init__(
        self, finder: FaceFinder | None, landmarker: Landmarker68 | None, template: Template
    ) -> None:
        self._finder = finder
        self._landmarker = landmarker
        self._template = template

    def still(self, picture: Readable, face: Face) -> Floats:
        """(5, 2) for a single picture."""
        return five_from_mesh(face) if (found := self._look(picture, face)) is None else found

    def follow(self) -> FivePointsOfTracks:
        """For the tracks of one target."""
        return FivePointsOfTracks(self)

    def correction(self, picture: Readable, face: Face) -> NDArray[np.float64] | None:
        """(5, 2) from the mesh's landmarks to the models', in units of the template."""
        found = self._look(picture, face)
        if found is None:
            return None
        mesh = five_from_mesh(face)
        affine = align(mesh, self._template, 1)
        return transform(affine, found) - transform(affine, mesh)

    def corrected(self, face: Face, correction: NDArray[np.float64] | None) -> Floats:
        """(5, 2) of the mesh, with a correction."""
        mesh = five_from_mesh(face)
        if correction is None:
            return mesh
        affine = align(mesh, self._template, 1)
        return transform(invert(affine), transform(affine, mesh) + correction).astype(np.float32)

    def _look(self, picture: Readable, face: Face) -> Floats | None:
        """(5, 2) as the installed models see them; None where there are none, or they find no face here."""
        found = self._detect(picture, face)
        if self._landmarker is None:
            return found.five if found else None
        points, certainty = self._landmarker.locate(picture, found.box if found else face.box)
        if certainty >= _LEAST_CERTAINTY:
            return five_from_68(points)
        return found.five if found else None

    def _detect(self, picture: Readable, face: Face) -> FoundFace | None:
        """What the detector finds in this face's place, in pixels of the picture."""
        if self._finder is None:
            return None
        x0, y0, x1, y1 = face.box
        reach = face.size * _SURROUNDINGS / 2
        centre = ((x0 + x1) / 2, (y0 + y1) / 2)
        left, top = (max(0, int(value - reach)) for value in centre)
        right = min(picture.width, int(centre[0] + reach) + 1)
        bottom = min(picture.height, int(centre[1] + reach) + 1)
        if right - left < 8 or bottom - top < 8:
            return None
        shrink = max(1, max(right - left, bottom - top) // 640)
        found = self._finder.find(picture.read((left, top, right, bottom), shrink))
        here = [_moved(candidate, shrink, (left, top)) for candidate in found]
        best = max(here, key=lambda candidate: overlap(candidate.box, face.box), default=None)
        return best if best and overlap(best.box, face.box) > _LEAST_OVERLAP else None


def _moved(found: FoundFace, scale: int, corner: tuple[int, int]) -> FoundFace:
    """A face found in a reduced region, in the picture's pixels."""
    x0, y0, x1, y1 = (float(value) for value in np.array(found.box) * scale + (*corner, *corner))
    return FoundFace((x0, y0, x1, y1), np.asarray(found.five * scale + corner, np.float32), found.score)


class FivePointsOfTracks:
    """What the models have said about each track so far. Called in order of time."""

    def __init__(self, points: FivePoints) -> None:
        self._points = points
        self._tracks = PerTrack(_Track)

    def learn(self, picture: Readable, track: int, face: Face) -> NDArray[np.float64] | None:
        """The correction in force for a track, (5, 2) in units of the template."""
        known = self._tracks[track]
        if known.seen < _ASKED_AT_FIRST or known.seen % _ASKED_EVERY == 0:
            correction = self._points.correction(picture, face)
            if correction is not None:
                known.corrections = [*known.corrections[-15:], correction]
        known.seen += 1
        return np.mean(known.corrections, axis=0) if known.corrections else None

    def five(self, face: Face, correction: NDArray[np.float64] | None) -> Floats:
        """(5, 2) in pixels."""
        return self._points.corrected(face, correction)

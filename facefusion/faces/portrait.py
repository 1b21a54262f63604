"""Source pictures: which face is meant, and is it good enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from facefusion.errors import FaceFusionError
from facefusion.faces.finder_detector import Detector
from facefusion.faces.landmarks import Face, Landmarker, mouth_gap
from facefusion.faces.picture import colour_spread, fine_detail
from facefusion.faces.track import find_faces
from facefusion.media.frame import PackedFrame
from facefusion.media.photos import read_face_picture

_SHUT = 0.15  # lid distance over eye width
_TINY = 40
_SMALL = 180
"""From here on a result is told to look soft; up to `_BEST` only the verdict on the picture says so."""
_BEST = 250
_SOME_GRAIN, _GRAINY = 3.0, 6.0  # grey levels
_TURNED = 30.0  # degrees
_OPEN = 0.15  # see `mouth_gap`
_COLOURLESS = 1.0  # steps of CIELAB
_ONE_SIDED = 1.3  # brightness of one cheek over the other
_CHEEKS = ((50, 101, 205, 117, 187, 118, 36), (280, 330, 425, 346, 411, 347, 266))


@dataclass(frozen=True)
class Flaw:
    """One thing that makes a picture a poorer source than it could be.

    Attributes:
        short: in a few words, as a part of the verdict on the picture.
        told: the sentence for reports; empty where results hardly suffer.
    """

    short: str
    told: str


@dataclass(frozen=True)
class Portraits:
    """Usable pictures (BGR uint8) with the face in each, and what had to be said about the others.

    Attributes:
        flaws: of the usable pictures, in their order.
    """

    usable: list[tuple[NDArray[np.uint8], Face]]
    warnings: list[str]
    flaws: list[list[Flaw]]


def read_portraits(paths: Sequence[Path], detector: Detector, landmarker: Landmarker) -> Portraits:
    """Read the pictures of one person and find the face in each; the largest face of a picture counts.

    A picture that cannot be used is left out with a sentence; whether the rest suffices is for the caller
    to say. With a single picture its error is raised as it is.

    Raises:
        MediaFormatError: the only picture cannot be read.
    """
    usable: list[tuple[NDArray[np.uint8], Face]] = []
    warnings: list[str] = []
    flaws: list[list[Flaw]] = []
    for path in paths:
        try:
            image = read_face_picture(path)
        except FaceFusionError as error:
            if len(paths) == 1:
                raise
            warnings.append(error.message)
            continue
        faces = find_faces(PackedFrame(image), detector, landmarker)
        if not faces:
            warnings.append(f"{path.name} shows no face that could be found.")
            continue
        face = steady(image, faces[0], landmarker)
        if face.size < _TINY:
            warnings.append(
                f"The face in {path.name} is only {face.size:.0f} pixels tall; at least {_TINY} are needed."
            )
            continue
        found = _flaws(image, face, path.name, len(faces))
        warnings += [flaw.told for flaw in found if flaw.told]
        usable.append((image, face))
        flaws.append(found)
    return Portraits(usable, warnings, flaws)


def _flaws(image: NDArray[np.uint8], face: Face, name: str, faces: int) -> list[Flaw]:
    """What is wrong with a picture (BGR uint8) in which the largest of so many faces is this one."""
    flaws = []
    if faces > 1:
        flaws.append(
            Flaw(
                f"{faces} faces in it, of which the largest is taken",
                f"{name} shows {faces} faces; the largest was taken.",
            )
        )
    if face.size < _BEST:
        size = f"small ({face.size:.0f} pixels, {_BEST} or more are best)"
        told = f"The face in {name} is {size}; larger faces get soft ones from it."
        flaws.append(Flaw(size, told if face.size < _SMALL else ""))
    flaws += _poor(image, face, name)
    turn = turned_away(face)
    if turn < 25 and _one_sidedness(image, face) > _ONE_SIDED:
        flaws.append(
            Flaw(
                "lit from one side",
                f"The face in {name} is lit from one side; some of its shadows stay in the result.",
            )
        )
    if turn > _TURNED:
        turned = f"turned {turn:.0f} degrees away"
        told = f"The face in {name} is {turned}; the hidden side is made up from the other."
        flaws.append(Flaw(turned, told if turn > 50 else ""))
    if face.lids.max() < _SHUT:
        flaws.append(
            Flaw("the eyes are shut", f"The eyes in {name} are shut; the result keeps the target's own eyes.")
        )
    if mouth_gap(face.points) > _OPEN:
        flaws.append(Flaw("smiling, or the mouth open", ""))
    return flaws


def _poor(image: NDArray[np.uint8], face: Face, name: str) -> list[Flaw]:
    """Flaws in grain and colour of the face in a picture (BGR uint8)."""
    height, width = image.shape[:2]
    x0, y0 = np.clip(face.points[:, :2].min(0), 0, (width - 1, height - 1)).astype(int)
    x1, y1 = np.clip(face.points[:, :2].max(0), 0, (width, height)).astype(int)
    part = image[y0:y1, x0:x1]
    if min(part.shape[:2]) < 16:
        return []
    flaws = []
    grain = fine_detail(np.asarray(cv2.cvtColor(part, cv2.COLOR_BGR2GRAY), np.uint8))
    if grain > _SOME_GRAIN:
        told = f"The face in {name} is very grainy; a cleaner picture gives a better result."
        flaws.append(Flaw("grainy", told if grain > _GRAINY else ""))
    if colour_spread(part) < _COLOURLESS:
        told = f"The face in {name} is black-and-white or strongly tinted; its colours are unknown."
        flaws.append(Flaw("without true colours", told))
    return flaws


def _one_sidedness(image: NDArray[np.uint8], face: Face) -> float:
    """How much brighter one cheek is than the other, at least 1."""
    luma = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    luma = cv2.GaussianBlur(luma, (0, 0), max(1.0, face.size / 40))
    height, width = luma.shape
    x, y = np.clip(face.points[:, :2].round().astype(int), 0, (width - 1, height - 1)).T
    left, right = (float(np.median(luma[y[list(cheek)], x[list(cheek)]])) + 1.0 for cheek in _CHEEKS)
    return max(left, right) / min(left, right)


def steady(image: NDArray[np.uint8], face: Face, landmarker: Landmarker) -> Face:
    """Landmarks of a still picture, as exact as they can be had."""
    frame = PackedFrame(image)
    for _ in range(2):  # the second time round a place that is no longer a guess
        face = landmarker.study(frame, face)
    return face


def turned_away(face: Face) -> float:
    """Degrees by which the head is turned left or right, from the depth of the cheeks."""
    left, right = face.points[234], face.points[454]
    return float(abs(np.degrees(np.arctan2(right[2] - left[2], abs(right[0] - left[0]) + 1e-6))))

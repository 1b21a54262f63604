"""The person of `face_selector_mode: reference`: from the settings' pictures to what recognises them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facefusion.config import ReferenceSettings
from facefusion.errors import ConfigError
from facefusion.faces.chosen import PersonFinder
from facefusion.faces.landmarks import Face, Readable
from facefusion.faces.portrait import read_portraits
from facefusion.faces.recognise import Recogniser, ReferencePeople
from facefusion.media.frame import PackedFrame
from facefusion.swap.neural.points import FivePoints
from facefusion.targets import Toolbox


@dataclass(frozen=True)
class FoundPerson:
    """What recognises the person, and what had to be said about the pictures."""

    finder: PersonFinder
    warnings: tuple[str, ...]


def find_person(
    settings: ReferenceSettings, recogniser: Recogniser, points: FivePoints, toolbox: Toolbox
) -> FoundPerson:
    """Read the reference pictures.

    Raises:
        ConfigError: the settings name no picture, or none that shows a usable face.
    """

    def embed(picture: Readable, face: Face) -> NDArray[np.float32]:
        return recogniser.embed([(picture, points.still(picture, face))])

    paths = tuple(file for name in settings.pictures for file in _files(Path(name)))
    if not paths:
        raise ConfigError(
            "`face_selector_mode` is `reference`, but `reference.pictures` names no picture.",
            remedy='Name some, for example `"reference": {"pictures": ["reference/ann.jpg"]}`, '
            "or set `face_selector_mode` to `largest`.",
        )
    portraits = read_portraits(paths, toolbox.detector, toolbox.landmarker)
    if not portraits.usable:
        raise ConfigError(f"`reference.pictures`: {' '.join(portraits.warnings)}")
    wanted = np.concatenate([embed(PackedFrame(image), face) for image, face in portraits.usable])
    people = ReferencePeople(wanted, settings.distance, settings.margin)
    return FoundPerson(PersonFinder(embed, people), tuple(portraits.warnings))


def _files(path: Path) -> list[Path]:
    """A picture, or those of a folder.

    Raises:
        ConfigError: there is nothing.
    """
    if path.is_dir():
        return sorted(file for file in path.iterdir() if file.is_file() and not file.name.startswith("."))
    if not path.is_file():
        raise ConfigError(f"`reference.pictures`: {path} does not exist.")
    return [path]

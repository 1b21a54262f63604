"""What every swap engine is: prepare a source once, then turn faces of frames into patches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from facefusion.config import AutomationConfig
from facefusion.faces.landmarks import Face, Readable


@dataclass(frozen=True)
class Patch:
    """Pixels to be laid over a frame.

    Attributes:
        box: x0, y0, x1, y1 in the frame, inside it.
        colour: (h, w, 3) uint8 BGR for exactly that box.
        alpha: (h, w) uint8; 0 leaves the frame as it is.
    """

    box: tuple[int, int, int, int]
    colour: NDArray[np.uint8]
    alpha: NDArray[np.uint8]


class Canvas(Readable, Protocol):
    """A picture or video frame that faces are read from and blended into (see `facefusion.media.frame`)."""

    def thumbnail(self, max_side: int) -> tuple[NDArray[np.uint8], float]:
        """The whole picture as small BGR uint8, and the factor by which it was reduced."""
        ...

    def blend(
        self, box: tuple[int, int, int, int], colour: NDArray[np.uint8], alpha: NDArray[np.uint8]
    ) -> None:
        """Mix BGR uint8 pixels in place; samples under alpha 0 stay bit-identical."""
        ...


@dataclass(frozen=True)
class EngineIdentity:
    """What really runs, for status and report.

    Attributes:
        name: `mesh` or `neural`.
        provider: execution provider or runtime that was proven to run.
        models: file name -> SHA-256 of every model used.
        processors: of the quality profile (and further ones) that run, as the profile calls them.
        warnings: what this engine does differently from what was asked, in sentences.
    """

    name: str
    provider: str
    models: Mapping[str, str]
    processors: tuple[str, ...] = ("face_swapper",)
    warnings: tuple[str, ...] = ()


class Painter(Protocol):
    """Paints one source into one target. `study` is called in order of time, `draw` from several threads."""

    def study(self, frame: Canvas, track: int, face: Face) -> object:
        """Learn from a face of a track what changes slowly; the answer is handed to `draw` for that face.

        The frame still shows the target, and must not be changed.
        """
        ...

    def draw(self, frame: Canvas, face: Face, manner: object) -> Patch | None:
        """The patch that replaces a face, or None where nothing can be replaced."""
        ...


@runtime_checkable
class FramePainter(Protocol):
    """A painter that also changes whole frames, after the faces in them."""

    def finish(self, frame: Canvas) -> None:
        """Change a frame in place. Called for every frame, from several threads."""
        ...


class SwapEngine(Protocol):
    """A way to swap faces. One engine serves many sources; `prepare` is called once for each."""

    @property
    def identity(self) -> EngineIdentity:
        """What really runs."""
        ...

    def prepare(self, pictures: Sequence[tuple[NDArray[np.uint8], Face]]) -> object:
        """Turn photos (BGR uint8) of one person, each with the face in it, into the engine's source."""
        ...

    def painter(self, source: object, config: AutomationConfig) -> Painter:
        """Begin a target."""
        ...

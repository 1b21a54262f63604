"""What every swap engine is: prepare a source once, then turn faces of frames into patches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from facefusion.faces.landmarks import Readable


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
    """What really runs, for status and report."""

    name: str
    provider: str
    models: Mapping[str, str]

"""When the content gate refuses: the model's contract and the rules over its scores. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, Any, Protocol

from facefusion.config import HARD_THRESHOLD, SOFT_THRESHOLD, GateSettings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NEIGHBOUR_SECONDS = 1.0
SUSPICION = 0.5
"""From this share of the lower threshold on, more is looked at around a frame."""

GATE_UNAVAILABLE = "gate unavailable"
"""Detail of a refusal that says nothing about the material: there was no model to judge it."""

GATE_MODEL = "nudenet_320n"
"""Name in the model registry."""

_ROUNDING = 1e-3


@dataclass(frozen=True)
class GateModel:
    """Which model judges: its name, and the SHA-256 of its file."""

    name: str
    sha256: str


class SafetyGate(Protocol):
    """A model that scores pictures."""

    @property
    def model(self) -> GateModel:
        """Which model this is."""

    @property
    def side(self) -> int:
        """Pixels of the longer side at which it looks at pictures."""

    def score(self, picture: NDArray[np.uint8]) -> Mapping[str, float]:
        """Score of each class that is a reason to refuse, 0 to 1.

        Args:
            picture: (h, w, 3) uint8 BGR, about `side` pixels on its longer side.
        """


@dataclass(frozen=True)
class Finding:
    """Why something was refused. This and the number of the job are all that is kept of it.

    Attributes:
        seconds: where in the video; None for pictures.
        name: of the class.
        score: 0 to 1.
    """

    seconds: float | None
    name: str
    score: float

    def __str__(self) -> str:
        where = "" if self.seconds is None else f" at {self.seconds:.1f} s"
        return f"{self.name} {self.score:.2f}{where}"


class Judge:
    """Judges the frames of one video, or pictures one by one.

    Two frames are needed to refuse a video: within a second of each other at the hard threshold, or anywhere
    at the soft one. A single frame is a slip of the model too easily, and a share of all frames would let a
    short scene in a long film pass. A picture is its own neighbour: it is refused by the hard threshold
    alone, and so is a frame that is shown for a second. The soft threshold counts where it is the lower one.

    Args:
        settings: the thresholds.
    """

    def __init__(self, settings: GateSettings) -> None:
        self.frames = 0
        self.highest: dict[str, float] = {}
        # Settings made in code are not bound to what a person may set.
        self._soft = min(settings.soft_threshold, SOFT_THRESHOLD)
        self._hard = min(settings.hard_threshold, HARD_THRESHOLD, self._soft)
        self._hits: dict[float, Finding] = {}
        self._single: Finding | None = None

    def video_frame(
        self, seconds: float, scores: Mapping[str, float], *, lasts: float = 0.0
    ) -> Finding | None:
        """Take in one frame, in any order; the reason if the video is now refused.

        Args:
            seconds: when it is shown.
            scores: of the model.
            lasts: for how many seconds, as far as that is known.
        """
        found = self._note(seconds, scores)
        self._single = found
        if found is None or found.score < self._hard:
            return None
        if lasts >= NEIGHBOUR_SECONDS - _ROUNDING:
            return found
        same = [known for known in self._hits if abs(known - seconds) <= _ROUNDING]
        others = [hit for known, hit in self._hits.items() if known not in same]
        seen_before = [self._hits.pop(known) for known in same]
        found = max(found, *seen_before, key=lambda hit: hit.score) if seen_before else found
        self._hits[seconds] = found
        for other in others:
            near = abs((other.seconds or 0.0) - seconds) <= NEIGHBOUR_SECONDS + _ROUNDING
            if near or min(found.score, other.score) >= self._soft:
                return max(found, other, key=lambda hit: hit.score)
        return None

    def stood_still(self, seconds: float, scores: Mapping[str, float]) -> Finding | None:
        """A frame that was taken in is shown for a second or more; the reason if that refuses the video."""
        found = _worst(seconds, scores)
        return found if found is not None and found.score >= self._hard else None

    def picture(self, scores: Mapping[str, float]) -> Finding | None:
        """Take in a picture; the reason if it is refused."""
        found = self._note(None, scores)
        return found if found is not None and found.score >= self._hard else None

    def end_of_video(self) -> Finding | None:
        """All has been looked at: a video of one frame is judged like a picture."""
        alone = self.frames == 1 and self._single is not None and self._single.score >= self._hard
        return self._single if alone else None

    def is_suspicious(self, scores: Mapping[str, float]) -> bool:
        """Whether more should be looked at around this frame."""
        return max(scores.values(), default=0.0) >= SUSPICION * self._hard

    def summary(self) -> dict[str, Any]:
        """Frames looked at and the highest score of each class."""
        return {"frames": self.frames, "highest": dict(self.highest)}

    def memory(self) -> dict[str, Any]:
        """All that was taken in, JSON-able, for an attempt that goes on behind it."""
        alone = None if self._single is None else astuple(self._single)
        hits = [(seconds, *astuple(hit)) for seconds, hit in self._hits.items()]
        return {"frames": self.frames, "highest": dict(self.highest), "hits": hits, "single": alone}

    def recall(self, memory: Mapping[str, Any]) -> None:
        """Begin with what `memory` gave."""
        self.frames, self.highest = memory["frames"], dict(memory["highest"])
        self._hits = {seconds: Finding(*hit) for seconds, *hit in memory["hits"]}
        self._single = None if memory["single"] is None else Finding(*memory["single"])

    def _note(self, seconds: float | None, scores: Mapping[str, float]) -> Finding | None:
        self.frames += 1
        for name, score in scores.items():
            self.highest[name] = max(score, self.highest.get(name, 0.0))
        return _worst(seconds, scores)


def _worst(seconds: float | None, scores: Mapping[str, float]) -> Finding | None:
    if not scores:
        return None
    name = max(scores, key=lambda each: scores[each])
    return Finding(seconds, name, scores[name])

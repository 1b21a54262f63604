"""The content gate: looks at target, source pictures and result, and refuses nudity. It fails closed.

There is no switch. Whatever keeps the model from judging (not installed, damaged, failing) refuses the job,
with the remedy. Of what is refused nothing is kept but a time, a class and a score.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from facefusion.config import AutomationConfig
from facefusion.errors import ContentBlockedError, FaceFusionError, MediaFormatError, OutOfMemoryError
from facefusion.media.frame import PackedFrame
from facefusion.media.photos import read_face_picture, read_photo
from facefusion.media.probe import probe
from facefusion.media.skim import VideoSkimmer
from facefusion.trust.nudenet import load_nudenet
from facefusion.trust.rules import GATE_UNAVAILABLE, NEIGHBOUR_SECONDS, Finding, Judge, SafetyGate

KEY_FRAME_SECONDS = 1.0
"""Key frames closer together than this are not all looked at."""
GAP_SECONDS = 2.0
OUTPUT_SECONDS = 1.0
CLOSE_SECONDS = 0.25
"""Distance of looks around a suspicion, and in the first second of a result."""
ALERT_SECONDS = 2.0
MOST_SUSPICIONS = 200
PANORAMA, MOST_PIECES = 2.5, 12
"""Pictures this many times as long as wide are looked at in pieces, too."""

Alive = Callable[[], object]


class Thumbnailed(Protocol):
    """A frame that can be seen small."""

    def thumbnail(self, max_side: int) -> tuple[NDArray[np.uint8], float]:
        """See `facefusion.media.frame.Frame.thumbnail`."""


class ContentGate:
    """Judges one job: `check_target`, `check_sources`, and an `inspector` for the result.

    Args:
        models_dir: where the model is installed.
        config: the settings in force; its thresholds count.
        threads: inside one call of the model.
        load: makes the model from the folder; NudeNet unless another one takes its place.

    Raises:
        ContentBlockedError: the model is not there or does not load.
    """

    def __init__(
        self,
        models_dir: Path,
        config: AutomationConfig,
        *,
        threads: int = 1,
        load: Callable[[Path, int], SafetyGate] = lambda folder, threads: load_nudenet(
            folder, threads=threads
        ),
    ) -> None:
        self._settings = config.gate
        self._parts: dict[str, Judge] = {}
        self._still: bool | None = None
        self._refused = False
        try:
            self._model = load(models_dir, threads)
        except FaceFusionError as error:
            raise _unavailable(error.message) from error
        except Exception as error:
            raise _unavailable(f"Its model cannot be loaded ({error}).") from error

    @property
    def result(self) -> dict[str, Any]:
        """What was looked at and what came of it, for reports and records; JSON-able.

        `verdict` is `passed` once target, sources and result have been looked at, `refused`, or `open`.
        """
        complete = len(self._parts) == 3 and all(judge.frames for judge in self._parts.values())
        return {
            "model": {"name": self._model.model.name, "sha256": self._model.model.sha256},
            "thresholds": {
                "hard": self._settings.hard_threshold,
                "soft": self._settings.soft_threshold,
            },
            **{part: judge.summary() for part, judge in self._parts.items()},
            "verdict": "refused" if self._refused else "passed" if complete else "open",
        }

    def check_target(self, path: Path, alive: Alive = lambda: None) -> None:
        """Look at a picture, or at frames spread over a video: key frames, at most two seconds apart.

        Args:
            path: the target.
            alive: called again and again meanwhile; may raise to stop.

        Raises:
            ContentBlockedError: refused, or the model failed.
            MediaFormatError: nothing in it can be looked at.
        """
        judge = self._judge("target")
        info = probe(path)
        self._still = info.kind == "photo"
        if self._still:
            self._refuse_for(path.name, judge.picture(self._score(read_photo(path).frame)))
            return
        skimmer = VideoSkimmer(path, info, alive)
        suspicions: list[tuple[float, float]] = []
        for glance in skimmer.spread(closest=KEY_FRAME_SECONDS, farthest=GAP_SECONDS):
            scores = self._score(glance.frame)
            if judge.is_suspicious(scores):
                suspicions.append((max(scores.values()), glance.seconds))
            self._refuse_for(path.name, judge.video_frame(glance.seconds, scores, lasts=glance.lasts))
            alive()
        if not judge.frames:
            raise MediaFormatError(f"No picture of {path.name} can be decoded.")
        suspicions.sort(reverse=True)
        for glance in skimmer.at(_around(seconds for _, seconds in suspicions[:MOST_SUSPICIONS])):
            scores = self._score(glance.frame)
            self._refuse_for(path.name, judge.video_frame(glance.seconds, scores, lasts=glance.lasts))
            alive()
        self._refuse_for(path.name, judge.end_of_video())

    def check_sources(self, paths: Iterable[Path], alive: Alive = lambda: None) -> None:
        """Look at the pictures of the source face. One that cannot be read is not used for it either.

        Args:
            paths: of the pictures.
            alive: see `check_target`.

        Raises:
            ContentBlockedError: refused, or the model failed.
        """
        judge = self._judge("sources")
        for path in paths:
            alive()
            try:
                picture = PackedFrame(read_face_picture(path))
            except MediaFormatError:
                continue
            self._refuse_for(path.name, judge.picture(self._score(picture)))

    def inspector(self) -> OutputInspector:
        """Looks at the result of the target that was checked, while it is made; a `FrameInspector`.

        Raises:
            ContentBlockedError: the target has not been checked.
        """
        if self._still is None:
            raise _unavailable("A result was begun before its target was looked at.")
        judge = self._judge("output")
        refuse = self._refuse_for
        return OutputInspector(judge, self._score, lambda found: refuse("The result", found), self._still)

    def require_passed(self) -> None:
        """Return only if target, sources and result have been looked at, and nothing was refused.

        Raises:
            ContentBlockedError: otherwise, or it is a video of one frame that would be refused as a photo.
                What was made is no result.
        """
        if self.result["verdict"] != "passed":
            raise _unavailable("A result was made that it has not looked at.")
        self._refuse_for("The result", self._parts["output"].end_of_video())

    def _judge(self, part: str) -> Judge:
        self._parts[part] = Judge(self._settings)
        return self._parts[part]

    def _score(self, frame: Thumbnailed) -> Mapping[str, float]:
        pictures = _views(frame, self._model.side)
        try:
            scores: dict[str, float] = {}
            for picture in pictures:
                answer = self._model.score(picture)
                if not answer or not all(0.0 <= score <= 1.001 for score in answer.values()):
                    raise ValueError("what it answers are no scores")
                for name, score in answer.items():
                    scores[name] = max(score, scores.get(name, score))
        except MemoryError as error:
            raise OutOfMemoryError("Memory ran out while the content gate looked at a picture.") from error
        except Exception as error:
            raise _unavailable(f"Its model failed ({error}).") from error
        return scores

    def _refuse_for(self, name: str, finding: Finding | None) -> None:
        if finding is None:
            return
        self._refused = True
        raise ContentBlockedError(
            f"{name} is refused by the content gate: {finding}.",
            remedy="Material that shows nudity is not processed. Take it out of the inbox.",
            detail=str(finding),
        )


class OutputInspector:
    """Looks at one frame of the result a second, more often at its beginning and around a suspicion.

    Args:
        judge: keeps what was seen.
        score: of a frame.
        refuse: raises if there is a finding.
        still: the result is a picture.
    """

    def __init__(
        self,
        judge: Judge,
        score: Callable[[Thumbnailed], Mapping[str, float]],
        refuse: Callable[[Finding | None], None],
        still: bool,
    ) -> None:
        self._judge = judge
        self._score = score
        self._refuse = refuse
        self._still = still
        self._next = -math.inf
        self._alert_until: float | None = None
        self._latest: tuple[float, Mapping[str, float]] | None = None

    def inspect(self, frame: Thumbnailed, seconds: float) -> None:
        """See `facefusion.jobspec.FrameInspector`.

        Raises:
            ContentBlockedError: refused, or the model failed.
        """
        if self._still:
            self._refuse(self._judge.picture(self._score(frame)))
            return
        lasts = _duration(frame)
        if self._latest is not None:  # the frame before was shown until now
            began, shown = self._latest
            self._latest = None
            if seconds - began >= NEIGHBOUR_SECONDS:
                self._refuse(self._judge.stood_still(began, shown))
        # A time stamp that jumps back must not keep the gate from looking.
        if self._next - OUTPUT_SECONDS <= seconds < self._next and lasts < NEIGHBOUR_SECONDS:
            return
        scores = self._score(frame)
        self._refuse(self._judge.video_frame(seconds, scores, lasts=lasts))
        self._latest = (seconds, scores)
        if self._alert_until is None:
            self._alert_until = seconds + OUTPUT_SECONDS
        if self._judge.is_suspicious(scores):
            self._alert_until = max(self._alert_until, seconds + ALERT_SECONDS)
        self._next = seconds + (CLOSE_SECONDS if seconds < self._alert_until else OUTPUT_SECONDS)

    def memory(self) -> dict[str, Any]:
        """See `facefusion.jobspec.RememberingInspector`."""
        latest = None if self._latest is None else (self._latest[0], dict(self._latest[1]))
        moments = {"next": self._next, "alert_until": self._alert_until, "latest": latest}
        return {"judge": self._judge.memory(), **moments}

    def recall(self, memory: Mapping[str, Any]) -> None:
        """See `facefusion.jobspec.RememberingInspector`."""
        self._judge.recall(memory["judge"])
        self._next, self._alert_until = memory["next"], memory["alert_until"]
        self._latest = None if memory["latest"] is None else (memory["latest"][0], memory["latest"][1])


def _views(frame: Thumbnailed, side: int) -> list[NDArray[np.uint8]]:
    """The frame as the model looks at it: small; a panorama also in pieces, or too little would be left."""
    whole, _ = frame.thumbnail(side)
    long, short = max(whole.shape[:2]), min(whole.shape[:2])
    pieces = min(math.ceil(long / short), MOST_PIECES)
    if long / short < PANORAMA:
        return [whole]
    large, _ = frame.thumbnail(side * pieces)
    if large.shape == whole.shape:  # a small picture: its pieces would show nothing more
        return [whole]
    along = 1 if large.shape[1] >= large.shape[0] else 0
    length = min(side, large.shape[along])
    starts = np.linspace(0, large.shape[along] - length, pieces + 1).round().astype(int)
    cuts = [large[:, at : at + length] if along else large[at : at + length] for at in starts]
    return [whole, *map(np.ascontiguousarray, cuts)]


def _duration(frame: object) -> float:
    """For how many seconds a frame is shown, where it says so."""
    decoded = getattr(frame, "av_frame", None)
    if decoded is None or not decoded.duration or decoded.time_base is None:
        return 0.0
    return float(decoded.duration * decoded.time_base)


def _around(moments: Iterable[float]) -> list[float]:
    offsets = [step * CLOSE_SECONDS for step in range(-3, 4) if step]
    return sorted({round(m + offset, 3) for m in moments for offset in offsets if m + offset >= 0})


def _unavailable(reason: str) -> ContentBlockedError:
    return ContentBlockedError(
        f"The content gate cannot work, so nothing is processed. {reason}",
        remedy="Run `python3 simple_auto_processor.py models install`, then `... retry`.",
        detail=GATE_UNAVAILABLE,
    )

"""What is counted and told while a target is swapped: frames, followed faces, progress."""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from facefusion.faces.detect import Detection
from facefusion.faces.finder_detector import Detector
from facefusion.flow import signs_of_life
from facefusion.jobspec import ProgressCallback, SwapProgress

SURE_SCORE = 0.75
"""From here on a detection counts as a face that was left alone; shadows and patterns score less."""


@dataclass
class Ledger:
    """What is counted while a target is swapped."""

    frames: int = 0
    frames_swapped: int = 0
    warnings: list[str] = field(default_factory=list)
    spans: dict[int, list[int]] = field(default_factory=dict)

    def count(self, index: int, tracks: list[int]) -> None:
        """Take in a frame that was written, and the tracks that were swapped in it."""
        self.frames += 1
        self.frames_swapped += bool(tracks)
        for track in tracks:
            span = self.spans.setdefault(track, [index, index, 0])
            span[1] = index
            span[2] += 1

    def tracks(self) -> list[dict[str, int]]:
        """Followed faces in order of their appearance; a very long list is cut."""
        ordered = sorted(self.spans.items(), key=lambda item: item[1][0])[:500]
        names = ("first_frame", "last_frame", "frames_swapped")
        return [{"id": track, **dict(zip(names, span, strict=True))} for track, span in ordered]

    def memory(self) -> dict[str, Any]:
        """The counts, JSON-able, for an attempt that goes on here."""
        spans = [[track, *span] for track, span in self.spans.items()]
        return {"frames": self.frames, "frames_swapped": self.frames_swapped, "spans": spans}

    def recall(self, memory: Mapping[str, Any]) -> None:
        """Begin with what `memory` gave."""
        self.frames, self.frames_swapped = memory["frames"], memory["frames_swapped"]
        self.spans = {track: span for track, *span in memory["spans"]}


class ProgressClock:
    """Progress with the speed of the last seconds, told about four times a second."""

    def __init__(self, total: int | None, tell: ProgressCallback) -> None:
        self._total = total
        self._tell = tell
        self._marks: deque[tuple[float, int]] = deque([(time.monotonic(), 0)], maxlen=20)
        self._told = 0.0
        self._stage: Literal["resuming", "swapping"] = "swapping"

    def tick(self, done: int, *, again: bool = False) -> None:
        """So many frames are done.

        Args:
            done: frames.
            again: they were finished before and are only looked at again; how long the rest takes cannot be
                told from that.
        """
        now = time.monotonic()
        stage: Literal["resuming", "swapping"] = "resuming" if again else "swapping"
        if stage != self._stage:
            self._stage = stage
            self._told = 0.0
            self._marks.clear()
            self._marks.append((now, done))
        if now - self._told < 0.25:
            return
        self._told = now
        start, count = self._marks[0]
        speed = (done - count) / max(now - start, 1e-6)
        self._marks.append((now, done))
        known = self._total and speed > 0 and not again
        left = max(0.0, ((self._total or 0) - done) / speed) if known else None
        total = max(self._total, done) if self._total else None
        self._tell(SwapProgress(stage, done, total, speed, left))

    @contextmanager
    def pausing(self, done: int) -> Iterator[None]:
        """Tell that work goes on where no frame is counted for more than a moment."""
        asked = itertools.count()

        def tell() -> None:
            if next(asked):
                self._tell(SwapProgress("finishing", done, self._total, 0.0, None))

        with signs_of_life(tell):
            yield

    @contextmanager
    def finishing(self, done: int) -> Iterator[None]:
        """Tell that the end is being worked on, for as long as it really is."""
        with signs_of_life(lambda: self._tell(SwapProgress("finishing", done, done, 0.0, 0.0))):
            yield


class Crowd:
    """A detector that notes when it sees several faces at once, where only one of them is swapped.

    Args:
        detector: that looks.
    """

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self._looks = 0

    @property
    def input_size(self) -> int:
        """See `Detector`."""
        return self._detector.input_size

    def detect(self, image: NDArray[np.uint8], *, scale: float = 1.0) -> list[Detection]:
        """See `Detector`."""
        found = self._detector.detect(image, scale=scale)
        self._looks += sum(detection.score >= SURE_SCORE for detection in found) > 1
        return found

    def remarks(self, kind: str) -> list[str]:
        """What is to be said about faces that were left as they are; once may be a mistake in a video."""
        if self._looks < (1 if kind == "photo" else 2):
            return []
        return [
            "There are several faces in it; only the largest one of each scene was swapped "
            '(`face_selector_mode` "all" takes every one).'
        ]

"""How long a benchmark will still take."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from facefusion.media.probe import probe
from facefusion.wording import duration


class Outlook:
    """How long a benchmark will still take, by the pixels that its jobs have been through.

    Args:
        clock: seconds.
        scope: what the time that is left is for, in words.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter, scope: str = "") -> None:
        self._clock = clock
        self._scope = scope and f" {scope}"
        self._began = clock()
        self._sizes: dict[Path, float] = {}
        self._expected = self._done = 0.0
        self._guessed = 0.0  # seconds for all of it, before anything is done

    def expect(self, clip: Path, jobs: int) -> None:
        """So many jobs with this clip are to come."""
        self._expected += jobs * self._pixels(clip)

    def passed(self, clip: Path) -> None:
        """A job with this clip is done."""
        self._done += self._pixels(clip)

    @property
    def known(self) -> bool:
        """Whether something can be said."""
        return bool(self._done or self._guessed)

    def guess(self, clip: Path, seconds: float) -> None:
        """While the first job is still under way: with this clip it takes so long."""
        self._guessed = seconds * self._expected / self._pixels(clip)

    def text(self) -> str:
        """`; about 3 min 05 s left`, or nothing where that cannot be said."""
        left = self._expected - self._done
        if not self.known or left <= 0.0:
            return ""
        passed = self._clock() - self._began
        seconds = passed * left / self._done if self._done else max(0.0, self._guessed - passed)
        return f"; about {duration(seconds)} left{self._scope}"

    def _pixels(self, clip: Path) -> float:
        if clip not in self._sizes:
            info = probe(clip)
            self._sizes[clip] = float(info.width * info.height) * (info.duration or 1.0)
        return self._sizes[clip]

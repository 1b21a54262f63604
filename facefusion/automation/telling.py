"""What a person should know without asking: logged when it comes up, once, a flood of it as a count."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from facefusion.automation.snapshot import InboxFile, Snapshot
from facefusion.wording import count

logger = logging.getLogger(__name__)

FILES_IN_FULL = 20
REST_SECONDS = 60.0
"""So many files are named one by one in so many seconds; more are counted."""


class Telling:
    """Looks at every picture of the state, and logs what is new in it.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._notices: tuple[str, ...] = ()
        self._files: tuple[InboxFile, ...] | None = None
        self._reasons: dict[str, str] = {}
        self._room = FILES_IN_FULL
        self._more = 0
        self._next_room = clock()

    def tell(self, snapshot: Snapshot) -> None:
        """Log what has come up since the last time: notices, and files that only a person can help."""
        for notice in snapshot.notices:
            if notice not in self._notices:
                logger.warning("%s", notice)
        self._notices = snapshot.notices
        if snapshot.files is not self._files:
            self._files = snapshot.files
            stuck = {
                file.path: f"{file.state} {file.path}: {file.reason}" for file in snapshot.files if file.stuck
            }
            news = [told for path, told in stuck.items() if self._reasons.get(path) != told]
            self._reasons = stuck
            self._log(news)
        if self._more and self._clock() >= self._next_room:
            self._log([])

    def _log(self, news: list[str]) -> None:
        if self._clock() >= self._next_room:
            self._next_room = self._clock() + REST_SECONDS
            self._room = FILES_IN_FULL
            self._say_more()
        for told in news[: self._room]:
            logger.warning("%s%s", told[0].upper(), told[1:])
        full = self._room == 0
        self._more += max(0, len(news) - self._room)
        self._room = max(0, self._room - len(news))
        if not full:  # of a flood the first count comes at once, later ones now and then
            self._say_more()

    def _say_more(self) -> None:
        if self._more:
            logger.warning("%s wait for you, too: see `status`.", count(self._more, "more file"))
            self._more = 0

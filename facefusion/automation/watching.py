"""Hints from the operating system that something in the inbox has changed.

A hint only makes the next scan come sooner. Hints may be lost, doubled or late without harm.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver

logger = logging.getLogger(__name__)

# Without a filter our own reading (opened, closed without writing) would be reported back to us.
EVENTS: list[type[FileSystemEvent]] = [
    FileCreatedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileDeletedEvent,
    FileClosedEvent,
    DirCreatedEvent,
    DirMovedEvent,
    DirDeletedEvent,
]
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
STOP_SECONDS = 2.0


class InboxWatch:
    """Owns the observer: starts it, notices when it died or watches a folder that is no longer the inbox.

    Args:
        folder: the inbox.
        hint: called in the observer's thread, often; must return at once and not raise.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        folder: Path,
        hint: Callable[[], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.problem: str | None = None
        self._folder = folder
        self._hint = hint
        self._clock = clock
        self._observer: BaseObserver | None = None
        self._watched: tuple[int, int] | None = None
        self._pause = FIRST_PAUSE
        self._not_before = 0.0

    @property
    def working(self) -> bool:
        """Whether hints can be expected."""
        return (
            self._observer is not None
            and self._observer.is_alive()
            and bool(emitters := self._observer.emitters)
            and all(emitter.is_alive() for emitter in emitters)
            and self._watched == _identity(self._folder)
        )

    def ensure(self) -> None:
        """Start watching if that is not going on; after a failure not again for a while."""
        if self.working or self._clock() < self._not_before:
            return
        if self._observer is not None:
            logger.warning("Watching the inbox for changes has stopped; starting again.")
            self.close()
        try:
            self._start()
        except OSError as error:
            # E.g. the system's limit of watched folders. The scan finds everything all the same.
            self.problem = f"Changes of the inbox cannot be watched ({error}); it is scanned instead."
            self._not_before = self._clock() + self._pause
            self._pause = min(self._pause * 2, LONGEST_PAUSE)
            self.close()
        else:
            self.problem = None
            self._pause = FIRST_PAUSE
            self._hint()  # what happened meanwhile was not seen

    def close(self) -> None:
        """Stop watching."""
        observer, self._observer = self._observer, None
        if observer is not None and observer.is_alive():
            observer.stop()
            observer.join(STOP_SECONDS)

    def _start(self) -> None:
        self._watched = _identity(self._folder)
        observer = Observer()
        self._observer = observer
        observer.schedule(_Hinting(self._hint), str(self._folder), recursive=True, event_filter=EVENTS)
        observer.start()


class _Hinting(FileSystemEventHandler):
    def __init__(self, hint: Callable[[], object]) -> None:
        self._hint = hint

    def on_any_event(self, event: FileSystemEvent) -> None:
        self._hint()


def _identity(folder: Path) -> tuple[int, int] | None:
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino

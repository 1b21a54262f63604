"""Whether results can be written: while they cannot the work pauses, each time for longer."""

from __future__ import annotations

import logging
from collections.abc import Callable

from facefusion.errors import StorageError

logger = logging.getLogger(__name__)

CHECK_SECONDS = 2.0
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 60.0


class Room:
    """Pauses the work when writing fails, and has it go on when there is room again.

    Attributes:
        paused: why nothing is started at the moment.

    Args:
        prove: returns only if results can be placed; told whether to prove it by writing (a disk need not be
            kept awake by a daemon with nothing to do).
        on_room: called whenever that was so; takes up what had to wait.
        clock: monotonic seconds.
    """

    def __init__(
        self, prove: Callable[[bool], object], on_room: Callable[[], object], clock: Callable[[], float]
    ) -> None:
        self.paused: str | None = None
        self._prove = prove
        self._on_room = on_room
        self._clock = clock
        self._next_check = self._next_proof = self._resume_at = clock()
        self._pause_seconds = FIRST_PAUSE_SECONDS

    def look(self) -> None:
        """Check now and then."""
        if self._clock() >= self._next_check:
            self._check(write=self.paused is not None)

    def ready(self) -> bool:
        """Whether a job can be started; from time to time that is proved by writing."""
        if self._clock() >= self._next_proof:
            self._check(write=True)
        return self.paused is None

    def trouble(self, error: StorageError) -> None:
        """Writing failed: pause, each time for longer; a check may find room where writing does not."""
        if self._clock() >= self._resume_at:  # what fails during a pause is the same trouble
            self._resume_at = self._clock() + self._pause_seconds
            self._pause_seconds = min(self._pause_seconds * 2, LONGEST_PAUSE_SECONDS)
        self._pause(error)

    def went_well(self) -> None:
        """Something was written; the next trouble is a new one."""
        self._pause_seconds = FIRST_PAUSE_SECONDS

    def _check(self, *, write: bool) -> None:
        self._next_check = self._clock() + CHECK_SECONDS
        if write:
            self._next_proof = self._next_check
        try:
            self._prove(write)
        except StorageError as error:
            self._pause(error)
            return
        if self._clock() < self._resume_at:
            return
        if self.paused is not None:
            logger.info("There is room again; work goes on.")
            self.paused = None
        self._on_room()

    def _pause(self, error: StorageError) -> None:
        reason = f"{error.message} {error.remedy}"
        if self.paused is None:
            logger.warning("Paused: %s", reason)
        self.paused = reason

"""Jobs whose work is over, brought to their end in the background, one after another."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable

from facefusion.automation.finishing import Finisher
from facefusion.automation.job import Job, failure_from
from facefusion.automation.loop import Background, Loop
from facefusion.automation.workspace import printable
from facefusion.errors import CancelledError, FaceFusionError, StorageError

logger = logging.getLogger(__name__)

TRIES = 3
"""How often publishing and reporting is tried where a fault of ours ends it."""


class Publisher:
    """Hands jobs to the `Finisher`. What fails is to be handed over again later.

    Attributes:
        left_alone: ids of jobs that cannot even be given up; the next start tries again.

    Args:
        loop: this object lives in the loop's thread.
        finisher: of the root; works in the publisher's thread.
        on_storage_trouble: told why a job could not be finished.
        on_finished: told that one was.
    """

    def __init__(
        self,
        loop: Loop,
        finisher: Finisher,
        on_storage_trouble: Callable[[StorageError], object],
        on_finished: Callable[[], object],
    ) -> None:
        self.left_alone: set[int] = set()
        self._finisher = finisher
        self._on_storage_trouble = on_storage_trouble
        self._on_finished = on_finished
        self._thread = Background("publisher", loop)
        self._in_hand: set[int] = set()
        self._faults: Counter[int] = Counter()

    @property
    def in_hand(self) -> int:
        """How many jobs are being finished, or wait for it."""
        return len(self._in_hand)

    def finish(self, job: Job) -> None:
        """Publish or report; nothing if that is going on."""
        if job.id in self._in_hand or job.id in self.left_alone:
            return
        self._in_hand.add(job.id)

        def done(_: object) -> None:
            self._in_hand.discard(job.id)
            self._faults.pop(job.id, None)
            self._on_finished()

        def failed(error: Exception) -> None:
            self._in_hand.discard(job.id)
            if isinstance(error, StorageError):
                self._on_storage_trouble(error)
            else:
                self._at_fault(job, error)

        self._thread.submit(lambda: self._finisher.finish(job.id), done, failed)

    def take_back(self, job: Job) -> None:
        """Withdraw the failure of a file that another has replaced, and its report."""
        error = CancelledError(f"{printable(job.target)} was replaced by another file.")
        self._thread.submit(
            lambda: self._finisher.withdraw(job, error),
            lambda _: None,
            lambda failure: logger.warning("An old failure report could not be removed: %s", failure),
        )

    def close(self, timeout: float) -> bool:
        """Let the job in hand be finished; False if that did not end in time."""
        return self._thread.close(timeout)

    def _at_fault(self, job: Job, error: Exception) -> None:
        """A fault of ours must neither stop the daemon nor be met for ever."""
        logger.error("Finishing %s failed.", printable(job.target), exc_info=error)
        self._faults[job.id] += 1
        if self._faults[job.id] < TRIES:
            return
        known = error if isinstance(error, FaceFusionError) else FaceFusionError(f"Finishing failed: {error}")
        self._in_hand.add(job.id)

        def given_up(_: object) -> None:
            self._in_hand.discard(job.id)

        def failed(error: Exception) -> None:
            self._in_hand.discard(job.id)
            if isinstance(error, StorageError):
                self._on_storage_trouble(error)
            else:
                self.left_alone.add(job.id)
                logger.error("%s is left alone until the next start.", printable(job.target), exc_info=error)

        self._thread.submit(lambda: self._finisher.give_up(job.id, failure_from(known)), given_up, failed)

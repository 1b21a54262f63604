"""From complete to queued: asks for the jobs of the targets about which something has changed."""

from __future__ import annotations

import logging
import os
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from facefusion.automation.catalogue import Catalogue, Decision
from facefusion.automation.job import ENDED, Job, JobRequest, JobState
from facefusion.automation.jobs import JobQueue
from facefusion.automation.jobtable import JobTable
from facefusion.automation.snapshot import RepeatView
from facefusion.automation.workspace import printable
from facefusion.config import AutomationConfig
from facefusion.errors import ErrorCategory
from facefusion.wording import count

logger = logging.getLogger(__name__)

BATCH_SECONDS = 0.1
LOGGED_ONE_BY_ONE = 10
REPEATS_SHOWN = 20


class Asking:
    """Turns what the catalogue decides into wishes, and tells it what became of them.

    Args:
        catalogue, queue: of the root.
        config: the settings in force.
        on_outdated: told of failed jobs whose file has been replaced by a good one.
        clock: monotonic seconds.

    Attributes:
        repeats: what was dropped with content that is known, the latest first.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        queue: JobQueue,
        config: Callable[[], AutomationConfig],
        on_outdated: Callable[[Job], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._catalogue = catalogue
        self._queue = queue
        self._config = config
        self._on_outdated = on_outdated
        self._clock = clock
        self._last = clock()
        self.repeats: deque[RepeatView] = deque(maxlen=REPEATS_SHOWN)

    def decide(self, *, more_to_come: bool) -> None:
        """Decide about what has changed.

        Args:
            more_to_come: further files are being read; then many are decided at once, not one by one.

        Raises:
            StorageError: the database cannot be written; nothing is lost, call again.
        """
        if not self._catalogue.undecided or (more_to_come and self._clock() < self._last + BATCH_SECONDS):
            return
        self._last = self._clock()
        decisions = self._catalogue.decide(self._config().pairing, self._queue.is_paired)
        wishes = [wish for decision in decisions for wish in decision.wishes]
        asked = self._queue.request(wishes, _result_exists) if wishes else []
        _log_queued([wish for wish, answer in zip(wishes, asked, strict=True) if answer.started])
        self._log_known(
            [(wish, answer.job_id) for wish, answer in zip(wishes, asked, strict=True) if answer.known]
        )
        answers = iter(asked)
        noted: list[tuple[Decision, tuple[int, ...]]] = []
        for decision in decisions:
            ids = tuple(next(answers).job_id for _ in decision.wishes) or earlier_jobs(decision, self._queue)
            noted.append((decision, ids))
            self._take_back_failures(decision)
        self._catalogue.decided(noted)

    def _log_known(self, drops: list[tuple[JobRequest, int]]) -> None:
        """Say of what was dropped again where its result is; that is all that happens with it."""
        jobs = self._queue.jobs(job_id for _, job_id in drops)
        told = []
        for wish, job_id in drops:
            job, (path, signature) = jobs[job_id], wish.inputs[0]
            if job.target != path:
                told.append(_about_again(job, f"{printable(path)} is the same as {printable(job.target)}"))
            elif job.inputs[0][1] != signature and job.state is JobState.DONE:
                told.append(_about_again(job, f"{printable(path)} came again, unchanged"))
        sentences = told[:LOGGED_ONE_BY_ONE]
        if len(told) > LOGGED_ONE_BY_ONE:
            more = count(len(told) - LOGGED_ONE_BY_ONE, "more file")
            sentences.append(f"{more} with content that is known: see `status`")
        for sentence in sentences:
            logger.info("%s.", sentence)
            self.repeats.appendleft(RepeatView(sentence, time.time()))

    def _take_back_failures(self, decision: Decision) -> None:
        """A good file took the place of a target that failed or was refused, or of its face."""
        contents = {wish.face_name: wish.face_sha256 for wish in decision.wishes}
        for job in self._queue.failed_at(decision.entry.path):
            other_target = job.target_sha256 != decision.target_sha256
            other_face = contents.get(job.face_name, job.face_sha256) != job.face_sha256
            if other_target or other_face:
                self._on_outdated(job)


def earlier_jobs(decision: Decision, table: JobTable) -> tuple[int, ...]:
    """Jobs that say more about a target that waits than its pairing does.

    Those with the face with which it stays and which is no longer there; or, where several faces are there
    by now, those that have ended: which face it is to get would not help a file that cannot be read.
    """
    if decision.pairing.faces:
        return ()
    face = decision.pairing.stays_with
    return tuple(
        job.id
        for job in table.of_target(decision.target_sha256)
        if (job.face_name == face if face is not None else _speaks_for_itself(job, decision.entry.path))
    )


def _speaks_for_itself(job: Job, path: str) -> bool:
    about_the_face = job.failure is not None and job.failure.category == ErrorCategory.FACE_DETECTION
    return job.state in ENDED and job.target == path and not about_the_face


def _log_queued(wishes: list[JobRequest]) -> None:
    for wish in wishes[:LOGGED_ONE_BY_ONE]:
        logger.info("Queued %s with %s.", printable(wish.inputs[0][0]), printable(wish.face_name))
    if len(wishes) > LOGGED_ONE_BY_ONE:
        logger.info("Queued %d more.", len(wishes) - LOGGED_ONE_BY_ONE)


def _about_again(job: Job, what: str) -> str:
    """The result first: on a narrow screen the rest may be cut off."""
    if job.state is JobState.DONE and job.output is not None:
        return f"{printable(Path(job.output).name)} is there already: {what} (`retry {job.id}` makes it anew)"
    return f"{what}, which is job {job.id}"


def _result_exists(job: Job) -> bool:
    return job.output is not None and os.path.lexists(job.output)

"""What becomes of a job when an attempt at it has ended."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from facefusion.automation.content import signature_of
from facefusion.automation.finishing import work_name
from facefusion.automation.job import Inputs, Job, JobState, failure_from
from facefusion.automation.jobs import JobQueue
from facefusion.automation.publish import Outbox
from facefusion.automation.snapshot import STATE_WORDS
from facefusion.automation.worker import Broken, Ended, Finished, Worker
from facefusion.automation.workspace import Workspace, printable
from facefusion.config import AutomationConfig
from facefusion.errors import (
    CancelledError,
    ErrorCategory,
    FaceFusionError,
    StorageError,
    VanishedError,
    VerificationError,
)
from facefusion.reports.records import Failure

logger = logging.getLogger(__name__)


class Confirms(Protocol):
    """What has to be known of the inbox."""

    away: str | None

    def confirm(self, job: Job) -> Inputs | FaceFusionError | None:
        """See `Intake.confirm`."""


@dataclass
class Running:
    """A job in hand.

    Attributes:
        stopping: why it has been asked to stop, and when it will be killed if it does not.
    """

    job: Job
    worker: Worker
    config: AutomationConfig
    stopping: FaceFusionError | None = None
    kill_at: float | None = None


class Judge:
    """Decides how an attempt ended: with a result, without one, or to be tried again.

    Attributes:
        closing: the program is being stopped; what ends early goes back to the queue.

    Args:
        workspace: of the root.
        queue, outbox: of the root.
        inbox: asked whether the files of a job are still the ones it was made for.
        on_worked: takes jobs whose work file is complete.
        on_ended: takes jobs that have ended without a result.
        on_storage_trouble: told why nothing can be written.
    """

    def __init__(
        self,
        workspace: Workspace,
        queue: JobQueue,
        outbox: Outbox,
        inbox: Confirms,
        on_worked: Callable[[Job], object],
        on_ended: Callable[[Job], object],
        on_storage_trouble: Callable[[StorageError], object],
    ) -> None:
        self.closing = False
        self._workspace = workspace
        self._queue = queue
        self._outbox = outbox
        self._inbox = inbox
        self._on_worked = on_worked
        self._on_ended = on_ended
        self._on_storage_trouble = on_storage_trouble

    def judge(self, hand: Running, message: Ended) -> None:
        """Note how an attempt has ended, and hand the job on.

        Raises:
            StorageError: that cannot be noted; to be called again.
        """
        if isinstance(message, Finished):
            message = self._checked(hand.job, message)
        if isinstance(message, Finished):
            self._succeed(hand.job, message)
        else:
            self._fail(hand, message)

    def _checked(self, job: Job, message: Finished) -> Ended:
        """The message, or what is wrong with the result it announces."""
        for path, signature in job.inputs:
            now = signature_of(self._workspace.inbox / path)
            if now is not None and not now.same_content(signature):
                error: FaceFusionError = CancelledError(
                    f"{printable(path)} was replaced while it was processed."
                )
                return Broken.by(error, message.ticket, seconds=message.seconds)
        if message.result.get("outcome") == "done" and not _has_content(message.output):
            error = VerificationError(f"The result of {printable(job.target)} is missing or empty.")
            return Broken.by(error, message.ticket, seconds=message.seconds)
        return message

    def _succeed(self, job: Job, message: Finished) -> None:
        if message.result.get("outcome") == "no_face":
            self._queue.end(job, JobState.NO_FACE, swap=message.result, seconds=message.seconds)
            logger.warning("No face was found in %s.", printable(job.target))
            self._on_ended(job)
            return
        worked = self._queue.finished_work(
            job, work=str(message.output), swap=message.result, seconds=message.seconds
        )
        if worked is not None:
            self._on_worked(worked)

    def _fail(self, hand: Running, broken: Broken) -> None:
        job, why = hand.job, hand.stopping
        failure = Failure(broken.category, broken.message, broken.remedy, broken.detail)
        asked_to_stop = why is not None and why.category is ErrorCategory.CANCELLED
        if self.closing or asked_to_stop or broken.category == ErrorCategory.CANCELLED:
            self._stopped(hand, failure)
        elif broken.category == ErrorCategory.STORAGE:
            self._queue.give_back(job, failure, counted=False, behind=True)
            self._outbox.remove_work_dir(work_name(job))
            self._on_storage_trouble(StorageError(broken.message, remedy=broken.remedy))
        elif (lost := self._lost_target(job)) is not None:
            if self._inbox.away is not None:
                self._queue.give_back(job, None, counted=False)
            else:
                self.end(job, failure_from(lost, failure.message), seconds=broken.seconds)
        elif broken.retryable and job.attempts <= hand.config.max_retries:
            logger.warning("%s It is tried again (attempt %d failed).", broken.message, job.attempts)
            self._queue.give_back(job, failure, counted=True)
            self._outbox.remove_work_dir(work_name(job))
        else:
            self.end(job, failure, seconds=broken.seconds)

    def _stopped(self, hand: Running, failure: Failure) -> None:
        """A job ended early: cancelled by a person, or its files have changed, or the program is stopping."""
        job = hand.job
        current = self._queue.job(job.id)
        if current is None:
            return
        by_person = current.stop_requested
        # As it is now in the queue: the same content dropped again meanwhile has brought other inputs.
        if by_person or (not self.closing and isinstance(self._inbox.confirm(current), FaceFusionError)):
            reason = failure_from(hand.stopping) if hand.stopping is not None else failure
            if by_person and current.failure is not None:  # what was asked, in the words of whoever asked
                reason = current.failure
            self.end(job, reason, JobState.CANCELLED, by_person=by_person)
        else:
            self._queue.give_back(job, None, counted=False)
            self._outbox.remove_work_dir(work_name(job))

    def _lost_target(self, job: Job) -> VanishedError | None:
        """A failure is explained by a file that is gone."""
        found = self._inbox.confirm(job)
        return found if isinstance(found, VanishedError) else None

    def end(
        self,
        job: Job,
        failure: Failure,
        state: JobState | None = None,
        *,
        seconds: float = 0.0,
        by_person: bool = False,
    ) -> None:
        """Note that a job has ended without a result, and why.

        Args:
            state: other than that which follows from the failure.
            seconds: of work.
            by_person: somebody has cancelled it. Else nothing is reported of one that is cancelled: others
                have taken the place of its files.

        Raises:
            StorageError: that cannot be noted.
        """
        state = state or _state_for(failure.category)
        silent = state is JobState.CANCELLED and not by_person
        self._queue.end(job, state, failure=failure, seconds=seconds, silent=silent)
        # Where its report is written that is told, as of one that waited.
        if not by_person or job.earlier_output is not None:
            log = logger.info if state is JobState.CANCELLED else logger.error
            log("%s %s: %s", STATE_WORDS[state].capitalize(), printable(job.target), failure.message)
        self._on_ended(replace(job, state=state))


def _state_for(category: str) -> JobState:
    if category == ErrorCategory.CANCELLED:
        return JobState.CANCELLED
    if category in (ErrorCategory.POLICY, ErrorCategory.CONTENT, ErrorCategory.CONSENT):
        return JobState.BLOCKED
    return JobState.FAILED


def _has_content(path: Path) -> bool:
    try:
        return path.stat().st_size > 0 and os.access(path, os.R_OK)
    except OSError:
        return False

"""A running daemon's picture of the queue: what lists and estimates need, kept up to date cheaply."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median

from facefusion.automation.catalogue import Brief
from facefusion.automation.job import BY_REQUEST, Job, JobState, earlier_result
from facefusion.automation.jobtable import JobTable
from facefusion.automation.snapshot import FailureView, JobView, QueueCounts, ResultView
from facefusion.automation.views import failure_view, job_view, publishing_view, result_view
from facefusion.automation.workspace import printable
from facefusion.config import AutomationConfig
from facefusion.errors import ErrorCategory

SHOWN = 20
WAITING_SHOWN = 50
MOST_FAILURES = 200
REMEMBERED_RATES = 20
SAVED = 0.7
"""Of the time that went into what is kept so much is saved: that part of the video is looked at again."""


@dataclass(frozen=True)
class Summary:
    """What a snapshot says about the queue.

    Attributes:
        failures_gone: how many of the latest failed jobs are left out because their file is gone.
        seconds_queued: estimate for all waiting jobs on one worker.
    """

    counts: QueueCounts = field(default_factory=QueueCounts)
    waiting: tuple[JobView, ...] = ()
    publishing: tuple[JobView, ...] = ()
    results: tuple[ResultView, ...] = ()
    failures: tuple[FailureView, ...] = ()
    failures_gone: int = 0
    seconds_queued: float | None = None


class JobBook:
    """Follows the queue by its revisions.

    Args:
        table: the queue.
        gone: whether a target is known to be no longer there; its failure is history.
        kept: frames of an open job that are finished and kept, and the seconds they took.
    """

    def __init__(
        self,
        table: JobTable,
        gone: Callable[[str], bool] = lambda path: False,
        kept: Callable[[Job], tuple[int, float]] = lambda job: (0, 0.0),
    ) -> None:
        self._table = table
        self._gone = gone
        self._kept = kept
        self._failed: list[Job] = []
        self._revision = 0
        self._briefs: dict[int, Brief] = {}
        self._rates: dict[str, deque[float]] = {}
        self._summary: Summary | None = None

    def brief(self, job_id: int) -> Brief | None:
        """What the inbox list says about a job."""
        return self._briefs.get(job_id)

    def refresh(self) -> list[Job]:
        """Catch up with the queue; the jobs that have changed since the last time."""
        changed = self._table.changed_since(self._revision)
        if not changed:
            return []
        self._revision = changed[-1].revision
        for job in changed:
            self._briefs[job.id] = Brief(job.id, job.state, job.face_name, job.target, _text_about(job))
            if job.state is JobState.DONE and job.seconds > 0 and job.target_bytes > 0:
                rates = self._rates.setdefault(job.target_kind, deque(maxlen=REMEMBERED_RATES))
                rates.append(job.seconds / job.target_bytes)
        self._summary = None
        return changed

    def summary(self, config: AutomationConfig) -> Summary:
        """The queue as of the last `refresh`."""
        if self._summary is None:
            table = self._table
            failed = table.latest((JobState.FAILED, JobState.BLOCKED), MOST_FAILURES)
            following = [(job, *self._kept(job)) for job in self._next_jobs(config)]
            self._failed = [job for job in failed if not _waits_for_policy(job)]
            self._summary = Summary(
                counts=table.counts(),
                waiting=tuple(job_view(job, config, frames) for job, frames, _ in following),
                publishing=tuple(publishing_view(job, config) for job in table.in_state(JobState.PUBLISHING)),
                results=tuple(map(result_view, table.latest((JobState.DONE, JobState.NO_FACE), SHOWN))),
                seconds_queued=self._seconds_for_queue(sum(seconds for *_, seconds in following)),
            )
        current = [job for job in self._failed if not self._gone(job.target)]
        return replace(
            self._summary,
            failures=tuple(map(failure_view, current[:SHOWN])),
            failures_gone=_failed(self._failed) - _failed(current),
        )

    def _next_jobs(self, config: AutomationConfig) -> list[Job]:
        """Those that come next, as they will run: by priority, then face by face if that is so set."""
        jobs = self._table.next_jobs(WAITING_SHOWN)
        if not config.group_videos_by_face:
            return jobs
        running = self._table.in_state(JobState.RUNNING)
        faces = dict.fromkeys(job.face_sha256 for job in (*running, *jobs))
        turn = {face: number for number, face in enumerate(faces)}
        held = [job for job in jobs if job.state is not JobState.QUEUED]
        queued = [job for job in jobs if job.state is JobState.QUEUED]
        return [*sorted(queued, key=lambda job: (-job.priority, turn[job.face_sha256])), *held]

    def _seconds_for_queue(self, kept: float) -> float | None:
        """Estimate from the latest results; None without any.

        Args:
            kept: seconds of work whose outcome is kept.
        """
        total = 0.0
        for kind, size in self._table.queued_bytes().items():
            rates = self._rates.get(kind)
            if not rates:
                return None
            total += size * median(rates)
        return max(0.0, total - SAVED * kept)


def _failed(jobs: list[Job]) -> int:
    return sum(job.state is JobState.FAILED for job in jobs)


def _waits_for_policy(job: Job) -> bool:
    return job.failure is not None and job.failure.category == ErrorCategory.POLICY


def _text_about(job: Job) -> str:
    face = printable(job.face_name)
    failure = f": {job.failure.message} {job.failure.remedy}" if job.failure is not None else ""
    match job.state:
        case JobState.QUEUED:
            return f"in the queue, face {face}{failure}"
        case JobState.RUNNING:
            return f"being processed, face {face}"
        case JobState.PUBLISHING:
            return f"being published, face {face}"
        case JobState.DONE:
            return f"result: {printable(Path(job.output or '').name)} (`retry {job.id}` makes it anew)"
        case JobState.NO_FACE:
            return f"no face was found in it; face {face} was to be put there.{earlier_result(job)}"
        case JobState.FAILED:
            whose = f" with face {face}" if job.face_name else ""
            return f"failed{whose}{failure}{earlier_result(job)}"
        case JobState.BLOCKED:
            return f"held back, face {face}{failure}{earlier_result(job)}"
        case JobState.CANCELLED:
            return f"cancelled {_why_cancelled(job)}, face {face} (`retry {job.id}` brings it back)"


def _why_cancelled(job: Job) -> str:
    if job.failure is None or job.failure.detail == BY_REQUEST:
        return BY_REQUEST
    return f"because {job.failure.message.rstrip('.')}"

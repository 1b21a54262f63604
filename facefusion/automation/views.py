"""Jobs as people see them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from facefusion.automation.job import Job, JobState, earlier_result
from facefusion.automation.judging import Running
from facefusion.automation.snapshot import FailureView, JobView, ResultView
from facefusion.automation.workspace import printable
from facefusion.config import AutomationConfig


def job_view(job: Job, config: AutomationConfig, frames_done: int = 0) -> JobView:
    """A job that waits or is held back.

    Args:
        job, config: of the root.
        frames_done: finished by an earlier attempt, and kept.
    """
    held = job.state is JobState.BLOCKED
    return JobView(
        id=str(job.id),
        target=printable(job.target),
        face=printable(job.face_name),
        kind=job.target_kind,
        state="blocked" if held else "queued",
        attempt=job.attempts + 1,
        attempts_allowed=config.max_retries + 1,
        priority=job.priority,
        frames_done=frames_done,
        note="" if job.failure is None else f"{job.failure.message} {job.failure.remedy}",
    )


def result_view(job: Job) -> ResultView:
    """A job that ended as it should."""
    swap = job.swap or {}
    warnings = (*job.warnings, *swap.get("warnings", ()))
    pictures = [Path(path).name for path in job.faces]
    return ResultView(
        id=str(job.id),
        target=printable(job.target),
        face=printable(job.face_name),
        outcome="done" if job.state is JobState.DONE else "no_face",
        output=None if job.output is None else printable(job.output),
        report=None if job.report is None else printable(job.report),
        finished_at=job.finished_at or 0.0,
        seconds=job.seconds,
        frames=int(swap.get("frames", 0)),
        frames_swapped=int(swap.get("frames_swapped", 0)),
        engine=str(swap.get("engine", "")),
        provider=str(swap.get("provider", "")),
        left_out=tuple(swap.get("left_out", ())),
        warnings=warnings,
        about_face=tuple(told for told in warnings if any(name in told for name in pictures)),
    )


def failure_view(job: Job) -> FailureView:
    """A job that ended without a result."""
    failure = job.failure
    return FailureView(
        id=str(job.id),
        target=printable(job.target),
        face=printable(job.face_name),
        outcome="blocked" if job.state is JobState.BLOCKED else "failed",
        category="" if failure is None else failure.category,
        message="" if failure is None else failure.message + earlier_result(job),
        remedy="" if failure is None else failure.remedy,
        attempts=job.attempts,
        finished_at=job.finished_at or job.queued_at,
        report=None if job.report is None else printable(job.report),
    )


def running_view(hand: Running, now: float) -> JobView:
    """A job in hand, with its progress.

    Args:
        hand: the job and its worker.
        now: monotonic seconds.
    """
    job, progress = hand.job, hand.worker.progress
    return JobView(
        id=str(job.id),
        target=printable(job.target),
        face=printable(job.face_name),
        kind=job.target_kind,
        state="running",
        attempt=job.attempts,
        attempts_allowed=hand.config.max_retries + 1,
        priority=job.priority,
        stage="starting" if progress is None else progress.stage,
        frames_done=0 if progress is None else progress.frames_done,
        frames_total=None if progress is None else progress.frames_total,
        frames_per_second=0.0 if progress is None else progress.frames_per_second,
        seconds=round(now - hand.worker.began, 2),
        seconds_left=None if progress is None else progress.seconds_left,
        worker_pid=hand.worker.pid,
        note="" if hand.stopping is None else hand.stopping.message,
    )


def publishing_view(job: Job, config: AutomationConfig) -> JobView:
    """A job whose work is done and whose result is being published."""
    frames = int((job.swap or {}).get("frames", 0))
    return JobView(
        id=str(job.id),
        target=printable(job.target),
        face=printable(job.face_name),
        kind=job.target_kind,
        state="running",
        attempt=job.attempts,
        attempts_allowed=config.max_retries + 1,
        priority=job.priority,
        stage="publishing",
        frames_done=frames,
        frames_total=frames,
        seconds=job.seconds,
        seconds_left=0.0,
    )


def seconds_left(running: Sequence[JobView], queued_seconds: float | None, workers: int) -> float | None:
    """Estimate until everything that runs and waits is done; None while it cannot be said."""
    if queued_seconds is None:
        return None
    left = [view.seconds_left for view in running]
    if any(seconds is None for seconds in left):
        return None
    return (sum(seconds for seconds in left if seconds is not None) + queued_seconds) / workers

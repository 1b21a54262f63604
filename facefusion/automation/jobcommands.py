"""The commands that change jobs: `retry`, `first` and `cancel`. They work with and without a daemon."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from facefusion.automation.changing import Change, as_it_is, why_not_again
from facefusion.automation.database import Database, FileMemory
from facefusion.automation.job import BY_REQUEST, ENDED, Job, JobState, failure_from
from facefusion.automation.jobs import JobQueue
from facefusion.automation.lock import holder
from facefusion.automation.processor import EXIT_DONE, EXIT_FAILED, SimpleAutoProcessor
from facefusion.automation.workspace import Workspace, printable
from facefusion.errors import CancelledError, ConfigError
from facefusion.wording import listed


def retry(given: argparse.Namespace, processor: SimpleAutoProcessor) -> int:
    """Queue failed and held back jobs again."""
    inbox = processor.workspace.inbox

    def change(queue: JobQueue, database: Database) -> Change:
        states = (JobState.FAILED, JobState.BLOCKED)
        ids = _ids(given.job, inbox, queue, states, ENDED)
        memory = FileMemory(database)
        ended = [job for job in queue.jobs(ids).values() if job.state in ENDED]
        hopeless = {job.id: why for job in ended if (why := why_not_again(job, inbox, memory))}
        good = [job_id for job_id in ids if job_id not in hopeless]
        answer = as_it_is(good, queue.retry(good), queue.jobs(good))
        return Change(answer.done, [*answer.refused, *hopeless.values()])

    def said(job: Job) -> str:
        keeps = "; the old result stays, the new one gets a number" if job.earlier_output is not None else ""
        return f"is queued again{keeps}"

    return _change_jobs(processor.workspace, change, said, "can be tried again")


def first(given: argparse.Namespace, processor: SimpleAutoProcessor) -> int:
    """Have waiting jobs run before all others."""

    def change(queue: JobQueue, database: Database) -> Change:
        ids = _ids(given.job, processor.workspace.inbox, queue, (), (JobState.QUEUED,))
        return as_it_is(ids, queue.put_first(ids), queue.jobs(ids))

    return _change_jobs(processor.workspace, change, lambda job: "runs next", "is waiting")


def cancel(given: argparse.Namespace, processor: SimpleAutoProcessor) -> int:
    """Cancel waiting or running jobs."""
    failure = failure_from(CancelledError("It was cancelled by request."), BY_REQUEST)

    def change(queue: JobQueue, database: Database) -> Change:
        states = (JobState.QUEUED, JobState.BLOCKED, JobState.RUNNING)
        ids = _ids(given.job, processor.workspace.inbox, queue, states, states)
        return as_it_is(ids, queue.cancel(ids, failure), queue.jobs(ids))

    def said(job: Job) -> str:
        keeps = job.state is JobState.DONE or job.earlier_output is not None
        return f"is cancelled{'; its earlier result stays' if keeps else ''}"

    return _change_jobs(processor.workspace, change, said, "can be cancelled")


def _change_jobs(
    workspace: Workspace,
    change: Callable[[JobQueue, Database], Change],
    done: Callable[[Job], str],
    possible: str,
) -> int:
    if not workspace.database.exists():
        print("There is no queue yet.")
        return EXIT_FAILED
    database = Database(workspace.database)
    try:
        queue = JobQueue(database)
        answer = change(queue, database)
        jobs = queue.jobs(answer.done)
    finally:
        database.close()
    for job_id in answer.done:
        print(f"Job {job_id} ({printable(jobs[job_id].target)}) {done(jobs[job_id])}.")
    for refused in answer.refused:
        print(refused)
    if not (answer.done or answer.refused):
        print(f"No job {possible}.")
    if answer.done and holder(workspace.state_dir) is None:
        print("No daemon is running: start it to go on.")
    return EXIT_DONE if answer.done and not answer.refused else EXIT_FAILED


def _ids(
    words: Sequence[str],
    inbox: Path,
    queue: JobQueue,
    everything: Collection[JobState],
    possible: Collection[JobState],
) -> list[int]:
    """The jobs that are meant.

    Args:
        words: numbers of jobs, or names of their targets or results.
        everything: states of those that are meant by none, and by `all`.
        possible: states of those with which something can be done; a name means one of them if there is one.

    Raises:
        ConfigError: a word names no job, or several.
    """
    if not words or "all" in words:
        return [job.id for job in queue.in_state(*everything)]
    return [int(word) if word.isdecimal() else _named(word, inbox, queue, possible) for word in words]


def _named(name: str, inbox: Path, queue: JobQueue, possible: Collection[JobState]) -> int:
    place = Path(name).absolute()
    inside = place.relative_to(inbox).as_posix() if place.is_relative_to(inbox) else name
    found = queue.called(name) or queue.called(inside)
    meant = [job for job in found if job.state in possible] or found
    if not meant:
        raise ConfigError(
            f"{printable(name)}: neither the number of a job nor the name of its file.",
            remedy="`status` shows numbers and names.",
        )
    if len(meant) > 1:
        those = listed(
            (f"{job.id} ({printable(job.target)} with {printable(job.face_name)})" for job in meant), 5
        )
        raise ConfigError(
            f"{printable(name)} may be job {those}.", remedy="Give the number of the one you mean."
        )
    return meant[0].id

"""The commands that change jobs: `retry`, `first` and `cancel`. They work with and without a daemon."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

from facefusion.automation.changing import Change, as_it_is, why_not_again
from facefusion.automation.database import Database, FileMemory
from facefusion.automation.job import BY_REQUEST, ENDED, Job, JobState, failure_from
from facefusion.automation.jobs import JobQueue
from facefusion.automation.lock import holder
from facefusion.automation.processor import EXIT_DONE, EXIT_FAILED, SimpleAutoProcessor
from facefusion.automation.workspace import Workspace, printable
from facefusion.errors import CancelledError, ConfigError


def retry(given: argparse.Namespace, processor: SimpleAutoProcessor) -> int:
    """Queue failed and held back jobs again."""
    inbox = processor.workspace.inbox

    def change(queue: JobQueue, database: Database) -> Change:
        states = (JobState.FAILED, JobState.BLOCKED)
        ids = _ids(given.job, lambda: [job.id for job in queue.in_state(*states)])
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
        ids = _ids(given.job, lambda: [])
        return as_it_is(ids, queue.put_first(ids), queue.jobs(ids))

    return _change_jobs(processor.workspace, change, lambda job: "runs next", "is waiting")


def cancel(given: argparse.Namespace, processor: SimpleAutoProcessor) -> int:
    """Cancel waiting or running jobs."""
    failure = failure_from(CancelledError("It was cancelled by request."), BY_REQUEST)

    def change(queue: JobQueue, database: Database) -> Change:
        states = (JobState.QUEUED, JobState.BLOCKED, JobState.RUNNING)
        ids = _ids(given.job, lambda: [job.id for job in queue.in_state(*states)])
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


def _ids(words: Sequence[str], everything: Callable[[], list[int]]) -> list[int]:
    if not words or "all" in words:
        return everything()
    wrong = [word for word in words if not word.isdecimal()]
    if wrong:
        raise ConfigError(
            f"{', '.join(wrong)}: not the number of a job.", remedy="`status` shows the numbers."
        )
    return [int(word) for word in words]

"""What a person asks of jobs by their numbers, and for each that cannot be done, why not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from facefusion.automation.content import signature_of
from facefusion.automation.database import FileMemory
from facefusion.automation.job import ENDED, Job, JobState
from facefusion.automation.jobdesk import UNREAD
from facefusion.automation.workspace import printable

_NOW = {
    JobState.QUEUED: "is waiting already",
    JobState.RUNNING: "is running",
    JobState.PUBLISHING: "is being published",
}


@dataclass(frozen=True)
class Change:
    """What came of a request.

    Attributes:
        done: ids of the jobs that were changed.
        refused: a sentence for each of the others.
    """

    done: list[int]
    refused: list[str]


def as_it_is(ids: Iterable[int], changed: list[int], jobs: dict[int, Job]) -> Change:
    """The answer where the state of a job alone decides.

    Args:
        ids: of the jobs that were asked for.
        changed: of those that were changed.
        jobs: as they are.
    """
    return Change(changed, [_state_of(number, jobs.get(number)) for number in ids if number not in changed])


def why_not_again(job: Job, inbox: Path, memory: FileMemory) -> str:
    """Why a job that has ended cannot be tried again, in a sentence; empty if it can.

    Args:
        job: that has ended.
        inbox: where its files lie.
        memory: contents of the inbox's files.
    """
    if not inbox.is_dir():  # perhaps on a disk that is not mounted; the daemon waits for it
        return ""
    for index, (path, signature) in enumerate(job.inputs):
        now = signature_of(inbox / path)
        if index == 0 and job.target_sha256.startswith(UNREAD) and now is not None:
            return f"Job {job.id} cannot be tried again: {printable(path)} cannot be used as it is."
        if now is not None and now.same_content(signature):
            continue
        twins = memory.with_content(job.target_sha256) if index == 0 else ()
        if any(signature_of(inbox / file.path) == file.signature for file in twins):
            continue
        what = "is gone; drop it again" if now is None else "was replaced by another file"
        return f"Job {job.id} cannot be tried again: {printable(path)} {what}."
    return ""


def _state_of(number: int, job: Job | None) -> str:
    if job is None:
        return f"There is no job {number}."
    return f"Job {number} {'has ended' if job.state in ENDED else _NOW[job.state]} ({printable(job.target)})."

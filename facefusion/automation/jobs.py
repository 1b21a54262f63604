"""The durable queue: one row for each pair of a target's content (as video or photo) and a face's content.

A row is the only claim: nothing in the inbox is renamed, moved or marked. A job that runs carries a *fence*,
a number that grows with every claim; whoever comes back with an older one (a worker thought dead, a result
that was overtaken by a cancellation) changes nothing.

    queued -> running -> publishing -> done
                      -> no_face, failed, blocked, cancelled, or queued again
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from facefusion.automation.job import (
    ENDED,
    WITH_THE_PROGRAM,
    Job,
    JobState,
    failure_from,
    failure_json,
    job_of,
)
from facefusion.automation.jobdesk import JobDesk
from facefusion.automation.jobtable import cancelled, fenced, next_revision, next_turn, read, update
from facefusion.automation.workspace import printable
from facefusion.errors import WorkerCrashError
from facefusion.reports.records import Failure

S = JobState


class JobQueue(JobDesk):
    """All jobs of one root: asked for at the desk, worked on here.

    Args:
        database: of the root.
        clock: seconds since the epoch.
    """

    def claim(
        self,
        quality_preset: str,
        face: str | None = None,
        busy_faces: Sequence[str] = (),
        only: Iterable[int] | None = None,
    ) -> Job | None:
        """Take the next job: highest priority first, within it the same face as before, then by turn.

        Args:
            quality_preset: recorded with the job.
            face: content of the face that the worker has prepared; None to go by turn alone.
            busy_faces: contents that other workers have prepared; left to them while there is other work.
            only: the jobs that may be taken; None for any.
        """
        with self._database.transaction() as connection:
            job_id = _next_job(connection, face, busy_faces, only)
            if job_id is None:
                return None
            connection.execute(
                "UPDATE jobs SET state = 'running', fence = fence + 1, attempts = attempts + 1,"
                " started_at = ?, stop_requested = 0, reported = 0, quality_preset = ?, revision = ?"
                " WHERE id = ?",
                (self._clock(), quality_preset, next_revision(connection), job_id),
            )
            return read(connection, job_id)

    def give_back(self, job: Job, note: Failure | None, *, counted: bool, behind: bool = False) -> bool:
        """Queue a running job again; one that a person has cancelled meanwhile ends so.

        Args:
            note: why, for `status`.
            counted: whether the attempt counts; if so, others get their turn first.
            behind: others get their turn first though it does not count: what does not fit on the disk now
                must not keep smaller jobs from being done.
        """
        with self._database.transaction() as connection:
            changes: dict[str, Any] = {"state": S.QUEUED, "failure": failure_json(note), "started_at": None}
            if counted or behind:
                changes["turn"] = next_turn(connection)
            if not counted:
                changes["attempts"] = max(job.attempts - 1, 0)
            current = read(connection, job.id)
            if current is not None and current.stop_requested:
                changes = cancelled(current, finished_at=self._clock())
            return bool(update(connection, *fenced(job, S.RUNNING), **changes))

    def finished_work(self, job: Job, *, work: str, swap: Mapping[str, Any], seconds: float) -> Job | None:
        """Note that the work file of a job is complete; None if the job is no longer ours."""
        with self._database.transaction() as connection:
            changed = update(
                connection,
                *fenced(job, S.RUNNING),
                state=S.PUBLISHING,
                work=os.fsencode(work),
                swap=json.dumps(swap),
                seconds=seconds,
                finished_at=self._clock(),
                failure=None,
            )
            return read(connection, job.id) if changed else None

    def moved(self, job: Job, *, work: str) -> None:
        """Note that the finished work file of a job lies elsewhere."""
        with self._database.transaction() as connection:
            update(connection, *fenced(job, S.PUBLISHING), work=os.fsencode(work))

    def sealed(self, job: Job, sha256: str, size: int) -> None:
        """Record what the finished work file is, before it gets its final name.

        This is what recognises a result that was published just before the program was killed.
        """
        with self._database.transaction() as connection:
            update(connection, *fenced(job, S.PUBLISHING), work_sha256=sha256, work_bytes=size)

    def published(self, job: Job, *, output: str, report: str, warnings: Sequence[str]) -> None:
        """Note that the result has its final name, and where its report belongs. The job is done."""
        with self._database.transaction() as connection:
            update(
                connection,
                *fenced(job, S.PUBLISHING),
                state=S.DONE,
                output=os.fsencode(output),
                report=os.fsencode(report),
                work=None,
                warnings=json.dumps(list(warnings)),
                earlier=None,
            )

    def end(
        self,
        job: Job,
        state: JobState,
        *,
        failure: Failure | None = None,
        swap: Mapping[str, Any] | None = None,
        seconds: float = 0.0,
        silent: bool = False,
    ) -> bool:
        """Note that a job has ended without a result; False if it is no longer ours.

        Args:
            state: one of `WITHOUT_RESULT`.
            silent: no report is to be written.
        """
        changes: dict[str, Any] = {
            "failure": failure_json(failure),
            "swap": None if swap is None else json.dumps(swap),
            "seconds": seconds,
            "finished_at": self._clock(),
            "reported": int(silent),
            "work": None,
        }
        ended = cancelled(job, **changes) if state is S.CANCELLED else {"state": state, **changes}
        with self._database.transaction() as connection:
            return bool(update(connection, *fenced(job, job.state), **ended))

    def reporting(self, job: Job, report: str) -> None:
        """Note where the report of an ended job will lie, before it is written."""
        with self._database.transaction() as connection:
            update(connection, *fenced(job, job.state), report=os.fsencode(report))

    def reported(self, job: Job, warning: str = "") -> None:
        """Note that everything about an ended job has been said, or why it cannot be."""
        warnings = json.dumps([*job.warnings, warning] if warning else list(job.warnings))
        with self._database.transaction() as connection:
            update(connection, *fenced(job, job.state), reported=1, stale_report=None, warnings=warnings)

    def recover(self, max_retries: int) -> None:
        """Queue the jobs again that a daemon had in hand when it was killed.

        That counts as an attempt, and others get their turn first: nobody knows whether it was the job that
        took the whole program down. One that was in hand too often fails.

        Args:
            max_retries: how often a job is tried again.
        """
        with self._database.transaction() as connection:
            rows = connection.execute("SELECT * FROM jobs WHERE state = 'running' ORDER BY turn").fetchall()
            for job in map(job_of, rows):
                changes: dict[str, Any] = {"finished_at": self._clock()}
                if job.stop_requested:
                    changes = cancelled(job, **changes)
                elif job.attempts > max_retries:
                    changes |= {"state": S.FAILED, "failure": failure_json(_too_often(job))}
                else:
                    changes = {
                        "state": S.QUEUED,
                        "turn": next_turn(connection),
                        "started_at": None,
                        "failure": failure_json(failure_from(_ended_with(job), WITH_THE_PROGRAM)),
                    }
                update(connection, *fenced(job, S.RUNNING), **changes)

    def back_to_queue(self, job: Job) -> None:
        """Queue a job again whose finished work was lost before it was published; nothing is counted."""
        with self._database.transaction() as connection:
            update(
                connection,
                *fenced(job, S.PUBLISHING),
                state=S.QUEUED,
                work=None,
                work_sha256=None,
                work_bytes=None,
                attempts=max(job.attempts - 1, 0),
            )

    def forget(self, ids: Iterable[int]) -> None:
        """Remove ended jobs from the history."""
        with self._database.transaction() as connection:
            connection.execute(
                "DELETE FROM jobs WHERE id IN (SELECT value FROM json_each(?))"
                " AND state IN (SELECT value FROM json_each(?))",
                (json.dumps(list(ids)), json.dumps(ENDED)),
            )


def _ended_with(job: Job) -> WorkerCrashError:
    return WorkerCrashError(
        f"The whole program ended while it processed {printable(job.target)}.",
        remedy="It is tried again; if the computer was switched off meanwhile, nothing is wrong.",
    )


def _too_often(job: Job) -> Failure:
    error = WorkerCrashError(
        f"The whole program ended while it processed {printable(job.target)}, at the last of "
        f"{job.attempts} attempts.",
        remedy="If the computer was only switched off each time, drop the file again. Else convert it to "
        "H.264 in mp4 first; if memory is short, close other programs.",
    )
    return failure_from(error)


def _next_job(
    connection: sqlite3.Connection, face: str | None, busy_faces: Sequence[str], only: Iterable[int] | None
) -> int | None:
    waiting = "state = 'queued'"
    given: tuple[object, ...] = ()
    if only is not None:
        waiting, given = f"{waiting} AND id IN (SELECT value FROM json_each(?))", (json.dumps(list(only)),)
    top = connection.execute(f"SELECT max(priority) FROM jobs WHERE {waiting}", given).fetchone()[0]
    if top is None:
        return None
    query = f"SELECT id FROM jobs WHERE {waiting} AND priority = ?"
    attempts: list[tuple[str, tuple[object, ...]]] = [(f"{query} ORDER BY turn LIMIT 1", (*given, top))]
    if busy_faces:
        others = f"{query} AND face_sha256 NOT IN (SELECT value FROM json_each(?)) ORDER BY turn LIMIT 1"
        attempts.insert(0, (others, (*given, top, json.dumps(list(busy_faces)))))
    if face is not None:
        attempts.insert(0, (f"{query} AND face_sha256 = ? ORDER BY turn LIMIT 1", (*given, top, face)))
    for statement, parameters in attempts:
        if (row := connection.execute(statement, parameters).fetchone()) is not None:
            return int(row[0])
    return None

"""The durable queue: one row for each pair of a target's content (as video or photo) and a face's content.

A row is the only claim: nothing in the inbox is renamed, moved or marked. A job that runs carries a *fence*,
a number that grows with every claim; whoever comes back with an older one (a worker thought dead, a result
that was overtaken by a cancellation) changes nothing.

    queued -> running -> publishing -> done
                      -> no_face, failed, blocked, cancelled, or queued again
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from facefusion.automation.database import Database
from facefusion.automation.job import (
    ENDED,
    WITHOUT_RESULT,
    Inputs,
    Job,
    JobRequest,
    JobState,
    failure_json,
    job_of,
)
from facefusion.automation.jobtable import JobTable, fenced, next_revision, next_turn, read, update
from facefusion.automation.sightings import Signature
from facefusion.errors import ErrorCategory
from facefusion.reports.records import Failure

S = JobState
UNREAD = "unread:"
"""Stands before the identity of a target whose content is not known because it may not be read."""


@dataclass(frozen=True)
class Asked:
    """Answer to a request: the job, and whether the request set it going (anew)."""

    job_id: int
    started: bool


class JobQueue(JobTable):
    """All jobs of one root.

    Args:
        database: of the root.
        clock: seconds since the epoch.
    """

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        super().__init__(database)
        self._clock = clock

    # -- asking for jobs ------------------------------------------------------------------------------------

    def request(
        self, wishes: Iterable[JobRequest], result_exists: Callable[[Job], bool] = lambda job: True
    ) -> list[Asked]:
        """Ask for jobs, all in one transaction.

        A pair that is new gets a job. One that is known by content points to its job; if these files were
        dropped again and the job has ended without a result, or its result has been taken away, it starts
        anew.

        Args:
            wishes: answered in this order.
            result_exists: whether the result of a finished job is still there.
        """
        answers = []
        with self._database.transaction() as connection:
            turn, revision = next_turn(connection), next_revision(connection)
            for wish in wishes:
                row = connection.execute(
                    "SELECT * FROM jobs WHERE target_sha256 = ? AND face_sha256 = ? AND target_kind = ?",
                    (wish.target_sha256, wish.face_sha256, wish.target_kind),
                ).fetchone()
                if row is None:
                    job_id = self._insert(connection, wish, turn, revision)
                    turn += 1
                else:
                    job_id = int(row["id"])
                started = row is None
                if _is_fresh_drop(connection, job_id, wish) and row is not None:
                    started = self._drop_again(connection, job_of(row), wish, result_exists)
                answers.append(Asked(job_id, started))
        return answers

    def refuse(
        self, path: str, signature: Signature, kind: Literal["video", "photo"], failure: Failure
    ) -> Job | None:
        """Record a target that may not be read as a failed job, once for each drop; None if that is known."""
        name = hashlib.sha256(os.fsencode(path)).hexdigest()
        wish = JobRequest(f"{UNREAD}{name}", "", kind, signature.size, "", ((path, signature),))
        with self._database.transaction() as connection:
            row = connection.execute(
                "SELECT id FROM jobs WHERE target_sha256 = ?", (wish.target_sha256,)
            ).fetchone()
            if row is None:
                turn, revision = next_turn(connection), next_revision(connection)
                job_id = self._insert(connection, wish, turn, revision)
            else:
                job_id = int(row["id"])
            if not _is_fresh_drop(connection, job_id, wish):
                return None
            update(
                connection,
                "id = ?",
                (job_id,),
                state=S.FAILED,
                inputs=wish.drop_key,
                failure=failure_json(failure),
                finished_at=self._clock(),
                reported=0,
            )
            return read(connection, job_id)

    def point_to(self, job: Job, inputs: Inputs) -> Job | None:
        """Have a running job use other files with the same content."""
        wish = JobRequest(
            job.target_sha256, job.face_sha256, job.target_kind, job.target_bytes, job.face_name, inputs
        )
        with self._database.transaction() as connection:
            self._point_to(connection, job, wish)
            return read(connection, job.id)

    def withdraw(self, job: Job, failure: Failure) -> None:
        """Take back a failure whose file has been replaced by a good one."""
        with self._database.transaction() as connection:
            if job.target_sha256.startswith(UNREAD):
                connection.execute("DELETE FROM jobs WHERE id = ?", (job.id,))
                return
            update(
                connection,
                *fenced(job, job.state),
                state=S.CANCELLED,
                failure=failure_json(failure),
                report=None,
                reported=1,
            )

    def retry(self, ids: Iterable[int]) -> list[int]:
        """Queue jobs again that have ended; returns those for which that was possible.

        A target that may not be read cannot be tried again before it has changed.
        """
        with self._database.transaction() as connection:
            return [
                job_id
                for job_id in ids
                if (job := read(connection, job_id)) is not None
                and job.state in ENDED
                and not job.target_sha256.startswith(UNREAD)
                and self._queue_again(connection, job, None)
            ]

    def put_first(self, ids: Iterable[int]) -> list[int]:
        """Have waiting jobs run before all others; returns those for which that was possible."""
        with self._database.transaction() as connection:
            top = (
                connection.execute("SELECT max(priority) FROM jobs WHERE state = 'queued'").fetchone()[0] or 0
            )
            return [
                job_id
                for job_id in ids
                if update(connection, "id = ? AND state = 'queued'", (job_id,), priority=top + 1)
            ]

    def cancel(self, ids: Iterable[int], failure: Failure) -> list[int]:
        """Cancel jobs: waiting ones at once, running ones as soon as the daemon sees it."""
        cancelled = []
        with self._database.transaction() as connection:
            for job_id in ids:
                changed = update(
                    connection,
                    "id = ? AND state IN ('queued', 'blocked')",
                    (job_id,),
                    state=S.CANCELLED,
                    failure=failure_json(failure),
                    finished_at=self._clock(),
                    reported=1,
                ) or update(connection, "id = ? AND state = 'running'", (job_id,), stop_requested=1)
                if changed:
                    cancelled.append(job_id)
        return cancelled

    def hold_for_policy(self, failure: Failure) -> int:
        """Block every waiting job until the use policy is accepted."""
        with self._database.transaction() as connection:
            return update(
                connection, "state = 'queued'", (), state=S.BLOCKED, failure=failure_json(failure), reported=1
            )

    def release_from_policy(self) -> int:
        """Let the jobs go on that waited for the use policy."""
        with self._database.transaction() as connection:
            return update(
                connection,
                "state = 'blocked' AND json_extract(failure, '$.category') = ?",
                (ErrorCategory.POLICY.value,),
                state=S.QUEUED,
                failure=None,
                finished_at=None,
            )

    # -- working on jobs ------------------------------------------------------------------------------------

    def claim(
        self, quality_preset: str, face: str | None = None, busy_faces: Sequence[str] = ()
    ) -> Job | None:
        """Take the next job: highest priority first, within it the same face as before, then by turn.

        Args:
            quality_preset: recorded with the job.
            face: content of the face that the worker has prepared; None to go by turn alone.
            busy_faces: contents that other workers have prepared; left to them while there is other work.
        """
        with self._database.transaction() as connection:
            job_id = _next_job(connection, face, busy_faces)
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
        """Queue a running job again.

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
        with self._database.transaction() as connection:
            return bool(
                update(
                    connection,
                    *fenced(job, job.state),
                    state=state,
                    failure=failure_json(failure),
                    swap=None if swap is None else json.dumps(swap),
                    seconds=seconds,
                    finished_at=self._clock(),
                    reported=int(silent),
                    work=None,
                )
            )

    def reporting(self, job: Job, report: str) -> None:
        """Note where the report of an ended job will lie, before it is written."""
        with self._database.transaction() as connection:
            update(connection, *fenced(job, job.state), report=os.fsencode(report))

    def reported(self, job: Job) -> None:
        """Note that everything about an ended job has been said."""
        with self._database.transaction() as connection:
            update(connection, *fenced(job, job.state), reported=1, stale_report=None)

    def recover(self) -> list[Job]:
        """Queue the jobs again that a daemon had in hand when it was killed; no attempt is counted.

        Returns:
            Those whose work was complete and was being published.
        """
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE jobs SET state = 'queued', attempts = max(attempts - 1, 0), started_at = NULL,"
                " revision = ? WHERE state = 'running' AND stop_requested = 0",
                (next_revision(connection),),
            )
            update(
                connection, "state = 'running'", (), state=S.CANCELLED, finished_at=self._clock(), reported=1
            )
        return self._select("state = 'publishing' ORDER BY id")

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

    # -- inside ---------------------------------------------------------------------------------------------

    def _insert(self, connection: sqlite3.Connection, wish: JobRequest, turn: int, revision: int) -> int:
        cursor = connection.execute(
            "INSERT INTO jobs (target_sha256, face_sha256, state, target, target_kind, target_bytes,"
            " face_name, inputs, priority, turn, queued_at, revision)"
            " VALUES (?, ?, 'queued', ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                wish.target_sha256,
                wish.face_sha256,
                os.fsencode(wish.inputs[0][0]),
                wish.target_kind,
                wish.target_bytes,
                os.fsencode(wish.face_name),
                wish.drop_key,
                wish.priority,
                turn,
                self._clock(),
                revision,
            ),
        )
        return int(cursor.lastrowid or 0)

    def _drop_again(
        self,
        connection: sqlite3.Connection,
        job: Job,
        wish: JobRequest,
        result_exists: Callable[[Job], bool],
    ) -> bool:
        if job.state in WITHOUT_RESULT or (job.state == S.DONE and not result_exists(job)):
            return self._queue_again(connection, job, wish)
        # The same place with new signatures: the files were touched or written again while it waits or runs.
        if job.state in (S.QUEUED, S.RUNNING) and job.target == wish.inputs[0][0]:
            self._point_to(connection, job, wish)
        return False

    def _queue_again(self, connection: sqlite3.Connection, job: Job, wish: JobRequest | None) -> bool:
        if wish is not None:
            self._point_to(connection, job, wish)
        return bool(
            update(
                connection,
                "id = ?",
                (job.id,),
                state=S.QUEUED,
                attempts=0,
                turn=next_turn(connection),
                queued_at=self._clock(),
                started_at=None,
                finished_at=None,
                failure=None,
                swap=None,
                warnings="[]",
                output=None,
                report=None,
                stale_report=_stale_report(job),
                reported=0,
                stop_requested=0,
                work=None,
                work_sha256=None,
                work_bytes=None,
            )
        )

    def _point_to(self, connection: sqlite3.Connection, job: Job, wish: JobRequest) -> None:
        update(
            connection,
            "id = ?",
            (job.id,),
            target=os.fsencode(wish.inputs[0][0]),
            face_name=os.fsencode(wish.face_name),
            inputs=wish.drop_key,
        )


def _is_fresh_drop(connection: sqlite3.Connection, job_id: int, wish: JobRequest) -> bool:
    """Whether these files, as they were dropped, ask for this job for the first time."""
    inserted = connection.execute("INSERT OR IGNORE INTO drops VALUES (?, ?)", (job_id, wish.drop_key))
    return inserted.rowcount > 0


def _stale_report(job: Job) -> bytes | None:
    """A result stays where it is; the report of a failure is taken back once there is another."""
    report = job.stale_report if job.report is None else job.report
    return None if report is None or job.state == S.DONE else os.fsencode(report)


def _next_job(connection: sqlite3.Connection, face: str | None, busy_faces: Sequence[str]) -> int | None:
    top = connection.execute("SELECT max(priority) FROM jobs WHERE state = 'queued'").fetchone()[0]
    if top is None:
        return None
    query = "SELECT id FROM jobs WHERE state = 'queued' AND priority = ?"
    attempts: list[tuple[str, tuple[object, ...]]] = [(f"{query} ORDER BY turn LIMIT 1", (top,))]
    if busy_faces:
        others = f"{query} AND face_sha256 NOT IN (SELECT value FROM json_each(?)) ORDER BY turn LIMIT 1"
        attempts.insert(0, (others, (top, json.dumps(list(busy_faces)))))
    if face is not None:
        attempts.insert(0, (f"{query} AND face_sha256 = ? ORDER BY turn LIMIT 1", (top, face)))
    for statement, parameters in attempts:
        if (row := connection.execute(statement, parameters).fetchone()) is not None:
            return int(row[0])
    return None

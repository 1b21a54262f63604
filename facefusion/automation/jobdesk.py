"""Asking the queue for jobs, and changing one's mind: what people and the inbox want of it."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

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
from facefusion.automation.jobtable import (
    JobTable,
    cancelled,
    fenced,
    keep_result,
    next_revision,
    next_turn,
    read,
    update,
)
from facefusion.automation.sightings import Signature
from facefusion.errors import ErrorCategory
from facefusion.reports.records import Failure

S = JobState
UNREAD = "unread:"
"""Stands before the identity of a target whose content is not known because it may not be read."""


@dataclass(frozen=True)
class Asked:
    """Answer to a request.

    Attributes:
        job_id: of the job for it.
        started: the request set it going (anew), or ended it.
        known: these files were dropped for the first time, and their content had its job already.
    """

    job_id: int
    started: bool
    known: bool = False


class JobDesk(JobTable):
    """Takes requests for jobs.

    Args:
        database: of the root.
        clock: seconds since the epoch.
    """

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        super().__init__(database)
        self._clock = clock

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
                fresh = _is_fresh_drop(connection, job_id, wish)
                if fresh and row is not None:
                    started = self._drop_again(connection, job_of(row), wish, result_exists)
                answers.append(Asked(job_id, started, known=fresh and not started))
        return answers

    def refuse(
        self, path: str, signature: Signature, kind: Literal["video", "photo"], failure: Failure
    ) -> Asked:
        """Record a target that may not be read as a failed job, once for each drop."""
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
                return Asked(job_id, started=False)
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
            return Asked(job_id, started=True)

    def refused(self) -> list[Job]:
        """The targets that may not be read, as they were when that was recorded."""
        return self._select("target_sha256 GLOB ?", f"{UNREAD}*")

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
        """Cancel jobs: waiting ones at once, running ones as soon as the daemon sees it.

        One that is made anew has its earlier result again.
        """
        found = []
        why = failure_json(failure)
        with self._database.transaction() as connection:
            for job_id in ids:
                job = read(connection, job_id)
                if job is None or job.state not in (S.QUEUED, S.BLOCKED, S.RUNNING):
                    continue
                changes: dict[str, object] = {"stop_requested": 1, "failure": why}
                if job.state is not S.RUNNING:
                    changes = cancelled(job, failure=why, finished_at=self._clock(), reported=0)
                update(connection, "id = ?", (job_id,), **changes)
                found.append(job_id)
        return found

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
        keep_result(connection, job)
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

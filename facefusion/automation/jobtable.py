"""The table of jobs: reading it, and the statements its writers share."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Sequence

from facefusion.automation.database import Database
from facefusion.automation.job import ENDED, Job, JobState, job_of
from facefusion.automation.snapshot import QueueCounts

S = JobState
_PATHS = ("output", "report")
_OF_RESULT = (
    *(*_PATHS, "swap", "warnings", "seconds", "attempts", "quality_preset"),
    *("queued_at", "started_at", "finished_at", "work_sha256", "work_bytes"),
)
"""Columns of a job that say what came of it."""


class JobTable:
    """Looks jobs up.

    Args:
        database: of the root.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def job(self, job_id: int) -> Job | None:
        """One job."""
        return self.jobs([job_id]).get(job_id)

    def jobs(self, ids: Iterable[int]) -> dict[int, Job]:
        """Several jobs by id."""
        wanted = json.dumps(list(ids))
        return {job.id: job for job in self._select("id IN (SELECT value FROM json_each(?))", wanted)}

    def changed_since(self, revision: int) -> list[Job]:
        """Jobs that have changed since the one with this revision did, in the order of their changes."""
        return self._select("revision > ? ORDER BY revision", revision)

    def any_in(self, state: JobState) -> bool:
        """Whether there is a job in this state."""
        return bool(self._database.rows("SELECT 1 FROM jobs WHERE state = ? LIMIT 1", (state,)))

    def in_state(self, *states: JobState) -> list[Job]:
        """All jobs in these states, by turn."""
        return self._select("state IN (SELECT value FROM json_each(?)) ORDER BY turn", json.dumps(states))

    def next_jobs(self, limit: int) -> list[Job]:
        """The jobs that come next, held back ones last."""
        query = "state = ? ORDER BY priority DESC, turn LIMIT ?"
        waiting = self._select(query, S.QUEUED, limit)
        return waiting + self._select(query, S.BLOCKED, limit - len(waiting))

    def latest(self, states: Iterable[JobState], limit: int) -> list[Job]:
        """The jobs that ended last in one of these states."""
        found = [
            job
            for state in states
            for job in self._select("state = ? ORDER BY finished_at DESC LIMIT ?", state, limit)
        ]
        return sorted(found, key=lambda job: job.finished_at or 0.0, reverse=True)[:limit]

    def unreported(self) -> list[Job]:
        """Jobs that have ended and whose report is still to be written."""
        return self._select("reported = 0 AND state IN (SELECT value FROM json_each(?))", json.dumps(ENDED))

    def of_target(self, sha256: str) -> list[Job]:
        """All jobs with this target content."""
        return self._select("target_sha256 = ?", sha256)

    def is_paired(self, target_sha256: str, face_name: str) -> bool:
        """Whether a target has a job with the face of this name that has not failed."""
        return any(
            job.face_name == face_name and job.state not in (S.FAILED, S.CANCELLED)
            for job in self.of_target(target_sha256)
        )

    def called(self, name: str) -> list[Job]:
        """Jobs whose target or result is called so; `name` may begin with some of its folders."""
        whole, end = os.fsencode(name), os.fsencode(f"/{name}")
        where = "? IN (target, output) OR ? IN (substr(target, -length(?)), substr(output, -length(?)))"
        return self._select(f"{where} ORDER BY id", whole, end, end, end)

    def failed_at(self, path: str) -> list[Job]:
        """Failed jobs of the target with this path."""
        return self._select("target = ? AND state = 'failed'", os.fsencode(path))

    def queued_bytes(self) -> dict[str, int]:
        """Bytes of the targets that wait, by kind."""
        rows = self._database.rows(
            "SELECT target_kind, sum(target_bytes) FROM jobs WHERE state = 'queued' GROUP BY target_kind"
        )
        return {row[0]: int(row[1]) for row in rows}

    def counts(self) -> QueueCounts:
        """Jobs by state."""
        found: dict[str, int] = {
            row[0]: row[1] for row in self._database.rows("SELECT state, count(*) FROM jobs GROUP BY state")
        }
        found["running"] = found.get("running", 0) + found.pop("publishing", 0)
        return QueueCounts(**found)

    def _select(self, condition: str, *parameters: object) -> list[Job]:
        return [
            job_of(row) for row in self._database.rows(f"SELECT * FROM jobs WHERE {condition}", parameters)
        ]


def update(
    connection: sqlite3.Connection, condition: str, parameters: Sequence[object], **changes: object
) -> int:
    """Change the rows that meet a condition; returns how many."""
    assignments = ", ".join(f"{column} = ?" for column in changes)
    return connection.execute(
        f"UPDATE jobs SET {assignments}, revision = ? WHERE {condition}",
        (*changes.values(), next_revision(connection), *parameters),
    ).rowcount


def fenced(job: Job, state: JobState) -> tuple[str, tuple[object, ...]]:
    """Condition that the job is still in this state and still held by whoever read it."""
    return "id = ? AND fence = ? AND state = ?", (job.id, job.fence, state)


def keep_result(connection: sqlite3.Connection, job: Job) -> None:
    """Keep the record of a finished job that is about to be made anew."""
    row = connection.execute(f"SELECT {', '.join(_OF_RESULT)} FROM jobs WHERE id = ?", (job.id,)).fetchone()
    if job.state is S.DONE and row["output"] is not None:
        record = {
            column: row[column].hex() if column in _PATHS and row[column] is not None else row[column]
            for column in _OF_RESULT
        }
        update(connection, "id = ?", (job.id,), earlier=json.dumps(record))


def cancelled(job: Job, **changes: object) -> dict[str, object]:
    """What a cancelled job becomes: one that was made anew is done as it was, and there is nothing to report.

    Args:
        job: to be cancelled.
        changes: for one that has no result.
    """
    if job.earlier_output is None:
        return {"state": S.CANCELLED, **changes}
    kept = {
        column: bytes.fromhex(value) if column in _PATHS and value is not None else value
        for column, value in (job.earlier or {}).items()
    }
    done = {"state": S.DONE, "failure": None, "work": None, "earlier": None, "reported": 1}
    return {**kept, **done, "stop_requested": 0}


def next_turn(connection: sqlite3.Connection) -> int:
    """The turn after all others."""
    return int(connection.execute("SELECT coalesce(max(turn), 0) + 1 FROM jobs").fetchone()[0])


def next_revision(connection: sqlite3.Connection) -> int:
    """A number larger than that of any change before, also of rows that exist no longer."""
    connection.execute("UPDATE revisions SET latest = latest + 1")
    return int(connection.execute("SELECT latest FROM revisions").fetchone()[0])


def read(connection: sqlite3.Connection, job_id: int) -> Job | None:
    """A job as it is inside the transaction."""
    row = connection.execute("SELECT * FROM jobs WHERE id = ?", (job_id,)).fetchone()
    return None if row is None else job_of(row)

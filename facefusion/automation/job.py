"""One job of the queue: what is asked for, what is known about it, and its row in the database."""

from __future__ import annotations

import dataclasses
import json
import os
import sqlite3
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

from facefusion.automation.sightings import Signature
from facefusion.automation.workspace import printable
from facefusion.errors import FaceFusionError
from facefusion.reports.records import Failure


class JobState(StrEnum):
    """Where a job is on its way."""

    QUEUED = "queued"
    RUNNING = "running"
    PUBLISHING = "publishing"
    DONE = "done"
    NO_FACE = "no_face"
    FAILED = "failed"
    BLOCKED = "blocked"
    CANCELLED = "cancelled"


S = JobState
ENDED = (S.DONE, S.NO_FACE, S.FAILED, S.BLOCKED, S.CANCELLED)
WITHOUT_RESULT = (S.NO_FACE, S.FAILED, S.BLOCKED, S.CANCELLED)

BY_REQUEST = "by request"
"""Detail of the failure of a job that a person has cancelled."""

WITH_THE_PROGRAM = "the whole program ended"
"""Detail of the failure of an attempt that ended because everything did."""

Inputs = tuple[tuple[str, Signature], ...]


@dataclass(frozen=True)
class JobRequest:
    """A wish for one job.

    Attributes:
        inputs: target first, then the face's pictures: path (relative to the inbox, or absolute) and the
            signature they had when their content was read.
    """

    target_sha256: str
    face_sha256: str
    target_kind: Literal["video", "photo"]
    target_bytes: int
    face_name: str
    inputs: Inputs
    priority: int = 0

    @property
    def drop_key(self) -> str:
        """Identifies this drop of these files; dropping them again makes another key."""
        return json.dumps([[os.fsencode(path).hex(), *signature] for path, signature in self.inputs])


@dataclass(frozen=True)
class Job:
    """One row of the queue, as it was when it was read."""

    id: int
    state: JobState
    target_sha256: str
    face_sha256: str
    target_kind: Literal["video", "photo"]
    target_bytes: int
    face_name: str
    inputs: Inputs
    priority: int
    turn: int
    attempts: int
    fence: int
    quality_preset: str
    queued_at: float
    started_at: float | None
    finished_at: float | None
    seconds: float
    stop_requested: bool
    work: str | None
    work_sha256: str | None
    work_bytes: int | None
    output: str | None
    report: str | None
    stale_report: str | None
    reported: bool
    swap: dict[str, Any] | None
    failure: Failure | None
    warnings: tuple[str, ...]
    earlier: dict[str, Any] | None
    revision: int

    @property
    def earlier_output(self) -> str | None:
        """Its result from before it was made anew, if that still lies there; cancelled, it is done again."""
        if self.earlier is None:
            return None
        output = os.fsdecode(bytes.fromhex(self.earlier["output"]))
        return output if os.path.lexists(output) else None

    @property
    def failed_before(self) -> bool:
        """An earlier attempt has failed, and a device may be why.

        Where the whole program has ended once that was most likely a power cut.
        """
        once = self.failure is not None and self.failure.detail == WITH_THE_PROGRAM
        return self.attempts > (2 if once else 1)

    @property
    def target(self) -> str:
        """Path of the target, relative to the inbox (or absolute)."""
        return self.inputs[0][0]

    @property
    def faces(self) -> tuple[str, ...]:
        """Paths of the face's pictures."""
        return tuple(path for path, _ in self.inputs[1:])


def earlier_result(job: Job) -> str:
    """A sentence about the result of a job that could not be made anew; empty where there is none."""
    if job.earlier_output is None:
        return ""
    return f" Its earlier result {printable(Path(job.earlier_output).name)} is still there."


def failure_from(error: FaceFusionError, detail: str = "") -> Failure:
    """What an error of the house says, for records."""
    return Failure(error.category.value, error.message, error.remedy, detail)


def failure_json(failure: Failure | None) -> str | None:
    """For the `failure` column."""
    return None if failure is None else json.dumps(dataclasses.asdict(failure))


def _path(value: bytes | None) -> str | None:
    return None if value is None else os.fsdecode(value)


def job_of(row: sqlite3.Row) -> Job:
    """A job from its row."""
    values = {key: row[key] for key in row.keys() if key != "target"}  # noqa: SIM118 - a Row is no mapping
    values["state"] = JobState(row["state"])
    values["face_name"] = os.fsdecode(row["face_name"])
    values["inputs"] = tuple(
        (os.fsdecode(bytes.fromhex(path)), Signature(*signature))
        for path, *signature in json.loads(row["inputs"])
    )
    for column in ("work", "output", "report", "stale_report"):
        values[column] = _path(row[column])
    values["stop_requested"] = bool(row["stop_requested"])
    values["reported"] = bool(row["reported"])
    values["swap"] = None if row["swap"] is None else json.loads(row["swap"])
    values["failure"] = None if row["failure"] is None else Failure(**json.loads(row["failure"]))
    values["warnings"] = tuple(json.loads(row["warnings"]))
    values["earlier"] = None if row["earlier"] is None else json.loads(row["earlier"])
    return Job(**values)

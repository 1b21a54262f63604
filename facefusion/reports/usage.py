"""Durable usage figures: one row for each finished job in one SQLite file, counted by SQL.

Nothing is kept in memory, so a hundred thousand jobs cost no more than ten. A job counts once, with its
last outcome: tracking it again (a retry, or a job found finished after a crash) replaces its row.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from facefusion.errors import StorageError
from facefusion.reports.documents import all_warnings, iso_time, readable
from facefusion.reports.error_analysis import (
    WORST_FILES,
    ErrorReport,
    WorstFile,
    build_error_report,
    failure_of,
    label_of,
)
from facefusion.reports.records import JobRecord
from facefusion.system.databases import use_write_ahead_log

DATABASE_FILE = "analytics.sqlite3"
LATEST = 10
MOST_USED = 8
NO_SUFFIX = "no extension"

_PATIENCE = 10.0  # seconds for which another process may hold the file

_OUTPUT = 15
"""Where the path of the result stands in a row."""
_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    job_id       TEXT PRIMARY KEY,
    finished_at  REAL NOT NULL,
    outcome      TEXT NOT NULL,
    target       TEXT NOT NULL,
    kind         TEXT NOT NULL,
    format       TEXT NOT NULL,
    bytes        INTEGER NOT NULL,
    face         TEXT NOT NULL,
    profile      TEXT NOT NULL,
    engine       TEXT,
    provider     TEXT,
    attempts     INTEGER NOT NULL,
    seconds      REAL NOT NULL,
    frames       INTEGER NOT NULL,
    swapped      INTEGER NOT NULL,
    output       TEXT,
    warnings     INTEGER NOT NULL,
    category     TEXT,
    message      TEXT,
    remedy       TEXT
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS jobs_by_time ON jobs (finished_at);
CREATE TABLE IF NOT EXISTS stages (
    job_id       TEXT NOT NULL REFERENCES jobs (job_id) ON DELETE CASCADE,
    stage        TEXT NOT NULL,
    seconds      REAL NOT NULL,
    PRIMARY KEY (job_id, stage)
) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class Day:
    """One local calendar day."""

    day: str
    done: int
    no_face: int
    failed: int
    frames: int
    seconds: float


@dataclass(frozen=True)
class Share:
    """How often one thing (a face, a format, an engine ...) was used; jobs that had none are not counted."""

    name: str
    jobs: int
    done: int
    frames: int


@dataclass(frozen=True)
class Stage:
    """Time that one stage of the work took, over all jobs."""

    stage: str
    seconds: float
    share: float


@dataclass(frozen=True)
class LatestJob:
    """One line of the lists of latest results and failures."""

    job_id: str
    finished_at: str
    outcome: str
    target: str
    kind: str
    face: str
    seconds: float
    frames: int
    output: str | None
    warnings: int
    category: str | None
    label: str | None
    message: str | None
    remedy: str | None


@dataclass(frozen=True)
class UsageReport:
    """Usage in the last `days` days. Times are ISO 8601 in UTC; `per_day` counts local calendar days.

    Attributes:
        frames, frames_swapped: of the videos that are done.
        success_rate: `done` by all jobs that were tried (cancelled ones left out); None without jobs.
        average_seconds: work for one finished job; None without finished jobs.
        frames_per_second: frames written to videos by seconds of work on videos, over whole jobs.
    """

    days: int
    since: str
    generated_at: str
    jobs: int
    done: int
    no_face: int
    failed: int
    blocked: int
    cancelled: int
    success_rate: float | None
    average_seconds: float | None
    work_seconds: float
    frames: int
    frames_swapped: int
    frames_per_second: float | None
    bytes: int
    per_day: tuple[Day, ...]
    faces: tuple[Share, ...]
    formats: tuple[Share, ...]
    engines: tuple[Share, ...]
    profiles: tuple[Share, ...]
    stages: tuple[Stage, ...]
    latest_results: tuple[LatestJob, ...]
    latest_failures: tuple[LatestJob, ...]

    def as_dict(self) -> dict[str, Any]:
        """The report as plain data for JSON."""
        return asdict(self)


class UsageAnalytics:
    """The figures of one installation.

    One object belongs to one thread at a time; several objects (and processes) may use the same file.

    Args:
        state_dir: folder of the database file `analytics.sqlite3` (created when missing).
        clock: seconds since the epoch; given by tests.

    Raises:
        StorageError: from every method, when the file cannot be read or written.
    """

    def __init__(self, state_dir: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._path = state_dir / DATABASE_FILE
        with self._explained("opened"):
            state_dir.mkdir(parents=True, exist_ok=True)
            # check_same_thread off: the facade hands the object over to its closing thread.
            self._database = sqlite3.connect(self._path, timeout=_PATIENCE, check_same_thread=False)
            use_write_ahead_log(self._database, _PATIENCE)
            self._database.execute("PRAGMA synchronous = FULL")
            self._database.execute("PRAGMA foreign_keys = ON")
            self._database.executescript(_SCHEMA)

    def track_processing_metrics(self, record: JobRecord) -> None:
        """Keep the figures of one finished job."""
        swap = record.swap or {}
        category, message = failure_of(record) if record.outcome in ("failed", "blocked") else (None, None)
        row = (
            record.job_id,
            record.finished_at,
            record.outcome,
            readable(record.target.name),
            record.target_kind,
            readable(record.target.suffix).lower().lstrip(".") or NO_SUFFIX,
            record.target_bytes,
            readable(record.face_name),
            record.quality_preset,
            swap.get("engine"),
            swap.get("provider"),
            record.attempts,
            record.seconds,
            int(swap.get("frames") or 0),
            int(swap.get("frames_swapped") or 0),
            None if record.output is None else readable(record.output),
            len(all_warnings(record)),
            category,
            message,
            record.failure.remedy if record.failure else None,
        )
        timings = [
            (record.job_id, str(stage), float(seconds))
            for stage, seconds in dict(swap.get("timings") or {}).items()
        ]
        with self._explained("written"), self._database:
            self._keep_earlier_result(record.job_id, row[_OUTPUT])
            self._database.execute("DELETE FROM jobs WHERE job_id = ?", (record.job_id,))
            self._database.execute(f"INSERT INTO jobs VALUES ({','.join('?' * len(row))})", row)
            self._database.executemany("INSERT INTO stages VALUES (?, ?, ?)", timings)

    def _keep_earlier_result(self, job_id: str, output: object) -> None:
        """A job made anew has another result beside the first, which stays in the outbox and here."""
        known = "SELECT finished_at FROM jobs WHERE job_id = ? AND outcome = 'done' AND output IS NOT ?"
        if (found := self._database.execute(known, (job_id, output)).fetchone()) is None:
            return
        self._database.execute("PRAGMA defer_foreign_keys = ON")
        for table in ("stages", "jobs"):
            self._database.execute(
                f"UPDATE {table} SET job_id = ? WHERE job_id = ?", (f"{job_id} of {found[0]}", job_id)
            )

    def generate_usage_report(self, days: int = 30) -> UsageReport:
        """Count what happened in the last `days` local calendar days, today included."""
        now, since = self._period(days)
        with self._explained("read"):
            totals = self._one(
                """SELECT count(*) AS jobs,
                    coalesce(sum(outcome = 'done'), 0) AS done,
                    coalesce(sum(outcome = 'no_face'), 0) AS no_face,
                    coalesce(sum(outcome = 'failed'), 0) AS failed,
                    coalesce(sum(outcome = 'blocked'), 0) AS blocked,
                    coalesce(sum(outcome = 'cancelled'), 0) AS cancelled,
                    coalesce(sum(seconds), 0.0) AS seconds,
                    avg(seconds) FILTER (WHERE outcome = 'done') AS average,
                    coalesce(sum(frames) FILTER (WHERE outcome = 'done' AND kind = 'video'), 0) AS frames,
                    coalesce(sum(swapped) FILTER (WHERE outcome = 'done' AND kind = 'video'), 0) AS swapped,
                    coalesce(sum(bytes) FILTER (WHERE outcome = 'done'), 0) AS bytes,
                    sum(frames) FILTER (WHERE outcome = 'done' AND kind = 'video')
                        / sum(seconds) FILTER (WHERE outcome = 'done' AND kind = 'video' AND seconds > 0)
                        AS rate
                FROM jobs WHERE finished_at >= ?""",
                since,
            )
            tried = totals["jobs"] - totals["cancelled"]
            return UsageReport(
                days=days,
                since=str(iso_time(since)),
                generated_at=str(iso_time(now)),
                jobs=totals["jobs"],
                done=totals["done"],
                no_face=totals["no_face"],
                failed=totals["failed"],
                blocked=totals["blocked"],
                cancelled=totals["cancelled"],
                success_rate=round(totals["done"] / tried, 4) if tried else None,
                average_seconds=_rounded(totals["average"]),
                work_seconds=round(totals["seconds"], 3),
                frames=totals["frames"],
                frames_swapped=totals["swapped"],
                frames_per_second=_rounded(totals["rate"]),
                bytes=totals["bytes"],
                per_day=self._per_day(days, now, since),
                faces=self._shares("face", since),
                formats=self._shares("format", since),
                engines=self._shares("engine", since),
                profiles=self._shares("profile", since),
                stages=self._stages(since),
                latest_results=self._latest("done", since),
                latest_failures=self._latest("failed", since),
            )

    def generate_error_report(self, days: int = 30) -> ErrorReport:
        """The failures of the last `days` days; the same report as `ErrorAnalyzer` makes from records."""
        _, since = self._period(days)
        failed = "outcome IN ('failed', 'blocked') AND finished_at >= ?"
        with self._explained("read"):
            counts = self._all(
                f"""SELECT category, coalesce(remedy, '') AS advice, count(*) AS failures FROM jobs
                WHERE {failed} GROUP BY category, advice""",
                since,
            )
            # SQLite takes the other columns from the row in which max() was found.
            worst = self._all(
                f"""SELECT target, count(*) AS failures, max(finished_at), category, message FROM jobs
                WHERE {failed} GROUP BY target ORDER BY failures DESC, target LIMIT {WORST_FILES}""",
                since,
            )
        return build_error_report(
            {(row["category"], row["advice"]): row["failures"] for row in counts},
            (WorstFile(row["target"], row["failures"], row["category"], row["message"]) for row in worst),
        )

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _period(self, days: int) -> tuple[float, float]:
        """Now, and the local midnight with which the first of `days` calendar days began."""
        if days < 1:
            raise ValueError(f"a report covers at least one day, not {days}")
        now = self._clock()
        first = datetime.fromtimestamp(now).date() - timedelta(days=days - 1)
        return now, datetime.combine(first, datetime.min.time()).timestamp()

    def _per_day(self, days: int, now: float, since: float) -> tuple[Day, ...]:
        rows = self._all(
            """SELECT date(finished_at, 'unixepoch', 'localtime') AS day,
                sum(outcome = 'done') AS done, sum(outcome = 'no_face') AS no_face,
                sum(outcome IN ('failed', 'blocked')) AS failed,
                coalesce(sum(frames) FILTER (WHERE outcome = 'done' AND kind = 'video'), 0) AS frames,
                sum(seconds) AS seconds
            FROM jobs WHERE finished_at >= ? GROUP BY day""",
            since,
        )
        worked = {
            row["day"]: Day(
                row["day"],
                row["done"],
                row["no_face"],
                row["failed"],
                row["frames"],
                round(row["seconds"], 3),
            )
            for row in rows
        }
        first: date = datetime.fromtimestamp(since).date()
        calendar = (str(first + timedelta(days=offset)) for offset in range(days))
        return tuple(worked.get(day, Day(day, 0, 0, 0, 0, 0.0)) for day in calendar)

    def _shares(self, column: str, since: float) -> tuple[Share, ...]:
        rows = self._all(
            f"""SELECT {column} AS name, count(*) AS jobs, sum(outcome = 'done') AS done,
                sum(frames) AS frames
            FROM jobs WHERE finished_at >= ? AND coalesce({column}, '') <> ''
            GROUP BY {column} ORDER BY jobs DESC, name LIMIT {MOST_USED}""",
            since,
        )
        return tuple(Share(row["name"], row["jobs"], row["done"], row["frames"]) for row in rows)

    def _stages(self, since: float) -> tuple[Stage, ...]:
        rows = self._all(
            """SELECT stage, sum(stages.seconds) AS seconds FROM stages JOIN jobs USING (job_id)
            WHERE finished_at >= ? GROUP BY stage ORDER BY seconds DESC""",
            since,
        )
        total = sum(row["seconds"] for row in rows) or 1.0
        return tuple(
            Stage(row["stage"], round(row["seconds"], 3), round(row["seconds"] / total, 4)) for row in rows
        )

    def _latest(self, wanted: str, since: float) -> tuple[LatestJob, ...]:
        outcomes = {"done": "('done', 'no_face')", "failed": "('failed', 'blocked')"}[wanted]
        rows = self._all(
            f"""SELECT * FROM jobs WHERE outcome IN {outcomes} AND finished_at >= ?
            ORDER BY finished_at DESC LIMIT {LATEST}""",
            since,
        )
        return tuple(
            LatestJob(
                job_id=row["job_id"],
                finished_at=str(iso_time(row["finished_at"])),
                outcome=row["outcome"],
                target=row["target"],
                kind=row["kind"],
                face=row["face"],
                seconds=round(row["seconds"], 3),
                frames=row["frames"],
                output=row["output"],
                warnings=row["warnings"],
                category=row["category"],
                label=label_of(row["category"]) if row["category"] else None,
                message=row["message"],
                remedy=row["remedy"],
            )
            for row in rows
        )

    def _all(self, query: str, since: float) -> list[dict[str, Any]]:
        cursor = self._database.execute(query, (since,))
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor]

    def _one(self, query: str, since: float) -> dict[str, Any]:
        return self._all(query, since)[0]

    @contextlib.contextmanager
    def _explained(self, action: str) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise StorageError(f"{readable(self._path)} cannot be {action}: {error}.") from error


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)

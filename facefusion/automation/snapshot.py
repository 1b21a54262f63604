"""What the daemon is doing, as one frozen picture that any process can read.

A running daemon keeps it in two files of its state folder: `status.json`, small, rewritten about once a
second while something changes, and `inbox.json`, one entry for every file of the inbox, rewritten when one of
them changes. `read_snapshot` joins them. The launcher's live view gets the same object without the detour.
"""

from __future__ import annotations

import dataclasses
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from facefusion.config import QUALITY_PROFILES

T = TypeVar("T")

SNAPSHOT_VERSION = 1
STATUS_FILE = "status.json"
INBOX_FILE = "inbox.json"
READ_ATTEMPTS = 5
READ_PAUSE_SECONDS = 0.02

DaemonState = Literal["stopped", "starting", "watching", "processing", "paused", "stopping"]
FileKind = Literal["face", "video", "photo", "other"]
FileState = Literal[
    "waiting",
    "preparing",
    "ready",
    "queued",
    "running",
    "done",
    "no_face",
    "failed",
    "blocked",
    "cancelled",
    "ignored",
    "refused",
    "vanished",
]
"""`ready` is a face that can be used; `preparing` is being read to know its content; the rest is clear."""
STATE_WORDS: Mapping[str, str] = {
    "waiting": "waiting",
    "preparing": "being read",
    "refused": "refused",
    "blocked": "held back",
    "running": "in work",
    "queued": "in the queue",
    "failed": "failed",
    "done": "done",
    "no_face": "without a face",
    "cancelled": "cancelled",
    "ignored": "ignored",
    "vanished": "gone",
}
"""The states as people read them, in the order in which they matter; `ready` is told in other words."""


@dataclass(frozen=True, slots=True)
class InboxFile:
    """One file of the inbox and what it is waiting for.

    Attributes:
        path: relative to the inbox, made printable (control characters and undecodable bytes escaped).
        reason: in words, never empty: what it waits for, why it is ignored, where its result lies.
        jobs: ids of the jobs it belongs to.
        stuck: it stays as it is until a person does something, and no job of its own says so.
    """

    path: str
    kind: FileKind
    state: FileState
    reason: str
    bytes: int = 0
    jobs: tuple[str, ...] = ()
    stuck: bool = False


@dataclass(frozen=True, slots=True)
class JobView:
    """A job that runs, waits its turn or is held back.

    Attributes:
        target: path relative to the inbox, printable.
        attempt: which attempt this is or will be, from 1; `attempts_allowed` in all.
        stage: what a running job does: `starting`, `preparing`, `resuming`, `swapping`, `finishing`,
            `publishing`; empty otherwise.
        frames_done: of one that does not run: what an earlier attempt has finished, so that it goes on there.
        frames_total: an estimate where the container does not say.
        frames_per_second: 0.0 before the first frames.
        seconds: since this attempt began.
        seconds_left: None while it cannot be said.
        note: why it is held back, or why it is tried again; may be empty.
    """

    id: str
    target: str
    face: str
    kind: Literal["video", "photo"]
    state: Literal["queued", "running", "blocked"]
    attempt: int = 1
    attempts_allowed: int = 1
    priority: int = 0
    stage: str = ""
    frames_done: int = 0
    frames_total: int | None = None
    frames_per_second: float = 0.0
    seconds: float = 0.0
    seconds_left: float | None = None
    worker_pid: int | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class ResultView:
    """A job that ended as it should.

    Attributes:
        outcome: `no_face` = no face was found in the target, so there is a report but no picture.
        output: absolute path of the result; None for `no_face`.
        report: absolute path of its report.
        finished_at: seconds since the epoch, UTC.
        seconds: the work itself, without waiting.
        engine, provider: what really ran.
        about_face: those of the warnings that are about the source face, and so the same for all its results.
        left_out: processors of the quality preset that did not run; said once, not with every result.
    """

    id: str
    target: str
    face: str
    outcome: Literal["done", "no_face"]
    output: str | None
    report: str | None
    finished_at: float
    seconds: float
    frames: int = 0
    frames_swapped: int = 0
    engine: str = ""
    provider: str = ""
    warnings: tuple[str, ...] = ()
    about_face: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RepeatView:
    """A file that was dropped with content whose job is known, so that nothing was done with it.

    Attributes:
        told: which, and where the result lies; a sentence without its end, printable.
        at: seconds since the epoch, UTC.
    """

    told: str
    at: float


@dataclass(frozen=True, slots=True)
class FailureView:
    """A job that ended without a result, and what can be done about it.

    Attributes:
        category: value of `facefusion.errors.ErrorCategory`.
        report: absolute path of the failure report; None where it is not written yet.
    """

    id: str
    target: str
    face: str
    outcome: Literal["failed", "blocked", "cancelled"]
    category: str
    message: str
    remedy: str
    attempts: int
    finished_at: float
    report: str | None = None


@dataclass(frozen=True, slots=True)
class QueueCounts:
    """Jobs by state, over everything the queue remembers."""

    queued: int = 0
    running: int = 0
    blocked: int = 0
    done: int = 0
    no_face: int = 0
    failed: int = 0
    cancelled: int = 0

    @property
    def open(self) -> int:
        """Jobs that are still to be processed and not held back."""
        return self.queued + self.running


@dataclass(frozen=True)
class Snapshot:
    """Everything that `status` and the live view show.

    Attributes:
        written_at: seconds since the epoch, UTC.
        state: of the daemon. `paused` with its reason in `paused`.
        daemon_pid: None when no daemon runs on this root.
        files: every file of the inbox with state and reason.
        running: jobs in work, with their progress.
        waiting: the next jobs in the order in which they will run (at most 50); `counts.queued` says how many
            there are. Held back ones come last.
        seconds_left: estimate for the whole queue; None while it cannot be said.
        results, failures: the latest first (at most 20 each).
        repeats: files that this run has found to be known already, the latest first (at most 20).
        failures_gone: how many of the latest failed jobs are left out because their file is no longer there.
        paused: why no job is started at the moment.
        config_problem: what is wrong with the settings file; the last good settings stay in force.
        notices: anything else a person should know, in sentences.
        engine, provider: of the latest result; empty before the first one.
        quality_preset: in force; empty where the settings are wrong and no daemon keeps the last good ones.
    """

    written_at: float
    state: DaemonState
    root: str
    inbox: str
    outbox: str
    daemon_pid: int | None = None
    started_at: float | None = None
    files: tuple[InboxFile, ...] = ()
    counts: QueueCounts = field(default_factory=QueueCounts)
    running: tuple[JobView, ...] = ()
    waiting: tuple[JobView, ...] = ()
    seconds_left: float | None = None
    results: tuple[ResultView, ...] = ()
    failures: tuple[FailureView, ...] = ()
    repeats: tuple[RepeatView, ...] = ()
    failures_gone: int = 0
    paused: str | None = None
    config_problem: str | None = None
    notices: tuple[str, ...] = ()
    engine: str = ""
    provider: str = ""
    quality_preset: str = ""
    version: int = SNAPSHOT_VERSION

    @property
    def failed(self) -> int:
        """Failed jobs that still concern somebody: their file is there."""
        return self.counts.failed - self.failures_gone

    @property
    def left_out(self) -> tuple[str, ...]:
        """Processors of the preset in force that the latest result did without."""
        profile = QUALITY_PROFILES.get(self.quality_preset)
        if profile is None or not self.results:
            return ()
        return tuple(name for name in self.results[0].left_out if name in profile.processors)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON types, as `status --json` prints them."""
        document = _flat(self)
        document["counts"] = _flat(self.counts)
        for name in ("files", "running", "waiting", "results", "failures", "repeats"):
            document[name] = [_flat(row) for row in document[name]]
        return document


def snapshot_from_dict(document: Mapping[str, Any]) -> Snapshot:
    """The inverse of `Snapshot.as_dict`; keys of a newer version are ignored.

    Raises:
        TypeError, KeyError: the document is not a snapshot.
    """
    values = _known(Snapshot, document)
    values["files"] = _each(InboxFile, document.get("files", ()))
    values["counts"] = QueueCounts(**_known(QueueCounts, document.get("counts", {})))
    values["running"] = _each(JobView, document.get("running", ()))
    values["waiting"] = _each(JobView, document.get("waiting", ()))
    values["results"] = _each(ResultView, document.get("results", ()))
    values["failures"] = _each(FailureView, document.get("failures", ()))
    values["repeats"] = _each(RepeatView, document.get("repeats", ()))
    values["notices"] = tuple(document.get("notices", ()))
    return Snapshot(**values)


class SnapshotWriter:
    """Keeps the two files of the state folder up to date, writing only what changed.

    Args:
        state_dir: the root's private folder.
    """

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir
        self._files: tuple[InboxFile, ...] | None = None
        self._rest_until = 0.0
        self._serial = 0

    def write(self, snapshot: Snapshot, *, last: bool = False) -> bool:
        """Write what changed since the last call; a very long inbox list at most 5 % of the time.

        Args:
            snapshot: the present state.
            last: write everything now, nothing follows.

        Returns:
            False if the list of files is still to be written.

        Raises:
            OSError: the state folder cannot be written.
        """
        now = time.monotonic()
        if snapshot.files is not self._files and (last or now >= self._rest_until):
            self._serial += 1
            rows = [(f.path, f.kind, f.state, f.reason, f.bytes, f.jobs, f.stuck) for f in snapshot.files]
            _replace(self._state_dir / INBOX_FILE, {"serial": self._serial, "files": rows})
            self._files = snapshot.files
            self._rest_until = now + 20 * (time.monotonic() - now)
        small = dataclasses.replace(snapshot, files=())
        _replace(self._state_dir / STATUS_FILE, {"inbox_serial": self._serial, **small.as_dict()})
        return snapshot.files is self._files


def read_snapshot(state_dir: Path) -> Snapshot | None:
    """The snapshot a daemon wrote last; None if there is none or it cannot be understood.

    Whether that daemon still runs is another question: see `facefusion.automation.lock.holder`.
    """
    for _ in range(READ_ATTEMPTS):
        try:
            document = json.loads((state_dir / STATUS_FILE).read_text(encoding="utf-8"))
            listing = json.loads((state_dir / INBOX_FILE).read_text(encoding="utf-8"))
            snapshot = snapshot_from_dict(document)
            files = tuple(_inbox_file(*row) for row in listing["files"])
            fits = document["inbox_serial"] == listing["serial"]
        except (OSError, ValueError, TypeError, KeyError):
            return None
        if fits:
            break
        # The daemon has written one of the two and is about to write the other.
        time.sleep(READ_PAUSE_SECONDS)
    return dataclasses.replace(snapshot, files=files)


def _flat(row: Any) -> dict[str, Any]:
    # `dataclasses.asdict` copies deeply, which costs ten times as much and is of no use here.
    return {entry.name: getattr(row, entry.name) for entry in dataclasses.fields(row)}


def _inbox_file(
    path: str,
    kind: FileKind,
    state: FileState,
    reason: str,
    size: int,
    jobs: list[str],
    stuck: bool = False,
) -> InboxFile:
    return InboxFile(path, kind, state, reason, size, tuple(jobs), stuck)


def _known(kind: type, document: Mapping[str, Any]) -> dict[str, Any]:
    names = {entry.name for entry in dataclasses.fields(kind)}
    return {key: value for key, value in document.items() if key in names}


def _each(kind: type[T], rows: Any) -> tuple[T, ...]:
    return tuple(
        kind(
            **{
                key: tuple(value) if isinstance(value, list) else value
                for key, value in _known(kind, row).items()
            }
        )
        for row in rows
    )


def _replace(path: Path, document: Any) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        json.dump(document, stream, separators=(",", ":"))
    temporary.replace(path)

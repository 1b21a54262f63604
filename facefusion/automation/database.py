"""The SQLite file of one root: connection, schema, transactions, and what is known about inbox files."""

from __future__ import annotations

import json
import os
import secrets
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from facefusion.automation.sightings import Signature
from facefusion.errors import StorageError
from facefusion.system.databases import use_write_ahead_log

SCHEMA_VERSION = 4
BUSY_SECONDS = 30.0
DAMAGED_REMEDY = (
    "Stop the program, move queue.sqlite3 and the files queue.sqlite3-* beside it out of that folder, and "
    "start again. Results and their reports stay. Lost is what the queue remembered: which files are done, "
    "waiting or cancelled, and with which face. What still lies in the inbox is processed again, so take out "
    "what is done."
)

PICTURES = """
CREATE TABLE pictures (              -- what was found in pictures of faces, so that each is looked at once
    sha256 TEXT PRIMARY KEY,
    look INTEGER NOT NULL,           -- version of the way of looking
    unusable TEXT NOT NULL,          -- why no face can be taken from it; empty if one can
    flaws TEXT NOT NULL              -- what makes it a poorer source; empty if nothing does
) WITHOUT ROWID;
"""
SCHEMA = (
    """
CREATE TABLE jobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    target_sha256 TEXT NOT NULL,
    face_sha256 TEXT NOT NULL,
    state TEXT NOT NULL,
    target BLOB NOT NULL,            -- file names are bytes: they need not be valid Unicode
    target_kind TEXT NOT NULL,
    target_bytes INTEGER NOT NULL,
    face_name BLOB NOT NULL,
    inputs TEXT NOT NULL,            -- JSON: [[hex of the path, [inode, size, mtime_ns, ctime_ns]], ...]
    priority INTEGER NOT NULL DEFAULT 0,
    turn INTEGER NOT NULL,           -- order within a priority
    attempts INTEGER NOT NULL DEFAULT 0,
    fence INTEGER NOT NULL DEFAULT 0,
    quality_preset TEXT NOT NULL DEFAULT '',
    queued_at REAL NOT NULL,
    started_at REAL,
    finished_at REAL,
    seconds REAL NOT NULL DEFAULT 0,
    stop_requested INTEGER NOT NULL DEFAULT 0,
    work BLOB,                       -- finished work file that is being published
    work_sha256 TEXT,
    work_bytes INTEGER,
    output BLOB,
    report BLOB,
    stale_report BLOB,               -- failure report of an earlier attempt, to be removed
    reported INTEGER NOT NULL DEFAULT 0,
    swap TEXT,                       -- JSON of SwapResult
    failure TEXT,                    -- JSON of Failure
    warnings TEXT NOT NULL DEFAULT '[]',
    earlier TEXT,                    -- JSON: the record of a good result, while the job is made anew
    revision INTEGER NOT NULL,
    UNIQUE (target_sha256, face_sha256, target_kind)
);
CREATE INDEX jobs_by_turn ON jobs (state, priority, turn);
CREATE INDEX jobs_by_face ON jobs (state, face_sha256, priority, turn);
CREATE INDEX jobs_by_target ON jobs (target);
CREATE INDEX jobs_last_turn ON jobs (turn);
CREATE INDEX jobs_by_revision ON jobs (revision);
CREATE INDEX jobs_by_end ON jobs (state, finished_at);
CREATE INDEX jobs_unreported ON jobs (reported, state);
CREATE TABLE revisions (latest INTEGER NOT NULL);
INSERT INTO revisions VALUES (0);
CREATE TABLE drops (                 -- which drop of which files asked for which job
    job INTEGER NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    drop_key TEXT NOT NULL,
    PRIMARY KEY (job, drop_key)
) WITHOUT ROWID;
CREATE TABLE files (                 -- content of inbox files, so that each is read once
    path BLOB PRIMARY KEY,
    signature TEXT NOT NULL,         -- JSON, because inode numbers may exceed SQLite's integers
    sha256 TEXT NOT NULL,
    seen_at REAL NOT NULL,
    paired_with BLOB
) WITHOUT ROWID;
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""
    + PICTURES
)
UPGRADES = {
    1: PICTURES,
    2: "ALTER TABLE jobs ADD COLUMN earlier TEXT;",
    3: f"DROP TABLE pictures; {PICTURES}",  # each is looked at again
}
"""What turns a file of this version into one of the next."""


class Database:
    """One connection, usable from any thread of this process; other processes may open the file as well.

    Args:
        path: of the file; its folder must exist. None for an empty one in memory.

    Raises:
        StorageError: it cannot be opened or is damaged.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._lock = threading.RLock()
        try:
            # Made beforehand, so that it never has other rights than these. One that is there may be open in
            # this process: closing it here would take that connection's locks away (POSIX).
            if path is not None and not path.exists():
                os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            self._connection = sqlite3.connect(
                path or ":memory:", timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            self._connection.row_factory = sqlite3.Row
            use_write_ahead_log(self._connection, BUSY_SECONDS)
            # FULL: a committed step survives a power cut, too; a job has only a handful of commits.
            self._connection.execute("PRAGMA synchronous = FULL")
            self._connection.execute("PRAGMA foreign_keys = ON")
            self._create()
        except OSError as error:
            raise StorageError(
                f"The queue {path} cannot be opened: {error.strerror}.", remedy="Make its folder writable."
            ) from error
        except sqlite3.Error as error:
            raise self._trouble(error, "opened") from error

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A write transaction, committed at the end and rolled back by an exception.

        Raises:
            StorageError: the database cannot be written (disk full, damaged, locked for too long).
        """
        with self._translated("written"):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def rows(self, query: str, parameters: Iterable[object] = ()) -> list[sqlite3.Row]:
        """All rows of a query.

        Raises:
            StorageError: the database cannot be read.
        """
        with self._translated("read"):
            return self._connection.execute(query, tuple(parameters)).fetchall()

    def written_elsewhere(self) -> int:
        """A number that changes when another process (or connection) has committed something."""
        return int(self.rows("PRAGMA data_version")[0][0])

    def fact(self, name: str) -> str | None:
        """A remembered fact about this installation."""
        found = self.rows("SELECT value FROM facts WHERE name = ?", (name,))
        return None if not found else str(found[0][0])

    def remember(self, name: str, value: str) -> None:
        """Remember a fact."""
        with self.transaction() as connection:
            connection.execute(
                "INSERT INTO facts VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                (name, value),
            )

    def shrink(self) -> None:
        """Overwrite what was deleted.

        Raises:
            StorageError: the database cannot be written.
        """
        with self._translated("written"):
            self._connection.execute("VACUUM")
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Fold the log into the file and close it."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def _translated(self, verb: str) -> Iterator[None]:
        """Hold the connection, and say its errors as errors of the house."""
        with self._lock:
            try:
                yield
            except (sqlite3.IntegrityError, sqlite3.ProgrammingError):
                raise  # a fault of ours
            except sqlite3.DatabaseError as error:
                raise self._trouble(error, verb) from error

    def _trouble(self, error: sqlite3.Error, verb: str) -> StorageError:
        # The lower byte says what happened, the others say where.
        match (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF:
            case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
                return StorageError(f"The queue {self.path} is damaged: {error}.", remedy=DAMAGED_REMEDY)
            case sqlite3.SQLITE_FULL:
                return StorageError(f"The disk of the queue {self.path} is full.")
            case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
                return StorageError(
                    f"The queue {self.path} is locked by another program.",
                    remedy="Close whatever has this file open (a backup, a database browser); "
                    "work goes on by itself.",
                )
        return StorageError(f"The queue {self.path} cannot be {verb}: {error}.")

    def _create(self) -> None:
        if self._connection.execute("PRAGMA user_version").fetchone()[0] == SCHEMA_VERSION:
            return
        with self.transaction() as connection:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version == 0:
                for statement in _statements(SCHEMA):
                    connection.execute(statement)
                connection.execute(
                    "INSERT INTO facts VALUES ('installation', ?)",
                    (secrets.token_hex(4),),
                )
            while version in UPGRADES:
                for statement in _statements(UPGRADES[version]):
                    connection.execute(statement)
                version += 1
            if version in (0, SCHEMA_VERSION):
                connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            else:
                raise StorageError(
                    f"The queue {self.path} was written by another version of the program ({version}).",
                    remedy="Start the newer program, or move the file away to start a new queue.",
                )


@dataclass(frozen=True, slots=True)
class KnownFile:
    """What is remembered about a file of the inbox.

    Attributes:
        seen_at: when it was first complete, seconds since the epoch; orders files by arrival.
        paired_with: face it was paired with by rule, where neither folder nor name asked for one.
    """

    path: str
    signature: Signature
    sha256: str
    seen_at: float
    paired_with: str | None = None


class FileMemory:
    """Content hashes by path and signature, in memory and on disk: each content is read once."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._files = {file.path: file for file in map(_known_file, database.rows("SELECT * FROM files"))}

    def get(self, path: str, signature: Signature) -> KnownFile | None:
        """What is known about this file; None when it is new or has changed."""
        known = self._files.get(path)
        return known if known is not None and known.signature == signature else None

    def with_content(self, sha256: str) -> list[KnownFile]:
        """The files that were last known to have this content."""
        return [file for file in self._files.values() if file.sha256 == sha256]

    def signature(self, path: str) -> Signature | None:
        """With which it was last known complete."""
        known = self._files.get(path)
        return None if known is None else known.signature

    def suppose(self, files: Iterable[KnownFile]) -> None:
        """Know files for as long as this object lives, where nothing else is remembered of them."""
        for file in files:
            self._files.setdefault(file.path, file)

    def put(self, files: Iterable[KnownFile]) -> None:
        """Remember files.

        Raises:
            StorageError: the database cannot be written; nothing has changed.
        """
        new = list(files)
        if not new:
            return
        with self._database.transaction() as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?)",
                [
                    (
                        os.fsencode(file.path),
                        json.dumps(file.signature),
                        file.sha256,
                        file.seen_at,
                        None if file.paired_with is None else os.fsencode(file.paired_with),
                    )
                    for file in new
                ],
            )
        self._files.update((file.path, file) for file in new)

    def forget(self, paths: Iterable[str]) -> None:
        """Forget files that are gone.

        Raises:
            StorageError: the database cannot be written; nothing has changed.
        """
        gone = [path for path in paths if path in self._files]
        if not gone:
            return
        with self._database.transaction() as connection:
            connection.executemany(
                "DELETE FROM files WHERE path = ?", [(os.fsencode(path),) for path in gone]
            )
        for path in gone:
            del self._files[path]


def _known_file(row: sqlite3.Row) -> KnownFile:
    face = row["paired_with"]
    return KnownFile(
        path=os.fsdecode(row["path"]),
        signature=Signature(*json.loads(row["signature"])),
        sha256=row["sha256"],
        seen_at=row["seen_at"],
        paired_with=None if face is None else os.fsdecode(face),
    )


def _statements(script: str) -> Iterator[str]:
    """Single statements: `executescript` would commit the transaction they belong to."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""

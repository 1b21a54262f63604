"""The audit log: what was done, one line for each job, each line holding the hash of the one before.

`.automation/audit.jsonl` is only ever added to. `audit.head` beside it holds number and hash of the last
line, so that lines taken off the end are missed, too. A line that was torn when the program was killed is
taken off, and the next one says so. Whoever can write the files can write them anew from the beginning: the
log shows honest operators what happened, and makes careless changes visible.

No names and no pictures: contents are told by their hash, and the face by a keyed one (HMAC-SHA-256 of the
face's SHA-256, as hex, under `faces.key`). `purge` throws that key away; then no line can be matched to a
face.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from facefusion.errors import StorageError
from facefusion.system.disk import replace_text

LOG_FILE, HEAD_FILE, KEY_FILE = "audit.jsonl", "audit.head", "faces.key"
GENESIS = "0" * 64
"""What the first line holds as the hash of the line before."""
MOST_AT_ONCE = 3
TAIL_BYTES = 1 << 20
"""How far back a job that is noted a second time is recognised."""


@dataclass(frozen=True)
class _End:
    """How the log ends: number of lines and hash of the last one."""

    lines: int = 0
    sha256: str = GENESIS


@dataclass(frozen=True)
class AuditCheck:
    """What a check found.

    Attributes:
        entries: lines that were read and are in order.
        break_line: number of the first line that is not as it was written, None if there is none.
        reason: what is wrong with it.
        note: what else is worth saying.
    """

    entries: int
    break_line: int | None = None
    reason: str = ""
    note: str = ""

    @property
    def ok(self) -> bool:
        """Whether the log is whole."""
        return self.break_line is None

    def as_dict(self) -> dict[str, Any]:
        """For programs."""
        broken = None if self.ok else {"line": self.break_line, "reason": self.reason}
        return {"ok": self.ok, "entries": self.entries, "first_break": broken, "note": self.note}


class AuditLog:
    """Adds to the log of one installation. One process at a time: the one that holds the installation's lock.

    Args:
        state_dir: the installation's private folder.
    """

    def __init__(self, state_dir: Path) -> None:
        self._folder = state_dir
        self._path = state_dir / LOG_FILE
        self._head = state_dir / HEAD_FILE

    def append(self, entry: Mapping[str, Any], *, same: tuple[str, ...] = ()) -> bool:
        """Add a line and have it reach the disk.

        Args:
            entry: JSON-able; `line` and `previous` are added.
            same: keys that identify an entry; one that is among the latest is not added again.

        Returns:
            Whether a line was added.

        Raises:
            StorageError: it cannot be written; what was there is untouched.
        """
        try:
            return self._append(entry, same)
        except OSError as error:
            raise StorageError(f"{self._path} cannot be written: {error.strerror or error}.") from error

    def _append(self, entry: Mapping[str, Any], same: tuple[str, ...]) -> bool:
        if not self._path.exists() and not self._head.exists():
            self._remember(_End())
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
        with os.fdopen(os.open(self._path, flags, 0o600), "r+b", buffering=0) as log:
            torn = _take_off_torn_line(log)
            lines = _tail(log)
            if same and any(_is_same(line, entry, same) for line in lines):
                return False
            end = _End(_number_of_last(log, lines), _hash(lines[-1]) if lines else GENESIS)
            notes: list[Mapping[str, Any]] = []
            if torn:
                notes.append({"event": "repaired", "removed_bytes": torn})
            expected = _remembered(self._head)
            if expected != end and not _lags_behind(expected, end, lines):
                notes.append({"event": "break", "expected_lines": -1 if expected is None else expected.lines})
            new = b""
            for part in (*notes, entry):
                line = _line(part, end)
                new += line + b"\n"
                end = _End(end.lines + 1, _hash(line))
            _write_all(log, new)
            os.fsync(log.fileno())
        self._remember(end)
        return True

    def _remember(self, end: _End) -> None:
        replace_text(self._head, json.dumps(asdict(end)), private=True, durable=True)


def check_audit(state_dir: Path) -> AuditCheck:
    """Read the whole log and find the first line that is not as it was written.

    Raises:
        StorageError: it cannot be read.
    """
    path = state_dir / LOG_FILE
    end, note = _End(), ""
    try:
        expected = _remembered(state_dir / HEAD_FILE)
        seen_expected = expected == end
        with path.open("rb") as log:
            for raw in log:
                if not raw.endswith(b"\n"):
                    note = "The last line is unfinished (the program was ended while it wrote); "
                    note += "the next entry repairs that."
                    break
                if (reason := _wrong(raw[:-1], end)) is not None:
                    return AuditCheck(end.lines, end.lines + 1, reason, note)
                end = _End(end.lines + 1, _hash(raw[:-1]))
                seen_expected |= end == expected
    except FileNotFoundError:
        note = "There is no audit log yet."
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror or error}.") from error
    if seen_expected or (expected is None and not end.lines):
        return AuditCheck(end.lines, note=note)
    if expected is not None and expected.lines > end.lines:
        reason = f"lines are missing at the end: {expected.lines} were written"
        return AuditCheck(end.lines, end.lines + 1, reason, note)
    reason = "it is not the line that was written" if expected else f"{HEAD_FILE} is missing or damaged"
    return AuditCheck(max(end.lines - 1, 0), max(end.lines, 1), reason, note)


def face_mark(state_dir: Path, face_sha256: str) -> str:
    """A face's content as the log tells it: always the same here, and nothing to anyone without the key.

    Args:
        state_dir: the installation's private folder; the key is made in it when first needed.
        face_sha256: of the content of the face's pictures, hex.

    Raises:
        StorageError: the key cannot be read or made.
    """
    path = state_dir / KEY_FILE
    try:
        if not path.exists():
            replace_text(path, secrets.token_hex(32), private=True, durable=True)
        key = path.read_bytes()
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror or error}.") from error
    return hmac.new(key, face_sha256.encode(), hashlib.sha256).hexdigest()


def forget_faces(state_dir: Path) -> None:
    """Throw the key away: from then on no line of the log can be matched to a face.

    Raises:
        StorageError: it cannot be removed.
    """
    try:
        (state_dir / KEY_FILE).unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"{state_dir / KEY_FILE} cannot be removed: {error.strerror or error}.") from error


def _remembered(head: Path) -> _End | None:
    """How the log ended after the last entry; None if that is lost.

    Raises:
        OSError: it is there and cannot be read, which says nothing about the log.
    """
    try:
        stated = json.loads(head.read_text(encoding="ascii"))
    except (FileNotFoundError, ValueError, RecursionError):
        return None
    match stated:
        case {"lines": int(lines), "sha256": str(sha256)}:
            return _End(lines, sha256)
    return None


def _line(entry: Mapping[str, Any], before: _End) -> bytes:
    document = {"line": before.lines + 1, **entry, "previous": before.sha256}
    return json.dumps(document, separators=(",", ":")).encode()


def _hash(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()


def _wrong(line: bytes, before: _End) -> str | None:
    """What is wrong with a line that follows on another, None if nothing."""
    document = _parsed(line)
    if document is None:
        return "it is no entry of the log"
    if document.get("previous") != before.sha256:
        return "it does not follow on the line before: that one, or this, has been changed"
    if document.get("line") != before.lines + 1:
        return "its number is wrong"
    if document.get("event") == "break":
        return "the program found the log other than it had left it before it wrote this line"
    return None


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _take_off_torn_line(log: Any) -> int:
    """Cut the log behind its last complete line; returns how many bytes that took off."""
    size = log.seek(0, os.SEEK_END)
    kept = size
    while kept:
        start = max(0, kept - TAIL_BYTES)
        log.seek(start)
        at = log.read(kept - start).rfind(b"\n")
        if at >= 0:
            kept = start + at + 1
            break
        kept = start
    if kept < size:
        log.truncate(kept)
    return int(size - kept)


def _write_all(log: Any, content: bytes) -> None:
    """A disk that fills up takes a part and says so without an error; the next part then meets it."""
    left = memoryview(content)
    while left:
        left = left[log.write(left) :]


def _tail(log: Any) -> list[bytes]:
    """The latest complete lines, without their ends."""
    size = log.seek(0, os.SEEK_END)
    start = max(0, size - TAIL_BYTES)
    log.seek(start)
    lines: list[bytes] = log.read(size - start).split(b"\n")[:-1]
    return lines[1:] if start and len(lines) > 1 else lines


def _number_of_last(log: Any, lines: list[bytes]) -> int:
    document = _parsed(lines[-1]) if lines else {"line": 0}
    number = None if document is None else document.get("line")
    if isinstance(number, int):
        return number
    log.seek(0)
    return sum(block.count(b"\n") for block in iter(lambda: log.read(TAIL_BYTES), b""))


def _lags_behind(expected: _End | None, end: _End, lines: list[bytes]) -> bool:
    """Whether the program was ended between writing lines and remembering that it had."""
    if expected is None or expected.lines >= end.lines:
        return False
    place = len(lines) - 1 - (end.lines - expected.lines)
    if expected.lines == 0:
        return expected.sha256 == GENESIS and end.lines <= MOST_AT_ONCE
    return 0 <= place < len(lines) and _hash(lines[place]) == expected.sha256


def _is_same(line: bytes, entry: Mapping[str, Any], same: tuple[str, ...]) -> bool:
    document = _parsed(line)
    return document is not None and all(key in document and document[key] == entry[key] for key in same)

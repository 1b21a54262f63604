"""What is known about the files in the models folder: `lock.json`, and the lock around changes.

Hashing gigabytes at every start is not acceptable, and trusting a file blindly is neither. So the hash of
a file is kept together with its size and time of change, and computed again only when those change.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from facefusion.errors import StorageError

LEDGER_FILE = "lock.json"
MUTEX_FILE = ".lock"
_VERSION = 1
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Record:
    """What was found in a file when it was last read.

    Attributes:
        size: bytes.
        mtime_ns: time of last change; together with `size` it tells whether `sha256` still holds.
        sha256: of the content.
        source: where an accepted file came from; empty for a file that was never accepted.
    """

    size: int
    mtime_ns: int
    sha256: str
    source: str = ""


class Ledger:
    """The records of one models folder, kept in `lock.json`.

    Reading needs no lock. Changes are merged into the file's present state under `exclusive`, so two
    processes lose nothing. A folder that cannot be written is no error here: records then live in
    memory only, and the next process reads the files again.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / LEDGER_FILE
        self._folder = folder
        self._records: dict[str, Record] = self._read()

    def get(self, file: str) -> Record | None:
        """The record of `file` (path below the folder), if there is one."""
        return self._records.get(file)

    def current(self, file: str) -> Record | None:
        """The record of `file` if the file has not changed since, else None."""
        record = self._records.get(file)
        try:
            stat = (self._folder / file).stat()
        except OSError:
            return None
        if record and (record.size, record.mtime_ns) == (stat.st_size, stat.st_mtime_ns):
            return record
        return None

    def remember(self, changes: Mapping[str, Record | None]) -> None:
        """Add records (None removes one) to what the file says at this moment."""
        merged = self._records | self._read()
        for file, record in changes.items():
            if record is None:
                merged.pop(file, None)
            else:
                merged[file] = record
        self._records = merged
        document = {
            "version": _VERSION,
            "files": {file: asdict(record) for file, record in sorted(merged.items())},
        }
        temporary = self._path.with_name(f".{LEDGER_FILE}.{os.getpid()}.part")
        with contextlib.suppress(OSError):
            temporary.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
            temporary.replace(self._path)

    def _read(self) -> dict[str, Record]:
        # A damaged ledger costs one reading of the files, nothing else; so it is simply begun anew.
        try:
            raw: Any = json.loads(self._path.read_text(encoding="utf-8"))
            if raw["version"] != _VERSION:
                return {}
            return {file: Record(**record) for file, record in raw["files"].items()}
        except (OSError, ValueError, TypeError, KeyError):
            return {}


def measure(path: Path) -> Record:
    """Read a file and describe its content.

    Raises:
        OSError: it cannot be read.
    """
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        stat = os.fstat(stream.fileno())
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return Record(size=stat.st_size, mtime_ns=stat.st_mtime_ns, sha256=digest.hexdigest())


@contextlib.contextmanager
def exclusive(
    folder: Path, *, timeout: float = 1800.0, on_wait: Callable[[], None] | None = None
) -> Iterator[None]:
    """Hold the folder's lock across processes and threads; the system frees it if the holder dies.

    Args:
        folder: the models folder; created if it does not exist.
        timeout: seconds to wait for another holder.
        on_wait: called once when waiting is necessary.

    Raises:
        StorageError: the folder cannot be written, or the other holder did not finish in time.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / MUTEX_FILE, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise StorageError(f"The models folder {folder} cannot be written ({error.strerror}).") from error
    try:
        deadline = time.monotonic() + timeout
        while not _try_lock(handle):
            if on_wait:
                on_wait()
                on_wait = None
            if time.monotonic() > deadline:
                raise StorageError(
                    f"Another process has been installing models into {folder} for too long.",
                    remedy="Stop the other process, then start again.",
                )
            time.sleep(0.1)
        yield
    finally:
        os.close(handle)


if sys.platform == "win32":
    import msvcrt

    def _try_lock(handle: int) -> bool:
        try:
            os.lseek(handle, 0, os.SEEK_SET)
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _try_lock(handle: int) -> bool:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

"""What is known about the files in the models folder: `lock.json`, and the lock around changes.

Hashing gigabytes at every start is not acceptable, and trusting a file blindly is neither. So the hash of
a file is kept together with its size and time of change, and computed again only when those change.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from facefusion.errors import StorageError
from facefusion.system.disk import replace_text
from facefusion.system.locks import try_lock

LEDGER_FILE = "lock.json"
MUTEX_FILE = ".lock"
_LEDGER_MUTEX = ".ledger.lock"
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


@dataclass(frozen=True)
class Pin:
    """What the first installation of a file was like of which nothing was known beforehand.

    From then on any other content is refused.

    Attributes:
        size: bytes.
        sha256: of the content.
        crc32: of the content, as the vendor's checksum has it: 8 lower-case hex digits.
        source: where it came from.
    """

    size: int
    sha256: str
    crc32: str
    source: str


class Ledger:
    """The records of one models folder, kept in `lock.json`.

    Reading needs no lock. Changes are merged into the file's present state under a lock of their own, so two
    processes lose nothing. A folder that cannot be written is no error here: records then live in
    memory only, and the next process reads the files again.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / LEDGER_FILE
        self._folder = folder
        self._records, self._pins = self._read()

    def pin(self, file: str) -> Pin | None:
        """What `file` was when it was first installed, where that alone decides."""
        return self._pins.get(file)

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

    def remember(
        self, records: Mapping[str, Record | None], pins: Mapping[str, Pin | None] | None = None
    ) -> None:
        """Add records and pins (None removes one) to what the file says at this moment."""
        try:
            with exclusive(self._folder, mutex=_LEDGER_MUTEX, timeout=10.0):
                saved_records, saved_pins = self._read()
                self._records = _merged(self._records | saved_records, records)
                self._pins = _merged(self._pins | saved_pins, pins or {})
                self._write()
        except (StorageError, OSError):
            self._records = _merged(self._records, records)
            self._pins = _merged(self._pins, pins or {})

    def _write(self) -> None:
        document = {
            "version": _VERSION,
            "files": {file: asdict(record) for file, record in sorted(self._records.items())},
            "pins": {file: asdict(pin) for file, pin in sorted(self._pins.items())},
        }
        replace_text(self._path, json.dumps(document, indent=2) + "\n")

    def _read(self) -> tuple[dict[str, Record], dict[str, Pin]]:
        # Begun anew where it is damaged. That costs one reading of the files, and those of which nothing but
        # their first installation was known are `unknown` until the vendor's checksum has been fetched.
        try:
            raw: Any = json.loads(self._path.read_text(encoding="utf-8"))
            if raw["version"] != _VERSION:
                return {}, {}
            records = {file: Record(**record) for file, record in raw["files"].items()}
            return records, {file: Pin(**pin) for file, pin in raw.get("pins", {}).items()}
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return {}, {}


_Entry = TypeVar("_Entry")


def _merged(known: dict[str, _Entry], changes: Mapping[str, _Entry | None]) -> dict[str, _Entry]:
    merged = dict(known)
    for file, entry in changes.items():
        if entry is None:
            merged.pop(file, None)
        else:
            merged[file] = entry
    return merged


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


def crc32_of(path: Path) -> str:
    """CRC32 of a file as 8 lower-case hex digits.

    Raises:
        OSError: it cannot be read.
    """
    value = 0
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            value = zlib.crc32(chunk, value)
    return f"{value:08x}"


@contextlib.contextmanager
def exclusive(
    folder: Path,
    *,
    mutex: str = MUTEX_FILE,
    timeout: float = 6 * 3600.0,
    on_wait: Callable[[], None] | None = None,
) -> Iterator[None]:
    """Hold the folder's lock across processes and threads; the system frees it if the holder dies.

    Args:
        folder: the models folder; created if it does not exist.
        mutex: file that stands for the lock.
        timeout: seconds to wait for another holder (a large model on a slow line takes hours).
        on_wait: called once when waiting is necessary.

    Raises:
        StorageError: the folder cannot be written or locked, or the other holder did not finish in time.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / mutex, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise StorageError(f"The models folder {folder} cannot be written ({error.strerror}).") from error
    try:
        deadline = time.monotonic() + timeout
        while not _held(folder, handle):
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


def _held(folder: Path, handle: int) -> bool:
    try:
        return try_lock(handle)
    except OSError as error:
        raise StorageError(
            f"The models folder {folder} cannot be locked ({error.strerror}); its disk may know no locks.",
            remedy="Mount the share with locks, or use a models folder on a local disk.",
        ) from error

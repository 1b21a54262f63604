"""One daemon for each root: a lock the operating system takes back when its holder dies."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from pathlib import Path
from types import TracebackType

from facefusion.errors import ConfigError, StorageError
from facefusion.system.locks import try_lock

LOCK_FILE = "daemon.lock"
PATIENCE_SECONDS = 1.0
"""`holder` takes the lock for an instant to look; a daemon that starts just then tries again this long."""

_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL})


class InstanceLock:
    """Held for as long as a daemon works on a root.

    Args:
        state_dir: the root's private folder; must exist.
    """

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / LOCK_FILE
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock, and write our process id into it.

        Raises:
            ConfigError: another process holds it; the message names its id.
            StorageError: the lock file cannot be written, or its file system knows no locks.
        """
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise _unusable(self._path, error) from error
        try:
            self._lock(descriptor)
            os.ftruncate(descriptor, 0)
            os.lseek(descriptor, 0, os.SEEK_SET)
            os.write(descriptor, f"{os.getpid()}\n".encode())
        except BaseException as error:
            os.close(descriptor)
            if isinstance(error, OSError):
                raise _unusable(self._path, error) from error
            raise
        self._descriptor = descriptor

    def _lock(self, descriptor: int) -> None:
        give_up = time.monotonic() + PATIENCE_SECONDS
        while not try_lock(descriptor):
            if time.monotonic() > give_up:
                raise already_running(self._path.parent.parent, _recorded_pid(descriptor))
            time.sleep(0.05)

    def release(self) -> None:
        """Give the lock back. The file stays: removing it would let two daemons hold two different ones."""
        if self._descriptor is not None:
            # On a disk that is full or gone the text stays; the lock itself is given back all the same.
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, 0)
            with contextlib.suppress(OSError):
                os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> InstanceLock:
        self.acquire()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


def already_running(root: Path, pid: int | None) -> ConfigError:
    """What is said to a second daemon on a root."""
    return ConfigError(
        f"{root} is already being worked on by process {pid or '?'}.",
        remedy="It takes what is dropped into its inbox, and `simple_auto_processor.py status` shows what "
        "it does. To start anew stop it first (Ctrl-C or q where it runs), or run on another folder "
        "with --root.",
    )


def holder(state_dir: Path) -> int | None:
    """Process id of the daemon that works on this root; None when there is none (or none can be told)."""
    try:
        descriptor = os.open(state_dir / LOCK_FILE, os.O_RDWR)
    except OSError:
        return None
    try:
        return None if try_lock(descriptor) else _recorded_pid(descriptor)
    except OSError:  # where nobody can lock, no daemon runs
        return None
    finally:
        os.close(descriptor)


def _unusable(path: Path, error: OSError) -> StorageError:
    if error.errno in _NO_LOCKS:
        return StorageError(
            f"{path} cannot be locked ({error.strerror}): its file system knows no locks, so two daemons "
            "could work on this folder at once.",
            remedy="Mount the share with locks, or run on a folder of a local disk with --root.",
        )
    return StorageError(
        f"{path} cannot be written: {error.strerror}.",
        remedy="Make the folder writable, or run on another folder with --root.",
    )


def _recorded_pid(descriptor: int) -> int | None:
    os.lseek(descriptor, 0, os.SEEK_SET)
    text = os.read(descriptor, 32).decode("ascii", "replace").strip()
    return int(text) if text.isdigit() else None

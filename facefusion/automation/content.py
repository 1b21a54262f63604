"""What is in a file, by hash, and whether anybody is still writing it."""

from __future__ import annotations

import hashlib
import os
import stat
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from facefusion.automation.sightings import Signature

CHUNK_BYTES = 1 << 20

Verdict = Literal["read", "busy", "changed", "gone", "refused", "stopped"]


@dataclass(frozen=True)
class Examined:
    """What an examination found.

    Attributes:
        verdict: `read` = `sha256` is that of the file with this `signature`; `busy` = another program still
            writes it; `changed` = it is not what was seen, or changed while it was read.
        reason: in words, for every verdict but `read`.
    """

    path: str
    signature: Signature
    verdict: Verdict
    sha256: str = ""
    reason: str = ""


def examine(
    folder: Path, path: str, signature: Signature, should_stop: Callable[[], bool] = lambda: False
) -> Examined:
    """Hash a file that was seen with `signature`, without following links or waiting for anyone.

    Args:
        folder: which `path` is relative to.
        should_stop: asked after every megabyte.
    """

    def found(verdict: Verdict, reason: str = "", sha256: str = "") -> Examined:
        return Examined(path, signature, verdict, sha256, reason)

    try:
        descriptor = _open_plain_file(folder, path)
    except (FileNotFoundError, NotADirectoryError):
        return found("gone", "vanished")
    except PermissionError:
        return found("refused", "not readable: no permission")
    except OSError as error:
        return found("refused", f"not readable: {error.strerror or error}")
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or Signature.of(status) != signature:
            return found("changed", "changed a moment ago")
        if written_by_others(descriptor):
            return found("busy", "another program is still writing it")
        digest = hashlib.sha256()
        while chunk := os.read(descriptor, CHUNK_BYTES):
            digest.update(chunk)
            if should_stop():
                return found("stopped", "stopping")
        if Signature.of(os.fstat(descriptor)) != signature or signature_of(folder / path) != signature:
            return found("changed", "changed while it was read")
    except OSError as error:
        return found("refused", f"not readable: {error.strerror or error}")
    finally:
        os.close(descriptor)
    return found("read", sha256=digest.hexdigest())


def signature_of(path: Path) -> Signature | None:
    """Of a file as it is now; None when it is gone or cannot be seen."""
    try:
        return Signature.of(os.lstat(path))
    except OSError:
        return None


def sha256_of(path: Path) -> str:
    """Hash of a file of our own.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def written_by_others(descriptor: int) -> bool:
    """Whether any process has this file open for writing, as far as the system tells.

    Linux grants a read lease only on files that nobody has open for writing; it is given back at once. A copy
    that stalls for longer than the settling time is recognised by this. Where leases do not exist (other
    systems, network shares, files of other users) the settling time alone decides.
    """
    if sys.platform != "linux":
        return False
    import fcntl
    import signal

    try:
        # A writer who opens the file just now breaks the lease; SIGIO, the default, would end this process.
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except BlockingIOError:
        return True
    except OSError:
        return False
    fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False


def _open_plain_file(folder: Path, path: str) -> int:
    parent = (folder / path).parent
    if parent.resolve() != parent:
        raise OSError("a folder on the way is a symbolic link")
    # O_NONBLOCK: a named pipe that took the file's place since the last look must not make us wait.
    flags = (
        os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    )
    return os.open(folder / path, flags)

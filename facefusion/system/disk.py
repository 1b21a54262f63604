"""Having what was written reach the disk, whole."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from pathlib import Path


def sync_file(path: Path) -> None:
    """Have the content of a file reach the disk."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Have the names in a folder reach the disk."""
    if sys.platform == "win32":  # folders cannot be opened there
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network shares know no such thing
            raise
    finally:
        os.close(descriptor)


def replace_text(path: Path, text: str, *, private: bool = False, durable: bool = False) -> None:
    """Give a small file new content; at every moment it is the old one or the new one, whole.

    Args:
        path: the file; its folder exists.
        text: written as UTF-8.
        private: nobody but this user may read it (mode 0600).
        durable: return only when file and name have reached the disk.

    Raises:
        OSError: it cannot be written; then it is what it was, and nothing is left beside it.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    mode = 0o600 if private else 0o666
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
            stream.flush()
            if durable:
                os.fsync(stream.fileno())
        draft.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
        raise
    if durable:
        sync_folder(path.parent)

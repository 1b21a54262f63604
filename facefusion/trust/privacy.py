"""Who may read what the program writes.

While a daemon or a worker runs, every file it makes is the user's alone (umask 077): queue, logs, work files,
whatever a library puts down. Results are meant to be taken out of the outbox, so they and the folders people
use get the rights that the person's own umask gives.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

PRIVATE = 0o077

# A process has one umask; so there is one place that remembers what it was before.
_own_umask: int | None = None


@contextlib.contextmanager
def private_files() -> Iterator[None]:
    """Whatever is written meanwhile can be read by this user alone, unless it is shared."""
    global _own_umask
    before = os.umask(PRIVATE)
    outermost = _own_umask is None
    if outermost:
        _own_umask = before
    try:
        yield
    finally:
        if outermost:
            _own_umask = None
        os.umask(before)


def share(path: Path) -> None:
    """Give a file or folder of ours the rights it would have had under the person's own umask.

    A file system that knows no rights is left as it is.
    """
    if _own_umask is None or os.name == "nt":
        return
    with contextlib.suppress(OSError):
        full = 0o777 if stat.S_ISDIR(path.lstat().st_mode) else 0o666
        path.chmod(full & ~_own_umask)


def make_shared_folder(path: Path, *, parents: bool = True) -> None:
    """Make a folder that people use; one that is there is left as it is.

    Args:
        path: the folder.
        parents: make missing ones above it as well.

    Raises:
        OSError: it cannot be made.
    """
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=parents, exist_ok=True)
    for folder in missing:
        share(folder)

"""Looking at the inbox: what lies there, without opening or following anything."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

MAX_DEPTH = 16


class Signature(NamedTuple):
    """What changes when a file's content does (sizes in bytes, times in nanoseconds).

    `ctime_ns` cannot be set by a program that restores old times, which is what makes it worth having.
    """

    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> Signature:
        """Of a file just looked at."""
        return cls(status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)

    def same_content(self, other: Signature) -> bool:
        """Whether the content can be the same: a changed ctime alone (chmod, a new link) does not count."""
        return self[:3] == other[:3]


class Sighting(NamedTuple):
    """One thing found in the inbox; `path` is relative to it, with `/` between its parts."""

    path: str
    mode: int
    links: int
    signature: Signature


@dataclass(frozen=True)
class Sweep:
    """Everything found in one pass.

    Attributes:
        unread: folders that could not be listed, with the reason; nothing is known about what lies in them.
        seconds: how long the pass took.
    """

    sightings: tuple[Sighting, ...]
    unread: tuple[tuple[str, str], ...] = ()
    seconds: float = 0.0


def sweep(inbox: Path, worth_entering: Callable[[str], bool]) -> Sweep:
    """List the whole inbox without following or opening anything.

    Args:
        inbox: the folder.
        worth_entering: asked for each folder by its path; those left out are listed as things themselves.

    Raises:
        OSError: the inbox itself cannot be listed.
    """
    began = time.monotonic()
    found: list[Sighting] = []
    unread: list[tuple[str, str]] = []
    folders: list[tuple[str, int]] = [("", 0)]
    while folders:
        folder, depth = folders.pop()
        try:
            for sighting in _list(inbox, folder):
                if stat.S_ISDIR(sighting.mode) and depth < MAX_DEPTH and worth_entering(sighting.path):
                    folders.append((sighting.path, depth + 1))
                else:
                    found.append(sighting)
        except FileNotFoundError:
            if not folder:
                raise
        except OSError as error:
            if not folder:
                raise
            unread.append((folder, error.strerror or str(error)))
    return Sweep(tuple(found), tuple(unread), time.monotonic() - began)


def look(inbox: Path, paths: Iterable[str]) -> dict[str, Sighting | None]:
    """Look again at single files; None for those that are gone."""
    return {path: _sighting(inbox, path) for path in paths}


def _list(inbox: Path, folder: str) -> Iterator[Sighting]:
    with os.scandir(inbox / folder) as items:
        for item in items:
            try:
                status = item.stat(follow_symlinks=False)
            except FileNotFoundError:  # gone between listing and looking
                continue
            path = f"{folder}/{item.name}" if folder else item.name
            yield Sighting(path, status.st_mode, status.st_nlink, Signature.of(status))


def _sighting(inbox: Path, path: str) -> Sighting | None:
    try:
        status = os.lstat(inbox / path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return Sighting(path, status.st_mode, status.st_nlink, Signature.of(status))

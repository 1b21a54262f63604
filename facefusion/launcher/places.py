"""Whether inbox and outbox can be made and used where a person wants them."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from facefusion.automation.workspace import INBOX_FOLDERS, Workspace, printable
from facefusion.errors import ConfigError

_REMEDY = "Choose another folder (`inbox`, `outbox` in automation_config.json), or make this one usable."


def check_places(workspace: Workspace) -> None:
    """Try inbox and outbox out; nothing stays behind.

    Raises:
        ConfigError: they lie in each other, or one of them cannot be made, read or written.
    """
    workspace.check()
    for name in INBOX_FOLDERS:  # nothing is ever written into the inbox, so one that can be read suffices
        with _made(workspace.inbox / name) as folder, _told(folder, "read"), os.scandir(folder):
            pass
    with _made(workspace.outbox) as folder, _told(folder, "written"), tempfile.TemporaryFile(dir=folder):
        pass


@contextlib.contextmanager
def _made(folder: Path) -> Iterator[Path]:
    """The folder exists meanwhile; what had to be made for that is removed again."""
    made: list[Path] = []
    try:
        with _told(folder, "made"):
            missing = [place for place in (folder, *folder.parents) if not place.exists()]
            for place in reversed(missing):
                place.mkdir()
                made.append(place)
        yield folder
    finally:
        for place in reversed(made):
            with contextlib.suppress(OSError):
                place.rmdir()


@contextlib.contextmanager
def _told(folder: Path, what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigError(
            f"The folder {printable(folder)} cannot be {what}: {error.strerror or error}.", remedy=_REMEDY
        ) from error

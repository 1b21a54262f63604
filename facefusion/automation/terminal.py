"""How commands speak at a terminal, and ask there."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from facefusion.automation.logs import DiscreetFormatter
from facefusion.errors import ConfigError, FaceFusionError

if TYPE_CHECKING:
    from facefusion.models.manager import InstallProgress


def terminal_width() -> int | None:
    """Columns of the terminal; None where the output goes to a file or a pipe."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def say_error(error: FaceFusionError) -> None:
    """What happened and what helps, on standard error."""
    print(error.message, file=sys.stderr)
    if error.remedy:
        print(f"  -> {error.remedy}", file=sys.stderr)


def agreed(question: str) -> bool:
    """Ask at the terminal.

    Raises:
        ConfigError: nobody is there to answer.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise ConfigError(question, remedy="Add --yes if that is meant.")
    try:
        return input(f"{question} Go on? Type yes or no: ").strip().casefold() in ("yes", "y")
    except EOFError:
        return False


def log_to_terminal() -> None:
    """One line for each event, on standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(DiscreetFormatter("%(asctime)s  %(message)s", datefmt="%H:%M:%S"))
    logging.raiseExceptions = False  # a terminal that was closed is no reason to stop
    root = logging.getLogger("facefusion")
    root.addHandler(handler)
    root.setLevel(logging.INFO)


@contextlib.contextmanager
def own_words() -> Iterator[Callable[[str], None]]:
    """Yields what writes a line on standard error; meanwhile native libraries say nothing there."""
    sys.stderr.flush()
    try:
        ours = os.dup(2)
    except OSError:  # it is closed
        yield lambda text: None
        return
    with Path(os.devnull).open("wb") as nowhere, os.fdopen(ours, "w", errors="backslashreplace") as stream:
        os.dup2(nowhere.fileno(), 2)
        try:
            yield lambda text: print(text, file=stream, flush=True)
        finally:
            stream.flush()
            os.dup2(ours, 2)


@contextlib.contextmanager
def terminated_like_interrupted() -> Iterator[None]:
    """Have SIGTERM do what Ctrl-C does, so that what is to be cleaned up is cleaned up."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class InstallLines:
    """One line for each step of an installation."""

    def __init__(self) -> None:
        self._told = ""

    def __call__(self, progress: InstallProgress) -> None:
        """Tell a step that is new."""
        key = f"{progress.step} {progress.subject}"
        if key != self._told:
            self._told = key
            print(progress.text, flush=True)

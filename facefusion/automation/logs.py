"""The daemon's log file: private, bounded in size, without anything that could be a face."""

from __future__ import annotations

import contextlib
import logging
import logging.handlers
import os
import re
from collections.abc import Iterator
from pathlib import Path

LOG_FILE = "daemon.log"
LOG_BYTES = 1_000_000
LOG_GENERATIONS = 3
LINE_CHARACTERS = 4000

_NUMBERS = re.compile(r"(?:[-+]?\d+\.?\d*(?:[eE][-+]?\d+)?[\s,;\]\[()]+){12,}")


@contextlib.contextmanager
def daemon_log(folder: Path, level: int = logging.INFO) -> Iterator[None]:
    """Have everything the program logs written to `daemon.log` in `folder`, while the context is open."""
    handler = _PrivateHandler(
        folder / LOG_FILE, maxBytes=LOG_BYTES, backupCount=LOG_GENERATIONS, encoding="utf-8", delay=True
    )
    handler.setFormatter(_Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    root = logging.getLogger("facefusion")
    before = root.level
    if root.getEffectiveLevel() > level:
        root.setLevel(level)
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        handler.close()
        root.setLevel(before)


def without_numbers(text: str) -> str:
    """Replace what looks like an embedding or a list of landmarks, and cut what is too long for a log."""
    text = _NUMBERS.sub("[numbers] ", text)
    return text if len(text) <= LINE_CHARACTERS else f"{text[:LINE_CHARACTERS]} [...]"


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return without_numbers(super().format(record))


class _PrivateHandler(logging.handlers.RotatingFileHandler):
    def _open(self):  # type: ignore[no-untyped-def]
        def opener(path: str, flags: int) -> int:
            return os.open(path, flags, 0o600)

        return open(self.baseFilename, self.mode, encoding="utf-8", errors="backslashreplace", opener=opener)

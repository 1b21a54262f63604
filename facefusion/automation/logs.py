"""The daemon's log file: private, bounded in size, without anything that could be a face."""

from __future__ import annotations

import contextlib
import io
import logging
import logging.handlers
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

LOG_FILE = "daemon.log"
LOG_BYTES = 1_000_000
LOG_GENERATIONS = 3
LINE_CHARACTERS = 4000

# Atomic groups and possessive repetition: what they have taken is not tried in another way, so no text,
# however long, takes more than one pass.
_NUMBER = r"(?>(?:[A-Za-z_][\w.]{0,30}\()?[-+]?(?:\d++\.?\d*+|\.\d++|nan|inf)(?:[eE][-+]?\d++)?)"
_BETWEEN = r"(?>(?:[\s,;\[\]()]|\.\.\.|:\s)++)"
_NUMBERS = re.compile(rf"(?<![\w.])(?>(?:{_NUMBER}{_BETWEEN}){{6,}}+)(?:{_NUMBER})?")
"""Six numbers in a row, also each wrapped (`np.float32(0.5)`), as keys and values, over several lines."""
_DATA = re.compile(
    r"""\bb'(?:[^'\\]|\\.){24,}+'?|\bb"(?:[^"\\]|\\.){24,}+"?"""
    r"""|(?<![A-Za-z0-9+/])(?=[A-Za-z+/]*+[0-9])[A-Za-z0-9+/]{160,}+={0,2}""",
    re.DOTALL,
)
"""Bytes as Python shows them; hexadecimal and Base64 text that is longer than any hash."""


@contextlib.contextmanager
def daemon_log(folder: Path, level: int = logging.INFO) -> Iterator[None]:
    """Have everything the program logs written to `daemon.log` in `folder`, while the context is open."""
    handler = _PrivateHandler(
        folder / LOG_FILE, maxBytes=LOG_BYTES, backupCount=LOG_GENERATIONS, encoding="utf-8", delay=True
    )
    handler.setFormatter(DiscreetFormatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
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
    """Replace what looks like an embedding, landmarks or a picture, and cut what is too long for a log."""
    text = _NUMBERS.sub("[numbers] ", _DATA.sub("[data]", text))
    return text if len(text) <= LINE_CHARACTERS else f"{text[:LINE_CHARACTERS]} [...]"


class DiscreetFormatter(logging.Formatter):
    """Lets no picture, crop, embedding or long row of numbers through, whatever the program logs."""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter.format`."""
        if isinstance(record.args, tuple) and any(map(_is_bulky, record.args)):
            record = logging.makeLogRecord(record.__dict__)
            record.args = tuple(_Named(arg) if _is_bulky(arg) else arg for arg in record.args or ())
        return without_numbers(super().format(record))


class DiscreetStream(io.TextIOBase):
    """What a process prints for its log file, line by line, under the same rules.

    Args:
        stream: where it goes.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._begun = ""

    def write(self, text: str) -> int:
        """Take in text; whole lines are passed on."""
        *lines, self._begun = (self._begun + text).split("\n")
        if len(self._begun) > LINE_CHARACTERS:
            lines, self._begun = [*lines, self._begun], ""
        if lines:
            self._stream.write(without_numbers("\n".join(lines) + "\n"))
        return len(text)

    def flush(self) -> None:
        """Pass on what is there, also an unfinished line."""
        if self._begun:
            self._stream.write(without_numbers(self._begun))
            self._begun = ""
        self._stream.flush()

    def fileno(self) -> int:
        """Of the stream; what native code writes there is not seen."""
        return self._stream.fileno()


class _Named:
    """Stands for an argument that must not be shown, in any format."""

    def __init__(self, value: object) -> None:
        self._text = f"[{type(value).__name__} {getattr(value, 'shape', '')}]".replace(" ]", "]")

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return self._text

    def __format__(self, _: str) -> str:
        return self._text


def _is_bulky(value: object) -> bool:
    """Pictures, arrays, frames, bytes."""
    return isinstance(value, bytes | bytearray | memoryview) or (
        hasattr(value, "__array_interface__") and getattr(value, "shape", None) != ()
    )


class _PrivateHandler(logging.handlers.RotatingFileHandler):
    def _open(self):  # type: ignore[no-untyped-def]
        def opener(path: str, flags: int) -> int:
            return os.open(path, flags, 0o600)

        return open(self.baseFilename, self.mode, encoding="utf-8", errors="backslashreplace", opener=opener)

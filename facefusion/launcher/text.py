"""Text from outside, as the launcher shows it: one line that cannot command the terminal."""

from __future__ import annotations

import os
from pathlib import Path

from facefusion import wording
from facefusion.automation.workspace import printable


def safe(text: str) -> str:
    """A name or message."""
    return printable(text)


def near(path: str | os.PathLike[str], folder: Path | None = None) -> str:
    """A path as a person in `folder` (the current one if None) writes it."""
    return safe(wording.near(path, folder))

"""Text from outside, and paths, as the launcher shows them."""

from __future__ import annotations

import os
from pathlib import Path

from facefusion.automation.workspace import printable


def safe(text: str) -> str:
    """Text from outside (names, messages) as one line that cannot command the terminal."""
    return printable(text)


def near(path: str | Path, root: Path) -> str:
    """A path as a person at `root` would write it: relative where it lies below, else whole."""
    place = Path(path)
    if place.is_relative_to(root):
        return safe(os.path.relpath(place, root))
    return safe(os.fspath(place))

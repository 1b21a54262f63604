"""Small pieces of text that every view of the launcher uses."""

from __future__ import annotations

import os
from pathlib import Path

from facefusion.automation.workspace import printable


def safe(text: str) -> str:
    """Text from outside (names, messages) as one line that cannot command the terminal."""
    return printable(text)


def duration(seconds: float) -> str:
    """A length of time: `0.4 s`, `12 s`, `3 min 05 s`, `2 h 10 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def size(amount: int) -> str:
    """Bytes as people count them: `740 MB`, `15.5 GB` (decimal)."""
    if amount < 10**9:
        return f"{amount / 10**6:.0f} MB"
    return f"{amount / 10**9:.1f} GB" if amount < 10**11 else f"{amount / 10**9:.0f} GB"


def count(number: int, one: str, many: str = "") -> str:
    """`1 frame`, `12 frames`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def near(path: str | Path, root: Path) -> str:
    """A path as a person at `root` would write it: relative where it lies below, else whole."""
    place = Path(path)
    if place.is_relative_to(root):
        return safe(os.path.relpath(place, root))
    return safe(os.fspath(place))


def cut(text: str, width: int) -> str:
    """At most `width` characters; what is too long loses its middle, so that the suffix stays."""
    if len(text) <= width:
        return text
    if width < 8:
        return text[:width]
    tail = min(10, width // 3)
    return f"{text[: width - tail - 1]}…{text[-tail:]}"

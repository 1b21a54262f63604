"""Small pieces of text that everything uses that speaks to people: counts, times, sizes, paths, rows."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from rich.cells import cell_len, chop_cells


def count(number: int, one: str, many: str = "") -> str:
    """`1 frame`, `12 frames`, `1,200 frames`; `many` where a plain `s` is wrong."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def progress(done: int, total: int | None, one: str) -> str:
    """`150 of 300 frames`, or `150 frames` where nobody knows how many there will be."""
    return f"{done:,} of {count(total, one)}" if total else count(done, one)


def listed(names: Iterable[str], most: int = 3, *, last: str = "and") -> str:
    """`a`, `a and b`, `a, b and c`, `a, b, c and 5 more`; `last` is the word before the last one."""
    words = list(names)
    if len(words) > most + 1:
        words = [*words[:most], f"{len(words) - most:,} more"]
    return f" {last} ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def duration(seconds: float) -> str:
    """A length of time: `0.4 s`, `12 s`, `3 min 05 s`, `2 h 10 min`."""
    if seconds < 9.95:
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


def cut(text: str, width: int) -> str:
    """At most `width` cells of a terminal; what is too long loses its middle, so that the suffix stays."""
    if cell_len(text) <= width:
        return text
    if width < 8:
        return _start(text, width)
    tail = _start(text[::-1], min(10, width // 3))[::-1]
    return f"{_start(text, width - cell_len(tail) - 1)}…{tail}"


def wrap(text: str, width: int) -> list[str]:
    """Rows of at most `width` cells, broken between words; only a word longer than a row is broken itself."""
    rows = [""]
    for word in text.split():
        for piece in chop_cells(word, width) if cell_len(word) > width else [word]:
            if rows[-1] and cell_len(rows[-1]) + 1 + cell_len(piece) > width:
                rows.append("")
            rows[-1] += f" {piece}" if rows[-1] else piece
    return rows


def near(path: str | os.PathLike[str], folder: Path | None = None) -> str:
    """A path as a person in `folder` (the current one if None) writes it: relative below it, else whole."""
    place = Path(path)
    try:
        folder = folder or Path.cwd()
    except OSError:  # the current folder was removed
        return os.fspath(place)
    return os.path.relpath(place, folder) if place.is_relative_to(folder) else os.fspath(place)


def _start(text: str, width: int) -> str:
    return chop_cells(text, width)[0] if text and width > 0 else ""


POOR_SOURCE = "usable, but:"
"""So begins the verdict on a face picture that a better one could replace."""


def source_verdict(flaws: str) -> str:
    """The verdict on a picture from which a face can be taken.

    Args:
        flaws: what a better one would not have, in a few words each; empty where nothing is wrong.
    """
    return f"{POOR_SOURCE} {flaws}" if flaws else "a good picture of a face"

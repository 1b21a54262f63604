"""The walls of the house: a room uses only rooms further down the list in docs/architecture.md."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import facefusion

PACKAGE = Path(facefusion.__file__).parent
TABLE_ROW = re.compile(r"\| `([\w.]+)(?:/|\.py)` \|")
CHAPTER = (
    (PACKAGE.parent / "docs" / "architecture.md")
    .read_text(encoding="utf-8")
    .partition("## Rooms")[2]
    .partition("\n## ")[0]
)
FOR_ALL = {"__init__", *re.findall(r"`(\w+)`", CHAPTER.partition("|")[0])}
"""Modules that the sentence before the table opens to every room."""


def rooms() -> list[str]:
    """As the table lists them, from the top down."""
    return TABLE_ROW.findall(CHAPTER)


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and room of every import of the package, also inside functions and for type checking alone."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            raise AssertionError(f"{path}:{node.lineno} is a relative import")
        if isinstance(node, ast.ImportFrom) and node.module == "facefusion":
            names = [f"facefusion.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            if name.startswith("facefusion.") and name != "facefusion.__version__":
                yield node.lineno, name.split(".")[1]


def test_every_room_is_in_the_document() -> None:
    there = {room_of(path) for path in PACKAGE.rglob("*.py")} - FOR_ALL
    assert sorted(rooms()) == sorted(there)


def test_a_room_uses_only_rooms_further_down() -> None:
    order = {room: place for place, room in enumerate(rooms())}
    wrong = [
        f"{path.relative_to(PACKAGE.parent)}:{line} ({room_of(path)}) uses {used}"
        for path in sorted(PACKAGE.rglob("*.py"))
        for line, used in imports(path)
        if used not in FOR_ALL
        and used != room_of(path)
        and (room_of(path) in FOR_ALL or order[used] < order[room_of(path)])
    ]
    assert wrong == []

"""An inbox without a daemon."""

from __future__ import annotations

from pathlib import Path


def make_inbox(root: Path) -> Path:
    """An empty inbox with its folders."""
    inbox = root / "inbox"
    for name in ("faces", "videos", "photos"):
        (inbox / name).mkdir(parents=True)
    return inbox


def make(folder: Path, name: str, content: bytes = b"x") -> Path:
    """A file in it, with the folders on the way."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path

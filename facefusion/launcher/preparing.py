"""Compiles the per-pixel loops for this processor before the first job needs them."""

from __future__ import annotations

import hashlib
import importlib.metadata
import subprocess
import sys
from pathlib import Path

from rich.console import Console

from facefusion.automation.workspace import program_dir
from facefusion.reports.documents import write_text

STAMP_FILE = "compiled"
_COMPILE = "from facefusion.pipeline import compile_loops; compile_loops()"
_TOLD = "Preparing the program for this processor (once, up to a minute) ..."


def compile_once(console: Console, state_dir: Path) -> None:
    """Fill the compiler's cache in a process of its own; a stamp says when that has been done.

    What goes wrong here is no failure: the worker compiles for itself, and reports what it cannot do.

    Raises:
        StorageError: the stamp cannot be written.
    """
    stamp = state_dir / STAMP_FILE
    key = _key()
    if stamp.exists() and stamp.read_text(encoding="utf-8") == key:
        return
    command = [sys.executable, "-c", _COMPILE]
    if console.is_terminal:
        with console.status(_TOLD):
            done = subprocess.run(command, cwd=program_dir(), capture_output=True, check=False)
    else:
        console.print(_TOLD)
        done = subprocess.run(command, cwd=program_dir(), capture_output=True, check=False)
    if done.returncode == 0:
        write_text(key, stamp)
    else:
        console.print("That did not work; the first job will take longer.", style="yellow")


def _key() -> str:
    """Changes with the loops, the compiler and the place where its cache lies."""
    digest = hashlib.sha256(f"{sys.version} {importlib.metadata.version('numba')}".encode())
    for source in sorted((program_dir() / "facefusion").rglob("kernels.py")):
        digest.update(str(source).encode() + source.read_bytes())
    return digest.hexdigest()

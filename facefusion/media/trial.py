"""Questions to modules that try something dangerous in a process of their own and print one line of JSON."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Alive = Callable[[], object]

_SECONDS = 30.0
_BREATH_SECONDS = 0.5


def answer_of(module: str, mark: str, question: Mapping[str, Any], alive: Alive) -> dict[str, Any] | str:
    """What a module answers, or why there is no answer, in half a sentence.

    Args:
        module: its name; the question is its only argument.
        mark: what its line begins with.
        alive: called again and again meanwhile; may raise to stop.
    """
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", module, json.dumps(question)],
            cwd=Path(__file__).resolve().parents[2],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
    except OSError as error:
        return f"could not be tried ({error.strerror})"
    with process:
        try:
            said = _said(process, alive)
        finally:
            process.kill()
    if said is None:
        return f"did not answer in {_SECONDS:.0f} s"
    for line in said.splitlines():
        if line.startswith(mark):
            return dict(json.loads(line.removeprefix(mark)))
    return f"ended the process that tried it (exit {process.returncode})"


def _said(process: subprocess.Popen[str], alive: Alive) -> str | None:
    """What the process prints; None where it takes too long."""
    until = time.monotonic() + _SECONDS
    while time.monotonic() < until:
        alive()
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.communicate(timeout=_BREATH_SECONDS)[0]
    return None

"""From the bare command to the launcher inside its environment. Standard library alone until then."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from facefusion.errors import FaceFusionError
from facefusion.launcher.arguments import parse_arguments
from facefusion.launcher.environment import RUNTIME, Environment, forget_re_execution
from facefusion.launcher.selfcheck import run_checks

CANNOT_START = 2
INTERRUPTED = 130


def start(script: Path, words: Sequence[str]) -> int:
    """Run the launcher's command line.

    Args:
        script: the launcher script, started again inside the environment.
        words: the command line without the script.

    Returns:
        Exit status: 0 all well, 1 the demonstration has no result or a check found something, 2 the program
        cannot start (said on stderr) or wrong command line, 130 stopped with Ctrl-C before anything was
        started.
    """
    try:
        return _start(script, words)
    except FaceFusionError as error:
        print(f"{error.message}\n{error.remedy}", file=sys.stderr)
        return CANNOT_START
    except KeyboardInterrupt as interrupt:
        told = str(interrupt) or "Nothing is lost; the next start goes on from here."
        print(f"\nStopped. {told}", file=sys.stderr)
        return INTERRUPTED


def _start(script: Path, words: Sequence[str]) -> int:
    for stream in (sys.stdout, sys.stderr):
        if not stream.isatty() and hasattr(stream, "reconfigure"):
            # File names may hold characters that the encoding of a pipe has no word for.
            stream.reconfigure(errors="backslashreplace", line_buffering=True)
    repository = script.parent
    environment = Environment(repository, announce)
    if words[:1] == ["test"]:
        return run_checks(environment, words[1:])
    arguments = parse_arguments(repository, words)
    environment.ensure(RUNTIME)
    if not environment.is_active:
        return environment.run_inside(script, words)
    forget_re_execution()

    from facefusion.launcher.launcher import FaceFusionAutomationLauncher

    return FaceFusionAutomationLauncher(arguments).run()


def announce(sentence: str) -> None:
    """Say what takes time."""
    print(sentence, flush=True)

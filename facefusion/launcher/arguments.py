"""What can be said on the launcher's command line. Standard library alone."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_DESCRIPTION = """\
Guided start: makes its own Python environment, shows what this computer can do,
asks a few questions and starts the daemon that swaps faces in whatever is dropped
into the inbox. Without a terminal nothing is asked.
"""
_EPILOG = """\
launch_automation.py test [PYTEST ARGUMENTS]
                        install what tests need and run them: ruff, mypy and pytest;
                        with arguments only pytest, with these arguments
"""


@dataclass(frozen=True)
class LauncherArguments:
    """The wishes of the command line; None = not said.

    Attributes:
        root: folder of settings, inbox, outbox and state.
        yes: take every default without asking (but never the use policy).
        demo: process sample pictures once and end.
        accept_use_policy: version of the use policy that is accepted.
    """

    root: Path
    profile: str | None = None
    engine: str | None = None
    yes: bool = False
    demo: bool = False
    accept_use_policy: int | None = None


def parse_arguments(repository: Path, words: Sequence[str]) -> LauncherArguments:
    """Read the command line; ends the program on `--help` and on mistakes, as argparse does."""
    parser = argparse.ArgumentParser(
        prog="launch_automation.py",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--demo", action="store_true", help="swap faces in sample pictures once, to see that it works")
    add("--yes", action="store_true", help="take every default, ask nothing")
    add(
        "--accept-use-policy",
        type=int,
        metavar="VERSION",
        help="agree to this version of the use policy (which is shown); at present 1",
    )
    add("--profile", choices=("fast", "balanced", "best"), help="quality preset to set")
    add("--engine", choices=("auto", "mesh", "neural"), help="engine to set")
    add(
        "--root",
        type=Path,
        default=repository,
        metavar="DIR",
        help="folder with settings, inbox and outbox (default: the folder of this program)",
    )
    given = parser.parse_args(words)
    return LauncherArguments(
        root=given.root.expanduser().resolve(),
        profile=given.profile,
        engine=given.engine,
        yes=given.yes,
        demo=given.demo,
        accept_use_policy=given.accept_use_policy,
    )

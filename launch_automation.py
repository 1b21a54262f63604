#!/usr/bin/env python3
"""The guided launcher: makes its own environment, asks a few questions, starts the daemon.

Uses the standard library alone until `.venv` is there, and then goes on inside it. This file must be
readable by any Python from 3.6, so that an old one can say that it is too old.
"""

import sys
from pathlib import Path

NEEDED = (3, 11)
CANNOT_START = 2


def main(words: list) -> int:  # type: ignore[type-arg]  # list[str] is an error in old Pythons
    """Run the launcher; answers the exit status."""
    if sys.version_info < NEEDED:
        return refuse_old_python()
    from facefusion.launcher.start import start

    return start(Path(__file__).resolve(), words)


def refuse_old_python() -> int:
    """Say which Python is needed, and name one that is already there."""
    import subprocess

    found = ".".join(str(number) for number in sys.version_info[:3])
    needed = ".".join(str(number) for number in NEEDED)
    print(f"This program needs Python {needed} or newer; this is {found}.", file=sys.stderr)
    there = None
    for minor in (13, 12, 11, 14):
        name = f"python3.{minor}"
        try:
            works = subprocess.call([name, "-c", ""], stderr=subprocess.DEVNULL) == 0
        except OSError:
            continue
        there = there or (name if works else None)
    if there:
        print(f"Start it with: {there} {Path(__file__).name}", file=sys.stderr)
    else:
        print("Install a newer one from https://www.python.org/downloads/ and start again.", file=sys.stderr)
    return CANNOT_START


def __getattr__(name: str) -> type:
    """`FaceFusionAutomationLauncher`, loaded when somebody asks for it: it needs what `.venv` holds."""
    if name == "FaceFusionAutomationLauncher":
        from facefusion.launcher.launcher import FaceFusionAutomationLauncher

        return FaceFusionAutomationLauncher
    raise AttributeError(name)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Runs the launcher as it is inside its environment: `python real_start.py [ARGUMENTS]`."""

import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY))

from facefusion.launcher.arguments import parse_arguments  # noqa: E402
from facefusion.launcher.launcher import FaceFusionAutomationLauncher  # noqa: E402

if __name__ == "__main__":
    sys.exit(FaceFusionAutomationLauncher(parse_arguments(REPOSITORY, sys.argv[1:])).run())

"""Runs the launcher with an imagined daemon: `python imagined_start.py ROOT MODELS_DIR [ARGUMENTS]`."""

import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).parent)]

from snapshots import BUSY  # noqa: E402

import facefusion.automation.workspace as workspace_module  # noqa: E402
import facefusion.launcher.launcher as launcher_module  # noqa: E402
from facefusion.errors import FaceFusionError  # noqa: E402
from facefusion.launcher.arguments import parse_arguments  # noqa: E402
from facefusion.launcher.launcher import FaceFusionAutomationLauncher  # noqa: E402


class ImaginedProcessor:
    """Shows the same busy moment again and again."""

    def __init__(self, root, settings):  # type: ignore[no-untyped-def]
        self._root = root

    def run(self, on_snapshot):  # type: ignore[no-untyped-def]
        try:
            for _ in range(int(os.environ.get("IMAGINED_STEPS", "600"))):
                on_snapshot(replace(BUSY, root=str(self._root)))
                time.sleep(0.05)
        except KeyboardInterrupt:
            on_snapshot(replace(BUSY, state="stopped"))
        return 0


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a test runner may ignore it for its children
    root, models = Path(sys.argv[1]), Path(sys.argv[2])
    workspace_module.program_dir = lambda: models.parent
    launcher = FaceFusionAutomationLauncher(
        parse_arguments(root, sys.argv[3:]), make_processor=ImaginedProcessor
    )
    launcher_module.compile_once = lambda console, state_dir: None
    launcher._install_models = lambda manager, config: None  # type: ignore[method-assign]
    try:
        sys.exit(launcher.run())
    except FaceFusionError as error:
        print(error.message, error.remedy)
        sys.exit(1)
    except KeyboardInterrupt as interrupt:
        print(f"stopped by Ctrl-C. {interrupt}")
        sys.exit(130)

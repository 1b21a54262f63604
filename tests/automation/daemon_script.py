"""The daemon with a scripted session: `daemon_script.py ROOT [--once] [--kill-at STEP] [--session ...]`."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
from pathlib import Path

from workbench import FACTORY

from facefusion.automation.daemon import Options
from facefusion.automation.processor import SimpleAutoProcessor
from facefusion.errors import FaceFusionError


def main() -> int:
    faulthandler.register(signal.SIGUSR1)  # `kill -USR1` shows where a daemon that hangs is
    root, words = Path(sys.argv[1]), sys.argv[2:]

    def at(step: str) -> None:
        if "--kill-at" in words and step == words[words.index("--kill-at") + 1]:
            os.kill(os.getpid(), signal.SIGKILL)

    session = words[words.index("--session") + 1] if "--session" in words else FACTORY
    try:
        processor = SimpleAutoProcessor(root, options=Options(session_factory=session, at=at))
        return processor.run_once() if "--once" in words else processor.run()
    except FaceFusionError as error:
        print(error.message)
        return 2


if __name__ == "__main__":
    raise SystemExit(main())

"""The folder daemon and its command line: `python simple_auto_processor.py --help`."""

import os
import sys
from pathlib import Path

try:
    from facefusion.automation.commands import main
    from facefusion.automation.processor import SimpleAutoProcessor
except (ImportError, SyntaxError) as error:
    # Called with another Python than the one that launch_automation.py equipped: go on inside that one.
    folder = Path(__file__).resolve().parent / ".venv"
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.is_file() or Path(sys.prefix).resolve() == folder.resolve():
        print(f"The program cannot be loaded ({error}).", file=sys.stderr)
        print("Run `python3 launch_automation.py` once; it sets everything up.", file=sys.stderr)
        raise SystemExit(2) from None
    arguments = [str(python), *sys.argv]
    if os.name == "nt":  # there exec would return to the shell at once
        import subprocess

        raise SystemExit(subprocess.call(arguments)) from None
    os.execv(python, arguments)

__all__ = ["SimpleAutoProcessor"]


def live_view(hints, full_screen):  # type: ignore[no-untyped-def]  # loaded only when the daemon starts
    """The live view of the launcher, for the terminal that this was called from."""
    from facefusion.launcher.view import at_terminal

    return at_terminal(hints, full_screen=full_screen)


if __name__ == "__main__":
    raise SystemExit(main(live_view=live_view))

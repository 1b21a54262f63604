"""The folder daemon and its command line: `python simple_auto_processor.py --help`."""

from facefusion.automation.commands import main
from facefusion.automation.processor import SimpleAutoProcessor

__all__ = ["SimpleAutoProcessor"]

if __name__ == "__main__":
    raise SystemExit(main())

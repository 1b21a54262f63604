"""The child process that looks for faces: `python -m facefusion.automation.facecheck_process FACTORY MODELS`.

Standard input is a JSON list of paths (bytes in hex). It answers on standard output: one line when its models
are loaded, then for each picture a JSON list: why no face can be taken from it (empty if one can), and what
makes it a poorer source (empty for a good one).
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

from facefusion.automation.children import load_factory, take_over_stdout
from facefusion.errors import FaceFusionError
from facefusion.system.processes import die_with_the_parent

PORTRAITS = "facefusion.automation.facecheck_process:portraits"


def portraits(models_dir: Path) -> Callable[[Path], tuple[str, str]]:
    """Judges pictures as a job would.

    Raises:
        ModelMissingError: the models are not installed.
    """
    from facefusion.faces.detect import FaceDetector
    from facefusion.faces.landmarks import Landmarker
    from facefusion.faces.portrait import read_portraits

    detector, landmarker = FaceDetector(models_dir, threads=1), Landmarker(models_dir, threads=1)

    def look(picture: Path) -> tuple[str, str]:
        try:
            found = read_portraits([picture], detector, landmarker)
        except FaceFusionError as error:
            return error.message, ""
        if not found.usable:
            return " ".join(found.warnings), ""
        return "", "; ".join(flaw.short for flaw in found.flaws[0])

    return look


def main(arguments: list[str]) -> int:
    """Judge the pictures that standard input names."""
    stream = take_over_stdout()
    die_with_the_parent()
    factory, models_dir = arguments
    pictures = [Path(os.fsdecode(bytes.fromhex(name))) for name in json.load(sys.stdin)]
    try:
        look = load_factory(factory)(Path(models_dir))
    except FaceFusionError as error:
        print(error.message, file=sys.stderr)
        return 1
    print("ready", file=stream, flush=True)
    for picture in pictures:
        print(json.dumps(look(picture)), file=stream, flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

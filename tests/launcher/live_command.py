"""`simple_auto_processor.py` with the scripted session of other tests, on a root that is made for it."""

import json
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS.parent), str(TESTS / "automation")]

from workbench import FACTORY, Bench  # noqa: E402

import simple_auto_processor  # noqa: E402
from facefusion.automation.daemon import Options  # noqa: E402

if __name__ == "__main__":
    root, script = Path(sys.argv[1]), json.loads(sys.argv[2])
    bench = Bench(root)
    bench.face()
    bench.target("clip.mp4", **script)
    sys.exit(
        simple_auto_processor.main(
            ["--root", str(root), *sys.argv[3:]],
            options=Options(session_factory=FACTORY),
            live_view=simple_auto_processor.live_view,
        )
    )

"""What the content gate adds to a job: the same job with and without it, in turn in one process.

    python benchmarks/gate_cost.py
    python benchmarks/gate_cost.py --input clip.mp4 --face alice.jpg --repeats 9

A job with the gate is what a worker does: the target's key frames and the source are looked at before,
one frame of the result a second meanwhile. Without it the bare session runs. All stays warm, as in a worker.
The processor's seconds say what the gate costs; the clock's also how long it makes a job wait.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from common import compare, parser, prepared, swap


def main() -> None:
    options = parser("Jobs with the content gate over jobs without.", sizes=["720p"], seconds=10.0)
    options.add_argument("--repeats", type=int, default=7, help="runs of each kind")
    arguments = options.parse_args()
    looked: dict[Path, int] = {}
    with prepared(arguments) as setting:
        from facefusion.trust.gate import ContentGate

        def works(session: Any, clip: Path) -> Mapping[str, Callable[[], object]]:
            def gated() -> None:
                gate = ContentGate(setting.models_dir, setting.config)
                gate.check_target(clip)
                gate.check_sources([setting.face])
                swap(session, dataclasses.replace(setting.request(clip), inspector=gate.inspector()))
                gate.require_passed()
                looked[clip] = sum(gate.result[part]["frames"] for part in ("target", "sources", "output"))

            return {"without": lambda: swap(session, setting.request(clip)), "with": gated}

        headers = ("clip", "frames looked at", "without, s", "with, s", "ratio", "ratio, processor time")
        compare(setting, headers, arguments.repeats, works, lambda clip: [str(looked[clip])])


if __name__ == "__main__":
    main()

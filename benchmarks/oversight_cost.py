"""What gate, mark, label and signature add to a job together: the same job with and without them, in turn.

    python benchmarks/oversight_cost.py
    python benchmarks/oversight_cost.py --input clip.mp4 --face alice.jpg --repeats 5

`bare` is the session alone, `watched` what a worker does. All stays warm, as in a worker.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from common import compare, parser, prepared, swap


def main() -> None:
    options = parser("Jobs under full oversight over bare ones.", sizes=["720p", "1080p"], seconds=10.0)
    options.add_argument("--repeats", type=int, default=5, help="runs of each kind")
    arguments = options.parse_args()
    with prepared(arguments) as setting:
        from facefusion.automation.worker_process import plain
        from facefusion.trust.oversight import Oversight
        from facefusion.trust.policy import CURRENT_VERSION

        accepted = setting.config.model_copy(update={"accept_use_policy": CURRENT_VERSION})
        oversight = Oversight(setting.work_dir / "state", setting.models_dir)

        def works(session: Any, clip: Path) -> Mapping[str, Callable[[], object]]:
            def watched() -> None:
                request = setting.request(clip)
                case = oversight.open(clip, [setting.face], accepted)
                under = dataclasses.replace(
                    request, label=case.label, marker=case.marker, inspector=case.inspector
                )
                case.close(request.output, plain(swap(session, under)))

            return {"bare": lambda: swap(session, setting.request(clip)), "watched": watched}

        headers = ("clip", "bare, s", "watched, s", "ratio", "ratio, processor time")
        compare(setting, headers, arguments.repeats, works)


if __name__ == "__main__":
    main()

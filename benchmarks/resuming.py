"""What it costs to keep finished parts of a video, and what that gains after an interruption.

    python benchmarks/resuming.py
    python benchmarks/resuming.py --seconds 60 --repeats 5

`one piece` and `parts` are the same job without and with a place for finished parts, in turn, all warm.
Then a job is stopped after nine tenths of its frames, and run again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from common import compare, parser, prepared, swap


def main() -> None:
    options = parser("Jobs whose finished parts are kept over jobs in one piece.", sizes=["720p"], seconds=60)
    options.add_argument("--repeats", type=int, default=3, help="runs of each kind")
    arguments = options.parse_args()
    with prepared(arguments) as setting:
        from facefusion.errors import CancelledError
        from facefusion.media.segments import Keeping
        from facefusion.system.measure import table

        folder = setting.work_dir / "kept"
        sizes: dict[str, int] = {}

        def fresh(clip: Path) -> Any:
            shutil.rmtree(folder, ignore_errors=True)
            return dataclasses.replace(setting.request(clip), keeping=Keeping(folder, {"clip": str(clip)}))

        def works(session: Any, clip: Path) -> Mapping[str, Callable[[], object]]:
            def one_piece() -> None:
                request = setting.request(clip)
                swap(session, request)
                sizes["one piece"] = request.output.stat().st_size

            def parts() -> None:
                request = fresh(clip)
                swap(session, request)
                sizes["parts"] = request.output.stat().st_size

            return {"one piece": one_piece, "parts": parts}

        def growth(clip: Path) -> list[str]:
            return [f"{100 * (sizes['parts'] / sizes['one piece'] - 1):+.2f} %"]

        headers = ("clip", "bytes", "one piece s", "parts s", "ratio", "ratio of processor time")
        compare(setting, headers, arguments.repeats, works, growth)
        rows = []
        from facefusion.pipeline import SwapSession

        session = SwapSession(setting.models_dir, threads=setting.threads)
        for clip in setting.clips:
            rows.append((clip.name, *interrupted(session, fresh(clip), CancelledError)))
        session.close()
        print()
        print(table(("clip", "stopped at", "went on at", "before s", "after s"), rows))


def interrupted(session: Any, request: Any, stopped: type[Exception]) -> tuple[str, ...]:
    """Stop a job after nine tenths, run it again; where it was stopped and went on, and seconds of both."""
    done = [0, 0]

    def watch(progress: Any) -> None:
        if progress.stage == "swapping":
            done[:] = progress.frames_done, progress.frames_total or 0

    began = time.perf_counter()
    with contextlib.suppress(stopped):
        session.swap(request, watch, lambda: done[0] > 0.9 * max(done[1], 1) > 0.9)
    middle = time.perf_counter()
    shutil.rmtree(request.output.parent)
    request.output.parent.mkdir()
    at = done[0]
    result = session.swap(request, lambda progress: None, lambda: False)
    end = time.perf_counter()
    resumed = 0 if result.resumed is None else result.resumed["frame"]
    return f"{at} of {result.frames}", str(resumed), f"{middle - began:.1f}", f"{end - middle:.1f}"


if __name__ == "__main__":
    main()

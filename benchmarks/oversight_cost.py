"""What gate, mark, label and signature add to a job together: the same job with and without them, in turn.

python benchmarks/oversight_cost.py
python benchmarks/oversight_cost.py --input clip.mp4 --face alice.jpg --repeats 5
"""

from __future__ import annotations

import resource
import shutil
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from common import Setting, parser, prepared

Seconds = tuple[float, float]
"""By the clock, and of the processor."""


def main() -> None:
    options = parser("Jobs under full oversight over bare ones.", sizes=["720p", "1080p"], seconds=10.0)
    options.add_argument("--repeats", type=int, default=5, help="runs of each kind")
    arguments = options.parse_args()
    with prepared(arguments) as setting:
        from facefusion.pipeline import SwapSession
        from facefusion.system.hardware import detect_cores

        session = SwapSession(arguments.models, threads=arguments.threads or detect_cores().usable)
        print(f"{arguments.repeats} runs of each kind in turn after one of each; medians")
        print()
        print("| clip | bare, s | watched, s | ratio | ratio, processor time |")
        print("|---|---|---|---|---|")
        for clip in setting.clips:
            print(_row(setting, session, clip, arguments.repeats), flush=True)
        session.close()


def _row(setting: Setting, session: Any, clip: Path, repeats: int) -> str:
    runs: dict[Callable[[], None], list[Seconds]] = {
        lambda: _job(setting, session, clip, watched=False): [],
        lambda: _job(setting, session, clip, watched=True): [],
    }
    for work in runs:
        work()
    for _ in range(repeats):
        for work, seconds in runs.items():
            clock, used = time.perf_counter(), _processor()
            work()
            seconds.append((time.perf_counter() - clock, _processor() - used))
    bare, watched = (
        [statistics.median(run[kind] for run in seconds) for kind in (0, 1)] for seconds in runs.values()
    )
    ratios = " | ".join(f"{with_it / without:.3f}" for with_it, without in zip(watched, bare, strict=True))
    return f"| {clip.name} | {bare[0]:.2f} | {watched[0]:.2f} | {ratios} |"


def _job(setting: Setting, session: Any, clip: Path, *, watched: bool) -> None:
    from facefusion.automation.worker_process import plain
    from facefusion.pipeline import SwapRequest, planned_suffix
    from facefusion.trust.oversight import Oversight
    from facefusion.trust.policy import CURRENT_VERSION

    config = setting.config.model_copy(update={"accept_use_policy": CURRENT_VERSION})
    folder = setting.work_dir / "job"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    work = folder / f"work{planned_suffix(clip, config)}"
    faces = (setting.face,)
    if not watched:
        request = SwapRequest(clip, faces, str(setting.face), work, config)
        session.swap(request, lambda progress: None, lambda: False)
        return
    case = Oversight(setting.work_dir / "state", setting.models_dir).open(clip, faces, config)
    request = SwapRequest(
        clip, faces, str(setting.face), work, config,
        label=case.label, marker=case.marker, inspector=case.inspector,
    )  # fmt: skip
    case.close(work, plain(session.swap(request, lambda progress: None, lambda: False)))


def _processor() -> float:
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


if __name__ == "__main__":
    main()

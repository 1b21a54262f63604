"""What the content gate adds to a job: the same job with and without it, in turn in one process.

    python benchmarks/gate_cost.py
    python benchmarks/gate_cost.py --input clip.mp4 --face alice.jpg --repeats 9

A job with the gate is what a worker does: the target's key frames and the source are looked at before,
one frame of the result a second meanwhile. Without it the bare session runs. All stays warm, as in a worker.
The processor's seconds say what the gate costs; the clock's also how long it makes a job wait.
"""

from __future__ import annotations

import dataclasses
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from common import Setting, parser, prepared

Seconds = tuple[float, float]
"""By the clock, and of the processor."""


def main() -> None:
    options = parser("Jobs with the content gate over jobs without.", sizes=["720p"], seconds=10.0)
    options.add_argument("--repeats", type=int, default=7, help="runs of each kind")
    arguments = options.parse_args()
    with prepared(arguments) as setting:
        from facefusion.pipeline import SwapSession
        from facefusion.system.hardware import detect_cores

        session = SwapSession(arguments.models, threads=arguments.threads or detect_cores().usable)
        print(f"{arguments.repeats} runs of each kind in turn after one of each; medians")
        print()
        print("| clip | frames looked at | without, s | with, s | ratio | ratio, processor time |")
        print("|---|---|---|---|---|---|")
        for clip in setting.clips:
            print(_row(setting, session, clip, arguments.repeats), flush=True)
        session.close()


def _row(setting: Setting, session: object, clip: Path, repeats: int) -> str:
    looked: list[int] = []

    def plain() -> None:
        _swap(setting, session, clip, None)

    def gated() -> None:
        from facefusion.trust.gate import ContentGate

        gate = ContentGate(setting.models_dir, setting.config)
        gate.check_target(clip)
        gate.check_sources([setting.face])
        _swap(setting, session, clip, gate.inspector())
        gate.require_passed()
        looked.append(sum(gate.result[part]["frames"] for part in ("target", "sources", "output")))

    runs: dict[Callable[[], None], list[Seconds]] = {plain: [], gated: []}
    for job in runs:
        job()
    for number in range(repeats):
        # Whoever comes second finds warmer caches; so they change places.
        for job in (plain, gated) if number % 2 else (gated, plain):
            runs[job].append(_timed(job))
    (wall, cpu), (wall_gated, cpu_gated) = (_median(runs[job]) for job in (plain, gated))
    ratios = f"{wall_gated / wall:.3f} | {cpu_gated / cpu:.3f}"
    return f"| {clip.name} | {looked[-1]} | {wall:.2f} | {wall_gated:.2f} | {ratios} |"


def _swap(setting: Setting, session: object, clip: Path, inspector: object) -> None:
    from facefusion.pipeline import SwapRequest, SwapSession, planned_suffix

    assert isinstance(session, SwapSession)
    output = setting.work_dir / f"result{planned_suffix(clip, setting.config)}"
    request = SwapRequest(clip, (setting.face,), str(setting.face), output, setting.config)
    request = dataclasses.replace(request, inspector=inspector)
    session.swap(request, lambda progress: None, lambda: False)
    output.unlink(missing_ok=True)


def _timed(job: Callable[[], None]) -> Seconds:
    began, used = time.perf_counter(), _processor_seconds()
    job()
    return time.perf_counter() - began, _processor_seconds() - used


def _processor_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _median(runs: list[Seconds]) -> Seconds:
    return statistics.median(wall for wall, _ in runs), statistics.median(cpu for _, cpu in runs)


if __name__ == "__main__":
    main()

"""Resident memory over a long video: it must not grow with length.

    python benchmarks/memory_long_video.py --minutes 10
    python benchmarks/memory_long_video.py --size 1080p --minutes 60

A short clip is repeated packet by packet to the length wanted. The job runs in a process of its own, as in
the daemon, and its memory is read twice a second.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from common import parser, prepared, tell


@dataclass(frozen=True)
class Job:
    """What the worker is to do."""

    models_dir: Path
    threads: int
    config: dict[str, str]
    face: Path
    clip: Path
    output: Path


def work(job: Job, wire: Connection) -> None:
    """The worker: one job, telling its progress."""
    from facefusion.config import AutomationConfig
    from facefusion.pipeline import SwapProgress, SwapRequest, SwapSession

    config = AutomationConfig.model_validate(job.config)
    session = SwapSession(job.models_dir, threads=job.threads)

    def on_progress(progress: SwapProgress) -> None:
        wire.send(progress.frames_done)

    request = SwapRequest(job.clip, (job.face,), "face", job.output, config)
    result = session.swap(request, on_progress, lambda: False)
    session.close()
    wire.send(("done", result.frames, result.frames_swapped))


def run(arguments: argparse.Namespace) -> None:
    from facefusion.checkup.benchmark_media import lengthen
    from facefusion.pipeline import planned_suffix
    from facefusion.system.measure import PeakMemory, megabytes, table

    with prepared(arguments) as setting:
        clip = setting.work_dir / "long.mp4"
        times = max(1, round(arguments.minutes * 60 / arguments.seconds))
        lengthen(setting.clips[0], clip, times)
        output = setting.work_dir / f"result{planned_suffix(clip, setting.config)}"
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe(duplex=False)
        job = Job(
            models_dir=arguments.models,
            threads=setting.threads,
            config={
                "quality_preset": arguments.preset,
                "engine": arguments.engine,
                "face_selector_mode": arguments.faces,
            },
            face=setting.face,
            clip=clip,
            output=output,
        )
        worker = context.Process(target=work, args=(job, theirs))
        started = time.perf_counter()
        worker.start()
        theirs.close()
        frames = swapped = 0
        with PeakMemory(worker.pid, interval=0.5) as memory:
            shown, first_frame = 0.0, None
            while True:
                try:
                    message = ours.recv()
                except EOFError:
                    break
                if isinstance(message, tuple):
                    _, frames, swapped = message
                elif message and first_frame is None:
                    first_frame = len(memory.samples)
                elif time.perf_counter() - shown > 30:
                    shown = time.perf_counter()
                    tell(f"{message} frames, {megabytes(memory.peak)} at most")
            worker.join()
        wall = time.perf_counter() - started
        if worker.exitcode or not frames:
            raise SystemExit(f"The job failed (exit status {worker.exitcode}).")
        print(f"{setting.clips[0].name}, {frames} frames ({swapped} swapped) in {wall:.0f} s")
        print()
        # Loading and compiling come before the first frame; whether memory grows shows after it.
        samples = memory.samples[first_frame:]
        tenth = max(1, len(samples) // 10)
        parts = [samples[start : start + tenth] for start in range(0, len(samples), tenth)][:10]
        rows = [
            (
                f"{part[0][0]:.0f} to {part[-1][0]:.0f} s",
                megabytes(round(statistics.median(rss for _, rss in part))),
                megabytes(max(rss for _, rss in part)),
            )
            for part in parts
        ]
        print(table(("time", "median RSS", "peak RSS"), rows))
        print(f"peak of the whole run: {megabytes(memory.peak)}")


def main() -> None:
    options = parser("Memory over a long video.", sizes=["1080p"], seconds=20.0)
    options.add_argument("--minutes", type=float, default=10.0, help="length of the video")
    run(options.parse_args())


if __name__ == "__main__":
    main()

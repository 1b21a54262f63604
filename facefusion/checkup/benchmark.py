"""How fast this machine does the main job, as ratios that hold on other machines too.

Two questions are answered: how much longer a whole job takes than decoding and encoding alone, and what it
saves to run many clips of one face in a batch.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psutil  # type: ignore[import-untyped]

from facefusion.checkup.benchmark_media import make_clip, transcode
from facefusion.checkup.benchmark_outlook import Outlook
from facefusion.checkup.benchmark_report import BatchTiming, BenchmarkReport, JobOverTranscode
from facefusion.config import AutomationConfig
from facefusion.errors import FaceFusionError
from facefusion.jobspec import ProgressCallback, StopRequested, SwapProgress, SwapRequest, SwapResult
from facefusion.media.plan import plan_output
from facefusion.media.probe import probe
from facefusion.system.hardware import detect_cores
from facefusion.system.measure import Run, Series, alternate, machine_line
from facefusion.trust import claim
from facefusion.trust.gate import ContentGate
from facefusion.trust.watermark import Watermark
from facefusion.wording import count, duration

BATCH_SIZES = (1, 5, 10, 20)
WORK_PREFIX = "facefusion-benchmark-"
"""Of the work folder's name; the process id follows."""
LONG_SIZES = ((1280, 720), (1920, 1080))

Say = Callable[[str], None]

_FIRST_FRAMES = 50
"""After so many frames of the very first job, or a quarter of it, its speed tells how long all will take."""


class Session(Protocol):
    """What is measured; `facefusion.pipeline.SwapSession` is one."""

    def swap(
        self, request: SwapRequest, on_progress: ProgressCallback, should_stop: StopRequested
    ) -> SwapResult:
        """Swap one target."""

    def close(self) -> None:
        """Release models."""


class PerformanceBenchmark:
    """Measures sessions that others make.

    Args:
        make_session: gives a new session, as a worker process would start it.
        faces: pictures of the source face.
        config: settings of the jobs.
        work_dir: for results; they are removed as soon as they are measured.
        say: told what is going on.

    Attributes:
        jobs, timings: what was measured, also where a measurement was interrupted.
        outlook: how long it will take; to be told first what is to come.
    """

    def __init__(
        self,
        make_session: Callable[[], Session],
        faces: Sequence[Path],
        config: AutomationConfig,
        work_dir: Path,
        *,
        say: Say | None = None,
    ) -> None:
        self._make_session = make_session
        self._faces = tuple(faces)
        self._config = config
        self._work_dir = work_dir
        self._say = say or (lambda _: None)
        self.outlook = Outlook()
        self.jobs: list[JobOverTranscode] = []
        self.timings: list[BatchTiming] = []
        content = b"".join(face.read_bytes() for face in self._faces)
        self._digest = hashlib.sha256(content).hexdigest()

    def job_over_transcode(self, clip: Path, *, repeats: int = 5, warmups: int = 1) -> JobOverTranscode:
        """Run the whole job and the plain transcode in turn, in one process with a warm session.

        Raises:
            FaceFusionError: the clip cannot be processed.
        """
        info = probe(clip)
        plan = plan_output(info, self._config)
        encode = plan.encode
        if encode is None:
            raise FaceFusionError(f"{clip.name} is not a video.", remedy="Give a video to the benchmark.")
        cores = detect_cores().usable
        floor = self._work_dir / f"transcode{plan.suffix}"
        frames = 0
        alone = 0.0

        def run_transcode() -> None:
            nonlocal frames, alone
            began = time.perf_counter()
            frames = transcode(
                clip,
                floor,
                encoder=encode.encoder,
                pix_fmt=encode.pix_fmt,
                gop=encode.gop,
                options=encode.options(cores, plan.width * plan.height),
            )
            floor.unlink()
            alone = time.perf_counter() - began

        spoken = False

        def first_words(progress: SwapProgress) -> None:
            nonlocal spoken
            speed = progress.frames_per_second
            known = progress.stage == "swapping" and speed > 0.0
            if known and progress.frames_done >= min(_FIRST_FRAMES, frames / 4) and not spoken:
                spoken = True
                self.outlook.guess(clip, frames / speed + alone)
                self._say(f"  warm-up: {speed:.0f} frames/s{self.outlook.text()}")

        runs: dict[str, list[Run]] = {"transcode": [], "job": []}

        def on_run(name: str, run: Run) -> None:
            runs[name].append(run)
            number, speed = f"{name} {len(runs[name])} of {repeats}", f"{frames / run.wall:.0f} frames/s"
            self._say(f"  {number}: {run.wall:.2f} s, {speed}{self.outlook.text()}")

        length = f" ({duration(info.duration)})" if info.duration else ""
        plan_of_work = f"{count(repeats, 'job')} and {count(repeats, 'plain transcode')} after a warm-up"
        self._say(f"{clip.name}, {info.width}x{info.height}{length}: {plan_of_work}")
        self._say(f"  warm-up, which does not count: one of each{self.outlook.text()}")
        session = self._make_session()
        try:
            alternate(
                {"transcode": run_transcode, "job": lambda: self._swap(session, clip, first_words)},
                repeats=repeats,
                warmups=warmups,
                on_run=on_run,
            )
        finally:
            session.close()
            if all(runs.values()):
                found = JobOverTranscode(
                    clip=f"{info.width}x{info.height}, {frames} frames",
                    frames=frames,
                    encoder=f"{encode.encoder} {encode.preset} crf {encode.crf:g}",
                    job=Series("job", tuple(runs["job"])),
                    transcode=Series("transcode", tuple(runs["transcode"])),
                )
                self.jobs.append(found)
        return found

    def batches(self, clips: Sequence[Path], sizes: Sequence[int] = BATCH_SIZES) -> tuple[BatchTiming, ...]:
        """Run batches of short clips of one face, and the same clips one by one.

        Args:
            clips: at least one; they are taken in turn.
            sizes: how many clips make a batch.
        """
        first = len(self.timings)
        for size in sizes:
            batch = [clips[index % len(clips)] for index in range(size)]
            started = time.perf_counter()
            session = self._make_session()
            try:
                jobs = [self._swap(session, clip) for clip in batch]
            finally:
                session.close()
            together = time.perf_counter() - started
            started = time.perf_counter()
            for clip in batch:
                fresh = self._make_session()
                try:
                    self._swap(fresh, clip)
                finally:
                    fresh.close()
            alone = time.perf_counter() - started
            timing = BatchTiming(
                size=size,
                together=together,
                one_by_one=alone,
                pure=sum(job.swapping for job in jobs),
                second_start=jobs[1].until_first_frame if size > 1 else None,
            )
            times = f"together {timing.together:.2f} s, one by one {timing.one_by_one:.2f} s"
            self._say(f"{count(size, 'short clip')}: {times}{self.outlook.text()}")
            self.timings.append(timing)
        return tuple(self.timings[first:])

    def _swap(
        self, session: Session, clip: Path, on_progress: ProgressCallback = lambda progress: None
    ) -> _JobTimes:
        from facefusion.pipeline import planned_suffix

        output = self._work_dir / f"result{planned_suffix(clip, self._config)}"
        watch = _FrameWatch()
        # Marked like every result: it takes time, and what is left after a kill is told for what it is.
        marker = Watermark(secrets.randbits(32))
        request = SwapRequest(
            clip, self._faces, self._digest, output, self._config, label=claim.LABEL, marker=marker
        )

        def both(progress: SwapProgress) -> None:
            watch.on_progress(progress)
            on_progress(progress)

        result = session.swap(request, both, lambda: False)
        times = watch.times()
        output.unlink(missing_ok=True)
        if result.outcome != "done":
            raise FaceFusionError(
                f"No face was found in {clip.name}, so there is nothing to measure.",
                remedy="Give a video in which a face can be seen.",
            )
        self.outlook.passed(clip)
        return times


@dataclass(frozen=True)
class _JobTimes:
    """Seconds from the start of a job to its first frame, and from there to its end."""

    until_first_frame: float
    swapping: float


class _FrameWatch:
    """Learns from progress messages when frames begin to come out."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self._first: float | None = None

    def on_progress(self, progress: SwapProgress) -> None:
        if self._first is None and progress.stage == "swapping" and progress.frames_done > 0:
            self._first = time.perf_counter()

    def times(self) -> _JobTimes:
        now = time.perf_counter()
        first = self._first if self._first is not None else now
        return _JobTimes(first - self._started, max(now - first, 1e-6))


def run_benchmark(
    root: Path,
    config: AutomationConfig,
    *,
    clip: Path | None = None,
    face: Path | None = None,
    repeats: int = 3,
    sizes: Sequence[int] = BATCH_SIZES,
    say: Say | None = None,
) -> BenchmarkReport:
    """Measure this installation; without a clip, on clips made from the sample pictures.

    Args:
        root: folder with `models/`.
        config: settings to measure.
        clip: a video; 720p and 1080p clips are made if None.
        face: a picture of a face; the sample picture if None.
        repeats: runs of each kind, after one that does not count.
        sizes: of the batches; empty leaves that part out.
        say: told what is going on.

    Returns:
        What was measured; interrupted (Ctrl-C), what was measured until then.

    Raises:
        ContentBlockedError: the content gate refuses clip or face, or cannot judge.
        FaceFusionError: models or samples cannot be installed, or a clip cannot be processed.
    """
    from facefusion.models import ensure_samples
    from facefusion.pipeline import SwapSession

    models_dir = root / "models"
    look_at(models_dir, config, clip, face)
    samples = ensure_samples(models_dir)
    cores = detect_cores().usable
    _remove_leftovers()
    interrupted = False
    with tempfile.TemporaryDirectory(prefix=f"{WORK_PREFIX}{os.getpid()}-") as folder:
        work_dir = Path(folder)
        bench = PerformanceBenchmark(
            lambda: SwapSession(models_dir, threads=cores),
            [face or samples.astronaut],
            config,
            work_dir,
            say=say,
        )
        try:
            long = [] if clip else [work_dir / f"{height}p.mp4" for _, height in LONG_SIZES]
            short = [work_dir / f"short{seed}.mp4" for seed in range(3)] if sizes else []
            _make_clips(samples.group, long, short, say or (lambda _: None))
            clips = [clip] if clip else long
            bench.outlook = Outlook(scope="with the batches" if sizes else "")
            for target in clips:
                bench.outlook.expect(target, repeats + 1)
            for size in sizes:
                for index in range(size):
                    bench.outlook.expect(short[index % len(short)], 2)
            for target in clips:
                bench.job_over_transcode(target, repeats=repeats)
            bench.batches(short, sizes)
        except KeyboardInterrupt:  # what was measured until then holds all the same
            interrupted = True
    settings = (
        f"profile {config.quality_preset}, engine {config.engine}, faces {config.face_selector_mode}; "
        f"{repeats} runs of each kind in turn after a warm-up"
    )
    return BenchmarkReport(machine_line(), settings, tuple(bench.jobs), tuple(bench.timings), interrupted)


def _make_clips(picture: Path, long: Sequence[Path], short: Sequence[Path], say: Say) -> None:
    """Videos of a picture: long ones in 720p and 1080p, short ones in 720p."""
    sizes = {clip: (width, height, 250, 0) for clip, (width, height) in zip(long, LONG_SIZES, strict=False)}
    sizes |= {clip: (1280, 720, 50, seed) for seed, clip in enumerate(short)}
    for number, (clip, (width, height, frames, seed)) in enumerate(sizes.items(), 1):
        say(f"Making video {number} of {len(sizes)} of the sample picture: {width}x{height}, {frames} frames")
        make_clip(picture, clip, width=width, height=height, frames=frames, seed=seed)


def _remove_leftovers() -> None:
    """Work folders of benchmarks that were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{WORK_PREFIX}*-*"):
        pid = folder.name.removeprefix(WORK_PREFIX).partition("-")[0]
        if pid.isdecimal() and not psutil.pid_exists(int(pid)):
            shutil.rmtree(folder, ignore_errors=True)


def look_at(models_dir: Path, config: AutomationConfig, clip: Path | None, face: Path | None) -> None:
    """Have the content gate look at what a person gives to be measured; the program's own samples need none.

    Raises:
        ContentBlockedError: it refuses, or cannot judge.
    """
    if clip is None and face is None:
        return
    gate = ContentGate(models_dir, config)
    if clip is not None:
        gate.check_target(clip)
    if face is not None:
        gate.check_sources([face])

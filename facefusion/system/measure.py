"""Measuring work: wall time, processor time and memory, alternating, with warm-up, as medians.

Absolute times move from machine to machine and from minute to minute; ratios of things measured in turn in
one run hold. So the unit here is a series of alternating runs.
"""

from __future__ import annotations

import contextlib
import platform
import statistics
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import psutil  # type: ignore[import-untyped]

from facefusion.system.hardware import detect_hardware


@dataclass(frozen=True)
class Run:
    """One measured run.

    Attributes:
        wall: seconds that passed.
        cpu: seconds of processor time of this process, all threads together.
        peak_rss: largest resident memory of this process meanwhile, bytes.
    """

    wall: float
    cpu: float
    peak_rss: int


@dataclass(frozen=True)
class Series:
    """Several runs of the same work."""

    name: str
    runs: tuple[Run, ...]

    @property
    def wall(self) -> float:
        """Median of the wall times in seconds."""
        return statistics.median(run.wall for run in self.runs)

    @property
    def cpu(self) -> float:
        """Median of the processor times in seconds."""
        return statistics.median(run.cpu for run in self.runs)

    @property
    def peak_rss(self) -> int:
        """Largest resident memory of all runs in bytes."""
        return max(run.peak_rss for run in self.runs)

    @property
    def spread(self) -> float:
        """Slowest over fastest run: how much the figures can be trusted."""
        walls = [run.wall for run in self.runs]
        return max(walls) / min(walls)


class PeakMemory:
    """Watches the resident memory of a process while a `with` block runs.

    Attributes:
        peak: largest value seen, bytes.
        samples: (seconds since start, bytes) in order.
    """

    def __init__(self, pid: int | None = None, *, interval: float = 0.02) -> None:
        self._process = psutil.Process(pid)
        self._interval = interval
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="peak-memory", daemon=True)
        self._started = time.monotonic()
        self.peak = 0
        self.samples: list[tuple[float, int]] = []

    def __enter__(self) -> Self:
        self._started = time.monotonic()
        self._look()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._look()

    def _watch(self) -> None:
        while not self._stop.wait(self._interval):
            self._look()

    def _look(self) -> None:
        with contextlib.suppress(psutil.Error):  # the process may be gone
            memory = int(self._process.memory_info().rss)
            self.peak = max(self.peak, memory)
            self.samples.append((time.monotonic() - self._started, memory))


def measure_run(work: Callable[[], object]) -> Run:
    """Do something and measure it."""
    with PeakMemory() as memory:
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return Run(wall, cpu, memory.peak)


def alternate(
    works: Mapping[str, Callable[[], object]],
    *,
    repeats: int = 5,
    warmups: int = 1,
    on_run: Callable[[str, Run], None] | None = None,
) -> dict[str, Series]:
    """Do several things in turn, again and again, so that all of them see the same weather.

    Every other round goes backwards, because whoever comes second finds warmer caches.

    Args:
        works: what to do, by name.
        repeats: measured rounds.
        warmups: rounds before them that do not count.
        on_run: told about each measured run.
    """
    runs: dict[str, list[Run]] = {name: [] for name in works}
    forwards = list(works.items())
    for turn in range(warmups + repeats):
        for name, work in forwards[::-1] if turn % 2 else forwards:
            run = measure_run(work)
            if turn >= warmups:
                runs[name].append(run)
                if on_run:
                    on_run(name, run)
    return {name: Series(name, tuple(found)) for name, found in runs.items()}


def table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A small table in plain text that can be pasted into a document as it is."""
    lines = [list(headers), *(list(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headers))]
    texts = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |"
        for line in lines
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([texts[0], rule, *texts[1:]])


def machine_line() -> str:
    """The machine in one line, to stand beside figures."""
    report = detect_hardware()
    gpu = f", {report.gpus[0].name}" if report.gpus else ""
    return (
        f"{report.cpu_name}, {report.usable_cores} cores, {report.memory_total / 2**30:.0f} GiB{gpu}; "
        f"{platform.system()} {platform.release()}, Python {platform.python_version()}"
    )


def megabytes(count: int) -> str:
    """Bytes as whole MiB."""
    return f"{count / 2**20:.0f} MiB"

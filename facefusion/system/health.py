"""How this machine is doing, whether a video can be processed here, and how long that will take."""

from __future__ import annotations

import contextlib
import json
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psutil  # type: ignore[import-untyped]

from facefusion.config import LimitSettings
from facefusion.system.cgroups import process_limits
from facefusion.system.disk import replace_text
from facefusion.system.hardware import available_memory, detect_cores, free_disk

SPEEDS_FILE = "speeds.json"

_MEGABYTE = 1 << 20
_KEPT_SPEEDS = 20
# A worker with its libraries and the embedded engine's models, before the first frame.
_WORKER_BYTES = 300 * _MEGABYTE
# Pictures that decoder and encoder keep for reference and look-ahead (measured: 1080p needs 730 MiB in all).
_CODEC_FRAMES = 90
_BYTES_PER_PIXEL = 1.5
# Encoded bytes per pixel at high quality (visually lossless H.264). Only an upper bound is needed.
_ENCODED_BYTES_PER_PIXEL = 0.04


class MediaFacts(Protocol):
    """What must be known of a target; `facefusion.media.probe.MediaInfo` is one."""

    @property
    def width(self) -> int: ...  # noqa: D102
    @property
    def height(self) -> int: ...  # noqa: D102
    @property
    def size_bytes(self) -> int: ...  # noqa: D102
    @property
    def frames(self) -> int | None: ...  # noqa: D102
    @property
    def duration(self) -> float | None: ...  # noqa: D102


@dataclass(frozen=True)
class SystemResources:
    """The machine at this moment. Sizes in bytes.

    Attributes:
        cpu_percent: of all cores together, since the last question.
        usable_cores: that this process may use.
        memory_total: of the machine.
        memory_available: that can be taken without swapping, within a container's limit.
        disk_free: on the outbox's disk.
        problems: what stands in the way of work, in sentences; empty = all is well.
    """

    cpu_percent: float
    usable_cores: int
    memory_total: int
    memory_available: int
    disk_free: int
    problems: tuple[str, ...] = ()

    @property
    def healthy(self) -> bool:
        """Whether nothing stands in the way."""
        return not self.problems


@dataclass(frozen=True)
class ProcessingCapacity:
    """Whether one target can be processed here.

    Attributes:
        possible: memory and disk suffice.
        reasons: why not, in sentences.
        memory_needed: bytes, estimated from picture size and queue.
        disk_needed: bytes for the work file and the result.
        seconds: expected working time; None where no job of this kind has been measured here.
        text: the answer in one sentence.
    """

    possible: bool
    reasons: tuple[str, ...]
    memory_needed: int
    disk_needed: int
    seconds: float | None
    text: str


class SystemHealthMonitor:
    """Watches memory and disk for one outbox, and learns how fast jobs are on this machine.

    Args:
        outbox: where results go.
        state_dir: where measured speeds are kept; None keeps them in memory only.
        limits: memory for queues, disk to be left free.
    """

    def __init__(
        self, outbox: Path, *, state_dir: Path | None = None, limits: LimitSettings | None = None
    ) -> None:
        self._outbox = outbox
        self._limits = limits or LimitSettings()
        self._speeds_file = state_dir / SPEEDS_FILE if state_dir else None
        self._speeds = _read_speeds(self._speeds_file)
        psutil.cpu_percent(interval=None)  # the first answer would be meaningless

    def check_system_resources(self) -> SystemResources:
        """Look at processor, memory and disk; costs well under a millisecond."""
        limits = process_limits()
        memory = available_memory(limits)
        disk = free_disk(self._outbox)
        problems = []
        wanted_disk = self._limits.free_disk_megabytes * _MEGABYTE
        if disk < wanted_disk:
            problems.append(f"The outbox's disk has {_size(disk)} free; {_size(wanted_disk)} are kept free.")
        wanted_memory = _WORKER_BYTES + self._limits.queue_megabytes * _MEGABYTE
        if memory < wanted_memory:
            problems.append(f"{_size(memory)} of memory are free; a worker needs {_size(wanted_memory)}.")
        return SystemResources(
            cpu_percent=float(psutil.cpu_percent(interval=None)),
            usable_cores=detect_cores(limits).usable,
            memory_total=int(psutil.virtual_memory().total),
            memory_available=memory,
            disk_free=disk,
            problems=tuple(problems),
        )

    def estimate_processing_capacity(
        self, info: MediaFacts, *, engine: str = "mesh", quality_preset: str = "balanced"
    ) -> ProcessingCapacity:
        """Can this target be processed here, and how long will it take.

        Args:
            info: the target.
            engine: that will run, `mesh` or `neural`.
            quality_preset: that will be used.
        """
        pixels = info.width * info.height
        frames = _frames(info)
        memory_needed = int(
            _WORKER_BYTES
            + self._limits.queue_megabytes * _MEGABYTE
            + _CODEC_FRAMES * _BYTES_PER_PIXEL * pixels
        )
        encoded = min(frames * pixels * _ENCODED_BYTES_PER_PIXEL, 4.0 * info.size_bytes)
        disk_needed = 2 * int(max(encoded, info.size_bytes))
        memory, disk = available_memory(), free_disk(self._outbox)
        reserve = self._limits.free_disk_megabytes * _MEGABYTE
        reasons = []
        if memory_needed > memory:
            reasons.append(f"It needs about {_size(memory_needed)} of memory; {_size(memory)} are free.")
        if disk_needed + reserve > disk:
            reasons.append(
                f"It needs about {_size(disk_needed)} on the outbox's disk besides the {_size(reserve)} "
                f"that are kept free; {_size(disk)} are free."
            )
        seconds = self._expected_seconds(pixels * frames, engine, quality_preset)
        if reasons:
            text = "It cannot be processed here: " + " ".join(reasons)
        elif seconds is None:
            text = "It can be processed here; how long that takes is known after the first job."
        else:
            text = f"It can be processed here, in about {_duration(seconds)}."
        return ProcessingCapacity(
            possible=not reasons,
            reasons=tuple(reasons),
            memory_needed=memory_needed,
            disk_needed=disk_needed,
            seconds=seconds,
            text=text,
        )

    def learn(
        self, info: MediaFacts, seconds: float, *, engine: str = "mesh", quality_preset: str = "balanced"
    ) -> None:
        """Take note of how long a finished job took (`seconds` of work, without waiting)."""
        pixels = info.width * info.height * _frames(info)
        if seconds <= 0 or pixels <= 0:
            return
        key = f"{engine}/{quality_preset}"
        self._speeds[key] = [*self._speeds.get(key, []), pixels / seconds][-_KEPT_SPEEDS:]
        if self._speeds_file:
            with contextlib.suppress(OSError):  # a lost measurement is no reason to fail a job
                replace_text(self._speeds_file, json.dumps(self._speeds) + "\n")

    def _expected_seconds(self, pixels: int, engine: str, quality_preset: str) -> float | None:
        speeds = self._speeds.get(f"{engine}/{quality_preset}")
        return pixels / statistics.median(speeds) if speeds else None


def _read_speeds(file: Path | None) -> dict[str, list[float]]:
    """Pixels per second of earlier jobs by `engine/preset`; what cannot be read is measured anew."""
    if file is None:
        return {}
    try:
        raw = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(raw, Mapping):
        return {}
    return {
        str(key): [float(value) for value in values if isinstance(value, int | float) and value > 0]
        for key, values in raw.items()
        if isinstance(values, list)
    }


def _frames(info: MediaFacts) -> int:
    if info.frames:
        return info.frames
    return max(1, round((info.duration or 0.0) * 30.0))


def _size(count: int) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 1 << 30 else f"{count / 2**20:.0f} MiB"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"

"""How this machine is doing, whether a target can be processed here, and how long that will take."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psutil  # type: ignore[import-untyped]

from facefusion.config import LimitSettings
from facefusion.system.cgroups import process_limits
from facefusion.system.hardware import available_memory, detect_cores, free_disk
from facefusion.wording import duration, size

_MEGABYTE = 1 << 20
# A worker with its libraries and the embedded engine's models, before the first frame.
_WORKER_BYTES = 300 * _MEGABYTE
# Pictures that decoder and encoder keep for reference and look-ahead (measured: 1080p needs 730 MiB in all).
_CODEC_FRAMES = 90
_BYTES_PER_PIXEL = 1.5
# Bytes of a result: less than any setting gives, and what visually lossless H.264 comes to. A target that is
# itself large for its pixels (noise, little compression) gives a result of about its size.
_LEAST_PER_PIXEL, _LEAST_OF_TARGET = 0.0005, 0.05
_MOST_PER_PIXEL, _MOST_OF_TARGET, _MOST_OF_LARGE_TARGET = 0.04, 4.0, 1.5
# From this share of the pictures on their size tells of the others: each needs at least this share of it.
_TELLING, _LEAST_OF_REST = 0.1, 0.25
# The result, and while it is signed two more of its size; finished parts of a long video are one more.
_COPIES = 3


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
        possible: memory suffices, and nothing is known that the disk is too small for.
        reasons: why not, in sentences.
        memory_needed: bytes, estimated from picture size and queue.
        disk_least: bytes on the outbox's disk without which there is certainly no result.
        disk_most: bytes on it that are enough for nearly everything a target may show.
        seconds: expected working time; None where no job of this kind has been measured here.
        text: the answer in a sentence or two.
    """

    possible: bool
    reasons: tuple[str, ...]
    memory_needed: int
    disk_least: int
    disk_most: int
    seconds: float | None
    text: str


class SystemHealthMonitor:
    """Watches memory and disk for one outbox.

    Args:
        outbox: where results go.
        limits: memory for queues, disk to be left free.
    """

    def __init__(self, outbox: Path, *, limits: LimitSettings | None = None) -> None:
        self._outbox = outbox
        self._limits = limits or LimitSettings()
        psutil.cpu_percent(interval=None)  # the first answer would be meaningless

    def check_system_resources(self) -> SystemResources:
        """Look at processor, memory and disk; costs well under a millisecond."""
        limits = process_limits()
        memory = available_memory(limits)
        disk = free_disk(self._outbox)
        problems = []
        if disk < self._reserve:
            problems.append(f"The outbox's disk has {size(disk)} free; {size(self._reserve)} are kept free.")
        wanted_memory = _WORKER_BYTES + self._limits.queue_megabytes * _MEGABYTE
        if memory < wanted_memory:
            problems.append(f"{size(memory)} of memory are free; a worker needs {size(wanted_memory)}.")
        return SystemResources(
            cpu_percent=float(psutil.cpu_percent(interval=None)),
            usable_cores=detect_cores(limits).usable,
            memory_total=int(psutil.virtual_memory().total),
            memory_available=memory,
            disk_free=disk,
            problems=tuple(problems),
        )

    def estimate_processing_capacity(
        self, info: MediaFacts, *, in_parts: bool = False, pixels_per_second: Sequence[float] = ()
    ) -> ProcessingCapacity:
        """Can this target be processed here, and how long will it take.

        Args:
            info: the target.
            in_parts: its finished parts are kept on the disk until the end.
            pixels_per_second: of earlier jobs of its kind, with the same engine and quality preset.
        """
        pixels = info.width * info.height
        memory_needed = int(
            _WORKER_BYTES
            + self._limits.queue_megabytes * _MEGABYTE
            + _CODEC_FRAMES * _BYTES_PER_PIXEL * pixels
        )
        least, most = least_disk(info), _most_disk(info, in_parts=in_parts)
        memory, disk = available_memory(), free_disk(self._outbox)
        reasons = []
        if memory_needed > memory:
            reasons.append(f"It needs about {size(memory_needed)} of memory; {size(memory)} are free.")
        if least > disk:
            reasons.append(
                f"It needs at least {size(least)} on the outbox's disk; {size(disk)} are free there."
            )
        speeds = [speed for speed in pixels_per_second if speed > 0]
        seconds = pixels * _frames(info) / statistics.median(speeds) if speeds else None
        if reasons:
            text = "It cannot be processed here: " + " ".join(reasons)
        elif seconds is None:
            text = "It can be processed here; how long that takes is known after the first job of its kind."
        else:
            text = f"It can be processed here, in about {duration(seconds)}."
        if not reasons and most + self._reserve > disk:
            text += (
                f" It may need up to {size(most)} on the outbox's disk besides the {size(self._reserve)} that"
                f" are kept free, and {size(disk)} are free; where that is too little, work waits for room."
            )
        return ProcessingCapacity(
            possible=not reasons,
            reasons=tuple(reasons),
            memory_needed=memory_needed,
            disk_least=least,
            disk_most=most,
            seconds=seconds,
            text=text,
        )

    @property
    def _reserve(self) -> int:
        """Bytes; the settings count as disks are sold."""
        return self._limits.free_disk_megabytes * 10**6


def least_disk(info: MediaFacts, *, done: int = 0, written: int = 0) -> int:
    """Bytes on the outbox's disk without which there is certainly no result of this target, signed.

    Args:
        info: the target.
        done: pictures of it that are finished.
        written: bytes of the result that they took.
    """
    encoded = _frames(info) * info.width * info.height * _LEAST_PER_PIXEL
    least = min(encoded, info.size_bytes * _LEAST_OF_TARGET)
    if info.frames and done >= info.frames * _TELLING:
        least = max(least, written * (1 + _LEAST_OF_REST * (max(info.frames, done) - done) / done))
    return _COPIES * int(least)


def _most_disk(info: MediaFacts, *, in_parts: bool) -> int:
    encoded = min(
        _frames(info) * info.width * info.height * _MOST_PER_PIXEL, info.size_bytes * _MOST_OF_TARGET
    )
    return (_COPIES + in_parts) * int(max(encoded, info.size_bytes * _MOST_OF_LARGE_TARGET))


def _frames(info: MediaFacts) -> int:
    if info.frames:
        return info.frames
    return max(1, round((info.duration or 0.0) * 30.0))

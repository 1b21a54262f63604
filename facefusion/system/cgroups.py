"""Limits that a Linux container puts on this process (control groups, versions 1 and 2).

A container on a machine of 64 cores may be allowed the time of two. Counting cores does not show that, and a
program that believes in 64 is slower than one that knows of two, and is killed for its memory.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_NO_LIMIT = 1 << 60  # version 1 writes "no limit" as a number close to 2**63


@dataclass(frozen=True)
class ProcessLimits:
    """What the container allows.

    Attributes:
        cores: processor time in cores (may be a fraction); None = not limited.
        memory: bytes; None = not limited.
        memory_used: bytes of that limit in use by the whole container, without what can be dropped.
    """

    cores: float | None = None
    memory: int | None = None
    memory_used: int = 0


def process_limits(
    root: Path = Path("/sys/fs/cgroup"), membership: Path = Path("/proc/self/cgroup")
) -> ProcessLimits:
    """Read the limits in force for this process: the tightest of its group and every group above it.

    Args:
        root: where the control groups are mounted.
        membership: file that says which groups this process is in (`man 7 cgroups`).
    """
    if sys.platform != "linux":
        return ProcessLimits()
    cores: list[float] = []
    memories: list[tuple[int, int]] = []
    for controllers, path in _groups(membership):
        if not controllers:  # version 2: one hierarchy for everything
            for folder in _ancestors(root, path):
                cores += _quota_v2(folder / "cpu.max")
                memories += _memory(folder, "memory.max", "memory.current", "inactive_file")
        if "cpu" in controllers:
            for folder in _ancestors(root / "cpu", path):
                cores += _quota_v1(folder)
        if "memory" in controllers:
            for folder in _ancestors(root / "memory", path):
                memories += _memory(
                    folder, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
                )
    limit, used = min(memories, key=lambda pair: pair[0] - pair[1], default=(None, 0))
    return ProcessLimits(cores=min(cores, default=None), memory=limit, memory_used=used)


def _groups(membership: Path) -> Iterable[tuple[list[str], str]]:
    try:
        lines = membership.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        yield [name for name in controllers.split(",") if name], path


def _ancestors(root: Path, path: str) -> Iterable[Path]:
    """The group's folder and those above it. Inside a container the path may lie outside what is mounted."""
    parts = [part for part in path.split("/") if part not in ("", "..")]
    for length in range(len(parts), -1, -1):
        yield root.joinpath(*parts[:length])


def _quota_v2(file: Path) -> list[float]:
    words = _text(file).split()
    if len(words) == 2 and words[0].isdigit() and int(words[1]) > 0:
        return [int(words[0]) / int(words[1])]
    return []


def _quota_v1(folder: Path) -> list[float]:
    quota, period = _number(folder / "cpu.cfs_quota_us"), _number(folder / "cpu.cfs_period_us")
    return [quota / period] if quota is not None and period else []


def _memory(folder: Path, limit_name: str, used_name: str, cache_key: str) -> list[tuple[int, int]]:
    limit = _number(folder / limit_name)
    if limit is None or limit >= _NO_LIMIT:
        return []
    used = _number(folder / used_name) or 0
    for line in _text(folder / "memory.stat").splitlines():
        key, _, value = line.partition(" ")
        if key == cache_key and value.isdigit():
            used = max(0, used - int(value))  # pages of files that are dropped when memory is wanted
    return [(limit, used)]


def _number(file: Path) -> int | None:
    text = _text(file).strip()
    return int(text) if text.isdigit() else None


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""

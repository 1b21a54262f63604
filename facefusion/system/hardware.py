"""What this machine has: cores and memory that may really be used, disk, graphics processors.

Nothing here loads a driver or a framework. What is found is what could work; what does work is proved in
`facefusion.system.providers`.
"""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil  # type: ignore[import-untyped]

from facefusion.system.cgroups import ProcessLimits, process_limits
from facefusion.wording import size

GpuVendor = Literal["nvidia", "apple", "amd", "intel", "other"]
_PCI_VENDORS: dict[str, GpuVendor] = {"0x10de": "nvidia", "0x1002": "amd", "0x8086": "intel"}


@dataclass(frozen=True)
class Gpu:
    """One graphics processor.

    Attributes:
        vendor: who made it.
        name: as the driver says it.
        memory_bytes: its own memory; None where it is unknown or shared with the processor.
        driver: version of the driver; empty where unknown.
    """

    vendor: GpuVendor
    name: str
    memory_bytes: int | None = None
    driver: str = ""


@dataclass(frozen=True)
class CoreCount:
    """Processor cores.

    Attributes:
        logical: of the machine.
        allowed: on which this process may run (affinity).
        usable: whose time it may use (affinity and container), at least 1.
    """

    logical: int
    allowed: int
    usable: int


@dataclass(frozen=True)
class HardwareReport:
    """What a job can count on. All sizes in bytes.

    Attributes:
        system: e.g. `Linux`, `Darwin`, `Windows`.
        machine: e.g. `x86_64`, `arm64`.
        cpu_name: as printed on the box, where the system tells.
        logical_cores: of the machine.
        usable_cores: that this process may use (affinity and container limits respected), at least 1.
        memory_total: that this process may use (container limits respected).
        memory_available: of it, without swapping.
        disk_free: on the disk of the folder that was asked about.
        gpus: found, not proved.
        notes: what limits this process, in sentences.
    """

    system: str
    machine: str
    cpu_name: str
    logical_cores: int
    usable_cores: int
    memory_total: int
    memory_available: int
    disk_free: int
    gpus: tuple[Gpu, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class GpuCapability:
    """The best accelerator that the hardware promises.

    Attributes:
        kind: the execution provider it calls for.
        name: of the device.
        reason: one sentence for people.
    """

    kind: Literal["cuda", "coreml", "cpu"]
    name: str
    reason: str


def detect_hardware(folder: Path | None = None) -> HardwareReport:
    """Look at the machine; takes a few milliseconds, or as long as `nvidia-smi` where there is one.

    Args:
        folder: whose disk is asked for free space (the current one if None; may not exist yet).
    """
    limits = process_limits()
    cores = detect_cores(limits)
    memory = psutil.virtual_memory()
    notes = []
    if cores.allowed < cores.logical:
        notes.append(f"This process may run on {cores.allowed} of {cores.logical} cores.")
    if limits.cores is not None and limits.cores < cores.allowed:
        notes.append(f"The container allows the time of {limits.cores:g} cores.")
    if limits.memory is not None and limits.memory < memory.total:
        notes.append(f"The container allows {size(limits.memory)} of memory.")
    return HardwareReport(
        system=platform.system(),
        machine=platform.machine(),
        cpu_name=_cpu_name(),
        logical_cores=cores.logical,
        usable_cores=cores.usable,
        memory_total=min(memory.total, limits.memory or memory.total),
        memory_available=available_memory(limits),
        disk_free=free_disk(folder or Path()),
        gpus=find_gpus(),
        notes=tuple(notes),
    )


def detect_gpu_capability(gpus: tuple[Gpu, ...] | None = None) -> GpuCapability:
    """Which kind of acceleration the hardware calls for: CoreML on Apple silicon, CUDA on NVIDIA, else CPU.

    Args:
        gpus: found before; looked for if None.
    """
    found = find_gpus() if gpus is None else gpus
    for gpu in found:
        if gpu.vendor == "nvidia":
            memory = f", {size(gpu.memory_bytes)}" if gpu.memory_bytes else ""
            return GpuCapability("cuda", gpu.name, f"NVIDIA graphics processor found: {gpu.name}{memory}.")
        if gpu.vendor == "apple":
            return GpuCapability("coreml", gpu.name, f"Apple silicon found: {gpu.name}.")
    return GpuCapability(
        "cpu", _cpu_name(), "No supported graphics processor was found; the processor works."
    )


def detect_cores(limits: ProcessLimits | None = None) -> CoreCount:
    """Count the cores that this process may use; costs microseconds.

    Args:
        limits: of the container; read if None.
    """
    limits = limits or process_limits()
    logical = psutil.cpu_count(logical=True) or 1
    allowed = logical
    if sys.platform == "linux":
        allowed = len(os.sched_getaffinity(0))
    usable = allowed if limits.cores is None else min(allowed, int(limits.cores))
    return CoreCount(
        logical=logical,
        allowed=allowed,
        usable=max(1, usable),
    )


def available_memory(limits: ProcessLimits | None = None) -> int:
    """Bytes that can be taken without swapping, within the limits of the container."""
    limits = limits or process_limits()
    available = int(psutil.virtual_memory().available)
    if limits.memory is not None:
        available = min(available, max(0, limits.memory - limits.memory_used))
    return available


def free_disk(folder: Path) -> int:
    """Free bytes on the disk on which `folder` lies or would lie; 0 if that cannot be found out."""
    try:
        existing = folder.absolute()
        while not existing.exists() and existing != existing.parent:
            existing = existing.parent
        return shutil.disk_usage(existing).free
    except OSError:
        return 0


def find_gpus() -> tuple[Gpu, ...]:
    """Graphics processors, the most useful first."""
    if sys.platform == "darwin":
        return (Gpu("apple", _cpu_name()),) if platform.machine() == "arm64" else ()
    nvidia = _nvidia_by_tool() or _nvidia_by_kernel()
    others = tuple(gpu for gpu in _pci_gpus() if gpu.vendor != "nvidia")
    return nvidia + others


def _nvidia_by_tool() -> tuple[Gpu, ...]:
    """Ask `nvidia-smi`, which comes with every NVIDIA driver; silence means there is none that works."""
    places = os.pathsep.join([os.environ.get("PATH", ""), "/usr/lib/wsl/lib"])
    tool = shutil.which("nvidia-smi", path=places)
    if tool is None:
        return ()
    query = "--query-gpu=name,memory.total,driver_version"
    try:
        answer = subprocess.run(
            [tool, query, "--format=csv,noheader,nounits"],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=20,
            stdin=subprocess.DEVNULL,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return ()
    return parse_nvidia_smi(answer)


def parse_nvidia_smi(answer: str) -> tuple[Gpu, ...]:
    """Read lines of `name, MiB, driver`; lines of another form (error messages) are passed over."""
    gpus = []
    for line in answer.splitlines():
        parts = [part.strip() for part in line.split(",")]
        if len(parts) != 3 or not parts[0]:
            continue
        memory = int(parts[1]) << 20 if parts[1].isdecimal() else None
        gpus.append(Gpu("nvidia", parts[0], memory, parts[2]))
    return tuple(gpus)


def _nvidia_by_kernel(root: Path = Path("/proc/driver/nvidia")) -> tuple[Gpu, ...]:
    """The kernel module's own list, for containers that were given a device but no tools."""
    gpus = []
    for information in sorted(root.glob("gpus/*/information")):
        with contextlib.suppress(OSError):
            for line in information.read_text(encoding="utf-8", errors="replace").splitlines():
                key, _, value = line.partition(":")
                if key.strip() == "Model":
                    gpus.append(Gpu("nvidia", value.strip()))
    return tuple(gpus)


def _pci_gpus(root: Path = Path("/sys/class/drm")) -> tuple[Gpu, ...]:
    gpus = []
    for card in sorted(root.glob("card[0-9]")):
        with contextlib.suppress(OSError):
            vendor_id = (card / "device" / "vendor").read_text(encoding="ascii").strip()
            vendor = _PCI_VENDORS.get(vendor_id, "other")
            gpus.append(Gpu(vendor, f"{vendor} graphics ({card.name})"))
    return tuple(gpus)


def _cpu_name() -> str:
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
                if line.startswith(("model name", "Model")):
                    return line.partition(":")[2].strip()
    if sys.platform == "darwin":
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            command = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
            return subprocess.run(
                command, capture_output=True, encoding="utf-8", errors="replace", timeout=10, check=True
            ).stdout.strip()
    return platform.processor() or platform.machine() or "unknown processor"

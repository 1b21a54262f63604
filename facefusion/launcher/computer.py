"""What the launcher shows of this computer: what was found, and what of it was proved to work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from facefusion.config import AutomationConfig
from facefusion.errors import FaceFusionError
from facefusion.launcher.text import safe
from facefusion.swap.plan import Plan
from facefusion.system.hardware import HardwareReport, detect_gpu_capability, detect_hardware
from facefusion.system.providers import ProviderReport, prove_providers
from facefusion.wording import count, size


@dataclass(frozen=True)
class Computer:
    """Hardware found, acceleration proved."""

    hardware: HardwareReport
    providers: ProviderReport | None
    provider_problem: str = ""


def examine(folder: Path, config: AutomationConfig, state_dir: Path) -> Computer:
    """Look at the machine; a proof that was made before is remembered and takes no time.

    Args:
        folder: whose disk matters (the outbox).
        config: its wish for execution providers.
        state_dir: where proofs are remembered.
    """
    hardware = detect_hardware(folder)
    try:
        providers = prove_providers(config.execution_providers, state_dir=state_dir, gpus=hardware.gpus)
    except FaceFusionError as error:
        return Computer(hardware, None, f"{error.message} {error.remedy}")
    return Computer(hardware, providers)


def computer_rows(computer: Computer, planned: Plan) -> Sequence[tuple[str, str]]:
    """Title and text of what is shown."""
    hardware = computer.hardware
    cores = count(hardware.usable_cores, "core")
    if hardware.usable_cores != hardware.logical_cores:
        cores += f" usable of {hardware.logical_cores}"
    memory = f"{size(hardware.memory_available)} free of {size(hardware.memory_total)}"
    rows = [
        ("Processor", f"{safe(hardware.cpu_name)}, {cores}"),
        ("Memory", memory),
        ("Disk", f"{size(hardware.disk_free)} free where results go"),
    ]
    graphics = [
        safe(gpu.name) + (f", {size(gpu.memory_bytes)}" if gpu.memory_bytes else "") for gpu in hardware.gpus
    ]
    rows.append(("Graphics", "; ".join(graphics) or "none that this program could use"))
    rows.append(("Acceleration", _acceleration(computer)))
    rows += [("", safe(note)) for note in hardware.notes]
    rows.append(("Engine", f"{planned.engine}: {planned.why}"))
    return rows


def _acceleration(computer: Computer) -> str:
    if computer.providers is None:
        return safe(computer.provider_problem)
    chosen = computer.providers.chosen
    told = safe(chosen.reason)
    wanted = detect_gpu_capability(computer.hardware.gpus).kind
    refused = [verdict for verdict in computer.providers.refused if verdict.name == wanted]
    if refused:
        told += f" {refused[0].name} does not work here: {safe(refused[0].reason)}"
    return told

"""What the launcher shows of this computer: what was found, and what of it was proved to work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from facefusion.config import AutomationConfig
from facefusion.errors import FaceFusionError, ModelMissingError
from facefusion.launcher.text import count, safe, size
from facefusion.models.manager import ModelManager
from facefusion.system.hardware import HardwareReport, detect_gpu_capability, detect_hardware
from facefusion.system.providers import ProviderReport, prove_providers


@dataclass(frozen=True)
class Computer:
    """Hardware found, acceleration proved."""

    hardware: HardwareReport
    providers: ProviderReport | None
    provider_problem: str = ""


@dataclass(frozen=True)
class Plan:
    """What will run with these settings.

    Attributes:
        engine: `mesh` or `neural`.
        why: in half a sentence.
        needs: names for `ModelManager.ensure_models_available`.
        remarks: parts of the profile that are left out, in sentences.
    """

    engine: str
    why: str
    needs: tuple[str, ...]
    remarks: tuple[str, ...]


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


def plan(config: AutomationConfig, manager: ModelManager) -> Plan:
    """Which engine runs with these settings, and what of the profile cannot.

    Raises:
        ModelMissingError: the neural engine was asked for and cannot be had.
    """
    processors = config.profile.processors
    registry = manager.registry
    missing = [name for name in processors if name != "face_swapper" and not registry.needs.get(name)]
    remarks = [
        f"No model for {name} is part of this version; the profile {config.quality_preset} runs without it."
        for name in missing
    ]
    has_neural = bool(registry.needs.get("neural"))
    if config.engine != "mesh" and has_neural and (config.engine == "neural" or _installed(manager)):
        return Plan("neural", "a swap model is installed", ("neural",), tuple(remarks))
    if config.engine == "neural":
        raise ModelMissingError(
            "The neural engine was asked for, and no swap model for it is part of this version.",
            remedy="Start with --engine auto.",
        )
    why = "as set" if config.engine == "mesh" else "needs no swap model, works on the processor"
    return Plan("mesh", why, ("mesh",), tuple(remarks))


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


def _installed(manager: ModelManager) -> bool:
    return all(manager.status(name).state == "ok" for name in manager.registry.needs["neural"])

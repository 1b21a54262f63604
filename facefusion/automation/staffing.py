"""How many workers there are, and on which device each of them works."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from facefusion.config import AutomationConfig
from facefusion.errors import FaceFusionError
from facefusion.models.manager import ModelManager
from facefusion.swap.plan import plan_engine
from facefusion.system.hardware import available_memory, find_gpus
from facefusion.system.providers import prove_providers

WORKER_BYTES = 2 << 30
"""Main memory that each worker beyond the first must find free."""
PROOFS = ".neural"
"""Below the models folder: where it is remembered which execution providers work."""


@dataclass(frozen=True)
class Staffing:
    """What a daemon may have at work.

    Attributes:
        workers: how many processes.
        devices: for `CUDA_VISIBLE_DEVICES`, one for each graphics processor; empty where there is nothing to
            be shared out.
    """

    workers: int
    devices: tuple[str, ...] = ()

    def device(self, slot: int) -> str | None:
        """The device of the worker with this number, from 0; None to leave that to the system."""
        return self.devices[slot % len(self.devices)] if self.devices else None


class Staff:
    """The staffing for the settings in force, thought over whenever these change.

    Args:
        config: the settings in force.
        models_dir: installed model files.
    """

    def __init__(self, config: Callable[[], AutomationConfig], models_dir: Path) -> None:
        self._config = config
        self._models_dir = models_dir
        self._known: tuple[AutomationConfig, Staffing] | None = None

    def __call__(self) -> Staffing:
        """How many, and where."""
        config = self._config()
        if self._known is None or self._known[0] is not config:
            self._known = (config, self._think(config))
        return self._known[1]

    def _think(self, config: AutomationConfig) -> Staffing:
        asked_for = max(config.workers, 1)
        if config.workers == 1 or not runs_neural(config, self._models_dir):
            return Staffing(asked_for)
        devices = cuda_devices(config, self._models_dir)
        if len(devices) < 2:
            return Staffing(asked_for)
        room_for = 1 + available_memory() // WORKER_BYTES
        return Staffing(config.workers or min(len(devices), room_for), devices)


def runs_neural(config: AutomationConfig, models_dir: Path) -> bool:
    """Whether jobs with these settings use a graphics processor where there is one."""
    try:
        return plan_engine(config, ModelManager(models_dir)).engine == "neural"
    except FaceFusionError:  # the job says what is missing
        return False


def cuda_devices(config: AutomationConfig, models_dir: Path) -> tuple[str, ...]:
    """Graphics processors that these settings use, as `CUDA_VISIBLE_DEVICES` names them."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        devices = tuple(filter(None, (name.strip() for name in visible.split(","))))
    else:
        devices = tuple(str(index) for index, gpu in enumerate(find_gpus()) if gpu.vendor == "nvidia")
    if len(devices) < 2:
        return devices
    try:
        chosen = prove_providers(config.execution_providers, state_dir=models_dir / PROOFS).chosen.name
    except FaceFusionError:
        return ()
    return devices if chosen in ("cuda", "tensorrt") else ()

"""Sample pictures for the demonstration and for benchmarks, installed like models and never kept in git."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from facefusion.models.manager import ModelManager
from facefusion.models.status import InstallCallback


@dataclass(frozen=True)
class Samples:
    """Pictures to try the program with.

    Attributes:
        astronaut: one face, 512x512 png.
        group: six faces, jpeg.
    """

    astronaut: Path
    group: Path


def ensure_samples(models_dir: Path, *, on_progress: InstallCallback | None = None) -> Samples:
    """Install the sample pictures if they are not there yet.

    Raises:
        NetworkError, StorageError, ModelMissingError: see `ModelManager.ensure_models_available`.
    """
    paths = ModelManager(models_dir).ensure_models_available(["demo"], on_progress=on_progress)
    return Samples(astronaut=paths["astronaut"], group=paths["group"])


def samples_installed(models_dir: Path) -> bool:
    """Whether the sample pictures are there."""
    manager = ModelManager(models_dir)
    return all(manager.status(model.name).state == "ok" for model in manager.registry.expand(["demo"]))

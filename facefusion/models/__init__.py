"""Model files: the registry that describes them and the manager that installs and checks them."""

from facefusion.models.manager import (
    InstallCallback,
    InstallProgress,
    ModelManager,
    ModelStatus,
    ModelUpdate,
)
from facefusion.models.registry import Licence, Model, Registry, load_registry
from facefusion.models.samples import Samples, ensure_samples

__all__ = [
    "InstallCallback",
    "InstallProgress",
    "Licence",
    "Model",
    "ModelManager",
    "ModelStatus",
    "ModelUpdate",
    "Registry",
    "Samples",
    "ensure_samples",
    "load_registry",
]

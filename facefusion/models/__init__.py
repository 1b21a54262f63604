"""Model files: the tables that describe them and the manager that installs and checks them."""

from facefusion.models.licences import LicenceQuestion
from facefusion.models.manager import ModelManager
from facefusion.models.registry import Licence, Model, Registry, load_registry, registry_for
from facefusion.models.samples import Samples, ensure_samples
from facefusion.models.status import InstallCallback, InstallProgress, ModelStatus, ModelUpdate

__all__ = [
    "InstallCallback",
    "InstallProgress",
    "Licence",
    "LicenceQuestion",
    "Model",
    "ModelManager",
    "ModelStatus",
    "ModelUpdate",
    "Registry",
    "Samples",
    "ensure_samples",
    "load_registry",
    "registry_for",
]

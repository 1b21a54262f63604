"""Faces as processors are given them, engines of synthetic networks, and how far two pictures are apart."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facefusion.config import AutomationConfig
from facefusion.faces.five_points import five_from_mesh
from facefusion.models import ModelManager
from facefusion.swap.layers import FaceView
from facefusion.swap.neural.build import EngineBuilder
from facefusion.swap.neural.choice import choose_models
from facefusion.swap.neural.tuning import ConvolutionTuner
from facefusion.system.networks import NetworkFactory

if TYPE_CHECKING:
    from face_material import Portrait


def view_of(portrait: Portrait) -> FaceView:
    return FaceView(five_from_mesh(portrait.face), portrait.face)


def off(one: Any, other: Any) -> Any:
    return np.abs(np.asarray(one).astype(int) - np.asarray(other).astype(int))


def engine_on(
    networks: NetworkFactory, folder: Path, tmp_path: Path, **neural: Any
) -> tuple[Any, AutomationConfig]:
    manager = ModelManager(folder)
    config = AutomationConfig.model_validate({"quality_preset": "balanced", "neural": neural})
    models = choose_models(manager, config)
    assert models.swapper is not None
    builder = EngineBuilder(manager, networks, ConvolutionTuner(tmp_path, networks, threads=1))
    return builder.build(models.swapper, models, config), config

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import synthetic
from own_models import add_own_model

from facefusion.models.contracts import SwapperContract
from facefusion.models.registry import Registry, load_registry
from facefusion.swap.neural.workshop import CACHE_FOLDER
from facefusion.system.hardware import find_gpus
from facefusion.system.networks import NetworkFactory
from facefusion.system.providers import ProviderReport, prove_providers


@pytest.fixture(scope="session")
def proved(tmp_path_factory: pytest.TempPathFactory) -> tuple[ProviderReport, Path]:
    """The processor is proved once; the report, and the folder in which that is remembered."""
    folder = tmp_path_factory.mktemp("proved")
    return prove_providers(["cpu"], state_dir=folder, gpus=find_gpus()), folder


@pytest.fixture(scope="session")
def processor(proved: tuple[ProviderReport, Path]) -> ProviderReport:
    return proved[0]


@pytest.fixture
def networks(processor: ProviderReport) -> NetworkFactory:
    return NetworkFactory(processor, threads=2)


@pytest.fixture(scope="session")
def registry() -> Registry:
    return load_registry()


Installed = Callable[..., Path]


@pytest.fixture
def install(
    tmp_path: Path, models_dir: Path, registry: Registry, proved: tuple[ProviderReport, Path]
) -> Installed:
    """Makes a models folder with the mesh's models and synthetic neural ones: `install(NAME, ...)`.

    The folder's own table tells the hash of each, so they count as verified.
    """

    def make(*names: str, changes: Mapping[str, Any] | None = None) -> Path:
        folder = tmp_path / "models"
        if not folder.exists():
            shutil.copytree(proved[1], folder / CACHE_FOLDER)
            for model in registry.expand(["mesh"]):
                shutil.copy(models_dir / model.file, folder / model.file)
        for name in names:
            put(registry, folder, name, dict(changes or {}))
        return folder

    return make


def put(registry: Registry, folder: Path, name: str, changes: dict[str, Any]) -> None:
    """Write the file of one model of the table, and its hash into the folder's own table."""
    model = registry.find(name)
    path = folder / model.file
    contract: Any = model.contract
    if isinstance(contract, SwapperContract):
        source = (1, 3, contract.source_size, contract.source_size) if contract.source == "face" else (1, 512)
        matrix = np.eye(512) if contract.source == "projected" else None
        synthetic.swapper(path, size=contract.size, source=source, matrix=matrix, **changes)
    elif model.kind == "detector":
        synthetic.constant_outputs(path, changes["outputs"], size=contract.size)
    elif model.kind == "landmarker":
        synthetic.constant_outputs(path, [changes["marks"]], size=contract.size)
    elif model.kind == "recogniser":
        synthetic.recogniser(path)
    elif model.kind == "converter":
        synthetic.converter(path, np.eye(512))
    elif model.kind == "occluder":
        synthetic.occluder(path)
    elif model.kind == "parser":
        synthetic.parser(path)
    elif model.kind == "enhancer":
        extra = {"weight": ((1,), 11)} if contract.weight else None
        synthetic.shift_picture(path, size=contract.size, offset=0.3, extra=extra)
    elif model.kind == "frame_enhancer":
        synthetic.shift_picture(
            path, size=contract.tile, offset=0.0, batch="n", output_size=contract.tile * contract.scale
        )
    elif name == "fran":
        extra = {"direction": ((2,), 1)}
        synthetic.shift_picture(path, size=contract.size, name="target", offset=0.0, extra=extra)
    elif model.kind == "classifier":
        ages = np.zeros(9, np.float32)
        ages[3] = 1
        synthetic.constant_outputs(
            path, [np.zeros(7), np.zeros(2), ages], size=224, names=["race_id", "gender_id", "age_id"]
        )
    else:
        raise NotImplementedError(name)
    pixels = {value: key for key, value in _pixels().items()}
    body = ", ".join(
        f"{key} = {_toml(pixels.get(value, value) if _hashable(value) else value)}"
        for key, value in vars(contract).items()
        if value is not None
    )
    add_own_model(folder, name, model.kind, model.file, path.read_bytes(), body)


def _pixels() -> dict[str, Any]:
    import tomllib

    from facefusion.models.contracts import parse_pixels
    from facefusion.models.registry import TABLES

    raw = tomllib.loads(TABLES[1].read_text(encoding="utf-8"))
    return {name: parse_pixels(entry) for name, entry in raw["pixels"].items()}


def _hashable(value: Any) -> bool:
    return not isinstance(value, Mapping)


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {part}" for key, part in value.items()) + " }"
    return f'"{value}"' if isinstance(value, str) else repr(value)

"""Keeps networks and neural engines warm between the jobs of one session."""

from __future__ import annotations

from pathlib import Path

from facefusion.config import AutomationConfig
from facefusion.errors import ModelMissingError, ProviderError
from facefusion.models.manager import ModelManager
from facefusion.swap.neural.build import EngineBuilder
from facefusion.swap.neural.choice import NeuralModels, choose_models
from facefusion.swap.neural.engine import NeuralEngine
from facefusion.swap.neural.tuning import ConvolutionTuner
from facefusion.system.networks import NetworkFactory
from facefusion.system.providers import prove_providers

CACHE_FOLDER = ".neural"
"""Below the models folder: what was found out about providers and networks, and what they compiled."""


class NeuralWorkshop:
    """Neural engines of one models folder.

    Args:
        models_dir: where installed model files lie.
        threads: inside one call of a network on the CPU.
    """

    def __init__(self, models_dir: Path, *, threads: int) -> None:
        self._models_dir = models_dir
        self._threads = threads
        self._networks: dict[tuple[str, ...], NetworkFactory] = {}
        self._engines: dict[object, NeuralEngine] = {}

    def engine(self, config: AutomationConfig) -> tuple[NeuralEngine | None, tuple[str, ...]]:
        """The engine these settings ask for, and what has to be said where `auto` does without it.

        Without any installed swapper `auto` says nothing: the embedded engine is then what was meant.

        Raises:
            ModelMissingError: `neural` was asked for by name, and a model is missing or damaged.
            ProviderError: `neural` was asked for by name, and ONNX Runtime does not work.
            ConfigError: a model that the settings name is not known.
        """
        manager = ModelManager(self._models_dir)
        if config.engine == "auto" and config.neural.swapper == "auto" and not manager.installed("swapper"):
            return None, ()
        try:
            return self._engine(manager, choose_models(manager, config), config), ()
        except (ModelMissingError, ProviderError) as error:
            if config.engine == "neural":
                raise type(error)(
                    f"The neural engine was asked for, but it cannot run: {error.message}",
                    remedy=error.remedy,
                ) from error
            return None, (f"{error.message} The embedded mesh engine was used instead.",)

    def close(self) -> None:
        """Forget engines and networks."""
        self._engines.clear()
        self._networks.clear()

    def _engine(self, manager: ModelManager, models: NeuralModels, config: AutomationConfig) -> NeuralEngine:
        hashes = tuple((model.file, manager.status(model.name).sha256) for model in models.used)
        key = (hashes, tuple(config.execution_providers), config.neural.model_dump_json(), models.notes)
        if key not in self._engines:
            # Networks of other settings would only take memory.
            self._engines.clear()
            networks = self._factory(tuple(config.execution_providers), hashes)
            tuner = ConvolutionTuner(self._models_dir / CACHE_FOLDER, networks, threads=self._threads)
            self._engines[key] = EngineBuilder(manager, networks, tuner).build(models, config)
        return self._engines[key]

    def _factory(self, providers: tuple[str, ...], hashes: tuple[tuple[str, str], ...]) -> NetworkFactory:
        """Networks of one set of files on one chain of providers; replaced files are opened anew."""
        key = (*providers, *(digest for _, digest in hashes))
        if key not in self._networks:
            cache = self._models_dir / CACHE_FOLDER
            self._networks.clear()
            report = prove_providers(list(providers), state_dir=cache)
            self._networks[key] = NetworkFactory(report, threads=self._threads, cache_dir=cache)
        return self._networks[key]

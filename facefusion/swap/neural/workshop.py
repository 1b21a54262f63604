"""Keeps networks and neural engines warm between the jobs of one session."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from facefusion.config import AutomationConfig
from facefusion.errors import EngineError, ModelMissingError, ProviderError
from facefusion.faces.finder_detector import FinderDetector
from facefusion.faces.recognise import Recogniser
from facefusion.models.contracts import DetectorContract
from facefusion.models.manager import ModelManager
from facefusion.models.registry import Model
from facefusion.swap.contract import SwapEngine
from facefusion.swap.neural.build import EngineBuilder
from facefusion.swap.neural.choice import (
    NeuralModels,
    choose_detector,
    choose_landmarks,
    choose_models,
    choose_recogniser,
    installed_further,
)
from facefusion.swap.neural.engine import NeuralEngine
from facefusion.swap.neural.points import FivePoints
from facefusion.swap.neural.tuning import ConvolutionTuner
from facefusion.swap.processed import ProcessedEngine
from facefusion.system.device import device_for
from facefusion.system.hardware import Gpu, find_gpus
from facefusion.system.networks import NetworkFactory
from facefusion.system.providers import prove_providers

CACHE_FOLDER = ".neural"
"""Below the models folder: what was found out about providers and networks, and what they compiled."""

# Share of a graphics processor's memory for one network: others, and other programs, need some too.
_SHARE_OF_MEMORY = 0.7


@dataclass(frozen=True)
class Chooser:
    """What picks faces for a job beside the embedded models.

    Attributes:
        detector: in the place of the embedded one; None leaves that.
        recogniser: tells people apart, with the landmarks it wants; None where nobody is to be picked.
        models: file name -> SHA-256.
    """

    detector: FinderDetector | None
    recogniser: tuple[Recogniser, FivePoints] | None
    models: dict[str, str]


class NeuralWorkshop:
    """Neural engines and networks of one models folder.

    Args:
        models_dir: where installed model files lie.
        threads: inside one call of a network on the CPU.
    """

    def __init__(self, models_dir: Path, *, threads: int) -> None:
        self._models_dir = models_dir
        self._threads = threads
        self._networks: tuple[tuple[str, ...], NetworkFactory] | None = None
        self._engines: dict[object, SwapEngine] = {}

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
            return self._neural(manager, choose_models(manager, config), config), ()
        except (ModelMissingError, ProviderError) as error:
            if config.engine == "neural":
                raise type(error)(
                    f"The neural engine was asked for, but it cannot run: {error.message}",
                    remedy=error.remedy,
                ) from error
            return None, (f"{error.message} The embedded mesh engine was used instead.",)

    def processed(self, engine: SwapEngine, config: AutomationConfig) -> tuple[SwapEngine, tuple[str, ...]]:
        """Another engine with the processors that these settings ask for and that have a model here; and
        what has to be said where they cannot run.

        Raises:
            ConfigError: a model that the settings name is not known.
        """
        manager = ModelManager(self._models_dir)
        models = installed_further(manager, config)
        if not (models.enhancer or models.frame_enhancer or models.ager):
            return engine, ()
        key = self._key(manager, models, config, engine)
        if key not in self._engines:
            try:
                builder = self._builder(manager, config, models.used)
                parts = builder.further(models, config)
            except (ModelMissingError, ProviderError, EngineError) as error:
                return engine, (f"{error.message} The faces were swapped without enhancer and age.",)
            self._engines = {key: ProcessedEngine(engine, parts, self.networks(config))}
        return self._engines[key], ()

    def chooser(self, config: AutomationConfig) -> Chooser:
        """What finds and picks faces, as these settings ask for.

        Raises:
            ModelMissingError: a model for that is missing or damaged.
            ProviderError: ONNX Runtime does not work.
            ConfigError: the settings name no detector.
        """
        wanted, by_person = config.face_detector_model, config.face_selector_mode == "reference"
        if wanted == "embedded" and not by_person:
            return Chooser(None, None, {})
        manager = ModelManager(self._models_dir)
        builder = EngineBuilder(manager, self.networks(config), self._tuner(config))
        detector, recogniser = None, None
        used: list[Model] = []
        if wanted != "embedded":
            model = choose_detector(manager, wanted)
            assert isinstance(model.contract, DetectorContract)
            detector = FinderDetector(builder.finder(model), model.contract.size)
            used.append(model)
        if by_person:
            model = choose_recogniser(manager)
            landmarks = choose_landmarks(manager)
            recogniser = (builder.recogniser(model), builder.points(landmarks))
            used += [model, *landmarks.used]
        return Chooser(detector, recogniser, builder.hashes(used))

    def on_device(self, config: AutomationConfig) -> bool:
        """Whether networks run beside the processor and not on it."""
        return self.networks(config).provider != "cpu"

    def close(self) -> None:
        """Forget engines and networks."""
        self._engines.clear()
        self._networks = None

    def _neural(self, manager: ModelManager, models: NeuralModels, config: AutomationConfig) -> NeuralEngine:
        assert models.swapper is not None
        key = self._key(manager, models, config, None)
        engine = self._engines.get(key)
        if not isinstance(engine, NeuralEngine):
            builder = self._builder(manager, config, models.used)
            engine = builder.build(models.swapper, models, config)
            self._engines = {key: engine}
        return engine

    def _key(
        self, manager: ModelManager, models: NeuralModels, config: AutomationConfig, inner: SwapEngine | None
    ) -> object:
        hashes = tuple((model.file, manager.status(model.name).sha256) for model in models.used)
        processors = config.profile.processors
        settings = config.neural.model_dump_json()
        return hashes, tuple(config.execution_providers), processors, settings, models.notes, id(inner)

    def _builder(
        self, manager: ModelManager, config: AutomationConfig, used: tuple[Model, ...]
    ) -> EngineBuilder:
        """A builder for another engine; the last one and networks of its own are forgotten first."""
        self._engines = {}
        networks = self.networks(config)
        networks.keep([manager.path(model.name) for model in used])
        return EngineBuilder(manager, networks, self._tuner(config))

    def _tuner(self, config: AutomationConfig) -> ConvolutionTuner:
        return ConvolutionTuner(self._models_dir / CACHE_FOLDER, self.networks(config), threads=self._threads)

    def networks(self, config: AutomationConfig) -> NetworkFactory:
        """Where the networks for the providers of these settings come from."""
        chain = tuple(config.execution_providers)
        if self._networks is None or self._networks[0] != chain:
            cache = self._models_dir / CACHE_FOLDER
            self._engines = {}
            self._networks = None
            gpus = find_gpus()
            report = prove_providers(list(chain), state_dir=cache, gpus=gpus)
            device, lacking = device_for(report.chosen.name)
            factory = NetworkFactory(
                report,
                threads=self._threads,
                cache_dir=cache,
                memory_limit=_memory_limit(gpus),
                device=device,
            )
            if lacking:
                factory.warn(lacking)
            self._networks = (chain, factory)
        return self._networks[1]


def _memory_limit(gpus: tuple[Gpu, ...]) -> int | None:
    """Bytes of device memory that one session may take; None where that is not known."""
    known = [gpu.memory_bytes for gpu in gpus if gpu.vendor == "nvidia" and gpu.memory_bytes]
    return int(min(known) * _SHARE_OF_MEMORY) if known else None

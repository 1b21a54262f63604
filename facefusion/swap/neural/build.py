"""Opens the chosen models and puts an engine together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

from facefusion.config import AutomationConfig
from facefusion.errors import ModelMissingError
from facefusion.faces.finders import face_finder
from facefusion.faces.finding import FaceFinder
from facefusion.faces.landmarks68 import Landmarker68
from facefusion.faces.recognise import Recogniser
from facefusion.models.contracts import (
    AgerContract,
    ClassifierContract,
    DetectorContract,
    EnhancerContract,
    FrameEnhancerContract,
    LandmarkerContract,
    OccluderContract,
    ParserContract,
    RecogniserContract,
    SwapperContract,
)
from facefusion.models.manager import ModelManager
from facefusion.models.registry import Model
from facefusion.swap.age import AgeGuess, AgeModifier, AssumedAge, FairFace
from facefusion.swap.enhance import FaceEnhancer
from facefusion.swap.frame_enhance import FrameEnhancer
from facefusion.swap.layers import Processor
from facefusion.swap.neural.choice import NeuralModels
from facefusion.swap.neural.engine import NeuralEngine, NeuralParts
from facefusion.swap.neural.masks import CropMask, OcclusionMask, OutlineMask, RegionMask
from facefusion.swap.neural.matrix import embedding_matrix
from facefusion.swap.neural.points import FivePoints
from facefusion.swap.neural.proof import nobody, prove_device
from facefusion.swap.neural.swapper import Swapper
from facefusion.swap.neural.tuning import ConvolutionTuner
from facefusion.swap.processed import FurtherParts
from facefusion.system.batching import BatchRunner, MicroBatches
from facefusion.system.free_batch import open_for_batches
from facefusion.system.graphs import record_graphs
from facefusion.system.networks import Network, NetworkFactory

C = TypeVar("C")

_PROVED_WITH = "arcface_128"  # template of the made face where no swapper has one


class EngineBuilder:
    """Builds engines out of installed models.

    Args:
        manager: of the models folder.
        networks: opens the files.
        tuner: makes networks faster on the CPU.
    """

    def __init__(self, manager: ModelManager, networks: NetworkFactory, tuner: ConvolutionTuner) -> None:
        self._manager = manager
        self._networks = networks
        self._tuner = tuner

    def build(self, swapper: Model, models: NeuralModels, config: AutomationConfig) -> NeuralEngine:
        """An engine for these models and settings.

        Args:
            swapper: the one of `models`.

        Raises:
            ModelMissingError: a file is not what its contract says; the message names it.
            EngineError: a network fails its check.
        """
        templates = self._manager.registry.templates
        contract = _contract(swapper, SwapperContract)
        parts = NeuralParts(
            swapper=self._swapper(swapper, models, contract),
            recogniser=self.recogniser(models.recogniser) if models.recogniser else None,
            source_template=templates[contract.source_template] if contract.source_template else None,
            points=self.points(models),
            masks=tuple(self._masks(models, config.neural.masks)),
            box="box" in config.neural.masks,
            further=tuple(self._further(models, config)),
            frame_enhancer=self._frame_enhancer(models),
            models=self.hashes(models.used),
            notes=models.notes,
        )
        engine = NeuralEngine(parts, self._networks)
        processors = engine.processors(nobody(parts.swapper), config)
        prove_device(self._networks, processors, parts.frame_enhancer, templates[contract.template])
        return engine

    def further(self, models: NeuralModels, config: AutomationConfig) -> FurtherParts:
        """What runs after the swap of another engine.

        Raises:
            ModelMissingError, EngineError: see `build`.
        """
        processors = tuple(self._further(models, config))
        template = self._manager.registry.templates[_PROVED_WITH]
        frame_enhancer = self._frame_enhancer(models)
        prove_device(self._networks, processors, frame_enhancer, template, drawn=True)
        if not processors:  # nothing asks for landmarks
            models = replace(models, detector=None, landmarker=None)
        return FurtherParts(
            processors,
            frame_enhancer,
            self.points(models),
            self.hashes(models.used),
            models.notes,
        )

    def recogniser(self, model: Model) -> Recogniser:
        """What tells people apart."""
        own = _contract(model, RecogniserContract)
        return Recogniser(self._open(model), own, self._manager.registry.templates[own.template])

    def finder(self, model: Model) -> FaceFinder:
        """A face detector."""
        return face_finder(self._open(model), _contract(model, DetectorContract))

    def points(self, models: NeuralModels) -> FivePoints:
        """Five landmarks: of a landmark model, of a detector or of the mesh."""
        return FivePoints(
            self.finder(models.detector) if models.detector else None,
            self._landmarker(models.landmarker) if models.landmarker else None,
            self._manager.registry.templates["arcface_112_v2"],
        )

    def _landmarker(self, model: Model) -> Landmarker68:
        return Landmarker68(self._open(model), _contract(model, LandmarkerContract))

    def hashes(self, models: Iterable[Model]) -> dict[str, str]:
        """File name -> SHA-256."""
        return {model.file: self._manager.status(model.name).sha256 for model in models}

    def _swapper(self, swapper: Model, models: NeuralModels, contract: SwapperContract) -> Swapper:
        matrix = None
        if contract.source == "projected":
            matrix = embedding_matrix(self._manager.path(swapper.name))
        network = self._open_tuned(swapper, half_precision=contract.half_precision)
        return Swapper(
            network,
            contract,
            self._manager.registry.templates[contract.template],
            matrix=matrix,
            converter=self._open(models.converter) if models.converter else None,
            runner=self._for_threads(network),
        )

    def _masks(self, models: NeuralModels, wanted: Sequence[str]) -> list[CropMask]:
        masks: list[CropMask] = []
        for name, model in models.masks:
            network = self._open(model)
            if name == "occlusion":
                masks.append(OcclusionMask(network, _contract(model, OccluderContract)))
            else:
                masks.append(RegionMask(network, _contract(model, ParserContract)))
        if "outline" in wanted:
            masks.append(OutlineMask())
        return masks

    def _further(self, models: NeuralModels, config: AutomationConfig) -> list[Processor]:
        templates, settings = self._manager.registry.templates, config.neural
        further: list[Processor] = []
        if models.ager is not None and settings.age is not None:
            own = _contract(models.ager, AgerContract)
            background = templates[own.background_template] if own.background_template else None
            further.append(
                AgeModifier(
                    self._open(models.ager),
                    own,
                    templates[own.template],
                    background,
                    wanted=settings.age,
                    guess=self._age_guess(models),
                    blend=settings.age_blend,
                )
            )
        if models.enhancer is not None:
            enhancer = _contract(models.enhancer, EnhancerContract)
            network = self._open_freed(models.enhancer)
            further.append(
                FaceEnhancer(
                    network,
                    enhancer,
                    templates[enhancer.template],
                    blend=settings.enhancer_blend,
                    weight=settings.enhancer_weight,
                    runner=self._for_threads(network),
                )
            )
        return further

    def _age_guess(self, models: NeuralModels) -> AgeGuess:
        if models.classifier is None:
            return AssumedAge()
        own = _contract(models.classifier, ClassifierContract)
        template = self._manager.registry.templates[own.template]
        return FairFace(self._open(models.classifier), own, template)

    def _frame_enhancer(self, models: NeuralModels) -> FrameEnhancer | None:
        if models.frame_enhancer is None:
            return None
        own = _contract(models.frame_enhancer, FrameEnhancerContract)
        network = self._open(models.frame_enhancer, half_precision=own.half_precision)
        return FrameEnhancer(network, own)

    def _open_tuned(self, model: Model, *, half_precision: bool) -> Network:
        path = self._manager.path(model.name)
        if self._networks.provider != "cpu":
            network = self._open_freed(model)
            if half_precision:
                network.check_half_precision()
            return network
        if half_precision:
            return self._open(model, half_precision=True)
        if self._networks.is_open(path):
            return self._networks.open(path)
        graph = self._tuner.faster(path, self._manager.status(model.name).sha256)
        return self._networks.open(path, model=graph)

    def _open_freed(self, model: Model) -> Network:
        """A network for several threads at a time, on a graphics processor."""
        if self._networks.provider == "cpu":
            return self._open(model)
        return open_for_batches(self._networks, self._manager.path(model.name))

    def _for_threads(self, network: Network) -> BatchRunner:
        """The network, or what puts the calls of several threads together where that is worth something."""
        if network.bound is not None and not network.bound.graphs:
            record_graphs(self._networks, network)
        if network.provider == "cpu" or not network.takes_batches:
            return network
        pace = network.device.pacer() if network.device is not None else None
        return MicroBatches(network, pace=pace)

    def _open(self, model: Model, *, half_precision: bool = False) -> Network:
        return self._networks.open(self._manager.path(model.name), half_precision=half_precision)


def _contract(model: Model, kind: type[C]) -> C:
    """The contract of a model, which must be of one kind.

    Raises:
        ModelMissingError: the table gives it another one.
    """
    if not isinstance(model.contract, kind):
        raise ModelMissingError(f"{model.name} has the contract of a {model.kind}.")
    return model.contract

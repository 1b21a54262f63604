"""Which installed models a job uses, and what has to be said about those it does without."""

from __future__ import annotations

from dataclasses import dataclass, replace

from facefusion.config import AutomationConfig
from facefusion.errors import ConfigError, ModelMissingError
from facefusion.models.contracts import SwapperContract
from facefusion.models.manager import ModelManager
from facefusion.models.registry import Model

_MASK_KINDS = {"occlusion": "occluder", "region": "parser"}
_PROCESSOR_KINDS = {"face_enhancer": "enhancer", "frame_enhancer": "frame_enhancer"}


@dataclass(frozen=True)
class NeuralModels:
    """Models of one job, all installed and verified.

    Attributes:
        swapper: what swaps; None where another engine does.
        recogniser: makes embeddings; None for swappers that take a picture.
        converter: of embeddings, where the swapper needs one.
        detector, landmarker: refine landmarks; None leaves that to the mesh.
        masks: by the name of the mask in the settings.
        enhancer, frame_enhancer, ager, classifier: None where not asked for or not installed.
        notes: what is done differently from what was asked, in sentences.
    """

    swapper: Model | None = None
    recogniser: Model | None = None
    converter: Model | None = None
    detector: Model | None = None
    landmarker: Model | None = None
    masks: tuple[tuple[str, Model], ...] = ()
    enhancer: Model | None = None
    frame_enhancer: Model | None = None
    ager: Model | None = None
    classifier: Model | None = None
    notes: tuple[str, ...] = ()

    @property
    def used(self) -> tuple[Model, ...]:
        """All of them."""
        single = (
            *(self.swapper, self.recogniser, self.converter, self.detector, self.landmarker),
            *(self.enhancer, self.frame_enhancer, self.ager, self.classifier),
        )
        return tuple(model for model in (*single, *(m for _, m in self.masks)) if model is not None)


def choose_models(manager: ModelManager, config: AutomationConfig) -> NeuralModels:
    """Models for a job of the neural engine.

    Raises:
        ModelMissingError: no swapper can be used; the message says what is missing.
        ConfigError: a model that the settings name is not known.
    """
    swapper, recogniser, converter = _swapper(manager, config.neural.swapper)
    further = choose_further(manager, config)
    notes = list(further.notes)
    masks = []
    for mask in config.neural.masks:
        kind = _MASK_KINDS.get(mask)
        model = _first(manager, kind) if kind else None
        if model is not None:
            masks.append((mask, model))
        elif kind and mask != "occlusion":
            notes.append(f"The mask `{mask}` was asked for, but no model for it is installed.")
    return replace(
        further,
        swapper=swapper,
        recogniser=recogniser,
        converter=converter,
        masks=tuple(masks),
        notes=tuple(notes),
    )


def choose_further(manager: ModelManager, config: AutomationConfig) -> NeuralModels:
    """Models of what runs after a swap, whichever engine swaps; without a swapper.

    Raises:
        ModelMissingError: a model that the settings name is not installed or of another kind.
        ConfigError: a model that the settings name is not known.
    """
    notes: list[str] = []
    processors = config.profile.processors

    def for_processor(name: str, wanted: str) -> Model | None:
        if name not in processors:
            return None
        return _named_or_first(manager, _PROCESSOR_KINDS[name], wanted)

    ager = classifier = None
    if config.neural.age is not None:
        ager, classifier = _first(manager, "ager"), _first(manager, "classifier")
        if ager is None:
            notes.append(f"An age of {config.neural.age} was asked for, but no model for that is installed.")
        elif classifier is None:
            notes.append("No model that estimates ages is installed; faces were taken to be 35 years old.")
    return replace(
        choose_landmarks(manager),
        enhancer=for_processor("face_enhancer", config.neural.enhancer),
        frame_enhancer=for_processor("frame_enhancer", config.neural.frame_enhancer),
        ager=ager,
        classifier=classifier,
        notes=tuple(notes),
    )


def choose_landmarks(manager: ModelManager) -> NeuralModels:
    """What refines the mesh's landmarks for aligned crops, as far as it is installed."""
    return NeuralModels(detector=_first(manager, "detector"), landmarker=_first(manager, "landmarker"))


def installed_further(manager: ModelManager, config: AutomationConfig) -> NeuralModels:
    """The same for an engine that does without what is not installed.

    Raises:
        ConfigError: a model that the settings name is not known.
    """
    try:
        return choose_further(manager, config)
    except ModelMissingError:
        lost = {
            kind
            for kind, name in (
                ("enhancer", config.neural.enhancer),
                ("frame_enhancer", config.neural.frame_enhancer),
            )
            if not _usable(manager, kind, name)
        }
        neural = config.neural.model_copy(update=dict.fromkeys(lost, "auto"))
        models = choose_further(manager, config.model_copy(update={"neural": neural}))
        return replace(
            models,
            enhancer=None if "enhancer" in lost else models.enhancer,
            frame_enhancer=None if "frame_enhancer" in lost else models.frame_enhancer,
        )


def _usable(manager: ModelManager, kind: str, name: str) -> bool:
    if name == "auto":
        return True
    return manager.registry.find(name).kind == kind and manager.status(name).state == "ok"


def choose_recogniser(manager: ModelManager) -> Model:
    """What tells people apart.

    Raises:
        ModelMissingError: none is installed.
    """
    model = _first(manager, "recogniser")
    if model is None:
        raise ModelMissingError(
            "`face_selector_mode` is `reference`, but no model that recognises people is installed.",
            remedy="Run `python3 simple_auto_processor.py models install arcface_w600k_r50`, "
            "or set `face_selector_mode` to `largest`.",
        )
    return model


def choose_detector(manager: ModelManager, name: str) -> Model:
    """The detector that the settings name.

    Raises:
        ModelMissingError: it is not installed, or it is no detector.
        ConfigError: there is no such model.
    """
    model = manager.registry.find(name)
    if model.kind != "detector":
        known = ", ".join(one.name for one in manager.registry.of_kind("detector"))
        raise ConfigError(f"`face_detector_model`: {name} is no face detector; known: embedded, {known}.")
    if manager.status(name).state != "ok":
        raise ModelMissingError(
            f"`face_detector_model` is {name}, which is not installed.",
            remedy=f"Run `python3 simple_auto_processor.py models install {name}`, "
            "or set `face_detector_model` to `embedded`.",
        )
    return model


def _swapper(manager: ModelManager, wanted: str) -> tuple[Model, Model | None, Model | None]:
    """The swapper with its recogniser and converter; the first that is complete."""
    candidates = manager.installed("swapper")
    if wanted != "auto":
        manager.path(wanted)  # says what is wrong with it
        candidates = (manager.registry.find(wanted),)
    if not candidates:
        raise ModelMissingError(
            "No swap model is installed.",
            remedy="Run `python3 simple_auto_processor.py models install inswapper_128 arcface_w600k_r50`.",
        )
    recogniser = _first(manager, "recogniser")
    lacking: list[str] = []
    for model in candidates:
        contract = model.contract
        if not isinstance(contract, SwapperContract):
            raise ModelMissingError(f"{model.name} is no swap model; its kind is {model.kind}.")
        if contract.source != "face" and recogniser is None:
            lacking.append(f"{model.name} needs a recogniser (for example arcface_w600k_r50)")
        elif contract.converter and manager.status(contract.converter).state != "ok":
            lacking.append(f"{model.name} needs {contract.converter}")
        else:
            converter = manager.registry.find(contract.converter) if contract.converter else None
            return model, None if contract.source == "face" else recogniser, converter
    raise ModelMissingError(
        f"A swap model is installed, but something that it needs is not: {'; '.join(lacking)}.",
        remedy="Install it with `python3 simple_auto_processor.py models install NAME`.",
    )


def _first(manager: ModelManager, kind: str) -> Model | None:
    return next(iter(manager.installed(kind)), None)


def _named_or_first(manager: ModelManager, kind: str, wanted: str) -> Model | None:
    if wanted == "auto":
        return _first(manager, kind)
    manager.path(wanted)
    model = manager.registry.find(wanted)
    if model.kind != kind:
        raise ModelMissingError(f"{wanted} is not a model of the kind {kind}; it is a {model.kind}.")
    return model

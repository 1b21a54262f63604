"""NudeNet 3.4: a small detector of body parts, as the content gate's embedded model.

Only the weights are used (a YOLOv8 export, AGPL-3.0, installed like every other model); reading its input and
output is written here from the model's own description. Trained on RGB, 0 to 1, the picture in the upper left
of a square; the output is one column for each place: four numbers of a box, then a score for each class.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from facefusion.errors import ModelMissingError
from facefusion.models.manager import ModelManager
from facefusion.models.registry import load_registry
from facefusion.system.onnx_runtime import import_onnxruntime, session_options
from facefusion.trust.rules import GATE_MODEL, GateModel

SIDE = 320
CLASSES = (
    "FEMALE_GENITALIA_COVERED",
    "FACE_FEMALE",
    "BUTTOCKS_EXPOSED",
    "FEMALE_BREAST_EXPOSED",
    "FEMALE_GENITALIA_EXPOSED",
    "MALE_BREAST_EXPOSED",
    "ANUS_EXPOSED",
    "FEET_EXPOSED",
    "BELLY_COVERED",
    "FEET_COVERED",
    "ARMPITS_COVERED",
    "ARMPITS_EXPOSED",
    "FACE_MALE",
    "BELLY_EXPOSED",
    "MALE_GENITALIA_EXPOSED",
    "ANUS_COVERED",
    "FEMALE_BREAST_COVERED",
    "BUTTOCKS_COVERED",
)
INTIMATE = (
    "BUTTOCKS_EXPOSED",
    "FEMALE_BREAST_EXPOSED",
    "FEMALE_GENITALIA_EXPOSED",
    "ANUS_EXPOSED",
    "MALE_GENITALIA_EXPOSED",
)
"""What counts; feet, bellies, armpits and men's chests are no reason to refuse anything."""

_COLUMNS = [4 + CLASSES.index(name) for name in INTIMATE]


class NudeNet:
    """The loaded model; a `SafetyGate`.

    Args:
        graph: content of the model file.
        threads: inside one call.

    Raises:
        ProviderError: ONNX Runtime does not load.
        ModelMissingError: the file is not this model.
    """

    side = SIDE

    def __init__(self, graph: bytes, *, threads: int = 1) -> None:
        self.model = GateModel(GATE_MODEL, hashlib.sha256(graph).hexdigest())
        runtime = import_onnxruntime()
        try:
            options = session_options(runtime, "cpu", threads)
            self._session: Any = runtime.InferenceSession(graph, options, ["CPUExecutionProvider"])
            self._input = self._session.get_inputs()[0].name
        except Exception as error:  # the library raises several kinds of its own
            raise ModelMissingError(f"The content gate's model cannot be loaded ({error}).") from error

    def score(self, picture: NDArray[np.uint8]) -> Mapping[str, float]:
        """The highest score of each intimate class.

        Args:
            picture: (h, w, 3) uint8 BGR; shrunk to `side` where it is larger.

        Raises:
            ValueError: the model answered something else than scores.
        """
        (answer,) = self._session.run(None, {self._input: letterbox(picture)})
        return highest(answer)


def letterbox(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The model's input: (1, 3, 320, 320) float32 RGB, 0 to 1, black right of and below the picture.

    Args:
        picture: (h, w, 3) uint8 BGR of any size; brought to `SIDE` on its longer side.
    """
    height, width = picture.shape[:2]
    scale = SIDE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    shown = cv2.resize(picture, size, interpolation=method) if scale != 1 else picture
    square = np.zeros((SIDE, SIDE, 3), np.uint8)
    square[: size[1], : size[0]] = shown
    return np.ascontiguousarray(square[..., ::-1].transpose(2, 0, 1)[None], np.float32) / np.float32(255)


def highest(answer: NDArray[np.float32]) -> dict[str, float]:
    """Highest score of each intimate class in the model's output, (1, 22, places).

    Boxes that lie over each other need no sorting out: only the best of a class counts.

    Raises:
        ValueError: another shape, or numbers that are no scores.
    """
    if answer.ndim != 3 or answer.shape[:2] != (1, 4 + len(CLASSES)) or not answer.shape[2]:
        raise ValueError(f"the model's output has the shape {answer.shape}")
    best = answer[0, _COLUMNS].max(axis=1)
    if not (np.isfinite(best).all() and best.min() >= 0 and best.max() <= 1.001):
        raise ValueError("the model's output holds no scores")
    return {name: round(float(score), 4) for name, score in zip(INTIMATE, best, strict=True)}


def load_nudenet(models_dir: Path, *, threads: int = 1) -> NudeNet:
    """The installed model; loaded once in a process, and again when its file has changed.

    Only the file the program itself names will do: what a person adds to the models' table does not count.

    Raises:
        ModelMissingError: not installed, damaged, or not the model it should be.
        ProviderError: ONNX Runtime does not load.
    """
    manager = ModelManager(models_dir, registry=load_registry())
    path = manager.path(GATE_MODEL)
    return _load(path, path.stat().st_mtime_ns, manager.registry.find(GATE_MODEL).sha256, threads)


@lru_cache(maxsize=1)
def _load(path: Path, changed: int, sha256: str, threads: int) -> NudeNet:
    network = NudeNet(path.read_bytes(), threads=threads)
    if network.model.sha256 != sha256:
        raise ModelMissingError(f"{path.name} is not the content gate's model.")
    return network

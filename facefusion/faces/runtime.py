"""Running TensorFlow Lite models: LiteRT where it has a wheel, OpenCV's reader elsewhere.

LiteRT has no wheel for Intel Macs; OpenCV reads the same files there with results equal to about 1e-4
(except the *sparse* detector, for which `detect` falls back to the short-range model).
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from facefusion.errors import ModelMissingError

try:
    from ai_edge_litert.interpreter import Interpreter
except ImportError:  # Intel Mac
    Interpreter = None

Floats = NDArray[np.float32]


class Model(Protocol):
    """A network with one NHWC float32 input; calling it gives its outputs in a fixed order."""

    runtime: str

    def __call__(self, image: Floats) -> list[Floats]:
        """Run on `image` (1, height, width, 3), RGB."""
        ...


def has_litert() -> bool:
    """Whether LiteRT is installed (it carries the sparse detector, OpenCV does not)."""
    return Interpreter is not None


def load_model(path: Path, *, threads: int = 1) -> Model:
    """Open a .tflite file.

    Raises:
        ModelMissingError: when the file is absent or not a readable model.
    """
    if not path.is_file():
        raise ModelMissingError(f"The model file {path.name} is not installed.")
    try:
        return _LiteRtModel(path, threads) if has_litert() else _OpenCvModel(path)
    except (ValueError, RuntimeError, cv2.error) as error:
        raise ModelMissingError(f"The model file {path.name} cannot be read ({error}).") from error


class _LiteRtModel:
    runtime = "LiteRT (CPU)"

    def __init__(self, path: Path, threads: int) -> None:
        self._interpreter = Interpreter(model_path=str(path), num_threads=threads)
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._outputs = [detail["index"] for detail in self._interpreter.get_output_details()]

    def __call__(self, image: Floats) -> list[Floats]:
        self._interpreter.set_tensor(self._input, image)
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(index) for index in self._outputs]


class _OpenCvModel:
    runtime = "OpenCV DNN (CPU)"

    def __init__(self, path: Path) -> None:
        # OpenCV 5 reads these files with its new graph engine, which keeps only one of their outputs.
        self._net = cv2.dnn.readNetFromTFLite(str(path), engine=cv2.dnn.ENGINE_CLASSIC)
        self._names = self._net.getUnconnectedOutLayersNames()

    def __call__(self, image: Floats) -> list[Floats]:
        self._net.setInput(np.ascontiguousarray(image.transpose(0, 3, 1, 2)))
        return [np.asarray(output, np.float32) for output in self._net.forward(self._names)]

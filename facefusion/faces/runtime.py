"""Running TensorFlow Lite models with LiteRT."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from facefusion.errors import ModelMissingError

Floats = NDArray[np.float32]


class Model:
    """A network with one NHWC float32 input; calling it gives its outputs in the file's order.

    Args:
        source: a .tflite file, or the content of one.
        threads: for one call.

    Raises:
        ModelMissingError: the file is absent or not a readable model.
    """

    runtime = "LiteRT (CPU)"

    def __init__(self, source: Path | bytes, *, threads: int = 1) -> None:
        try:
            content = source if isinstance(source, bytes) else source.read_bytes()
            self._interpreter = Interpreter(model_content=content, num_threads=threads)
            self._interpreter.allocate_tensors()
        except OSError as error:
            raise ModelMissingError(f"The model file {_name(source)} is not installed.") from error
        except (ValueError, RuntimeError) as error:
            raise ModelMissingError(f"The model file {_name(source)} cannot be read ({error}).") from error
        self._content = content  # the interpreter reads weights where they lie
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._outputs = [detail["index"] for detail in self._interpreter.get_output_details()]

    def __call__(self, image: Floats) -> list[Floats]:
        """Run on `image` (1, height, width, channels)."""
        self._interpreter.set_tensor(self._input, image)
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(index) for index in self._outputs]


def _name(source: Path | bytes) -> str:
    return "in memory" if isinstance(source, bytes) else source.name

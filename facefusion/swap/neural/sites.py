"""Which convolutions of a network can be rewritten, see `facefusion.swap.neural.winograd`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from facefusion.swap.neural.schemes import SCHEMES, TAPS, TILE, Scheme

# With fewer channels the transforms cost more than the multiplications they save.
LEAST_CHANNELS = 64
_LARGE = 100_000
# Output channels up to which a convolution is turned round, and the kernel from which that pays.
_FEW_CHANNELS = 8
_WIDE_KERNEL = 5


@dataclass(frozen=True)
class Turned:
    """A wide convolution to a few channels."""

    node: Any
    weight: Any
    pads: tuple[int, ...]


@dataclass(frozen=True)
class Tiled:
    """A 3x3 convolution whose output is a whole number of tiles."""

    node: Any
    weight: Any
    pads: tuple[int, ...]
    scheme: Scheme
    rows: int
    columns: int
    single: bool


@dataclass(frozen=True)
class Enlarged:
    """A 3x3 convolution of a picture that `resize` enlarged."""

    node: Any
    weight: Any
    resize: Any
    size: tuple[int, int]
    larger: tuple[int, int]


Site = Turned | Tiled | Enlarged


class Finder:
    """Finds what can be rewritten.

    Args:
        model: the `onnx.ModelProto`.
        shapes: sizes of its values, see `known_shapes`.
        least_channels: of input and output.
    """

    def __init__(self, model: Any, shapes: Mapping[str, list[int]], least_channels: int) -> None:
        self._graph = model.graph
        self._least = least_channels
        self._weights = {constant.name: constant for constant in model.graph.initializer}
        self._shapes = shapes
        self._makers = {output: node for node in model.graph.node for output in node.output}

    def sites(self) -> Iterable[Site]:
        """Each fitting convolution, in the order of the graph."""
        for node in self._graph.node:
            site = self._site(node) if node.op_type == "Conv" else None
            if site is not None:
                yield site

    def _site(self, node: Any) -> Site | None:
        weight = self._weights.get(node.input[1])
        if weight is None or not all(name in self._weights for name in node.input[2:] if name):
            return None
        outputs, inputs, *kernel = weight.dims
        found = {attribute.name: attribute for attribute in node.attribute}
        pads = tuple(found["pads"].ints) if "pads" in found else (0, 0, 0, 0)
        strides = set(found["strides"].ints) if "strides" in found else {1}
        shape, result = self._shapes.get(node.input[0], []), self._shapes.get(node.output[0], [])
        plain = (
            len(kernel) == 2
            and ("group" not in found or found["group"].i == 1)
            and ("dilations" not in found or set(found["dilations"].ints) == {1})
            and ("auto_pad" not in found or found["auto_pad"].s in (b"NOTSET", b""))
            and weight.data_type == 1
        )
        if not plain or len(shape) != 4 or len(result) != 4:
            return None
        if outputs <= _FEW_CHANNELS and inputs >= self._least and min(kernel) >= _WIDE_KERNEL:
            return Turned(node, weight, pads) if strides == {1} and max(pads) < min(kernel) else None
        if kernel != [TAPS, TAPS] or min(inputs, outputs) < self._least or min(shape[2:]) < 1:
            return None
        resize = self._makers.get(node.input[0])
        if resize is not None and strides == {1} and pads == (1, 1, 1, 1) and self._enlarges(resize):
            small = self._shapes[resize.input[0]]
            return Enlarged(node, weight, resize, (small[2], small[3]), (shape[2], shape[3]))
        if len(strides) != 1 or not strides <= SCHEMES.keys():
            return None
        (stride,) = strides
        rows, columns = ((shape[2 + i] + pads[i] + pads[i + 2] - TAPS) // stride + 1 for i in (0, 1))
        if rows < TILE or rows % TILE or columns < TILE or columns % TILE:
            return None
        return Tiled(node, weight, pads, SCHEMES[stride], rows // TILE, columns // TILE, shape[0] == 1)

    def _enlarges(self, resize: Any) -> bool:
        """Whether a node makes pictures a whole number of times as high and wide, each axis by itself."""
        if resize.op_type != "Resize" or len(resize.output) != 1:
            return False
        if any(attribute.name == "axes" for attribute in resize.attribute):
            return False
        small, large = self._shapes.get(resize.input[0], []), self._shapes.get(resize.output[0], [])
        if len(small) != 4 or len(large) != 4 or min(small[1:]) < 1 or small[:2] != large[:2]:
            return False
        return all(b >= 2 * a and b % a == 0 for a, b in zip(small[2:], large[2:], strict=True))


def known_shapes(model: Any) -> dict[str, list[int]]:
    """Sizes of values, 0 where unknown; without those of unknown rank. Large weights are not examined."""
    from onnx import ModelProto, helper, shape_inference

    light = ModelProto()
    light.ir_version = model.ir_version
    light.opset_import.extend(model.opset_import)
    light.graph.name = "shapes"
    light.graph.node.extend(model.graph.node)
    light.graph.input.extend(model.graph.input)
    light.graph.output.extend(model.graph.output)
    for constant in model.graph.initializer:
        if int(np.prod(constant.dims)) <= _LARGE and constant.data_location == 0:
            light.graph.initializer.append(constant)
        else:
            light.graph.input.append(
                helper.make_tensor_value_info(constant.name, constant.data_type, list(constant.dims))
            )
    inferred = shape_inference.infer_shapes(light, data_prop=True).graph
    values = [*inferred.value_info, *inferred.input, *inferred.output]
    return {
        value.name: [size.dim_value for size in value.type.tensor_type.shape.dim]
        for value in values
        if value.type.tensor_type.HasField("shape")
    }

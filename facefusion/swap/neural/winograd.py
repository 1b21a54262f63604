"""Convolutions rewritten so that they need fewer multiplications, in standard ONNX operators.

A 4x4 tile of a 3x3 convolution's output costs 144 multiplications for each pair of channels; by way of a
transform of the 6x6 input window it costs 36 (Winograd's F(4x4, 3x3)). ONNX Runtime's CPU kernels do not do
that, but its matrix product is fast, so the graph is rewritten: a strided grouped convolution transforms all
input windows at once, one batched product mixes the channels, one product transforms back, and `DepthToSpace`
lays out the tiles. Wide convolutions down to a few channels (the last layer of most generators) are turned
round: as `ConvTranspose` they are one product of matrices.

Source: Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (2016).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facefusion.system.onnx_file import OnnxFile

_TILE = 4
_WINDOW = 6  # tile and kernel overlap by two
_POINTS = _WINDOW * _WINDOW

# Transforms of kernel, input and output for the points 0, 1, -1, 2, -2 and infinity.
_KERNEL = np.array(
    [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ]
)
_INPUT = np.array(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ]
)
_OUTPUT = np.array([[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]])

# With fewer channels the transforms cost more than the multiplications they save.
_LEAST_CHANNELS = 64
_LARGE = 100_000
# Output channels up to which a convolution is turned round, and the kernel from which that pays.
_FEW_CHANNELS = 8
_WIDE_KERNEL = 5


@dataclass(frozen=True)
class _Site:
    """A convolution that can be rewritten: by tiles, or turned round."""

    node: Any
    weight: Any
    channels_in: int
    channels_out: int
    rows: int
    columns: int
    pads: tuple[int, int, int, int]
    single: bool
    turned: bool = False


def rewrite(file: OnnxFile, *, least_channels: int = _LEAST_CHANNELS) -> int:
    """Rewrite the fitting convolutions of an opened model in memory; the file stays as it is.

    Fitting are those of 3x3 with stride 1, without groups and dilation, of enough channels, whose output
    is a whole number of tiles; and wide ones to very few channels. What they compute stays the same up to
    rounding.

    Args:
        file: the model.
        least_channels: of input and output.

    Returns:
        How many were rewritten.
    """
    graph = file.model.graph
    weights = {constant.name: constant for constant in graph.initializer}
    shapes = _shapes(file.model)
    sites = {id(site.node): site for site in _sites(graph, weights, shapes, least_channels)}
    if not sites:
        return 0
    builder = _Builder(graph, file)
    for node in list(graph.node):
        if id(node) in sites:
            builder.replace(sites[id(node)])
        else:
            builder.nodes.append(node)
    rewritten = [type(node).FromString(node.SerializeToString()) for node in builder.nodes]
    del graph.node[:]
    graph.node.extend(rewritten)
    graph.initializer.extend(builder.constants)
    return len(sites)


def _sites(
    graph: Any, weights: dict[str, Any], shapes: dict[str, list[int]], least_channels: int
) -> Iterable[_Site]:
    for node in graph.node:
        if node.op_type != "Conv" or node.input[1] not in weights:
            continue
        weight = weights[node.input[1]]
        outputs, inputs, *kernel = weight.dims
        found = {attribute.name: attribute for attribute in node.attribute}
        pads = tuple(found["pads"].ints) if "pads" in found else (0, 0, 0, 0)
        shape, result = shapes.get(node.input[0], []), shapes.get(node.output[0], [])
        plain = (
            len(kernel) == 2
            and ("group" not in found or found["group"].i == 1)
            and all(set(found[key].ints) <= {1} for key in ("strides", "dilations") if key in found)
            and ("auto_pad" not in found or found["auto_pad"].s in (b"NOTSET", b""))
            and weight.data_type == 1
        )
        if not plain or len(shape) != 4 or len(result) != 4:
            continue
        single = shape[0] == 1
        if outputs <= _FEW_CHANNELS and inputs >= least_channels and min(kernel) >= _WIDE_KERNEL:
            if max(pads) < min(kernel):
                yield _Site(node, weight, inputs, outputs, 0, 0, (*pads,), single, turned=True)
            continue
        rows, columns = shape[2] + pads[0] + pads[2] - 2, shape[3] + pads[1] + pads[3] - 2
        if kernel != [3, 3] or min(inputs, outputs) < least_channels or min(shape[2:]) < 1:
            continue
        if rows < _TILE or rows % _TILE or columns < _TILE or columns % _TILE:
            continue
        yield _Site(node, weight, inputs, outputs, rows // _TILE, columns // _TILE, (*pads,), single)


class _Builder:
    """Collects the new nodes, in order, and the constants that they share."""

    def __init__(self, graph: Any, file: OnnxFile) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self._file = file
        self._names = {constant.name for constant in graph.initializer}
        self._count = 0

    def replace(self, site: _Site) -> None:
        """Add what computes the same as `site.node`."""
        if site.turned:
            self._turn_round(site)
        else:
            self._transform(site)
        self._count += 1

    def _turn_round(self, site: _Site) -> None:
        """A convolution is the transposed convolution with the kernel mirrored and its axes exchanged."""
        height, width = site.weight.dims[2:]
        top, left, bottom, right = site.pads
        values = self._file.values(site.weight).transpose(1, 0, 2, 3)[:, :, ::-1, ::-1]
        mirrored = self._constant(f"turned{self._count}.kernel", np.ascontiguousarray(values))
        pads = [height - 1 - top, width - 1 - left, height - 1 - bottom, width - 1 - right]
        inputs = [site.node.input[0], mirrored, *site.node.input[2:]]
        self._node("ConvTranspose", inputs, site.node.output[0], kernel_shape=[height, width], pads=pads)

    def _transform(self, site: _Site) -> None:
        node, prefix = site.node, f"winograd{self._count}"
        inputs, outputs = site.channels_in, site.channels_out
        tiles = site.rows * site.columns
        # Graphs of one sample stay free of the batch axis: the runtime multiplies those faster.
        lead = [] if site.single else [-1]
        move = (1, 0, 2) if site.single else (0, 2, 1, 3)

        def step(op: str, values: list[str], name: str, **attributes: Any) -> str:
            return self._node(op, values, f"{prefix}.{name}", **attributes)

        window = np.tile(np.kron(_INPUT, _INPUT).reshape(_POINTS, 1, _WINDOW, _WINDOW), (inputs, 1, 1, 1))
        windows = step(
            "Conv",
            [node.input[0], self._constant(f"winograd.in{inputs}", window)],
            "windows",
            kernel_shape=[_WINDOW, _WINDOW],
            strides=[_TILE, _TILE],
            pads=list(site.pads),
            group=inputs,
        )
        windows = step("Reshape", [windows, self._shape([*lead, inputs, _POINTS, tiles])], "split")
        windows = step("Transpose", [windows], "points", perm=move)
        kernel = f"{prefix}.kernel"
        self._file.add(
            kernel, (_POINTS, outputs, inputs), lambda: _spread(self._file.values(site.weight, borrowed=True))
        )
        mixed = step("MatMul", [kernel, windows], "mixed")
        mixed = step("Reshape", [mixed, self._shape([*lead, _POINTS, outputs * tiles])], "mixed_flat")
        back = self._constant("winograd.out", np.kron(_OUTPUT, _OUTPUT))
        pixels = step("MatMul", [back, mixed], "pixels")
        depth = [*(lead or [1]), _TILE * _TILE * outputs, site.rows, site.columns]
        pixels = step("Reshape", [pixels, self._shape(depth)], "tiles")
        has_bias = len(node.input) > 2 and bool(node.input[2])
        if not has_bias:
            self._node("DepthToSpace", [pixels], node.output[0], blocksize=_TILE, mode="DCR")
            return
        plain = step("DepthToSpace", [pixels], "plain", blocksize=_TILE, mode="DCR")
        bias = step("Reshape", [node.input[2], self._shape([1, outputs, 1, 1])], "bias")
        self._node("Add", [plain, bias], node.output[0])

    def _node(self, op: str, inputs: list[str], output: str, **attributes: Any) -> str:
        from onnx import helper

        self.nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))
        return output

    def _shape(self, sizes: list[int]) -> str:
        name = "winograd.shape" + "_".join(map(str, sizes)).replace("-", "n")
        return self._add(name, np.array(sizes, np.int64))

    def _constant(self, name: str, values: NDArray[Any]) -> str:
        return self._add(name, values.astype(np.float32))

    def _add(self, name: str, values: NDArray[Any]) -> str:
        from onnx import numpy_helper

        if name not in self._names:
            self._names.add(name)
            self.constants.append(numpy_helper.from_array(values, name))
        return name


def _spread(weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Kernels (outputs, inputs, 3, 3) at the 36 points: (36, outputs, inputs)."""
    outputs, inputs = weights.shape[:2]
    transform = np.kron(_KERNEL, _KERNEL).astype(np.float32)
    return np.asarray(transform @ weights.reshape(-1, 9).T, np.float32).reshape(_POINTS, outputs, inputs)


def _shapes(model: Any) -> dict[str, list[int]]:
    """Sizes of all values, 0 where unknown. Large weights are left out of what is examined."""
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
    return {value.name: [size.dim_value for size in value.type.tensor_type.shape.dim] for value in values}

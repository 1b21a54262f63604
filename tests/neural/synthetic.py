"""Small ONNX files with the inputs, outputs and sizes of real models, made while the tests run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Array = NDArray[Any]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


class Graph:
    """Collects nodes and constants, then saves a checked model."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, name: str, values: Any) -> str:
        self.constants.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def add(self, op: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(op, list(inputs), [output], **attributes))
        return output

    def save(
        self,
        path: Path,
        inputs: dict[str, tuple[Any, ...]],
        outputs: dict[str, tuple[Any, ...]],
        types: dict[str, int] | None = None,
    ) -> Path:
        def ports(shapes: dict[str, tuple[Any, ...]]) -> list[Any]:
            kinds = types or {}
            return [
                helper.make_tensor_value_info(name, kinds.get(name, TensorProto.FLOAT), list(shape))
                for name, shape in shapes.items()
            ]

        graph = helper.make_graph(self.nodes, "g", ports(inputs), ports(outputs), self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
        onnx.checker.check_model(model)
        path.parent.mkdir(parents=True, exist_ok=True)
        onnx.save(model, str(path))
        return path


def recogniser(path: Path, *, size: int = 112, batch: Any = "n") -> Path:
    """Crop in, embedding (1, 512) out; depends on every part of the crop."""
    graph = Graph()
    cells = size // 16
    weights = rng(1).standard_normal((3 * cells * cells, 512)).astype(np.float32)
    graph.add("AveragePool", ["input.1"], "pool", kernel_shape=[16, 16], strides=[16, 16])
    graph.add("Flatten", ["pool"], "flat")
    graph.add("MatMul", ["flat", graph.constant("w", weights)], "683")
    return graph.save(path, {"input.1": (batch, 3, size, size)}, {"683": (batch, 512)})


def swapper(
    path: Path,
    *,
    size: int,
    source: tuple[Any, ...] = (1, 512),
    matrix: Array | None = None,
    matrix_last: bool = True,
    batch: Any = 1,
    offset: float = 0.0,
    gain: float = 1.0,
) -> Path:
    """output = gain * target blurred a little + a colour out of `source` + offset, per channel.

    A `matrix` (512, 512) lies in the file without being used by any node, as in inswapper.
    """
    graph = Graph()
    if matrix is not None and not matrix_last:
        graph.constant("buff2fs", matrix.astype(np.float32))
    kernel = np.zeros((3, 3, 3, 3), np.float32)
    for channel in range(3):
        kernel[channel, channel] = gain / 9
    graph.add("Conv", ["target", graph.constant("k", kernel)], "soft", kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    width = int(np.prod([n for n in source[1:] if isinstance(n, int)]))
    weights = (rng(2).standard_normal((width, 3)) * (0.05 if width == 512 else 1.0 / width)).astype(
        np.float32
    )
    graph.add("Flatten", ["source"], "flat")
    graph.add("MatMul", ["flat", graph.constant("w", weights)], "tint")
    graph.add("Unsqueeze", ["tint", graph.constant("axes", np.array([2, 3], np.int64))], "wide")
    graph.add("Add", ["soft", "wide"], "sum")
    graph.add("Add", ["sum", graph.constant("offset", np.float32(offset))], "output")
    if matrix is not None and matrix_last:
        graph.constant("buff2fs", matrix.astype(np.float32))
    source_shape = (batch, *source[1:])
    return graph.save(
        path,
        {"target": (batch, 3, size, size), "source": source_shape},
        {"output": (batch, 3, size, size)},
    )


def tint_of(source: Array) -> Array:
    """What `swapper` adds to the three channels (RGB) for a source."""
    flat = source.reshape(len(source), -1)
    width = flat.shape[1]
    weights = (rng(2).standard_normal((width, 3)) * (0.05 if width == 512 else 1.0 / width)).astype(
        np.float32
    )
    return np.asarray(flat @ weights)


def converter(path: Path, matrix: Array) -> Path:
    graph = Graph()
    graph.add("MatMul", ["input", graph.constant("m", matrix.astype(np.float32))], "output")
    return graph.save(path, {"input": (1, 512)}, {"output": (1, 512)})


def constant_outputs(
    path: Path, outputs: Sequence[Array], *, size: int = 640, name: str = "input", names: Sequence[str] = ()
) -> Path:
    """A detector whose answers are fixed (and which looks at its input only to keep it)."""
    graph = Graph()
    graph.add("ReduceMax", [name, graph.constant("axes", np.array([0, 1, 2, 3], np.int64))], "m", keepdims=0)
    graph.add("Mul", ["m", graph.constant("zero", np.float32(0))], "z")
    shapes = {}
    for index, values in enumerate(outputs):
        key = names[index] if names else f"out{index}"
        graph.add("Add", ["z", graph.constant(f"c{index}", values.astype(np.float32))], key)
        shapes[key] = values.shape
    return graph.save(path, {name: (1, 3, size, size)}, shapes)


def scrfd(path: Path, *, size: int = 640) -> Path:
    """A network that answers out of the picture: scores and distances are convolutions of it."""
    graph = Graph()
    outputs: dict[str, tuple[Any, ...]] = {}
    kinds = (("score", 1), ("box", 4), ("kps", 10))
    for kind, width in kinds:
        for stride in (8, 16, 32):
            cells = (size // stride) ** 2 * 2
            kernel = rng(stride + width).standard_normal((2 * width, 3, stride, stride)) / stride
            bias = np.full(2 * width, {"score": -1.0, "box": 2.0, "kps": 0.0}[kind])
            key = f"{kind}{stride}"
            graph.add(
                "Conv",
                [
                    "input.1",
                    graph.constant(f"{key}.w", kernel.astype(np.float32)),
                    graph.constant(f"{key}.b", bias.astype(np.float32)),
                ],
                f"{key}.c",
                kernel_shape=[stride, stride],
                strides=[stride, stride],
            )
            graph.add("Transpose", [f"{key}.c"], f"{key}.t", perm=[0, 2, 3, 1])
            shape = graph.constant(f"{key}.s", np.array([cells, width], np.int64))
            last = graph.add("Reshape", [f"{key}.t", shape], f"{key}.r")
            graph.add({"score": "Sigmoid", "box": "Relu", "kps": "Identity"}[kind], [last], key)
            outputs[key] = (cells, width)
    return graph.save(path, {"input.1": (1, 3, size, size)}, outputs)


def shift_picture(
    path: Path,
    *,
    size: int,
    name: str = "input",
    offset: float = 0.1,
    gain: float = 1.0,
    extra: dict[str, tuple[tuple[Any, ...], int]] | None = None,
    batch: Any = 1,
    output_size: int = 0,
) -> Path:
    """output = gain * picture + offset, clipped by nothing; further inputs are added in full (summed)."""
    graph = Graph()
    graph.add("Mul", [name, graph.constant("gain", np.float32(gain))], "scaled")
    last = graph.add("Add", ["scaled", graph.constant("offset", np.float32(offset))], "moved")
    shapes: dict[str, tuple[Any, ...]] = {name: (batch, 3, size, size)}
    types: dict[str, int] = {}
    for key, (shape, kind) in (extra or {}).items():
        shapes[key], types[key] = shape, kind
        graph.add("Cast", [key], f"{key}.f", to=TensorProto.FLOAT)
        if len(shape) < 4:
            graph.add("ReduceSum", [f"{key}.f"], f"{key}.s", keepdims=0)
            graph.add("Mul", [f"{key}.s", graph.constant(f"{key}.k", np.float32(0.1))], f"{key}.m")
        else:
            graph.add("ReduceMean", [f"{key}.f"], f"{key}.s", keepdims=0)
            graph.add("Mul", [f"{key}.s", graph.constant(f"{key}.k", np.float32(0))], f"{key}.m")
        last = graph.add("Add", [last, f"{key}.m"], f"{key}.a")
    if output_size and output_size != size:
        factor = output_size / size
        scales = graph.constant("scales", np.array([1, 1, factor, factor], np.float32))
        last = graph.add("Resize", [last, "", scales], "large", mode="nearest")
    graph.add("Identity", [last], "output")
    side = output_size or size
    return graph.save(path, shapes, {"output": (batch, 3, side, side)}, types)


def occluder(path: Path, *, size: int = 256) -> Path:
    """NHWC: visible where the picture's green is above one half."""
    graph = Graph()
    graph.add(
        "Slice",
        [
            "input",
            graph.constant("from", np.array([1], np.int64)),
            graph.constant("to", np.array([2], np.int64)),
            graph.constant("axis", np.array([3], np.int64)),
        ],
        "green",
    )
    graph.add("Greater", ["green", graph.constant("half", np.float32(0.5))], "bright")
    graph.add("Cast", ["bright"], "output", to=TensorProto.FLOAT)
    return graph.save(path, {"input": (1, size, size, 3)}, {"output": (1, size, size, 1)})


def parser(path: Path, *, size: int = 512, classes: int = 19) -> Path:
    """Class 1 (skin) in the left half of the crop, class 17 (hair) in the right."""
    scores = np.zeros((1, classes, size, size), np.float32)
    scores[0, 1, :, : size // 2] = 1
    scores[0, 17, :, size // 2 :] = 1
    return constant_outputs(path, [scores], size=size)

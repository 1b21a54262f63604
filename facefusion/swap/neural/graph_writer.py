"""Writes nodes into an ONNX graph, and products over the channels in the form that runs fastest here.

ONNX Runtime's own convolutions work on channels in blocks (16 floats with AVX-512, 8 on other x86
processors); it rewrites graphs to operators of a domain of its own for that. Its convolution of one pixel is
faster than its product of matrices, since the weights lie in the order in which they are needed; but by
itself it keeps a second copy of them. Here these operators are written directly, with weights already in that
order. Where the runtime does not have them, plain products take their place.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facefusion.system.onnx_file import OnnxFile
from facefusion.system.onnx_runtime import failures, import_onnxruntime, session_options

_DOMAIN = "com.microsoft.nchwc"
_BLOCKS = (16, 8)


class GraphWriter:
    """New nodes, in order, and the constants that they share.

    `block`, in its methods, is how many channels lie in a block; 1 for plain products.

    Args:
        file: whose graph is written anew.

    Attributes:
        opset: version of the standard operators that the graph uses.
    """

    def __init__(self, file: OnnxFile) -> None:
        self.nodes: list[Any] = []
        self._written: set[str] = set()
        standard = [known.version for known in file.model.opset_import if known.domain in ("", "ai.onnx")]
        self.opset = max(standard, default=1)
        self._file = file
        self._constants: list[Any] = []
        self._names = {constant.name for constant in file.model.graph.initializer}

    def node(self, op: str, inputs: list[str], output: str, *, domain: str = "", **attributes: Any) -> str:
        """Add a node with one output; returns its name."""
        from onnx import helper

        made = helper.make_node(op, inputs, [output], name=output, domain=domain, **attributes)
        self.nodes.append(made)
        self._written.add(output)
        return output

    def has(self, value: str) -> bool:
        """Whether a node with this output was added."""
        return value in self._written

    def shaped(self, value: str, sizes: list[int], output: str) -> str:
        """`value` in another shape."""
        name = "winograd.shape" + "_".join(map(str, sizes)).replace("-", "n")
        return self.node("Reshape", [value, self.integers(name, sizes)], output)

    def parts(self, value: str, sizes: list[int], *, axis: int) -> list[str]:
        """`value` cut along an axis, at constant places."""
        from onnx import helper

        if len(sizes) == 1:
            return [value]
        names = [f"{value}{count}" for count in range(len(sizes))]
        if self.opset >= 13:  # from there on an input says where
            where = self.integers("winograd.parts" + "_".join(map(str, sizes)), sizes)
            made = helper.make_node("Split", [value, where], names, name=value + ".cut", axis=axis)
        else:
            made = helper.make_node("Split", [value], names, name=value + ".cut", axis=axis, split=sizes)
        self.nodes.append(made)
        return names

    def integers(self, name: str, values: list[int]) -> str:
        """A constant of integers; the same name means the same one."""
        return self._add(name, np.array(values, np.int64))

    def constant(self, name: str, values: NDArray[Any]) -> str:
        """A small float32 constant; the same name means the same one."""
        return self._add(name, values.astype(np.float32))

    def blocked(self, value: str, block: int) -> str:
        """An array (n, channels, h, w) with its channels in blocks; made once, whoever asks for it."""
        if block == 1:
            return value
        name = f"{value}.blocked"
        return name if self.has(name) else self.node("ReorderInput", [value], name, domain=_DOMAIN)

    def unblocked(self, value: str, channels: int, block: int, output: str) -> str:
        """The way back of `blocked`."""
        if block == 1:
            return self.node("Identity", [value], output)
        return self.node("ReorderOutput", [value], output, domain=_DOMAIN, channels=channels)

    def product(
        self,
        value: str,
        output: str,
        kernel: Callable[[], NDArray[np.float32]],
        sizes: tuple[int, int, int],
        plane: list[int],
        bias: NDArray[np.float32],
        block: int,
    ) -> str:
        """Channels multiplied with a matrix for each group.

        Args:
            value: (n, groups * inputs, h, w) in blocks.
            kernel: makes the matrices, in the order of `in_order`.
            sizes: groups, their output channels and their input channels.
            plane: n, h and w, of which one may be -1: not known.
            bias: (groups * outputs,).

        Returns:
            (n, groups * outputs, h, w) in blocks.
        """
        groups, outputs, inputs = sizes
        weights = f"{output}.kernel"
        if block > 1:
            shape: tuple[int, ...] = (groups * outputs, inputs, 1, 1)
            self._file.add(weights, shape, lambda: kernel().reshape(shape))
            arguments = [value, weights, self.constant(f"{output}.bias", bias)]
            return self.node("Conv", arguments, output, domain=_DOMAIN, kernel_shape=[1, 1], group=groups)
        shape = (groups, outputs, inputs)
        self._file.add(weights, shape, lambda: kernel().reshape(shape))
        area = max(-1, plane[1] * plane[2])
        flat = self.shaped(value, [plane[0], groups, inputs, area], f"{output}.flat")
        mixed = self.node("MatMul", [weights, flat], f"{output}.mixed")
        shift = self.constant(f"{output}.bias", bias.reshape(groups, outputs, 1))
        mixed = self.node("Add", [mixed, shift], f"{output}.shifted")
        return self.shaped(mixed, [plane[0], groups * outputs, *plane[1:]], output)

    def finish(self) -> None:
        """Put the nodes into the graph, in the place of all it has."""
        graph = self._file.model.graph
        written = [type(node).FromString(node.SerializeToString()) for node in self.nodes]
        del graph.node[:]
        graph.node.extend(written)
        graph.initializer.extend(self._constants)
        if any(node.domain == _DOMAIN for node in written):
            self._file.model.opset_import.add(domain=_DOMAIN, version=1)

    def _add(self, name: str, values: NDArray[Any]) -> str:
        from onnx import numpy_helper

        if name not in self._names:
            self._names.add(name)
            self._constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name


def in_order(kernel: NDArray[np.float32], block: int) -> NDArray[np.float32]:
    """Kernels (outputs, inputs, 3, 3) as (9, outputs * inputs) in the order in which products use them."""
    outputs, inputs = kernel.shape[:2]
    split = kernel.reshape(outputs // block, block, inputs // block, block, 9)
    return split.transpose(4, 0, 2, 3, 1).reshape(9, outputs * inputs)


@cache
def block_size() -> int:
    """Channels in a block on this processor; 1 if the runtime has none, or lays them out in another way."""
    return next((block for block in _BLOCKS if _works_in_blocks(block)), 1)


def _works_in_blocks(block: int) -> bool:
    from onnx import TensorProto, helper

    size = [1, max(_BLOCKS), 1, 3]
    graph = helper.make_graph(
        [helper.make_node("ReorderInput", ["x"], ["y"], domain=_DOMAIN)],
        "blocks",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, size)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, size)],
    )
    domains = [helper.make_opsetid("", 18), helper.make_opsetid(_DOMAIN, 1)]
    content = helper.make_model(graph, opset_imports=domains, ir_version=9).SerializeToString()
    values = np.arange(np.prod(size), dtype=np.float32)
    runtime = import_onnxruntime()
    try:
        options = session_options(runtime, "cpu", 1)
        session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        ordered = session.run(None, {"x": values.reshape(size)})[0].ravel()
    except failures(runtime):
        return False
    return bool((ordered == values.reshape(-1, block, 3).swapaxes(1, 2).ravel()).all())

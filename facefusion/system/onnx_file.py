"""An ONNX file without its weights in memory: the graph is read, large constants stay where they are.

`onnx.load` copies a file of half a gigabyte three times over. Here the file is mapped; its messages are
walked over, everything small is kept, and every large constant is replaced by a note that it lies elsewhere.
"""

from __future__ import annotations

import mmap
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from facefusion.errors import ModelMissingError

_LARGE = 1 << 16

# Field numbers of onnx.proto.
_MODEL_GRAPH = 7
_GRAPH_CONSTANT = 5
_TENSOR_RAW_DATA = 9

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_EXTERNAL = 1


@dataclass(frozen=True)
class Graph:
    """A serialised model and, beside it, its large constants by name.

    Attributes:
        content: the model.
        weights: constants that the runtime takes over while it opens the model.
        feeds: constants that are inputs of the model, to be fed with every run. The runtime then works on
            these very arrays; it copies every other constant.
    """

    content: bytes
    weights: Mapping[str, NDArray[Any]]
    feeds: Mapping[str, NDArray[Any]]


class _Field(NamedTuple):
    """One field of a message: its number, where it begins, and where its value begins and ends."""

    number: int
    wire: int
    begin: int
    value: int
    end: int


class OnnxFile:
    """A model whose large constants stay in the file.

    Attributes:
        model: the `onnx.ModelProto`; large constants have names, types and sizes there, but no numbers.

    Args:
        path: the file.

    Raises:
        ModelMissingError: it is not a readable ONNX file.
    """

    def __init__(self, path: Path) -> None:
        from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
        from onnx import ModelProto

        self._path = path
        self._scratch = threading.local()
        self._places: dict[str, tuple[int, int]] = {}
        self._made: dict[str, Callable[[], NDArray[Any]]] = {}
        try:
            with path.open("rb") as file:
                self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            self.model: Any = ModelProto()
            self.model.ParseFromString(self._without_weights())
        except (OSError, ValueError, IndexError, DecodeError) as error:
            raise ModelMissingError(f"{path.name} cannot be read as an ONNX model ({error}).") from error
        for constant in self.model.graph.initializer:
            if constant.name in self._places:
                _stands_elsewhere(constant)

    def values(self, constant: Any, *, borrowed: bool = False) -> NDArray[Any]:
        """The numbers of one of the model's constants (`onnx.TensorProto`).

        Args:
            borrowed: the answer is only read, and before the next such call of this thread: it lies in memory
                that is used again, since fresh memory for half a gigabyte costs seconds on virtual machines.
        """
        from onnx import helper, numpy_helper

        if constant.name not in self._places:
            return np.asarray(numpy_helper.to_array(constant))
        offset, end = self._places[constant.name]
        # Read, not mapped: they lie at any offset, and what runs on them wants them aligned.
        if not borrowed:
            content = np.empty(end - offset, np.uint8)
        else:
            lent = getattr(self._scratch, "lent", None)
            if lent is None or len(lent) < end - offset:
                lent = self._scratch.lent = np.empty(end - offset, np.uint8)
            content = lent[: end - offset]
        with self._path.open("rb", buffering=0) as file:
            file.seek(offset)
            if file.readinto(content.data) != len(content):
                raise ModelMissingError(f"{self._path.name} ends too early.")
        dtype = np.dtype(helper.tensor_dtype_to_np_dtype(constant.data_type)).newbyteorder("<")
        return content.view(dtype).reshape(tuple(constant.dims))

    def add(self, name: str, shape: tuple[int, ...], make: Callable[[], NDArray[Any]]) -> None:
        """A further large constant (float32), made when it is needed: an input of the model, see `Graph`."""
        from onnx import TensorProto, helper

        self.model.graph.input.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        self._made[name] = make

    def graph(self) -> Graph:
        """The model as it now is, with the constants that it uses."""
        constants = self.model.graph.initializer
        used = {name for node in self.model.graph.node for name in node.input}
        used |= {port.name for port in self.model.graph.output}
        kept = [constant for constant in constants if constant.name in used]
        del constants[:]
        constants.extend(kept)
        weights = {constant.name: self.values(constant) for constant in kept if constant.name in self._places}
        # Most of the time goes into getting memory from the system, which two threads get faster.
        with ThreadPoolExecutor(2) as pool:
            made = list(pool.map(lambda make: np.ascontiguousarray(make(), np.float32), self._made.values()))
        feeds = dict(zip(self._made, made, strict=True))
        return Graph(self.model.SerializeToString(), weights, feeds)

    def _without_weights(self) -> bytes:
        kept: list[bytes] = []
        for field in self._fields(0, len(self._bytes)):
            if field.number == _MODEL_GRAPH and field.wire == _BYTES:
                graph = b"".join(self._graph(field))
                kept.append(_header(_MODEL_GRAPH, len(graph)) + graph)
            else:
                kept.append(self._bytes[field.begin : field.end])
        return b"".join(kept)

    def _graph(self, graph: _Field) -> Iterator[bytes]:
        for field in self._fields(graph.value, graph.end):
            large = field.end - field.value > _LARGE
            if field.number == _GRAPH_CONSTANT and field.wire == _BYTES and large:
                constant = self._constant(field)
                yield _header(_GRAPH_CONSTANT, len(constant)) + constant
            else:
                yield self._bytes[field.begin : field.end]

    def _constant(self, constant: _Field) -> bytes:
        kept, place, name = b"", None, ""
        for field in self._fields(constant.value, constant.end):
            if field.number == _TENSOR_RAW_DATA and field.end - field.value > _LARGE:
                place = (field.value, field.end)
                continue
            if field.number == 8:
                name = self._bytes[field.value : field.end].decode()
            kept += self._bytes[field.begin : field.end]
        if place is not None:
            self._places[name] = place
        return kept

    def _fields(self, at: int, end: int) -> Iterator[_Field]:
        while at < end:
            begin = at
            key, at = self._number(at)
            wire = key & 7
            if wire == _VARINT:
                value, (_, at) = at, self._number(at)
            elif wire == _BYTES:
                length, value = self._number(at)
                at = value + length
            elif wire in (_FIXED64, _FIXED32):
                value, at = at, at + (8 if wire == _FIXED64 else 4)
            else:
                raise ValueError("it is no protocol buffer")
            if at > end:
                raise ValueError("it ends too early")
            yield _Field(key >> 3, wire, begin, value, at)

    def _number(self, at: int) -> tuple[int, int]:
        """A number of variable length, and where it ends."""
        value = shift = 0
        while True:
            byte = self._bytes[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value, at
            shift += 7
            if shift > 63:
                raise ValueError("it is no protocol buffer")


def _stands_elsewhere(constant: Any) -> None:
    constant.data_location = _EXTERNAL
    constant.external_data.add(key="location", value="handed over beside the graph")


def _header(field: int, length: int) -> bytes:
    """Key and length of a field that holds a message."""
    encoded = bytearray()
    for value in (field << 3 | _BYTES, length):
        while value > 0x7F:
            encoded.append(value & 0x7F | 0x80)
            value >>= 7
        encoded.append(value)
    return bytes(encoded)

"""A tiny ONNX file, written byte by byte.

Proving an execution provider needs a network to run. Shipping one would be a binary file in git, and the
`onnx` package is a development tool; a network of two layers needs neither: an ONNX file is a protocol buffer
message, and writing one takes a few lines. Field numbers are those of `onnx.proto` (ONNX IR version 9).
"""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

INPUT_SHAPE = (1, 3, 32, 32)
OUTPUT_SHAPE = (1, 16)

_FLOAT = 1
_ATTRIBUTE_INTS = 7


def probe_model() -> bytes:
    """A convolution, a rectifier and a matrix product with fixed random weights.

    Input `input`: float32 `INPUT_SHAPE`; output `output`: float32 `OUTPUT_SHAPE`.
    """
    kernel, matrix = _weights()
    nodes = [
        _node(
            "Conv",
            ["input", "kernel"],
            ["features"],
            [_ints("kernel_shape", [5, 5]), _ints("strides", [4, 4]), _ints("pads", [2, 2, 2, 2])],
        ),
        _node("Relu", ["features"], ["positive"]),
        _node("Flatten", ["positive"], ["flat"]),
        _node("MatMul", ["flat", "matrix"], ["output"]),
    ]
    graph = b"".join(
        [
            *(_message(1, node) for node in nodes),
            _text(2, "probe"),
            _message(5, _tensor("kernel", kernel)),
            _message(5, _tensor("matrix", matrix)),
            _message(11, _value("input", INPUT_SHAPE)),
            _message(12, _value("output", OUTPUT_SHAPE)),
        ]
    )
    operators = _message(8, _text(1, "") + _number(2, 17))
    return _number(1, 8) + _text(2, "facefusion") + operators + _message(7, graph)


def probe_input() -> NDArray[np.float32]:
    """The input with which providers are compared."""
    return np.random.default_rng(7).standard_normal(INPUT_SHAPE).astype(np.float32)


def probe_result() -> NDArray[np.float32]:
    """What `probe_model` must give for `probe_input`, computed without ONNX Runtime."""
    kernel, matrix = _weights()
    padded = np.pad(probe_input()[0], ((0, 0), (2, 2), (2, 2)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (5, 5), axis=(1, 2))[:, ::4, ::4]
    features = np.einsum("cyxij,ocij->oyx", windows, kernel)
    result: NDArray[np.float32] = np.maximum(features, 0).reshape(1, -1).astype(np.float32) @ matrix
    return result


def _weights() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    random = np.random.default_rng(20240229)
    kernel = random.standard_normal((8, 3, 5, 5), dtype=np.float32) / np.float32(8)
    matrix = random.standard_normal((8 * 8 * 8, 16), dtype=np.float32) / np.float32(16)
    return kernel, matrix


def _node(
    operator: str, inputs: list[str], outputs: list[str], attributes: list[bytes] | None = None
) -> bytes:
    return b"".join(
        [
            *(_text(1, name) for name in inputs),
            *(_text(2, name) for name in outputs),
            _text(3, outputs[0]),
            _text(4, operator),
            *(_message(5, attribute) for attribute in attributes or []),
        ]
    )


def _ints(name: str, values: list[int]) -> bytes:
    return _text(1, name) + b"".join(_number(8, value) for value in values) + _number(20, _ATTRIBUTE_INTS)


def _tensor(name: str, values: NDArray[np.float32]) -> bytes:
    dimensions = b"".join(_number(1, size) for size in values.shape)
    little_endian = values.astype("<f4").tobytes()
    return dimensions + _number(2, _FLOAT) + _text(8, name) + _message(9, little_endian)


def _value(name: str, shape: tuple[int, ...]) -> bytes:
    dimensions = b"".join(_message(1, _number(1, size)) for size in shape)
    tensor_type = _number(1, _FLOAT) + _message(2, dimensions)
    return _text(1, name) + _message(2, _message(1, tensor_type))


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _message(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _text(field: int, value: str) -> bytes:
    return _message(field, value.encode())


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(encoded) + struct.pack("B", value)

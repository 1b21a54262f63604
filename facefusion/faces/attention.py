"""The attention mesh: 468 landmarks with lips, eyes and irises seen once more from close by.

Source: Grishchenko et al., "Attention Mesh: High-fidelity Face Mesh Prediction in Real-time" (2020). A trunk
finds the whole mesh; the places of lips and eyes in it say where to look again, in the trunk's own feature
map; a small head for each region corrects them.

The file is one graph that ties these parts together with three operators of MediaPipe's that LiteRT does not
know. They are plain geometry. So the graph is taken apart at these operators when it is opened (in memory;
the file stays as it is), the parts run as they are, and the geometry between them is done here.
"""

from __future__ import annotations

import struct
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facefusion.errors import ModelMissingError
from facefusion.faces.kernels import close_up
from facefusion.faces.runtime import Model
from facefusion.faces.topology import LANDMARK_COUNT

Floats = NDArray[np.float32]

ATTENTION_MESH = "face_landmark_with_attention.tflite"
INPUT = 192
"""Side of the picture that is looked at, pixels."""

_MESH, _PRESENCE, _FEATURES = "output_mesh", "conv_faceflag", "p_re_lu_3"
_FEATURE_STEP = 4  # pixels of the picture in one cell of the feature map
_CLOSE_UP = 16  # side of a close-up, in cells
_HEAD_STEP = 4  # units of a head's answer in one cell of its close-up


@dataclass(frozen=True)
class Looked:
    """What was found in one picture, in its pixels.

    Attributes:
        points: (468, 3) float32.
        irises: (2, 3) float32, left and right in the picture: centre x, y and radius.
        presence: 0 to 1.
    """

    points: Floats
    irises: Floats
    presence: float


@dataclass(frozen=True)
class _Region:
    """A part of the face that has a head of its own.

    Attributes:
        head: (1, 16, 16, channels) features to (1, n, 2) points, and for eyes (1, 5, 2) iris points.
        members: landmarks that the head corrects, in its order.
        ends: two landmarks whose line is level in the close-up.
        scale: side of the close-up over the region's own.
        has_iris: whether the head answers an iris, too.
    """

    head: Model
    members: NDArray[np.int64]
    ends: tuple[int, int]
    scale: tuple[float, float]
    has_iris: bool


class AttentionMesh:
    """The whole network.

    Args:
        path: the installed file.
        threads: for each part.

    Raises:
        ModelMissingError: the file is absent or damaged.
    """

    def __init__(self, path: Path, *, threads: int = 1) -> None:
        try:
            graph = _Graph(path.read_bytes())
            self._trunk = graph.part([graph.input], [_MESH, _PRESENCE, _FEATURES], threads)
            self._regions = [
                _region(graph, number, points, iris, threads)
                for number, (points, iris) in enumerate(
                    (("reshape_1", None), ("reshape_3", "reshape_4"), ("reshape_6", "reshape_7"))
                )
            ]
        except OSError as error:
            raise ModelMissingError(f"The model file {path.name} is not installed.") from error
        except ModelMissingError as error:
            raise ModelMissingError(f"The model file {path.name} cannot be read ({error}).") from error
        except (ValueError, LookupError, TypeError, AttributeError, OverflowError, struct.error) as error:
            raise ModelMissingError(f"The model file {path.name} cannot be read ({error}).") from error
        self.runtime = self._trunk.runtime

    def __call__(self, image: Floats) -> Looked:
        """Find the landmarks of the face in `image` (1, 192, 192, 3), RGB, 0 to 1."""
        mesh, logit, features = self._trunk(image)
        points = mesh.reshape(LANDMARK_COUNT, 3).copy()
        rough = points[:, :2] * np.float32(1 / _FEATURE_STEP)
        irises = []
        for region in self._regions:
            matrix, origin = _place(rough, region)
            found = region.head(close_up(features[0], matrix, origin, _CLOSE_UP)[None])
            own = [
                answer[0] / _HEAD_STEP @ (matrix * _FEATURE_STEP).T + origin * _FEATURE_STEP
                for answer in found
            ]
            points[region.members, :2] = own[0]
            if region.has_iris:
                radius = np.linalg.norm(own[1][1:] - own[1][0], axis=1).mean()
                irises.append((*own[1][0], radius))
        presence = 1.0 / (1.0 + float(np.exp(-logit.ravel()[0])))
        return Looked(points, np.array(irises, np.float32), presence)


def _place(points: Floats, region: _Region) -> tuple[Floats, Floats]:
    """Where to look again: (2, 2) matrix and (2,) origin, from cells of the close-up to the feature map's.

    The close-up is the region's bounding box along the line of its ends, made larger.
    """
    left, right = points[list(region.ends)]
    across = (right - left) / (np.linalg.norm(right - left) + 1e-9)
    axes = np.array([[across[0], -across[1]], [across[1], across[0]]], np.float32)
    own = points[region.members] @ axes
    low, high = own.min(0), own.max(0)
    matrix = axes * ((high - low) * region.scale / _CLOSE_UP)
    centre = axes @ ((low + high) / 2)
    return matrix.astype(np.float32), (centre - matrix @ (_CLOSE_UP / 2, _CLOSE_UP / 2)).astype(np.float32)


def _region(graph: _Graph, number: int, points: str, iris: str | None, threads: int) -> _Region:
    suffix = f"_{number}" if number else ""
    options = graph.options(f"landmarks_to_transform_matrix_v2{suffix}")
    outputs = [points] if iris is None else [points, iris]
    return _Region(
        graph.part([f"transform_tensor_bilinear_v2{suffix}"], outputs, threads),
        np.array(options["subset_idxs"], np.int64),
        (options["left_rotation_idx"], options["right_rotation_idx"]),
        (options["scale_x"], options["scale_y"]),
        iris is not None,
    )


class _Graph:
    """A .tflite graph that can be taken apart."""

    def __init__(self, data: bytes) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self._model: Any = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(data, 0))
        graph = self._model.subgraphs[0]
        self._names = {tensor.name.decode(): number for number, tensor in enumerate(graph.tensors)}
        self.input = graph.tensors[graph.inputs[0]].name.decode()

    def options(self, output: str) -> dict[str, Any]:
        """Options of the operator that makes the tensor `output`, where MediaPipe defined it."""
        from flatbuffers import flexbuffers

        made = self._names[output]
        operator = next(o for o in self._model.subgraphs[0].operators if made in o.outputs)
        options: dict[str, Any] = flexbuffers.Loads(bytes(operator.customOptions))
        return options

    def part(self, inputs: list[str], outputs: list[str], threads: int) -> Model:
        """Open the part of the graph that leads from some tensors to others."""
        import flatbuffers

        model, graph = copy(self._model), copy(self._model.subgraphs[0])
        model.subgraphs, model.buffers = [graph], list(model.buffers)
        begin, end = ([self._names[name] for name in names] for names in (inputs, outputs))
        maker = {int(tensor): operator for operator in graph.operators for tensor in operator.outputs}
        reached, wanted, kept = set(begin), list(end), set()
        while wanted:
            tensor = wanted.pop()
            if tensor in reached or tensor < 0:
                continue
            reached.add(tensor)
            if tensor in maker:
                kept.add(id(maker[tensor]))
                wanted += [int(needed) for needed in maker[tensor].inputs]
        graph.operators = [operator for operator in graph.operators if id(operator) in kept]
        graph.inputs, graph.outputs = np.array(begin, np.int32), np.array(end, np.int32)
        # Weights of other parts are left out; the list of tensors stays, so that their numbers do.
        for number, tensor in enumerate(graph.tensors):
            if number not in reached and tensor.buffer:
                model.buffers[tensor.buffer] = copy(model.buffers[tensor.buffer])
                model.buffers[tensor.buffer].data = None
        model.signatureDefs = model.metadata = model.metadataBuffer = None
        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(model.Pack(builder), b"TFL3")
        return Model(bytes(builder.Output()), threads=threads)

"""The 512x512 matrix inside inswapper's file: from an embedding to what the network was trained with."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facefusion.errors import ModelMissingError
from facefusion.system.onnx_file import OnnxFile

SHAPE = (512, 512)


def embedding_matrix(path: Path) -> NDArray[np.float32]:
    """(512, 512) float32.

    It is the one constant of that shape that no node uses: InsightFace's own class takes the *last* constant,
    but optimisers and converters put them in another order.

    Raises:
        ModelMissingError: the file cannot be read, or holds no such matrix, or more than one.
    """
    file = OnnxFile(path)
    graph = file.model.graph
    found = list(_candidates(graph))
    used = {name for node in graph.node for name in node.input}
    unused = [constant for constant in found if constant.name not in used]
    if len(unused) > 1 and graph.initializer[-1] in unused:
        unused = [graph.initializer[-1]]
    chosen = unused or found
    if len(chosen) != 1:
        raise ModelMissingError(
            f"{path.name} holds {len(chosen)} matrices of 512x512; a swapper of this kind has one."
        )
    return np.asarray(file.values(chosen[0]), np.float32)


def _candidates(graph: Any) -> Iterable[Any]:
    return (constant for constant in graph.initializer if tuple(constant.dims) == SHAPE)

"""Models that were exported for one sample, opened for any number of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from facefusion.errors import EngineError, ModelMissingError, OutOfMemoryError
from facefusion.system.networks import Network, NetworkFactory
from facefusion.system.onnx_file import Graph, OnnxFile

_TOLERANCE = 1e-2


def open_for_batches(networks: NetworkFactory, path: Path) -> Network:
    """The network in a file, with the size of the batch left open where it computes the same then.

    Many graphs of one sample have that size in their inputs and outputs alone. Whether this one has is tried:
    two different samples at once must give what they give one after another.
    """
    if networks.is_open(path):
        return networks.open(path)
    graph = _freed(path)
    if graph is not None and _agrees(networks, path, graph):
        return networks.open(path, model=graph)
    return networks.open(path)


def _freed(path: Path) -> Graph | None:
    """The graph with open batches; None if there is nothing to open."""
    file = OnnxFile(path)
    graph = file.model.graph
    constants = {constant.name for constant in graph.initializer}
    ports = [port for port in (*graph.input, *graph.output) if port.name not in constants]
    shapes = [port.type.tensor_type.shape.dim for port in ports]
    if not all(len(shape) > 1 and shape[0].dim_value == 1 for shape in shapes):
        return None
    for shape in shapes:
        shape[0].dim_param = "batch"
    # Sizes noted for values in between were those of one sample.
    del graph.value_info[:]
    return file.graph()


def _agrees(networks: NetworkFactory, path: Path, graph: Graph) -> bool:
    random = np.random.default_rng(0)
    try:
        network = Network(networks, path, networks.provider, graph=graph)
        feeds = {
            port.name: random.random([2, *(size or 1 for size in port.shape[1:])]).astype(np.float32)
            for port in network.inputs
        }
        for feed in feeds.values():
            feed[1] *= 0.25  # samples that are alike would hide that they are mixed
        single = [network.run({name: feed[i : i + 1] for name, feed in feeds.items()})[0] for i in (0, 1)]
        both = network.run(feeds)[0]
    except (EngineError, ModelMissingError, OutOfMemoryError):
        return False
    expected = np.concatenate(single).astype(np.float32)
    if both.shape != expected.shape:
        return False
    scale = float(np.abs(expected).max()) + 1e-6
    return bool(np.abs(both.astype(np.float32) - expected).max() <= _TOLERANCE * scale)

"""Rewritten convolutions compute what the original ones compute."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import synthetic

from facefusion.errors import ModelMissingError
from facefusion.swap.neural.tuning import TUNING_FILE, ConvolutionTuner
from facefusion.swap.neural.winograd import rewrite
from facefusion.system.networks import NetworkFactory
from facefusion.system.onnx_file import Graph, OnnxFile


def network(
    path: Path, *, pads: tuple[int, ...], size: tuple[int, int], batch: Any = 1, bias: bool = True, **how: Any
) -> Path:
    graph = synthetic.Graph()
    channels_in, channels_out = how.pop("channels", (64, 96))
    kernel = how.pop("kernel", (3, 3))
    weights = synthetic.rng(1).standard_normal((channels_out, channels_in // how.get("group", 1), *kernel))
    inputs = ["x", graph.constant("w", (weights / np.sqrt(9 * channels_in)).astype(np.float32))]
    if bias:
        inputs.append(graph.constant("b", synthetic.rng(2).standard_normal(channels_out).astype(np.float32)))
    graph.add("Conv", inputs, "c", pads=list(pads), **how)
    graph.add("LeakyRelu", ["c"], "y", alpha=0.2)
    return graph.save(path, {"x": (batch, channels_in, *size)}, {"y": (batch, channels_out, None, None)})


def run(networks: NetworkFactory, model: Path | Graph, values: Any) -> Any:
    session, provider = networks.session(model, "m.onnx", "cpu")
    assert provider == "cpu"
    feeds = model.feeds if isinstance(model, Graph) else {}
    return session.run(None, {"x": values, **feeds})[0]


@pytest.mark.parametrize(
    ("pads", "size"),
    [((1, 1, 1, 1), (32, 32)), ((1, 1, 1, 1), (8, 16)), ((0, 0, 0, 0), (34, 18)), ((2, 0, 0, 2), (12, 12))],
)
@pytest.mark.parametrize("batch", [1, "n"])
@pytest.mark.parametrize("bias", [True, False])
def test_a_rewritten_convolution_computes_the_same(
    tmp_path: Path,
    networks: NetworkFactory,
    pads: tuple[int, ...],
    size: tuple[int, int],
    batch: Any,
    bias: bool,
) -> None:
    path = network(tmp_path / "m.onnx", pads=pads, size=size, batch=batch, bias=bias)
    values = synthetic.rng(3).standard_normal((3 if batch == "n" else 1, 64, *size)).astype(np.float32)
    file = OnnxFile(path)
    assert rewrite(file) == 1
    actual = run(networks, file.graph(), values)
    expected = run(networks, path, values)
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual, expected, atol=1e-4)


@pytest.mark.parametrize("pads", [(3, 3, 3, 3), (0, 1, 2, 3)])
@pytest.mark.parametrize("bias", [True, False])
def test_a_wide_convolution_to_few_channels_is_turned_round(
    tmp_path: Path, networks: NetworkFactory, pads: tuple[int, ...], bias: bool
) -> None:
    path = network(tmp_path / "m.onnx", pads=pads, size=(20, 24), bias=bias, channels=(64, 3), kernel=(7, 5))
    values = synthetic.rng(3).standard_normal((1, 64, 20, 24)).astype(np.float32)
    file = OnnxFile(path)
    assert rewrite(file) == 1
    assert {node.op_type for node in file.model.graph.node} == {"ConvTranspose", "LeakyRelu"}
    actual, expected = run(networks, file.graph(), values), run(networks, path, values)
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual, expected, atol=1e-4)


def test_a_graph_without_its_weights_computes_the_same(tmp_path: Path, networks: NetworkFactory) -> None:
    path = network(tmp_path / "m.onnx", pads=(1, 1, 1, 1), size=(30, 32), channels=(64, 96))
    file = OnnxFile(path)
    graph = file.graph()
    assert set(graph.weights) == {"w"} and len(graph.content) < path.stat().st_size / 100
    values = synthetic.rng(3).standard_normal((1, 64, 30, 32)).astype(np.float32)
    np.testing.assert_array_equal(run(networks, graph, values), run(networks, path, values))


@pytest.mark.parametrize("damage", ["cut", "zeros", "text", "empty"])
def test_a_damaged_file_is_named(tmp_path: Path, damage: str) -> None:
    path = network(tmp_path / "m.onnx", pads=(1, 1, 1, 1), size=(30, 32))
    content = path.read_bytes()
    broken = {"cut": content[:-1000], "zeros": bytes(5000), "text": b"no model at all", "empty": b""}
    path.write_bytes(broken[damage])
    with pytest.raises(ModelMissingError, match=r"m\.onnx cannot be read as an ONNX model"):
        OnnxFile(path)


@pytest.mark.parametrize(
    "how",
    [
        {"pads": (1, 1, 1, 1), "size": (36, 36), "strides": [2, 2]},
        {"pads": (2, 2, 2, 2), "size": (32, 32), "dilations": [2, 2]},
        {"pads": (1, 1, 1, 1), "size": (32, 32), "group": 2, "channels": (128, 128)},
        {"pads": (1, 1, 1, 1), "size": (30, 32)},
        {"pads": (1, 1, 1, 1), "size": (32, 32), "channels": (16, 96)},
    ],
)
def test_what_does_not_fit_stays(tmp_path: Path, how: dict[str, Any]) -> None:
    file = OnnxFile(network(tmp_path / "m.onnx", **how))
    before = file.model.SerializeToString()
    assert rewrite(file) == 0
    assert file.model.SerializeToString() == before


def test_the_rewritten_network_is_used_only_where_it_was_measured_faster(
    tmp_path: Path, networks: NetworkFactory
) -> None:
    path = network(tmp_path / "m.onnx", pads=(1, 1, 1, 1), size=(32, 32))
    tuner = ConvolutionTuner(tmp_path / "cache", networks, threads=2, least_bytes=0)
    graph = tuner.faster(path, "digest")
    (verdict,) = json.loads((tmp_path / "cache" / TUNING_FILE).read_text()).values()
    assert verdict["convolutions"] == 1 and verdict["deviation"] < 1e-4
    assert (graph is not None) == (verdict["ratio"] >= 1.1)


@pytest.mark.parametrize(
    ("ratio", "deviation", "used"), [(2.0, 1e-5, True), (0.9, 1e-5, False), (2.0, 0.1, False)]
)
def test_a_measurement_is_made_once_for_file_and_machine(
    tmp_path: Path, networks: NetworkFactory, ratio: float, deviation: float, used: bool
) -> None:
    path = network(tmp_path / "m.onnx", pads=(1, 1, 1, 1), size=(32, 32))
    tuner = ConvolutionTuner(tmp_path, networks, threads=2, least_bytes=0)
    tuner.faster(path, "digest")
    file = tmp_path / TUNING_FILE
    known = json.loads(file.read_text())
    for verdict in known.values():
        verdict.update(ratio=ratio, deviation=deviation)
    file.write_text(json.dumps(known))
    graph = tuner.faster(path, "digest")
    assert json.loads(file.read_text()) == known
    assert (graph is not None) == used
    if graph is not None:
        values = synthetic.rng(3).standard_normal((1, 64, 32, 32)).astype(np.float32)
        rewritten = networks.open(path, model=graph).run({"x": values})[0]
        np.testing.assert_allclose(rewritten, run(networks, path, values), atol=1e-4)


def test_small_files_are_left_alone(tmp_path: Path, networks: NetworkFactory) -> None:
    path = network(tmp_path / "m.onnx", pads=(1, 1, 1, 1), size=(32, 32))
    assert ConvolutionTuner(tmp_path, networks, threads=2).faster(path, "digest") is None
    assert not (tmp_path / TUNING_FILE).exists()

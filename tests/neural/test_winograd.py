"""Rewritten convolutions compute what the original ones compute."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import synthetic

from facefusion.errors import ModelMissingError
from facefusion.swap.neural.schemes import SCHEMES, resized_lines
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


BLOCKS = pytest.mark.parametrize("block", [None, 1], ids=["best", "plain"])
"""What suits this machine, and what works on every one."""


def agrees(
    networks: NetworkFactory, path: Path, values: Any, *, block: int | None, count: int = 1
) -> OnnxFile:
    file = OnnxFile(path)
    assert rewrite(file, block=block) == count
    actual, expected = run(networks, file.graph(), values), run(networks, path, values)
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual, expected, atol=2e-4)
    return file


@BLOCKS
@pytest.mark.parametrize(
    ("pads", "size", "stride"),
    [
        ((1, 1, 1, 1), (32, 32), 1),
        ((1, 1, 1, 1), (8, 16), 1),
        ((0, 0, 0, 0), (34, 18), 1),
        ((2, 0, 0, 2), (12, 12), 1),
        ((1, 1, 1, 1), (32, 16), 2),
        ((0, 0, 1, 1), (24, 40), 2),
        ((0, 0, 0, 0), (33, 18), 2),
        ((1, 1, 0, 0), (8, 16), 2),
    ],
)
@pytest.mark.parametrize("batch", [1, "n"])
@pytest.mark.parametrize("bias", [True, False])
def test_a_rewritten_convolution_computes_the_same(
    tmp_path: Path,
    networks: NetworkFactory,
    block: int | None,
    pads: tuple[int, ...],
    size: tuple[int, int],
    stride: int,
    batch: Any,
    bias: bool,
) -> None:
    how = {"pads": pads, "size": size, "batch": batch, "bias": bias, "strides": [stride, stride]}
    path = network(tmp_path / "m.onnx", **how)
    values = synthetic.rng(3).standard_normal((3 if batch == "n" else 1, 64, *size)).astype(np.float32)
    agrees(networks, path, values, block=block)


def test_channels_that_fill_no_block_are_multiplied_without(tmp_path: Path, networks: NetworkFactory) -> None:
    path = network(tmp_path / "m.onnx", pads=(1, 1, 1, 1), size=(8, 8), channels=(68, 70))
    values = synthetic.rng(3).standard_normal((1, 68, 8, 8)).astype(np.float32)
    file = agrees(networks, path, values, block=None)
    assert {node.domain for node in file.model.graph.node} == {""}


@pytest.mark.parametrize("stride", SCHEMES)
def test_a_scheme_is_a_convolution(stride: int) -> None:
    scheme = SCHEMES[stride]
    window, taps = synthetic.rng(1).standard_normal(scheme.window), synthetic.rng(2).standard_normal(3)
    expected = [window[i * stride : i * stride + 3] @ taps for i in range(4)]
    actual = scheme.outgoing @ ((scheme.kernel @ taps) * (scheme.incoming @ window))
    np.testing.assert_allclose(actual, expected, atol=1e-12)


@BLOCKS
@pytest.mark.parametrize(
    "how",
    [
        {"mode": "linear"},
        {"mode": "nearest"},
        {"mode": "cubic"},
        {"mode": "linear", "coordinate_transformation_mode": "align_corners"},
        {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
    ],
)
@pytest.mark.parametrize(("factors", "size"), [((2, 2), (7, 9)), ((2, 3), (7, 9)), ((2, 2), (25, 6))])
@pytest.mark.parametrize("batch", [1, "n"])
def test_a_convolution_of_an_enlarged_picture_is_done_on_the_small_one(
    tmp_path: Path,
    networks: NetworkFactory,
    block: int | None,
    how: dict[str, Any],
    factors: tuple[int, int],
    size: tuple[int, int],
    batch: Any,
) -> None:
    graph = synthetic.Graph()
    scales = graph.constant("scales", np.array([1, 1, *factors], np.float32))
    graph.add("Resize", ["x", "", scales], "large", **how)
    weights = synthetic.rng(1).standard_normal((80, 64, 3, 3)) / 24
    bias = graph.constant("b", synthetic.rng(2).standard_normal(80).astype(np.float32))
    kernel = graph.constant("w", weights.astype(np.float32))
    graph.add("Conv", ["large", kernel, bias], "y", pads=[1, 1, 1, 1])
    path = graph.save(tmp_path / "m.onnx", {"x": (batch, 64, *size)}, {"y": (batch, 80, None, None)})
    values = synthetic.rng(3).standard_normal((2 if batch == "n" else 1, 64, *size)).astype(np.float32)
    file = agrees(networks, path, values, block=block)
    assert "Resize" not in {node.op_type for node in file.model.graph.node}


def doubled(small: int, mode: str) -> Any:
    """(2 * small, small): what doubles an axis."""
    places = (np.arange(2 * small) + 0.5) / 2 - 0.5
    if mode == "nearest":
        return np.eye(small)[np.clip(np.ceil(places - 0.5).astype(int), 0, small - 1)]
    lines = [np.interp(places, np.arange(small), unit) for unit in np.eye(small)]
    return np.stack(lines, axis=1)


@pytest.mark.parametrize(
    ("resize", "saves"),
    [
        (doubled(32, "linear"), True),
        (doubled(25, "nearest"), True),
        (doubled(7, "linear"), False),
        (np.repeat(np.eye(32), 3, axis=0), False),
        (synthetic.rng(5).standard_normal((64, 32)), False),
    ],
    ids=["linear", "nearest", "short", "tripled", "any"],
)
def test_a_resized_and_convolved_axis_is_put_together_from_its_lines(resize: Any, saves: bool) -> None:
    values, taps = synthetic.rng(1).standard_normal(resize.shape[1]), synthetic.rng(2).standard_normal(3)
    large = np.pad(resize @ values, 1)
    expected = [large[i : i + 3] @ taps for i in range(len(large) - 2)]
    actual, multiplications = np.zeros(len(resize)), 0
    for part in resized_lines(resize):
        lines = values if part.incoming is None else part.incoming @ values
        multiplied = np.kron(part.kernel @ taps, lines)
        multiplications += len(multiplied)
        actual += part.outgoing @ multiplied
    np.testing.assert_allclose(actual, expected, atol=1e-10)
    assert (multiplications < 0.85 * 3 * len(values)) == saves


def test_an_enlarged_picture_that_is_wanted_elsewhere_is_made(
    tmp_path: Path, networks: NetworkFactory
) -> None:
    graph = synthetic.Graph()
    graph.add("Resize", ["x", "", graph.constant("scales", np.array([1, 1, 2, 2], np.float32))], "large")
    weights = synthetic.rng(1).standard_normal((64, 64, 3, 3)) / 24
    graph.add("Conv", ["large", graph.constant("w", weights.astype(np.float32))], "c", pads=[1, 1, 1, 1])
    graph.add("Add", ["c", "large"], "y")
    path = graph.save(tmp_path / "m.onnx", {"x": (1, 64, 6, 6)}, {"y": (1, 64, 12, 12)})
    values = synthetic.rng(3).standard_normal((1, 64, 6, 6)).astype(np.float32)
    file = agrees(networks, path, values, block=None)
    assert "Resize" in {node.op_type for node in file.model.graph.node}


def test_one_enlarged_picture_serves_two_convolutions(tmp_path: Path, networks: NetworkFactory) -> None:
    graph = synthetic.Graph()
    graph.add("Resize", ["x", "", graph.constant("scales", np.array([1, 1, 2, 2], np.float32))], "large")
    for i in (0, 1):
        weights = synthetic.rng(i).standard_normal((64, 64, 3, 3)) / 24
        graph.add(
            "Conv", ["large", graph.constant(f"w{i}", weights.astype(np.float32))], f"c{i}", pads=[1] * 4
        )
    graph.add("Sub", ["c0", "c1"], "y")
    path = graph.save(tmp_path / "m.onnx", {"x": (1, 64, 6, 6)}, {"y": (1, 64, 12, 12)})
    values = synthetic.rng(3).standard_normal((1, 64, 6, 6)).astype(np.float32)
    agrees(networks, path, values, block=None, count=2)


def styled_blocks(path: Path, *, batch: Any, axes_inside: bool, reflect: bool) -> Path:
    """Three convolutions with what residual blocks have between them, and a picture wanted in between."""
    graph = synthetic.Graph()
    axes = graph.constant("axes", np.array([2, 3], np.int64))
    tiny = graph.constant("tiny", np.float32(1e-5))
    edge = graph.constant("edge", np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64))
    value = "x"
    for i in range(3):
        weights = synthetic.rng(i).standard_normal((64, 64, 3, 3)) / 24
        bias = graph.constant(f"b{i}", synthetic.rng(9 + i).standard_normal(64).astype(np.float32))
        kernel = graph.constant(f"w{i}", weights.astype(np.float32))
        pads = [1, 1, 1, 1]
        taken = value
        if reflect:
            taken, pads = graph.add("Pad", [value, edge], f"pad{i}", mode="reflect"), [0, 0, 0, 0]
        graph.add("Conv", [taken, kernel, bias], f"c{i}", pads=pads)
        graph.add("ReduceMean", [f"c{i}", axes], f"mean{i}")
        graph.add("Sub", [f"c{i}", f"mean{i}"], f"centred{i}")
        graph.add("Mul", [f"centred{i}", f"centred{i}"], f"square{i}")
        graph.add("ReduceMean", [f"square{i}", axes], f"variance{i}")
        graph.add("Add", [f"variance{i}", tiny], f"more{i}")
        graph.add("Sqrt", [f"more{i}"], f"spread{i}")
        graph.add("Div", [f"centred{i}", f"spread{i}"], f"normal{i}")
        gain = synthetic.rng(20 + i).standard_normal((1, 64, 1, 1)).astype(np.float32)
        graph.add("Mul", [graph.constant(f"gain{i}", gain), f"normal{i}"], f"scaled{i}")
        shift = synthetic.rng(30 + i).standard_normal((64, 1, 1)).astype(np.float32)
        graph.add("Add", [f"scaled{i}", graph.constant(f"shift{i}", shift)], f"styled{i}")
        active = graph.add("LeakyRelu", [f"styled{i}"], f"active{i}", alpha=0.2)
        value = graph.add("Add", [value, active], f"sum{i}") if i else active
    graph.add("MaxPool", ["c1"], "pool", kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    graph.add("Sub", [value, "pool"], "y")
    shape = (batch, 64, 12, 16)
    graph.save(path, {"x": shape}, {"y": shape})
    if axes_inside:
        with_axes_as_attributes(path)
    return path


def with_axes_as_attributes(path: Path) -> None:
    """The same network as models of older opsets say it."""
    model = onnx.load(path)
    for node in model.graph.node:
        if node.op_type == "ReduceMean":
            del node.input[1]
            node.attribute.append(onnx.helper.make_attribute("axes", [-2, -1]))
    model.opset_import[0].version = 11
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


@BLOCKS
@pytest.mark.parametrize("batch", [1, "n"])
@pytest.mark.parametrize("axes_inside", [True, False])
@pytest.mark.parametrize("reflect", [True, False])
def test_what_lies_between_convolutions_works_on_tiles(
    tmp_path: Path,
    networks: NetworkFactory,
    block: int | None,
    batch: Any,
    axes_inside: bool,
    reflect: bool,
) -> None:
    path = styled_blocks(tmp_path / "m.onnx", batch=batch, axes_inside=axes_inside, reflect=reflect)
    values = synthetic.rng(3).standard_normal((3 if batch == "n" else 1, 64, 12, 16)).astype(np.float32)
    values[-1] *= 3  # samples that are alike would hide that they are mixed
    file = agrees(networks, path, values, block=block, count=3)
    nodes = file.model.graph.node
    tiles = {node.op_type for node in nodes if node.output[0].endswith(".as_tiles")}
    assert {"Add", "Sub", "Mul", "Div", "LeakyRelu"} <= tiles
    kinds = Counter(node.op_type for node in nodes)
    # A convolution that does not take a padded picture takes the tiles of the one before.
    assert kinds["ReduceMean"] == 0 and kinds["Concat"] == (0 if reflect else 2)


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


def test_a_runtime_that_refuses_the_rewritten_network_runs_the_original(
    tmp_path: Path, networks: NetworkFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(file: OnnxFile) -> int:
        count = rewrite(file)
        file.model.graph.node[0].domain = "of.another.runtime"
        return count

    path = network(tmp_path / "m.onnx", pads=(1, 1, 1, 1), size=(32, 32))
    tuner = ConvolutionTuner(tmp_path, networks, threads=2, least_bytes=0)
    monkeypatch.setattr("facefusion.swap.neural.tuning.rewrite", refused)
    assert tuner.faster(path, "digest") is None
    (verdict,) = json.loads((tmp_path / TUNING_FILE).read_text()).values()
    assert verdict["ratio"] == 0
    assert tuner.faster(path, "digest") is None


def test_small_files_are_left_alone(tmp_path: Path, networks: NetworkFactory) -> None:
    path = network(tmp_path / "m.onnx", pads=(1, 1, 1, 1), size=(32, 32))
    assert ConvolutionTuner(tmp_path, networks, threads=2).faster(path, "digest") is None
    assert not (tmp_path / TUNING_FILE).exists()

"""Networks in older forms of ONNX are rewritten like others, and none that cannot be is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import synthetic

from facefusion.swap.neural import tuning
from facefusion.swap.neural.tuning import ConvolutionTuner
from facefusion.swap.neural.winograd import rewrite
from facefusion.system.networks import NetworkFactory
from facefusion.system.onnx_file import OnnxFile


def enlarging(path: Path, opset: int) -> Path:
    """A picture enlarged and convolved."""
    graph = synthetic.Graph()
    scales = graph.constant("scales", np.array([1, 1, 2, 3], np.float32))
    region = graph.constant("region", np.zeros(0, np.float32))
    graph.add("Resize", ["x", scales] if opset < 11 else ["x", region, scales], "large", mode="linear")
    weights = synthetic.rng(1).standard_normal((64, 64, 3, 3)) / 24
    graph.add("Conv", ["large", graph.constant("w", weights.astype(np.float32))], "y", pads=[1, 1, 1, 1])
    graph.save(path, {"x": (1, 64, 8, 14)}, {"y": (1, 64, None, None)})
    model = onnx.load(path)
    model.opset_import[0].version = opset
    model.ir_version = 6
    onnx.save(model, path)
    return path


@pytest.mark.parametrize("opset", [10, 11, 12, 13])
def test_pictures_enlarged_the_old_way(tmp_path: Path, networks: NetworkFactory, opset: int) -> None:
    path = enlarging(tmp_path / "m.onnx", opset)
    values = synthetic.rng(2).standard_normal((1, 64, 8, 14)).astype(np.float32)
    file = OnnxFile(path)
    assert rewrite(file) == 1
    graph = file.graph()
    ours = networks.session(graph, "m.onnx", "cpu")[0].run(None, {"x": values, **graph.feeds})[0]
    stock = networks.session(path, "m.onnx", "cpu")[0].run(None, {"x": values})[0]
    np.testing.assert_allclose(ours, stock, atol=2e-4)


def test_a_network_that_cannot_be_rewritten_is_used_as_it_is(
    tmp_path: Path, networks: NetworkFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(file: OnnxFile) -> int:
        raise networks.failures[0]("an operator that is not known")

    monkeypatch.setattr(tuning, "rewrite", refused)
    path = enlarging(tmp_path / "m.onnx", 13)
    asked: list[Any] = []
    for _ in range(2):
        tuner = ConvolutionTuner(tmp_path, networks, threads=1, least_bytes=0)
        asked.append(tuner.faster(path, "digest"))
    assert asked == [None, None]

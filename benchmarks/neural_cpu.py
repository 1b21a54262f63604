"""How much faster a swapper of inswapper's size runs on the processor once its convolutions are rewritten.

Three ways of computing run in turns in one process, on the same input: the network as it is, one frame at a
time with all the cores, as other programs run it; the network as it is in the arrangement of a job of this
program (`plan_threads`: frames at a time, and threads for each); the rewritten one in that arrangement.

Times are those of one frame; their ratios and how far the outputs differ are printed. Weights are random:
only sizes matter for speed. With `--frames 4` each call of the rewritten network gets four, unlike in a job.

usage: python benchmarks/neural_cpu.py [--channels 1024] [--runs 5] [--threads N] [--frames 1]
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import common  # noqa: F401 - puts the package on the path
import numpy as np

from facefusion.swap.neural.winograd import rewrite
from facefusion.system.networks import NetworkFactory
from facefusion.system.onnx_file import OnnxFile
from facefusion.system.providers import prove_providers
from facefusion.system.threads import plan_threads

STOCK = "as it is, alone"
ARRANGED = "as it is, arranged as in a job"
OURS = "rewritten, as in a job"


class Generator:
    """An encoder, six residual blocks steered by the source, a decoder: what such swappers are made of."""

    def __init__(self, channels: int) -> None:
        self._random = np.random.default_rng(0)
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._known: set[str] = set()
        wide = channels
        value = self._activated(self._conv("target", 3, wide // 8, 7))
        value = self._activated(self._conv(value, wide // 8, wide // 4, 3))
        value = self._activated(self._conv(value, wide // 4, wide // 2, 3, stride=2))
        value = self._activated(self._conv(value, wide // 2, wide, 3, stride=2))
        for _ in range(6):
            inner = self._styled(self._conv(value, wide, wide, 3), wide)
            inner = self._styled(self._conv(self._activated(inner), wide, wide, 3), wide)
            value = self._op("Add", value, inner)
        value = self._activated(self._conv(self._doubled(value), wide, wide // 2, 3))
        value = self._activated(self._conv(self._doubled(value), wide // 2, wide // 4, 3))
        value = self._activated(self._conv(value, wide // 4, wide // 8, 3))
        value = self._op("Tanh", self._conv(value, wide // 8, 3, 7))
        half = self._constant("half", np.float32(0.5))
        self._last = self._op("Add", self._op("Mul", value, half), half)

    def model(self, frames: int | str = 1) -> Any:
        """The `onnx.ModelProto`: `target` (n, 3, 128, 128) and `source` (1, 512) in, `output` out."""
        from onnx import TensorProto, helper

        def port(name: str, *shape: int | str) -> Any:
            return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

        nodes = [*self._nodes, helper.make_node("Identity", [self._last], ["output"])]
        graph = helper.make_graph(
            nodes,
            "generator",
            [port("target", frames, 3, 128, 128), port("source", 1, 512)],
            [port("output", frames, 3, 128, 128)],
            self._constants,
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)

    def _op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        from onnx import helper

        name = f"{kind}{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def _constant(self, name: str, values: Any) -> str:
        from onnx import numpy_helper

        if name not in self._known:
            self._known.add(name)
            self._constants.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def _random_constant(self, *shape: int) -> str:
        scale = np.float32(1.0 / np.sqrt(np.prod(shape[1:]) or 1.0))
        values = self._random.standard_normal(shape, np.float32) * scale
        return self._constant(f"weights{len(self._known)}", values)

    def _conv(self, value: str, inputs: int, outputs: int, size: int, *, stride: int = 1) -> str:
        weights = self._random_constant(outputs, inputs, size, size)
        bias = self._random_constant(outputs)
        return self._op("Conv", value, weights, bias, strides=[stride, stride], pads=[size // 2] * 4)

    def _activated(self, value: str) -> str:
        return self._op("LeakyRelu", value, alpha=0.2)

    def _doubled(self, value: str) -> str:
        scales = self._constant("twice", np.array([1, 1, 2, 2], np.float32))
        return self._op("Resize", value, "", scales, mode="linear")

    def _styled(self, value: str, channels: int) -> str:
        """Normalised per channel, then scaled and shifted by what the source says."""
        axes = self._constant("axes", np.array([2, 3], np.int64))
        centred = self._op("Sub", value, self._op("ReduceMean", value, axes))
        spread = self._op("ReduceMean", self._op("Mul", centred, centred), axes)
        tiny = self._constant("tiny", np.float32(1e-8))
        normal = self._op("Div", centred, self._op("Sqrt", self._op("Add", spread, tiny)))
        style = [
            self._op("Unsqueeze", self._op("MatMul", "source", self._random_constant(512, channels)), axes)
            for _ in range(2)
        ]
        return self._op("Add", self._op("Mul", normal, style[0]), style[1])


def write(generator: Generator, path: Path, frames: int | str = 1) -> float:
    """Write the file; returns its number of parameters. What it took in memory is free again afterwards."""
    import onnx

    model = generator.model(frames)
    onnx.save(model, str(path))
    return float(sum(np.prod(constant.dims) for constant in model.graph.initializer))


@dataclass
class Way:
    """A network and how it is run.

    Attributes:
        session: of ONNX Runtime.
        feeds: of one call.
        calls: at a time.
        frames: in one call.
        output: of the last call.
    """

    session: Any
    feeds: dict[str, Any]
    calls: int = 1
    frames: int = 1
    output: Any = None
    seconds: list[float] = field(default_factory=list)
    burnt: list[float] = field(default_factory=list)

    def run(self, *, measured: bool) -> None:
        """Compute on each of `calls` threads, twice on each where there are several."""
        times = 2 if self.calls > 1 else 1
        began, cpu = time.perf_counter(), time.process_time()
        with ThreadPoolExecutor(self.calls) as pool:
            list(pool.map(self._call, [times] * self.calls))
        frames = times * self.calls * self.frames
        if measured:
            self.seconds.append((time.perf_counter() - began) / frames)
            self.burnt.append((time.process_time() - cpu) / frames)

    def table(self) -> tuple[float, ...]:
        """Median and least seconds of a frame, by the clock and of the processor."""
        return tuple(kind(times) for times in (self.seconds, self.burnt) for kind in (statistics.median, min))

    def _call(self, times: int) -> None:
        for _ in range(times):
            self.output = self.session.run(None, self.feeds)[0]


def opener(threads: int) -> NetworkFactory:
    """What opens networks for so many threads in a call."""
    return NetworkFactory(prove_providers(["cpu"], gpus=()), threads=threads)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--channels", type=int, default=1024)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--frames", type=int, default=1)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()

    plan = plan_threads(given.threads, heavy_inference=True)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "generator.onnx"
        parameters = write(Generator(given.channels), path, "n" if given.frames > 1 else 1)
        networks = opener(given.threads)
        stock = networks.session(path, path.name, "cpu")[0]
        arranged = stock
        if plan.inference != given.threads:
            arranged = opener(plan.inference).session(path, path.name, "cpu")[0]
        began = time.perf_counter()
        file = OnnxFile(path)
        count = rewrite(file)
        graph = file.graph()
        faster = opener(plan.inference).session(graph, path.name, "cpu")[0]
        prepared = time.perf_counter() - began
    random = np.random.default_rng(1)
    feeds: dict[str, Any] = {
        "target": random.random((given.frames, 3, 128, 128), np.float32),
        "source": random.standard_normal((1, 512), np.float32) / np.float32(np.sqrt(512)),
    }
    single = feeds | {"target": feeds["target"][:1]}
    ways = {
        STOCK: Way(stock, single),
        ARRANGED: Way(arranged, single, calls=plan.swap),
        OURS: Way(faster, {**feeds, **graph.feeds}, calls=plan.swap, frames=given.frames),
    }
    for turn in range(given.runs + 1):
        for way in ways.values():
            way.run(measured=turn > 0)
    print(
        f"{platform.processor() or platform.machine()}, {given.threads} threads, "
        f"onnxruntime {networks.version}"
    )
    print(f"{parameters / 1e6:.1f} million parameters, {count} convolutions rewritten in {prepared:.1f} s")
    together = f"{plan.swap} frames at a time" if plan.swap > 1 else "one frame at a time"
    print(f"a job's arrangement: {together}, threads for each: {plan.inference}; in a call: {given.frames}")
    # Processor time hardly depends on what else the machine is doing; wall time does.
    print(f"{'':42}{'median':>11}{'best':>11}{'processor':>11}{'best':>11}")
    for name, way in ways.items():
        print(f"{name:42}{''.join(f'{value * 1e3:8.0f} ms' for value in way.table())}")
    for name in (STOCK, ARRANGED):
        pairs = zip(ways[name].table(), ways[OURS].table(), strict=True)
        ratios = "".join(f"{theirs / ours:10.2f}x" for theirs, ours in pairs)
        print(f"{'ratio to ' + name:42}{ratios}")
    difference = float(np.abs(ways[STOCK].output - ways[OURS].output[:1]).max())
    print(f"largest difference of the outputs: {difference:.1e} (outputs are 0 to 1)")


if __name__ == "__main__":
    main()

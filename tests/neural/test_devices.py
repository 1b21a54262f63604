"""What is done for graphics processors, tried on the processor: batches, lack of memory, giving way."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
import synthetic
from devices import Devices
from numpy.typing import NDArray

from facefusion.config import AutomationConfig
from facefusion.errors import EngineError, OutOfMemoryError
from facefusion.faces.detect import FaceDetector
from facefusion.faces.landmarks import Landmarker
from facefusion.faces.track import find_faces
from facefusion.media.frame import PackedFrame
from facefusion.models import ModelManager
from facefusion.swap.contract import Patch
from facefusion.swap.neural.build import EngineBuilder
from facefusion.swap.neural.choice import choose_models
from facefusion.swap.neural.tuning import ConvolutionTuner
from facefusion.swap.neural.workshop import NeuralWorkshop
from facefusion.system.batching import MicroBatches
from facefusion.system.device import device_for
from facefusion.system.free_batch import open_for_batches
from facefusion.system.networks import NetworkFactory
from facefusion.system.providers import ProviderReport, ProviderVerdict
from facefusion.system.threads import plan_threads

if TYPE_CHECKING:
    from facefusion.models.samples import Samples

Array = NDArray[Any]
REPOSITORY = Path(__file__).resolve().parents[2]


def pictures(count: int, size: int = 32, seed: int = 5) -> Array:
    return synthetic.rng(seed).random((count, 3, size, size)).astype(np.float32)


class Recorder:
    """A runner that doubles what it is given, and remembers how many samples each call had."""

    def __init__(self, fail_on: float | None = None) -> None:
        self.sizes: list[int] = []
        self.going = threading.Event()
        self.going.set()
        self._fail_on = fail_on

    def run_batch(self, feeds: Mapping[str, Array], shared: Mapping[str, Array] | None = None) -> Array:
        self.going.wait(10)
        values = feeds["x"]
        self.sizes.append(len(values))
        if self._fail_on is not None and (values == self._fail_on).any():
            raise EngineError("broken")
        return values * 2 + (0 if shared is None else shared["s"])


def together(runner: MicroBatches, calls: list[tuple[Array, Mapping[str, Array] | None]]) -> list[Any]:
    """Results of calls made by one thread each, or their errors."""
    results: list[Any] = [None] * len(calls)

    def go(index: int) -> None:
        try:
            results[index] = runner.run_batch({"x": calls[index][0]}, calls[index][1])
        except EngineError as error:
            results[index] = error

    threads = [threading.Thread(target=go, args=(index,)) for index in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not any(thread.is_alive() for thread in threads)
    return results


def test_calls_of_several_threads_become_few() -> None:
    network = Recorder()
    runner = MicroBatches(network, limit=4, patience=0.05)
    calls = [(np.full((1 + index % 2, 3), float(index)), None) for index in range(12)]
    results = together(runner, list(calls))
    for (values, _), result in zip(calls, results, strict=True):
        np.testing.assert_array_equal(result, values * 2)
    assert sum(network.sizes) == 18 and max(network.sizes) in (3, 4)
    assert len(network.sizes) < 12


def test_calls_for_different_faces_and_sizes_stay_apart() -> None:
    one, two = {"s": np.array([1.0])}, {"s": np.array([1000.0])}
    runner = MicroBatches(Recorder(), patience=0.05)
    shapes = [(1, 3), (1, 3), (1, 5), (1, 3)]
    calls = [(np.ones(shape), shared) for shape, shared in zip(shapes, (one, two, one, one), strict=True)]
    results = together(runner, list(calls))
    assert [result.shape for result in results] == shapes
    assert [float(result.max()) for result in results] == [3.0, 1002.0, 3.0, 3.0]


def test_an_error_reaches_everybody_of_the_call_and_nobody_else() -> None:
    runner = MicroBatches(Recorder(fail_on=7.0), limit=1)
    results = together(runner, [(np.full((1, 2), value), None) for value in (1.0, 7.0, 3.0)])
    assert isinstance(results[1], EngineError)
    assert float(results[0].max()) == 2.0 and float(results[2].max()) == 6.0


def test_a_model_of_one_sample_is_opened_for_many(tmp_path: Path, networks: NetworkFactory) -> None:
    path = synthetic.swapper(tmp_path / "m.onnx", size=32)
    source = synthetic.rng(6).standard_normal((1, 512)).astype(np.float32)
    feeds = pictures(5)
    plain = networks.open(synthetic.swapper(tmp_path / "same.onnx", size=32))
    network = open_for_batches(networks, path)
    assert network.takes_batches and not plain.takes_batches
    expected = plain.run_batch({"target": feeds}, {"source": source})
    np.testing.assert_allclose(network.run_batch({"target": feeds}, {"source": source}), expected, atol=1e-6)
    assert open_for_batches(networks, path) is network


def test_a_model_with_its_size_built_in_stays_as_it_is(tmp_path: Path, networks: NetworkFactory) -> None:
    graph = synthetic.Graph()
    shape = graph.constant("shape", np.array([1, 3 * 32 * 32], np.int64))
    graph.add("Reshape", ["input", shape], "flat")
    graph.add("Mul", ["flat", graph.constant("two", np.float32(2))], "output")
    path = graph.save(tmp_path / "m.onnx", {"input": (1, 3, 32, 32)}, {"output": (1, 3 * 32 * 32)})
    network = open_for_batches(networks, path)
    assert not network.takes_batches
    assert network.run_batch({"input": pictures(3)}).shape == (3, 3 * 32 * 32)


def test_a_model_that_mixes_its_samples_stays_as_it_is(tmp_path: Path, networks: NetworkFactory) -> None:
    graph = synthetic.Graph()
    axes = graph.constant("axes", np.array([0, 1, 2, 3], np.int64))
    graph.add("ReduceMean", ["input", axes], "mean", keepdims=1)
    graph.add("Sub", ["input", "mean"], "output")
    path = graph.save(tmp_path / "m.onnx", {"input": (1, 3, 32, 32)}, {"output": (1, 3, 32, 32)})
    assert not open_for_batches(networks, path).takes_batches


@pytest.fixture
def picture_model(tmp_path: Path) -> Path:
    return synthetic.shift_picture(tmp_path / "m.onnx", size=32, offset=0.5, batch="n")


def test_without_memory_for_many_samples_fewer_are_taken(picture_model: Path) -> None:
    devices = Devices(("cuda", "cpu"), {"cuda": 3})
    network = devices.open(picture_model)
    feeds = pictures(11)
    np.testing.assert_allclose(network.run_batch({"input": feeds}), feeds + 0.5, atol=1e-6)
    assert devices.sessions["cuda"].sizes == [2, 2, 2, 2, 2, 1]
    assert network.provider == "cuda" and devices.warnings == ()
    network.run_batch({"input": feeds[:4]})
    assert devices.sessions["cuda"].sizes[6:] == [2, 2]  # what was learnt is kept


def test_without_memory_for_one_sample_the_next_provider_follows_and_it_is_said(picture_model: Path) -> None:
    devices = Devices(("tensorrt", "cpu"), {"tensorrt": 0, "cuda": 0})
    network = devices.open(picture_model)
    feeds = pictures(3)
    np.testing.assert_allclose(network.run_batch({"input": feeds}), feeds + 0.5, atol=1e-6)
    assert devices.opened == ["tensorrt", "cuda", "cpu"] and network.provider == "cpu"
    first, second = devices.warnings
    assert "ran on TensorRT, but its memory ran out; it went on on CUDA" in first
    assert "ran on CUDA, but its memory ran out; it went on on CPU" in second


def test_without_memory_on_the_processor_the_job_fails(picture_model: Path) -> None:
    network = Devices(("cpu",), {"cpu": 0}).open(picture_model)
    with pytest.raises(OutOfMemoryError, match=r"m\.onnx found no memory on CPU"):
        network.run_batch({"input": pictures(2)})


@pytest.mark.parametrize("cores", [2, 8, 16, 64])
def test_a_graphics_processor_has_several_frames_to_work_on(cores: int) -> None:
    plan = plan_threads(cores, device_inference=True)
    assert plan.swap >= 3 and plan.inference == 1
    assert plan.swap + plan.decode + plan.encode <= max(cores + 1, 6)


def test_an_engine_on_a_device_paints_from_several_threads_what_the_processor_paints(
    install: Callable[..., Path], samples: Samples, processor: ProviderReport, tmp_path: Path
) -> None:
    folder = install("inswapper_128", "arcface_w600k_r50", "gpen_bfr_256")
    manager = ModelManager(folder)
    config = AutomationConfig(quality_preset="balanced")
    models = choose_models(manager, config)
    assert models.swapper is not None and models.enhancer is not None
    picture = np.asarray(cv2.imread(str(samples.group)), np.uint8)
    portrait = np.asarray(cv2.imread(str(samples.astronaut)), np.uint8)
    tools = FaceDetector(folder), Landmarker(folder)
    faces = find_faces(PackedFrame(picture), *tools)
    source_face = find_faces(PackedFrame(portrait), *tools)[0]

    def painted(networks: NetworkFactory, threads: int) -> list[Patch | None]:
        tuner = ConvolutionTuner(tmp_path, networks, threads=1)
        assert models.swapper is not None
        engine = EngineBuilder(manager, networks, tuner).build(models.swapper, models, config)
        painter = engine.painter(engine.prepare([(portrait, source_face)]), config)
        frame = PackedFrame(picture)
        manners = [painter.study(frame, number, face) for number, face in enumerate(faces)]
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(lambda pair: painter.draw(frame, *pair), zip(faces, manners, strict=True)))

    devices = Devices(("cuda", "cpu"), {})
    expected, actual = painted(NetworkFactory(processor, threads=1), 1), painted(devices, 4)
    assert len(actual) == 6 and devices.warnings == ()
    for one, other in zip(expected, actual, strict=True):
        assert one is not None and other is not None and one.box == other.box
        np.testing.assert_array_equal(one.alpha, other.alpha)
        np.testing.assert_allclose(one.colour.astype(int), other.colour.astype(int), atol=1)


def without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if `requirements-cuda.txt` were not installed, wherever these tests run."""
    monkeypatch.setitem(sys.modules, "torch", None)


def test_cuda_without_torch_is_said_once(
    tmp_path: Path, processor: ProviderReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_torch(monkeypatch)
    verdicts = (ProviderVerdict("cuda", True, "claimed"),)
    report = ProviderReport(("cuda",), verdicts, "onnxruntime")
    monkeypatch.setattr("facefusion.swap.neural.workshop.prove_providers", lambda *_, **__: report)
    workshop = NeuralWorkshop(tmp_path, threads=1)
    config = AutomationConfig(execution_providers=["cuda"])
    assert workshop.on_device(config) and workshop.on_device(config)
    networks = workshop.networks(config)
    assert networks.device is None
    (sentence,) = networks.warnings
    assert "crops, masks and pasting are done on the processor" in sentence
    assert "torch, which comes with requirements-cuda.txt, does not load" in sentence


def test_without_a_graphics_processor_nothing_is_said_of_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    without_torch(monkeypatch)
    for provider in ("cpu", "coreml", "directml", "openvino"):
        assert device_for(provider) == (None, "")
    for provider in ("cuda", "tensorrt"):
        device, sentence = device_for(provider)
        assert device is None and sentence.endswith(".")


def test_nothing_loads_torch_unless_a_graphics_processor_is_used() -> None:
    code = (
        "import sys, facefusion.pipeline, facefusion.swap.device_bench, facefusion.system.graphs;"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr

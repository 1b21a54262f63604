"""How work is given to a device and waited for: batches, recorded runs, and what a stream is asked to do."""

from __future__ import annotations

import contextlib
import importlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import synthetic
from devices import Devices

from facefusion.errors import EngineError
from facefusion.system import graphs
from facefusion.system.batching import MicroBatches
from facefusion.system.device import BoundSession, Device, device_for
from facefusion.system.networks import NetworkFactory
from facefusion.system.providers import ProviderReport

torch = pytest.importorskip("torch", reason="torch comes with requirements-cuda.txt")


class Stream:
    """A stream that notes what is asked of it."""

    cuda_stream = 140_000_123

    def __init__(self) -> None:
        self.log: list[str] = []
        self.entered = 0

    def synchronize(self) -> None:
        self.log.append("all done")


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> Stream:
    """What torch offers on a machine with CUDA, on tensors of the processor."""
    made = Stream()
    numbers = iter(range(1000))

    class Event:
        def __init__(self, *, blocking: bool) -> None:
            assert blocking  # who waits must not take a core
            self.number = next(numbers)

        def record(self, stream: Stream) -> None:
            stream.log.append(f"mark {self.number}")

        def synchronize(self) -> None:
            made.log.append(f"wait {self.number}")

    @contextlib.contextmanager
    def entered(which: Stream) -> Iterator[None]:
        which.entered += 1
        yield

    def empty(*shape: Any, pin_memory: bool = False, **more: Any) -> Any:
        return torch.empty(*shape, **more)

    cuda = SimpleNamespace(Stream=lambda place: made, stream=entered, Event=Event)
    own = {"cuda": cuda, "empty": empty, "device": lambda kind, index=0: torch.device("cpu")}

    class Torch:
        def __getattr__(self, name: str) -> Any:
            return own.get(name) or getattr(torch, name)

    real = importlib.import_module
    monkeypatch.setattr(importlib, "import_module", lambda name: Torch() if name == "torch" else real(name))
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: self)
    return made


def test_only_what_is_fetched_is_waited_for(stream: Stream) -> None:
    device = Device("cuda")
    values = synthetic.rng(1).random((3, 4)).astype(np.float32)
    with device.work():
        tensor = device.array(values) * 2 + device.constant(values)
        assert stream.entered == 1 and stream.log == []
        np.testing.assert_allclose(device.host(tensor), values * 3, rtol=1e-6)
    assert stream.log == ["mark 0", "wait 0"]
    device.finish()
    assert stream.log[-1] == "all done"


def test_two_works_are_under_way_and_no_more(stream: Stream) -> None:
    pace = Device("cuda").pacer()
    for _ in range(4):
        pace()
    assert stream.log == ["mark 0", "mark 1", "mark 2", "wait 0", "mark 3", "wait 1"]


def test_sessions_on_cuda_share_the_stream_and_others_do_not(
    stream: Stream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device, _ = device_for("cuda")
    assert device is not None and device.serves("cuda") and device.serves("tensorrt")
    assert not device.serves("cpu")
    factory = Devices(("tensorrt", "cpu"), {}, device=device)
    asked: list[Any] = []
    monkeypatch.setattr(
        factory._runtime, "InferenceSession", lambda source, options, providers: asked.append(providers)
    )
    factory.create(tmp_path, "tensorrt", {"special": "1"})
    chain = dict(asked[0])
    shared = {"user_compute_stream": "140000123"}
    assert chain["TensorrtExecutionProvider"].items() >= {**shared, "special": "1"}.items()
    assert chain["CUDAExecutionProvider"].items() >= shared.items()
    assert "special" not in chain["CUDAExecutionProvider"]
    assert not chain["CPUExecutionProvider"]


def test_batches_keep_the_pace() -> None:
    said: list[str] = []

    class Doubling:
        def run_batch(self, feeds: Any, shared: Any = None) -> Any:
            said.append("run")
            return feeds["x"] * 2

    runner = MicroBatches(Doubling(), patience=0.0, pace=lambda: said.append("pace"))
    for value in (1.0, 2.0):
        assert runner.run_batch({"x": np.full((1, 2), value)}).max() == 2 * value
    assert said == ["run", "pace"] * 2


def test_tensors_of_several_threads_become_one_batch(
    tmp_path: Path, processor: ProviderReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = Device("cpu")
    networks = NetworkFactory(processor, threads=1, device=device)
    network = networks.open(synthetic.swapper(tmp_path / "m.onnx", size=32, batch="n"))
    runner = MicroBatches(network, patience=0.0)
    source = synthetic.rng(6).standard_normal((1, 512)).astype(np.float32)
    pictures = synthetic.rng(5).random((4, 3, 32, 32)).astype(np.float32)
    expected = network.run_batch({"target": pictures}, {"source": source})
    from facefusion.system.batching import _Call

    with device.work():
        calls = [_Call({"target": device.array(part[None])}, {"source": source}) for part in pictures]
        calls.append(_Call({"target": pictures[:1]}, {"source": source}))  # from a face that left the device
        runner._waiting = list(calls)
        runner._work(runner._take())
        assert runner._waiting == calls[4:]
        for call, part in zip(calls, expected, strict=False):
            np.testing.assert_allclose(device.host(call.output)[0], part, atol=1e-6)


@pytest.fixture
def opened(tmp_path: Path) -> Any:
    devices = Devices(("cuda", "cpu"), {}, device=Device("cpu"))
    made = devices.open(synthetic.swapper(tmp_path / "m.onnx", size=32, batch="n"))

    def create(model: Any, provider: str, special: Any = None) -> Any:
        assert provider == "cuda" and special == {"enable_cuda_graph": "1"}
        return NetworkFactory.create(devices, model, "cpu")

    devices.create = create  # type: ignore[method-assign]
    return devices, made


def result_of(network: Any, size: int) -> Any:
    pictures = synthetic.rng(size).random((size, 3, 32, 32)).astype(np.float32)
    source = synthetic.rng(6).standard_normal((1, 512)).astype(np.float32)
    device = network.device
    with device.work():
        return device.host(network.run_batch({"target": device.array(pictures)}, {"source": source}))


def test_recorded_runs_take_over_where_they_are_faster(opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    devices, network = opened
    before = [result_of(network, size) for size in (1, 3, 8, 9)]
    monkeypatch.setattr(graphs, "_WORTH_IT", 1e9)
    assert graphs.record_graphs(devices, network) == 0.0 and network.bound.graphs == ()
    monkeypatch.setattr(graphs, "_WORTH_IT", 1e-9)
    assert graphs.record_graphs(devices, network) > 0.0 and network.bound.graphs == (1, 2, 4, 8)
    for size, expected in zip((1, 3, 8, 9), before, strict=True):
        np.testing.assert_allclose(result_of(network, size), expected, atol=1e-6)
    source = synthetic.rng(6).standard_normal((1, 512)).astype(np.float32)
    pictures = synthetic.rng(3).random((3, 3, 32, 32)).astype(np.float32)
    plain = network.run_batch({"target": pictures}, {"source": source})  # from NumPy, for who needs that
    np.testing.assert_allclose(plain, before[1], atol=1e-6)


def test_one_thread_runs_what_was_recorded(opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The runtime keeps recordings by thread; another thread's call would record again, amid other work."""
    devices, network = opened
    create, threads, held = devices.create, [], []

    class Noting:
        def __init__(self, session: Any) -> None:
            self._session = session

        def run(self, *given: Any) -> Any:
            threads.append(threading.get_ident())
            return self._session.run(*given)

        def run_with_iobinding(self, *given: Any) -> None:
            threads.append(threading.get_ident())
            held.append(network.device.turn.locked())
            self._session.run_with_iobinding(*given)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._session, name)

    devices.create = lambda *given: Noting(create(*given))
    monkeypatch.setattr(graphs, "_WORTH_IT", 1e-9)
    assert graphs.record_graphs(devices, network) > 0.0
    before = len(threads)
    held.clear()
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda size: result_of(network, size), (1, 3, 8)))
    assert held == [True] * 3, "their buffers are the same"
    feeds = {"target": np.zeros((1, 3, 32, 32), np.float32), "source": np.zeros((1, 512), np.float32)}
    network.run(feeds)
    assert len(threads) >= before + 4
    assert len(set(threads)) == 1


def test_recorded_runs_that_compute_something_else_are_not_used(
    opened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    devices, network = opened
    real = BoundSession.run

    def wrong(self: BoundSession, feeds: Any) -> Any:
        return [output * (1.5 if self.graphs else 1.0) for output in real(self, feeds)]

    monkeypatch.setattr(graphs, "_WORTH_IT", 1e-9)
    monkeypatch.setattr(BoundSession, "run", wrong)
    assert graphs.record_graphs(devices, network) == 0.0 and network.bound.graphs == ()


def test_a_network_that_cannot_be_recorded_runs_as_before(opened: Any) -> None:
    devices, network = opened

    def refuse(*_: Any) -> Any:
        raise RuntimeError("This session cannot use the graph capture feature as requested by the user")

    devices.create = refuse
    assert graphs.record_graphs(devices, network) == 0.0
    assert result_of(network, 3).shape == (3, 3, 32, 32) and devices.warnings == ()


def test_a_network_that_is_opened_again_does_not_work_on_a_device_that_was_left(tmp_path: Path) -> None:
    """Its new session has a stream of its own, which waits for nobody's tensors."""
    devices = Devices(("cuda", "cpu"), {"cuda": 0}, device=Device("cpu"))
    network = devices.open(synthetic.swapper(tmp_path / "m.onnx", size=32, batch="n"))
    assert network.bound is not None
    devices.leave_device("it was asked to")
    network.run({"target": np.zeros((1, 3, 32, 32), np.float32), "source": np.zeros((1, 512), np.float32)})
    assert network.provider == "cpu" and network.bound is None
    assert result_of(network, 2).shape == (2, 3, 32, 32)


def test_an_error_of_the_runtime_is_explained(opened: Any) -> None:
    _, network = opened
    device = network.device
    with device.work(), pytest.raises(EngineError, match=r"m\.onnx failed on CUDA"):
        network.run({"target": device.array(np.zeros((1, 3, 7, 7), np.float32))})

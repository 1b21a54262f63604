"""ONNX models as callable networks: one session each, on a proved provider, shared by all threads.

What cannot be done as asked is done on the next provider, and a sentence about it lands in
`NetworkFactory.warnings`; nothing falls back in silence.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from facefusion.errors import EngineError, ModelMissingError, OutOfMemoryError
from facefusion.system.device import CUDA_PROVIDERS, Array, BoundSession, Device, is_tensor, joined, repeated
from facefusion.system.onnx_file import Graph
from facefusion.system.onnx_runtime import (
    PROVIDERS,
    Port,
    explained,
    failures,
    first_line,
    import_onnxruntime,
    port_of,
    prepare_libraries,
    session_options,
)
from facefusion.system.providers import ProviderReport

NEXT_PROVIDER: Mapping[str, str] = {"tensorrt": "cuda"}
"""What follows a provider that gives way; the CPU where nothing stands here."""

# Largest deviation of a half-precision network from the CPU's result, relative to its largest value. Rounding
# gives about 1e-2; the green or noisy boxes that some graphics processors compute are off by all of it.
_HALF_TOLERANCE = 0.08


class Network:
    """One ONNX model. Safe to call from several threads.

    Attributes:
        title: file name, for messages.
        device: whose tensors it can be fed with.
        inputs, outputs: as the graph declares them.
    """

    def __init__(
        self, factory: NetworkFactory, path: Path, provider: str, *, graph: Graph | None = None
    ) -> None:
        self.title = path.name
        self.device = factory.device
        self._factory = factory
        self._path = path
        self._change = threading.Lock()
        self._feeds: Mapping[str, Array] = {}
        self._batch_limit: int | None = None
        self._open(provider, path if graph is None else graph)

    @property
    def provider(self) -> str:
        """Word of the provider that runs it now."""
        return self._provider

    @property
    def model(self) -> Path | Graph:
        """What runs: the file, or a graph in its place."""
        return self._model

    @property
    def takes_batches(self) -> bool:
        """Whether the graph leaves the size of the batch open."""
        return bool(self.inputs) and self.inputs[0].shape[:1] == (None,)

    def input(self, name: str) -> Port:
        """The input called `name`.

        Raises:
            ModelMissingError: there is none, so this is not the model it should be.
        """
        for port in self.inputs:
            if port.name == name:
                return port
        names = ", ".join(port.name for port in self.inputs)
        raise ModelMissingError(f"{self.title} has no input called {name!r} (it has {names}).")

    def require(self, name: str, *shape: int) -> Port:
        """The input called `name`, which must accept arrays of `shape` (batch first).

        Raises:
            ModelMissingError: it does not.
        """
        port = self.input(name)
        fits = len(port.shape) == len(shape) and all(
            own is None or own == wanted for own, wanted in zip(port.shape[1:], shape[1:], strict=True)
        )
        if not fits:
            raise ModelMissingError(f"{self.title}: {name!r} takes {port.shape} instead of {shape}.")
        return port

    def run(self, feeds: Mapping[str, Array]) -> list[Array]:
        """Run once.

        Args:
            feeds: by input name; cast to the declared types. If any of them is a tensor of the device, the
                answers are, too; arrays beside it are brought there.

        Raises:
            OutOfMemoryError: memory ran out, on the CPU as well.
            EngineError: the runtime refused or failed.
        """
        provider = self._provider
        try:
            return self._call(feeds)
        except OutOfMemoryError:
            if provider == "cpu":
                raise
            self._give_way(provider, "its memory ran out")
            return self.run(feeds)

    def run_batch(self, feeds: Mapping[str, Array], shared: Mapping[str, Array] | None = None) -> Array:
        """First output for n samples: one call where the graph allows it, else several.

        Args:
            feeds: arrays whose first axis counts the n samples.
            shared: NumPy arrays of one sample that belong to all of them, and that nobody changes.

        Raises:
            OutOfMemoryError, EngineError: see `run`.
        """
        if self.device is not None and any(is_tensor(values) for values in feeds.values()):
            shared = {name: self.device.constant(values) for name, values in (shared or {}).items()}
        count = len(next(iter(feeds.values())))
        limit = min(count, self._batch_limit or count) if self.takes_batches else 1
        done: list[Array] = []
        at = 0
        while at < count:
            size = min(limit, count - at)
            part = {name: values[at : at + size] for name, values in feeds.items()}
            part |= {name: self._spread(name, values, size) for name, values in (shared or {}).items()}
            try:
                output = self._batch_output(part, size)
            except (OutOfMemoryError, EngineError):
                if size == 1:
                    raise
                # Too large for the memory, or a graph that promises batches and has its size built in.
                self._batch_limit = limit = max(1, size // 2)
                continue
            done.append(output)
            at += size
        return joined(done)

    def _batch_output(self, feeds: Mapping[str, Array], size: int) -> Array:
        if size == 1:
            return self.run(feeds)[0]
        # Not `run`: smaller batches come before another provider.
        output = self._call(feeds)[0]
        if len(output) != size:
            raise EngineError(f"{self.title} gave {len(output)} results for {size} samples.")
        return output

    def _spread(self, name: str, values: Array, size: int) -> Array:
        """One sample's array for `size` samples, unless the graph wants it once."""
        if self.input(name).shape[:1] == (None,):
            return repeated(values, size)
        return values

    def _call(self, feeds: Mapping[str, Array]) -> list[Array]:
        given = [(port, feeds[port.name]) for port in self.inputs if port.name in feeds]
        device, bound, session, guard = self.device, self.bound, self._session, self._guard
        try:
            if device is not None and any(is_tensor(values) for _, values in given):
                if bound is not None:
                    return bound.run({port.name: _there(device, values, port) for port, values in given})
                given = [(p, device.host(v) if is_tensor(v) else v) for p, v in given]
                return [device.array(output) for output in self._call({p.name: v for p, v in given})]
            typed = {port.name: np.ascontiguousarray(values, port.dtype) for port, values in given}
            with guard:
                outputs = session.run(None, {**typed, **self._feeds}, *self._options)
                return [np.asarray(output) for output in outputs]
        except self._factory.failures as error:
            raise explained(self.title, PROVIDERS[self._provider].title, str(error)) from error

    def _give_way(self, left: str, reason: str) -> None:
        with self._change:
            if self._provider != left:  # another thread was here before
                return
            following = NEXT_PROVIDER.get(left, "cpu")
            self._open(following, self._path)
            self._factory.warn(
                f"{self.title} ran on {PROVIDERS[left].title}, but {reason}; "
                f"it went on on {PROVIDERS[self._provider].title}."
            )

    def _open(self, provider: str, model: Path | Graph) -> None:
        self._model = model
        self._session, self._provider = self._factory.session(model, self.title, provider)
        # DirectML does not allow two calls of one session at the same time.
        self._guard: AbstractContextManager[Any] = (
            threading.Lock() if self._provider == "directml" else nullcontext()
        )
        self._feeds = model.feeds if isinstance(model, Graph) else {}
        self._options: tuple[Any, ...] = ()
        device = self._factory.device  # of one that was left, the session does not share the stream
        bindable = device is not None and device.serves(self._provider) and not self._feeds
        self.bound = BoundSession(device, self._session) if device is not None and bindable else None
        ports = (port_of(value) for value in self._session.get_inputs())
        self.inputs = tuple(port for port in ports if port.name not in self._feeds)
        self.outputs = tuple(port_of(value) for value in self._session.get_outputs())

    def take_over(self, bound: BoundSession) -> None:
        """Run through another session for the same graph and provider."""
        self.bound, self._session, self._options = bound, bound.session, (bound.options(wait=True),)

    def check_half_precision(self) -> None:
        """Compare one random sample with the CPU; on disagreement go on on the CPU, with a warning.

        Raises:
            EngineError: the CPU's result is not finite either.
        """
        generator = np.random.default_rng(0)
        feeds = {
            port.name: generator.random([size or 1 for size in port.shape]).astype(port.dtype)
            for port in self.inputs
        }
        ours = self.run(feeds)[0].astype(np.float32)
        if self._provider == "cpu":
            if not np.isfinite(ours).all():
                raise EngineError(f"{self.title} computes numbers that are not finite.")
            return
        session, _ = self._factory.session(self._path, self.title, "cpu")
        true = np.asarray(session.run(None, feeds)[0], np.float32)
        deviation = float(np.abs(ours - true).max() / (np.abs(true).max() + 1e-6))
        if not deviation <= _HALF_TOLERANCE:  # written so that "not a number" fails
            self._give_way(self._provider, f"half precision is off by {deviation:.2g} there")


class NetworkFactory:
    """Opens networks on the provider that was proved, each file once.

    Args:
        providers: what works on this machine.
        threads: inside one call on the CPU.
        cache_dir: where providers may keep what they compile.
        memory_limit: bytes of device memory for one session.
        device: whose memory the provider works in, so that networks can be fed with its tensors.
    """

    def __init__(
        self,
        providers: ProviderReport,
        *,
        threads: int,
        cache_dir: Path | None = None,
        memory_limit: int | None = None,
        device: Device | None = None,
    ) -> None:
        self._runtime = import_onnxruntime()
        self._device = device
        self._report = providers
        self._threads = threads
        self._cache_dir = cache_dir
        self._memory_limit = memory_limit
        self._opened: dict[Path, tuple[tuple[int, int], Network]] = {}
        self._warnings: list[str] = list(providers.warnings)
        self.failures = failures(self._runtime)
        prepare_libraries(self._runtime, providers.chosen.name)

    @property
    def provider(self) -> str:
        """Word of the provider that was proved."""
        return self._report.chosen.name

    @property
    def version(self) -> str:
        """Of ONNX Runtime."""
        return str(self._runtime.__version__)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was done differently from what was asked, so far."""
        return tuple(self._warnings)

    @property
    def device(self) -> Device | None:
        """In whose memory crops, masks and patches are made; None where the processor does that."""
        return self._device

    def leave_device(self, reason: str) -> None:
        """Make crops, masks and patches on the processor from here on, and say why."""
        if self._device is not None:
            self._device = None
            self.warn(
                f"Crops, masks and pasting were to be done on the graphics processor, but {reason}; "
                "the processor did them instead."
            )

    def warn(self, sentence: str) -> None:
        """Remember a sentence for the report, once."""
        if sentence not in self._warnings:
            self._warnings.append(sentence)

    def open(self, path: Path, *, half_precision: bool = False, model: Graph | None = None) -> Network:
        """The network in a file; opened once, then shared until the file changes.

        Args:
            path: the file.
            half_precision: its weights are; it is compared with the CPU before use.
            model: run this graph in place of the file's own.

        Raises:
            ModelMissingError: the file is absent or not a readable model.
        """
        if not path.is_file():
            raise ModelMissingError(f"The model file {path.name} is not installed.")
        if self.is_open(path):
            return self._opened[path][1]
        network = Network(self, path, self.provider, graph=model)
        if half_precision:
            network.check_half_precision()
        self._opened[path] = (_version(path), network)
        return network

    def is_open(self, path: Path) -> bool:
        """Whether the file is open as it now is."""
        return path in self._opened and self._opened[path][0] == _version(path)

    def keep(self, paths: Collection[Path]) -> None:
        """Forget the networks of all other files; they would only take memory."""
        self._opened = {path: entry for path, entry in self._opened.items() if path in paths}

    def create(self, model: Path | Graph, provider: str, special: Mapping[str, str] | None = None) -> Any:
        """A session on `provider`, with special options for that one.

        Raises:
            One of `failures`: the provider, or the runtime, does not take the model.
        """
        chain = self._report.ort_providers(memory_limit=self._memory_limit, cache_dir=self._cache_dir)
        names = [entry[0] for entry in chain]
        if provider != self.provider:  # the proved one has given way
            chain = chain[names.index(PROVIDERS[provider].ort_name) :]
        if self._device is not None:
            served = [PROVIDERS[name].ort_name for name in CUDA_PROVIDERS]
            shared = self._device.provider_options()
            chain = [(name, own | shared if name in served else own) for name, own in chain]
        chain[0] = (chain[0][0], {**chain[0][1], **(special or {})})
        options = session_options(self._runtime, provider, self._threads)
        if isinstance(model, Path):
            source: str | bytes = str(model)
        else:
            source = model.content
            values = [self._runtime.OrtValue.ortvalue_from_numpy(w) for w in model.weights.values()]
            options.add_external_initializers(list(model.weights), values)
        return self._runtime.InferenceSession(source, options, providers=chain)

    def session(self, model: Path | Graph, title: str, provider: str) -> tuple[Any, str]:
        """A session on `provider`, or on the next one with a warning; and the word of what it really is.

        Raises:
            ModelMissingError: the runtime cannot read the model.
        """
        try:
            session = self.create(model, provider)
        except self.failures as error:
            if provider == "cpu":
                raise ModelMissingError(
                    f"{title} cannot be read as an ONNX model ({first_line(str(error))}).",
                    remedy="Run `python3 simple_auto_processor.py models check`, then `models install`.",
                ) from error
            kind = PROVIDERS[provider].title
            following = NEXT_PROVIDER.get(provider, "cpu")
            told = PROVIDERS[following].title
            self.warn(f"{title} does not run on {kind} ({first_line(str(error))}); it ran on {told}.")
            return self.session(model, title, following)
        first = session.get_providers()[0]
        if first != PROVIDERS[provider].ort_name:
            self.warn(f"{title} was to run on {PROVIDERS[provider].title}, but ONNX Runtime took {first}.")
        words = {kind.ort_name: word for word, kind in PROVIDERS.items()}
        return session, words.get(first, "cpu")


def _there(device: Device, values: Array, port: Port) -> Array:
    """On the device, and of the type that an input takes."""
    return device.typed(values if is_tensor(values) else device.array(values), port.dtype)


def _version(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_mtime_ns, status.st_size

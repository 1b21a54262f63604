"""Arrays that stay in the memory of a graphics processor, and networks that read and write them there.

The one place that imports torch, which only `requirements-cuda.txt` installs. Torch and ONNX Runtime share
one stream: what they are given is done in that order, so neither waits for the other, and the processor waits
for both only where pixels are fetched. The same code runs on torch's device `cpu` (tests).
"""

from __future__ import annotations

import importlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facefusion.system.onnx_runtime import first_line, import_onnxruntime

Tensor = Any
"""A `torch.Tensor`; torch need not be installed where types are checked."""

Array = Any
"""A NumPy array, or a `Tensor`. Every function here says which it takes."""

CUDA_PROVIDERS = ("cuda", "tensorrt")
_KEPT_CONSTANTS = 64


class Device:
    """Memory and stream of one device.

    Args:
        kind: torch's word, `cuda` or `cpu`.

    Attributes:
        torch: the module.
        kind: as given.

    Raises:
        ImportError: torch is not installed, or does not load.
        RuntimeError: torch finds no such device.
    """

    def __init__(self, kind: str) -> None:
        self.torch = importlib.import_module("torch")
        self.kind = kind
        self.torch.set_num_threads(1)  # the processor's cores are shared out by `facefusion.system.threads`
        self._place = self.torch.device(kind, 0) if kind == "cuda" else self.torch.device(kind)
        self._stream = self.torch.cuda.Stream(self._place) if kind == "cuda" else None
        self._constants: OrderedDict[int, tuple[NDArray[Any], Tensor]] = OrderedDict()
        self._change = threading.Lock()
        self.turn = threading.Lock()
        """Held while a network is given its work: on one stream, sessions take one call at a time."""

    @contextmanager
    def work(self) -> Iterator[None]:
        """Within it this thread's tensors are made and used on the device's stream."""
        with ExitStack() as stack:
            stack.enter_context(self.torch.inference_mode())
            if self._stream is not None:
                stack.enter_context(self.torch.cuda.stream(self._stream))
            yield

    def serves(self, provider: str) -> bool:
        """Whether networks of a provider (its word) work in this memory."""
        return self.kind == "cpu" or provider in CUDA_PROVIDERS

    def provider_options(self) -> dict[str, str]:
        """What makes an ONNX Runtime provider of this device use the same stream."""
        return {} if self._stream is None else {"user_compute_stream": str(self._stream.cuda_stream)}

    def array(self, values: NDArray[Any]) -> Tensor:
        """A copy of a NumPy array on the device; does not wait."""
        # Torch grumbles about arrays that it could not write to.
        whole = np.ascontiguousarray(values) if values.flags.writeable else np.array(values, order="C")
        tensor = self.torch.from_numpy(whole)
        if self._stream is None:
            return tensor.clone()
        return tensor.pin_memory().to(self._place, non_blocking=True)

    def constant(self, values: NDArray[Any]) -> Tensor:
        """Like `array`; the same for the same NumPy array, which nobody may change."""
        with self._change:
            if id(values) in self._constants:
                self._constants.move_to_end(id(values))
            else:
                # The array is kept as well, so that no other one gets its id.
                self._constants[id(values)] = values, self.array(values)
                while len(self._constants) > _KEPT_CONSTANTS:
                    self._constants.popitem(last=False)
            return self._constants[id(values)][1]

    def host(self, tensor: Tensor) -> NDArray[Any]:
        """A copy as NumPy array; waits until it has been computed."""
        if self._stream is None:
            return np.asarray(tensor.numpy()).copy()
        there = self.torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
        there.copy_(tensor, non_blocking=True)
        self._event().synchronize()
        return np.asarray(there.numpy()).copy()

    def empty(self, shape: Sequence[int], dtype: Any) -> Tensor:
        """Memory for a NumPy type, with anything in it."""
        return self.torch.empty(tuple(shape), dtype=self._dtype(dtype), device=self._place)

    def typed(self, tensor: Tensor, dtype: Any) -> Tensor:
        """The tensor as a NumPy type, contiguous."""
        return tensor.to(self._dtype(dtype)).contiguous()

    def pacer(self) -> Callable[[], None]:
        """To be called after each of a series of works: waits for the one before the last.

        So the device always has one to do and one in waiting, and no more: who comes meanwhile gathers.
        """
        events: list[Any] = []

        def pace() -> None:
            if self._stream is None:
                return
            events.append(self._event())
            if len(events) > 2:
                events.pop(0).synchronize()

        return pace

    def finish(self) -> None:
        """Wait for everything."""
        if self._stream is not None:
            self._stream.synchronize()

    def _event(self) -> Any:
        """A mark behind all work so far; threads that wait for it sleep."""
        event = self.torch.cuda.Event(blocking=True)
        event.record(self._stream)
        return event

    def _dtype(self, dtype: Any) -> Any:
        return getattr(self.torch, np.dtype(dtype).name)


def device_for(provider: str) -> tuple[Device | None, str]:
    """The device of a provider (its word), and a sentence where there should be one and is none."""
    if provider not in CUDA_PROVIDERS:
        return None, ""
    told = "crops, masks and pasting are done on the processor, which is slower"
    try:
        device = Device("cuda")
    except ImportError as error:
        return None, (
            f"The networks run on the graphics processor, but {told}: torch, which comes with "
            f"requirements-cuda.txt, does not load ({first_line(str(error))})."
        )
    except (RuntimeError, AssertionError, OSError) as error:
        return (
            None,
            f"The networks run on the graphics processor, but {told}: "
            f"torch finds none ({first_line(str(error))}).",
        )
    return device, ""


class BoundSession:
    """An ONNX Runtime session that works in a device's memory.

    Args:
        device: where the tensors lie.
        session: of a provider that the device serves.
        capture: the session may record CUDA graphs, see `capture`.
    """

    def __init__(self, device: Device, session: Any, *, capture: bool = False) -> None:
        self.session = session
        self._device = device
        self._capture = capture
        self._names = [port.name for port in session.get_outputs()]
        self._results: dict[object, list[tuple[tuple[int, ...], Any]]] = {}
        self._graphs: dict[int, _Graph] = {}

    def run(self, feeds: Mapping[str, Tensor]) -> list[Tensor]:
        """All outputs; does not wait for them. Inputs are contiguous and of the declared types.

        The first run for inputs of a shape goes through NumPy arrays: it tells how large the outputs are.
        """
        with self._device.turn:
            size = _batch(feeds)
            fitting = [known for known in self._graphs if known >= size]
            if fitting and _shapes(feeds, min(fitting)) == self._graphs[min(fitting)].shapes:
                return self._graphs[min(fitting)].run(feeds, size)
            outputs = self._outputs(feeds)
            if outputs is None:
                return self._learn(feeds)
            self.session.run_with_iobinding(self._binding(feeds, outputs), self.options())
            return outputs

    def capture(self, feeds: Mapping[str, Tensor]) -> None:
        """Record what runs for as many samples, to be repeated without being told step by step.

        Nothing else may be given to the device meanwhile. Smaller batches are filled up from here on.

        Raises:
            Whatever the runtime raises for networks of which not every step runs on the device.
        """
        if self._outputs(feeds) is None:
            self._learn(feeds)
        outputs = self._outputs(feeds)
        assert outputs is not None
        size = _batch(feeds)
        own = {name: values.clone() for name, values in feeds.items()}
        options, binding = self.options(size), self._binding(own, outputs)

        def replay() -> None:
            self.session.run_with_iobinding(binding, options)

        replay()
        self._graphs[size] = _Graph(replay, own, outputs, _shapes(feeds, size))

    @property
    def graphs(self) -> tuple[int, ...]:
        """Batches that were recorded."""
        return tuple(sorted(self._graphs))

    def _learn(self, feeds: Mapping[str, Tensor]) -> list[Tensor]:
        host = {name: self._device.host(values) for name, values in feeds.items()}
        done = [np.asarray(output) for output in self.session.run(None, host, self.options(wait=True))]
        self._results[_shapes(feeds, None)] = [(output.shape, output.dtype) for output in done]
        return [self._device.array(output) for output in done]

    def _outputs(self, feeds: Mapping[str, Tensor]) -> list[Tensor] | None:
        known = self._results.get(_shapes(feeds, None))
        return None if known is None else [self._device.empty(shape, dtype) for shape, dtype in known]

    def _binding(self, feeds: Mapping[str, Tensor], outputs: Sequence[Tensor]) -> Any:
        binding, kind = self.session.io_binding(), self._device.kind
        for name, values in feeds.items():
            binding.bind_input(name, kind, 0, _numpy_type(values), tuple(values.shape), values.data_ptr())
        for name, values in zip(self._names, outputs, strict=True):
            binding.bind_output(name, kind, 0, _numpy_type(values), tuple(values.shape), values.data_ptr())
        return binding

    def options(self, graph: int = -1, *, wait: bool = False) -> Any:
        """How a call runs: as a recorded graph or, with -1, step by step; and whether it waits."""
        options = import_onnxruntime().RunOptions()
        if not wait:
            options.add_run_config_entry("disable_synchronize_execution_providers", "1")
        if self._capture:
            options.add_run_config_entry("gpu_graph_id", str(graph))
        return options


class _Graph:
    """A recorded run with the buffers it is bound to."""

    def __init__(
        self,
        replay: Callable[[], None],
        feeds: Mapping[str, Tensor],
        outputs: Sequence[Tensor],
        shapes: object,
    ) -> None:
        self.shapes = shapes
        self._replay = replay
        self._feeds = feeds
        self._outputs = outputs

    def run(self, feeds: Mapping[str, Tensor], size: int) -> list[Tensor]:
        for name, values in feeds.items():
            self._feeds[name][: len(values)].copy_(values, non_blocking=True)
        self._replay()
        return [output[:size].clone() for output in self._outputs]


def is_tensor(values: Array) -> bool:
    """Whether it lies on a device."""
    return not isinstance(values, np.ndarray | np.generic)


def joined(parts: Sequence[Array]) -> Array:
    """Arrays of one kind, one after another along the first axis."""
    if len(parts) == 1:
        return parts[0]
    return importlib.import_module("torch").cat(list(parts)) if is_tensor(parts[0]) else np.concatenate(parts)


def repeated(values: Array, count: int) -> Array:
    """Each sample `count` times."""
    return values.repeat_interleave(count, 0) if is_tensor(values) else np.repeat(values, count, axis=0)


def _batch(feeds: Mapping[str, Tensor]) -> int:
    return max(len(values) if values.ndim else 1 for values in feeds.values())


def _shapes(feeds: Mapping[str, Tensor], size: int | None) -> object:
    """Shapes by input; those of batches as if of `size` samples."""
    own = _batch(feeds)
    return tuple(
        (name, (size, *shape[1:]) if size is not None and shape[:1] == (own,) else shape)
        for name, shape in sorted((name, tuple(values.shape)) for name, values in feeds.items())
    )


def _numpy_type(tensor: Tensor) -> Any:
    return np.dtype(str(tensor.dtype).removeprefix("torch.")).type

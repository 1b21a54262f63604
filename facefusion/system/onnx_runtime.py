"""The one place that imports ONNX Runtime, and what its execution providers are called and need."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from facefusion.errors import EngineError, OutOfMemoryError, ProviderError

_DTYPES: Mapping[str, Any] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(uint8)": np.uint8,
}


@dataclass(frozen=True)
class ProviderKind:
    """One kind of execution provider.

    Attributes:
        name: the word in the settings.
        ort_name: ONNX Runtime's name.
        title: for people.
        needs: what must be there for it to work, in half a sentence.
    """

    name: str
    ort_name: str
    title: str
    needs: str


PROVIDERS: Mapping[str, ProviderKind] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            ProviderKind(
                "tensorrt",
                "TensorrtExecutionProvider",
                "TensorRT",
                "an NVIDIA driver, the package onnxruntime-gpu and TensorRT's libraries",
            ),
            ProviderKind(
                "cuda",
                "CUDAExecutionProvider",
                "CUDA",
                "an NVIDIA driver and the package onnxruntime-gpu with its CUDA libraries",
            ),
            ProviderKind("coreml", "CoreMLExecutionProvider", "CoreML", "a Mac with Apple silicon"),
            ProviderKind(
                "directml", "DmlExecutionProvider", "DirectML", "Windows and the package onnxruntime-directml"
            ),
            ProviderKind(
                "openvino", "OpenVINOExecutionProvider", "OpenVINO", "the package onnxruntime-openvino"
            ),
            ProviderKind("cpu", "CPUExecutionProvider", "CPU", "nothing"),
        )
    }
)

AUTO_ORDER = ("cuda", "coreml", "directml", "openvino", "cpu")
"""What `auto` tries, best first. TensorRT is not among them: it builds an engine for minutes at first use, so
it runs only where somebody asks for it."""


def import_onnxruntime() -> Any:
    """The module `onnxruntime`, with its telemetry off.

    Without this it leaves a database and a device id in the user's home and sends them; the switch is only
    looked at while the library loads. So nobody else in the program imports it.

    Raises:
        ProviderError: it is not installed or does not load.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    try:
        return importlib.import_module("onnxruntime")
    except ImportError as error:
        raise ProviderError(
            f"ONNX Runtime does not load here ({error}).",
            remedy="Start through `python3 launch_automation.py`, which installs what is needed.",
        ) from error


def prepare_libraries(runtime: Any, name: str) -> None:
    """Load what a provider links against; to be called before the first session.

    CUDA and cuDNN come as packages of their own, where the loader does not look for them by itself.
    """
    if name in ("cuda", "tensorrt") and hasattr(runtime, "preload_dlls"):
        runtime.preload_dlls()


def provider_options(
    name: str, *, memory_limit: int | None = None, cache_dir: Path | None = None
) -> dict[str, str]:
    """Options with which a provider is used.

    Args:
        name: the word in the settings.
        memory_limit: bytes of device memory that one session may take (CUDA, TensorRT).
        cache_dir: where a provider may keep what it compiles.
    """
    options: dict[str, str] = {}
    if name == "cuda":
        # DEFAULT made one landmark model a hundred times slower (6.6 ms to 792 ms) since version 1.20, and
        # EXHAUSTIVE tries for minutes. The arena otherwise doubles with every extension.
        options["cudnn_conv_algo_search"] = "HEURISTIC"
        options["arena_extend_strategy"] = "kSameAsRequested"
        if memory_limit:
            options["gpu_mem_limit"] = str(memory_limit)
    elif name == "tensorrt":
        options["trt_max_workspace_size"] = str(memory_limit or 2 << 30)
        if cache_dir:
            options["trt_engine_cache_enable"] = "1"
            options["trt_engine_cache_path"] = str(cache_dir)
            options["trt_timing_cache_enable"] = "1"
            options["trt_timing_cache_path"] = str(cache_dir)
    elif name == "coreml":
        # Options that CoreML does not know make it give way to the CPU without a word; these are known.
        options["ModelFormat"] = "MLProgram"
        options["MLComputeUnits"] = "ALL"
        if cache_dir:
            options["ModelCacheDirectory"] = str(cache_dir)
    elif name == "openvino":
        options["device_type"] = "AUTO"
        if cache_dir:
            options["cache_dir"] = str(cache_dir)
    return options


def session_options(runtime: Any, name: str, threads: int) -> Any:
    """`SessionOptions` for one provider.

    Args:
        runtime: the module, see `import_onnxruntime`.
        name: the word in the settings.
        threads: inside one call on the CPU.
    """
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Threads that wait by spinning take the cores from the decoder and the encoder.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if name == "directml":
        options.enable_mem_pattern = False  # DirectML refuses sessions that have it
    return options


@dataclass(frozen=True)
class Port:
    """An input or output: its name, its shape (None where free) and its NumPy type."""

    name: str
    shape: tuple[int | None, ...]
    dtype: Any


def port_of(value: Any) -> Port:
    """What a session says of one of its inputs or outputs."""
    shape = tuple(size if isinstance(size, int) and size > 0 else None for size in value.shape)
    return Port(value.name, shape, _DTYPES.get(value.type, np.float32))


def failures(runtime: Any) -> tuple[type[BaseException], ...]:
    """ONNX Runtime's exceptions, which have no common base but Exception."""
    state = runtime.capi.onnxruntime_pybind11_state
    names = (
        *("Fail", "InvalidArgument", "NoSuchFile", "NoModel", "EngineError", "RuntimeException"),
        *("InvalidProtobuf", "ModelLoaded", "NotImplemented", "InvalidGraph", "EPFail"),
    )
    own = tuple(getattr(state, name) for name in names if hasattr(state, name))
    return (*own, RuntimeError, ValueError, MemoryError)


def explained(title: str, provider: str, said: str) -> OutOfMemoryError | EngineError:
    """The error for what the runtime said of a model (its file name) on a provider (its title)."""
    text = said.casefold()
    if any(sign in text for sign in ("out of memory", "failed to allocate", "bad_alloc", "cuda failure 2:")):
        return OutOfMemoryError(f"{title} found no memory on {provider}.")
    return EngineError(f"{title} failed on {provider} ({first_line(said)}).")


def first_line(text: str) -> str:
    """Of what the runtime said."""
    return text.strip().splitlines()[0][:300] if text.strip() else "no reason given"

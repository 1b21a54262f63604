"""Whether a network runs faster on this processor once its convolutions are rewritten.

That is measured once for each file and machine: both forms compute the same random input in turns, and the
rewritten one is used if its results agree and it is faster. The answer lies in a small file; the rewritten
graph itself is made anew whenever the network is opened: reading it from a disk would take longer, since its
weights are four times as large.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import statistics
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facefusion.swap.neural.winograd import rewrite
from facefusion.system.hardware import available_memory
from facefusion.system.networks import NetworkFactory
from facefusion.system.onnx_file import Graph, OnnxFile

TUNING_FILE = "winograd.json"
TOLERANCE = 1e-3
"""Largest difference of the outputs that is accepted; they are 0 to 1."""

_WORTH_IT = 1.1
_RUNS = 3
_LEAST_BYTES = 4 << 20
# Memory in sizes of the file: the transformed weights and the network; and the original beside them.
_MEMORY_FACTOR = 5
_MEMORY_FACTOR_TO_MEASURE = 8


@dataclass(frozen=True)
class Verdict:
    """What was measured.

    Attributes:
        convolutions: that were rewritten.
        ratio: time of the original over time of the rewritten network.
        deviation: largest difference of their outputs.
    """

    convolutions: int
    ratio: float
    deviation: float

    @property
    def faster(self) -> bool:
        """Whether the rewritten network is to be used."""
        return self.convolutions > 0 and self.ratio >= _WORTH_IT and self.deviation <= TOLERANCE


class ConvolutionTuner:
    """Rewrites networks where that was measured to pay.

    Args:
        folder: where answers are remembered.
        networks: opens sessions on the CPU.
        threads: inside one call; part of what an answer belongs to.
        least_bytes: smaller files are left alone.
    """

    def __init__(
        self, folder: Path, networks: NetworkFactory, *, threads: int, least_bytes: int = _LEAST_BYTES
    ) -> None:
        self._file = folder / TUNING_FILE
        self._networks = networks
        self._machine = f"{platform.machine()} {platform.processor()} {os.cpu_count()} {threads}"
        self._least_bytes = least_bytes

    def faster(self, path: Path, digest: str) -> Graph | None:
        """The rewritten graph of a file; None where the original is as good.

        Args:
            path: the model.
            digest: its SHA-256.
        """
        if path.stat().st_size < self._least_bytes:
            return None
        key = f"{digest} {self._machine} onnxruntime {self._networks.version}"
        known = self._read().get(key)
        if known is not None and not known.faster:
            return None
        size = path.stat().st_size
        if available_memory() < size * (_MEMORY_FACTOR if known else _MEMORY_FACTOR_TO_MEASURE):
            return None
        file = OnnxFile(path)
        count = rewrite(file)
        if known is None:
            # Should the measurement take the process down, the next one does without it.
            self._write(key, Verdict(count, 0.0, 0.0))
        graph = file.graph() if count else None
        if known is None:
            known = self._measure(path, graph, count)
            self._write(key, known)
        return graph if known.faster else None

    def _measure(self, path: Path, graph: Graph | None, count: int) -> Verdict:
        if graph is None:
            return Verdict(0, 1.0, 0.0)
        sessions = [self._networks.session(model, path.name, "cpu")[0] for model in (path, graph)]
        sample = _random_feeds(sessions[0])
        feeds = [sample, {**sample, **graph.feeds}]
        seconds: list[list[float]] = [[], []]
        outputs: list[NDArray[Any]] = [np.zeros(0), np.zeros(0)]
        for turn in range(_RUNS + 1):
            for index, session in enumerate(sessions):
                began = time.perf_counter()
                outputs[index] = session.run(None, feeds[index])[0]
                if turn:
                    seconds[index].append(time.perf_counter() - began)
        deviation = float(np.abs(outputs[0] - outputs[1]).max())
        ratio = statistics.median(seconds[0]) / max(statistics.median(seconds[1]), 1e-9)
        return Verdict(count, ratio, deviation if np.isfinite(deviation) else 1e9)

    def _read(self) -> Mapping[str, Verdict]:
        # An answer that cannot be read costs a measurement, nothing else.
        with contextlib.suppress(OSError, ValueError, TypeError, AttributeError):
            raw = json.loads(self._file.read_text(encoding="utf-8"))
            return {key: Verdict(**entry) for key, entry in raw.items()}
        return {}

    def _write(self, key: str, verdict: Verdict) -> None:
        entries = {name: asdict(entry) for name, entry in (*self._read().items(), (key, verdict))}
        temporary = self._file.with_name(f".{TUNING_FILE}.{os.getpid()}.part")
        with contextlib.suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(json.dumps(entries, indent=2) + "\n", encoding="utf-8")
            temporary.replace(self._file)


def _random_feeds(session: Any) -> dict[str, NDArray[np.float32]]:
    """One sample like a picture for each picture input, a unit vector for each vector."""
    random = np.random.default_rng(0)
    feeds = {}
    for port in session.get_inputs():
        shape = [size if isinstance(size, int) and size > 0 else 1 for size in port.shape]
        values = random.random(shape) if len(shape) == 4 else random.standard_normal(shape)
        if len(shape) != 4:
            values /= np.linalg.norm(values) + 1e-12
        feeds[port.name] = values.astype(np.float32)
    return feeds

"""Whether a network runs faster on this processor once its convolutions are rewritten.

That is measured once for each file and machine: both forms compute the same random input, and the
rewritten one is used if its results agree and it is faster. The answer lies in a small file; the rewritten
graph itself is made anew whenever the network is opened: reading it from a disk would take longer, since its
weights are four times as large.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facefusion.errors import ModelMissingError
from facefusion.swap.neural.winograd import FORM, rewrite
from facefusion.system.hardware import available_memory
from facefusion.system.networks import NetworkFactory
from facefusion.system.onnx_file import Graph, OnnxFile

TUNING_FILE = "winograd.json"
TOLERANCE = 1e-3
"""Largest difference of the outputs that is accepted; they are 0 to 1."""

_WORTH_IT = 1.1
_RUNS = 3
_LEAST_BYTES = 4 << 20
# Memory in sizes of the file: the transformed weights and the network.
_MEMORY_FACTOR = 5


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
        key = f"{digest} {self._machine} onnxruntime {self._networks.version} form {FORM}"
        known = self._read().get(key)
        if known is not None and not known.faster:
            return None
        if available_memory() < _MEMORY_FACTOR * path.stat().st_size:
            return None
        file = OnnxFile(path)
        refusals: tuple[type[BaseException], ...] = (ModelMissingError, *self._networks.failures)
        try:
            count = rewrite(file)
        except refusals:  # a runtime that does not answer for one of its operators
            count = 0
        if not count:
            self._write(key, Verdict(0, 1.0, 0.0))
            return None
        if known is not None:
            return file.graph()
        # Should the measurement take the process down, the next one does without it.
        self._write(key, Verdict(count, 0.0, 0.0))
        stock = self._time(path, path.name, {})
        graph = file.graph()
        try:
            ours = self._time(graph, path.name, graph.feeds)
        except refusals:  # a runtime that lacks what is written
            return None
        deviation = float(np.abs(stock[1] - ours[1]).max())
        ratio = stock[0] / max(ours[0], 1e-9)
        known = Verdict(count, ratio, deviation if np.isfinite(deviation) else 1e9)
        self._write(key, known)
        return graph if known.faster else None

    def _time(
        self, model: Path | Graph, title: str, feeds: Mapping[str, NDArray[Any]]
    ) -> tuple[float, NDArray[Any]]:
        """Seconds of the best of a few runs, and the output. One network at a time: together they would
        need half as much memory again."""
        session, _ = self._networks.session(model, title, "cpu")
        sample = _random_feeds(session, feeds)
        seconds = []
        for _ in range(_RUNS + 1):
            began = time.perf_counter()
            output = session.run(None, sample)[0]
            seconds.append(time.perf_counter() - began)
        return min(seconds[1:]), np.asarray(output)

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


def _random_feeds(session: Any, known: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """One sample like a picture for each picture input, a unit vector for each vector; and what is known."""
    random = np.random.default_rng(0)
    feeds: dict[str, NDArray[Any]] = dict(known)
    for port in session.get_inputs():
        if port.name in known:
            continue
        shape = [size if isinstance(size, int) and size > 0 else 1 for size in port.shape]
        values = random.random(shape) if len(shape) == 4 else random.standard_normal(shape)
        if len(shape) != 4:
            values /= np.linalg.norm(values) + 1e-12
        feeds[port.name] = values.astype(np.float32)
    return feeds

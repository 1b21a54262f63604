"""CUDA graphs: the steps of a network recorded once and repeated in one call, where that was measured to pay.

A graph needs fixed buffers, so it is recorded for a few sizes of batch, and smaller batches are filled up.
Recording must not be disturbed by other work on the device: it happens while the network is opened. And ONNX
Runtime keeps what was recorded by thread: another one would record anew, amid everybody's work. So
all calls of such a session are made by one thread.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from facefusion.system.device import BoundSession, Device, Tensor
from facefusion.system.networks import Network, NetworkFactory

_SIZES = (1, 2, 4, 8)
_RUNS = 5
_WORTH_IT = 1.03
_TOLERANCE = 1e-2
_OPTION = {"enable_cuda_graph": "1"}


class OneThread:
    """A session whose runs are all made by the same thread, which ends with it."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._thread = ThreadPoolExecutor(1, "recorded")

    def run(self, *given: Any) -> Any:
        """See `onnxruntime.InferenceSession`."""
        return self._thread.submit(self._session.run, *given).result()

    def run_with_iobinding(self, *given: Any) -> None:
        """See `onnxruntime.InferenceSession`."""
        self._thread.submit(self._session.run_with_iobinding, *given).result()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)


def record_graphs(networks: NetworkFactory, network: Network) -> float:
    """Have a network on CUDA run as graphs if they compute the same and are faster.

    Returns:
        Time step by step over time as graphs; 0 where there are none.
    """
    device, plain = networks.device, network.bound
    if device is None or plain is None or network.provider != "cuda":
        return 0.0
    try:
        with device.work():
            session = OneThread(networks.create(network.model, "cuda", _OPTION))
            recorded = BoundSession(device, session, capture=True)
            gain = _gain(device, network, plain, recorded)
    except networks.failures:
        # Networks of which a step runs on the processor cannot be recorded; they run as they did.
        logging.getLogger(__name__).info("%s cannot be recorded.", network.title, exc_info=True)
        return 0.0
    if gain < _WORTH_IT:
        return 0.0
    network.take_over(recorded)
    return gain


def _gain(device: Device, network: Network, plain: BoundSession, recorded: BoundSession) -> float:
    """Time of all sizes together, plain over recorded; 0 if the results differ."""
    spent = [0.0, 0.0]
    for size in _SIZES if network.takes_batches else _SIZES[:1]:
        feeds = _samples(device, network, size)
        recorded.capture(feeds)
        plain.run(feeds)
        expected, given = (device.host(bound.run(feeds)[0]).astype(np.float32) for bound in (plain, recorded))
        scale = float(np.abs(expected).max()) + 1e-6
        if not np.abs(given - expected).max() <= _TOLERANCE * scale:
            return 0.0
        for index, bound in enumerate((plain, recorded)):
            device.finish()
            began = time.perf_counter()
            for _ in range(_RUNS):
                bound.run(feeds)
            device.finish()
            spent[index] += time.perf_counter() - began
    return spent[0] / max(spent[1], 1e-9)


def _samples(device: Device, network: Network, size: int) -> Mapping[str, Tensor]:
    random = np.random.default_rng(size)
    feeds = {}
    for port in network.inputs:
        shape = [size if place == 0 and own is None else own or 1 for place, own in enumerate(port.shape)]
        feeds[port.name] = device.typed(device.array(random.random(shape, np.float32)), port.dtype)
    return feeds

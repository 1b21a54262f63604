"""Torch tensors and bound networks on torch's device `cpu` and ONNX Runtime's CPU provider.

The very code that drives a graphics processor.
"""

from __future__ import annotations

from typing import Any

import pytest

from facefusion.swap.device_bench import DeviceBench
from facefusion.system.device import Device
from facefusion.system.networks import NetworkFactory
from facefusion.system.providers import ProviderReport


@pytest.fixture
def device() -> Device:
    return Device("cpu")


@pytest.fixture
def bench(device: Device) -> Any:
    with device.work():
        yield DeviceBench(device)


@pytest.fixture
def networks(device: Device, processor: ProviderReport) -> NetworkFactory:
    return NetworkFactory(processor, threads=2, device=device)

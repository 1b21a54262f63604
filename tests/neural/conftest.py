from __future__ import annotations

import pytest

from facefusion.models.registry import Registry, load_registry
from facefusion.system.networks import NetworkFactory
from facefusion.system.providers import ProviderReport, prove_providers


@pytest.fixture(scope="session")
def processor() -> ProviderReport:
    return prove_providers(["cpu"], gpus=())


@pytest.fixture
def networks(processor: ProviderReport) -> NetworkFactory:
    return NetworkFactory(processor, threads=2)


@pytest.fixture(scope="session")
def registry() -> Registry:
    return load_registry()

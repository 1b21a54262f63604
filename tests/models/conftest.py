"""A web site that serves models, and a folder to install them in."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from bad_server import Site, serve_site
from model_site import HELPER, PATIENCE, SWAP, TABLE, crc

from facefusion.models import ModelManager
from facefusion.models.registry import Registry, parse_registry


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serve_site() as running:
        for host in ("github", "mirror"):
            running.add(f"/{host}/v1/known.onnx", SWAP)
            running.add(f"/{host}/v1/helper.onnx", HELPER)
            running.add(f"/{host}/v1/helper.hash", crc(HELPER))
        yield running


@pytest.fixture
def registry(site: Site) -> Registry:
    return parse_registry(
        TABLE.format(site=site.url, size=len(SWAP), sha256=hashlib.sha256(SWAP).hexdigest())
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "models"


@pytest.fixture
def manager(folder: Path, registry: Registry) -> ModelManager:
    found = ModelManager(folder, registry=registry, patience=PATIENCE)
    found.licences.accept("research")
    return found

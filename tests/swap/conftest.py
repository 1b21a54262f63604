"""Prepared sources and targets of the mesh engine."""

from __future__ import annotations

import pytest
from face_material import Models, Portrait
from swapping import closer

from facefusion.swap.mesh.engine import MeshEngine
from facefusion.swap.mesh.source import MeshSource


@pytest.fixture(scope="session")
def source_man(mesh_engine: MeshEngine, man: Portrait) -> MeshSource:
    return mesh_engine.prepare([(man.picture, man.face)])


@pytest.fixture(scope="session")
def source_woman(mesh_engine: MeshEngine, group: list[Portrait]) -> MeshSource:
    return mesh_engine.prepare([(group[5].picture, group[5].face)])


@pytest.fixture(scope="session")
def source_astronaut(mesh_engine: MeshEngine, astronaut: Portrait) -> MeshSource:
    return mesh_engine.prepare([(astronaut.picture, astronaut.face)])


@pytest.fixture(scope="session")
def target_astronaut(models: Models, astronaut: Portrait) -> Portrait:
    """320 x 240, the face 150 pixels tall."""
    return closer(models, astronaut, 150)


@pytest.fixture(scope="session")
def target_man(models: Models, man: Portrait) -> Portrait:
    """320 x 240, the face 110 pixels tall."""
    return closer(models, man, 110)

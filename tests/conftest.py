"""What tests of several rooms share: installed models, sample pictures, the faces in them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from face_material import Models, Portrait

    from facefusion.models.samples import Samples
    from facefusion.pipeline import SwapSession
    from facefusion.swap.mesh.engine import MeshEngine

REPOSITORY = Path(__file__).resolve().parent.parent

# Benchmarks and tests make models in the same way (`own_models`).
sys.path.append(str(REPOSITORY / "benchmarks"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Names that are no text stand in logs, too; processes of a test run tell each other nothing but text."""
    report = yield
    report.sections = [
        (title, content.encode(errors="backslashreplace").decode()) for title, content in report.sections
    ]
    return report


@pytest.fixture(scope="session")
def models_dir() -> Path:
    """The repository's own models folder, with what the mesh engine needs."""
    from facefusion.models.manager import ModelManager

    folder = REPOSITORY / "models"
    ModelManager(folder).ensure_models_available(["mesh"])
    return folder


@pytest.fixture(scope="session")
def samples(models_dir: Path) -> Samples:
    from facefusion.models.samples import ensure_samples

    return ensure_samples(models_dir)


@pytest.fixture(scope="session")
def models(models_dir: Path) -> Models:
    from face_material import load_models

    return load_models(models_dir)


@pytest.fixture(scope="session")
def astronaut(samples: Samples, models: Models) -> Portrait:
    """One smiling face with a fringe, 512 x 512."""
    from face_material import Portrait, read_picture

    picture = read_picture(samples.astronaut)
    return Portrait(picture, models.face(picture))


@pytest.fixture(scope="session")
def group(samples: Samples, models: Models) -> list[Portrait]:
    """Six faces of one picture, from left to right."""
    from face_material import Portrait, middle, read_picture

    from facefusion.faces.portrait import steady

    picture = read_picture(samples.group)
    faces = [steady(picture, face, models.landmarker) for face in models.faces(picture)]
    return [Portrait(picture, face) for face in sorted(faces, key=lambda face: middle(face)[0])]


@pytest.fixture(scope="session")
def man(group: list[Portrait]) -> Portrait:
    """A face of the group that looks at the camera with open eyes and a nearly closed mouth."""
    return group[2]


@pytest.fixture(scope="session")
def session(models_dir: Path) -> Iterator[SwapSession]:
    """A warm session of the mesh engine on two threads."""
    from facefusion.pipeline import SwapSession

    made = SwapSession(models_dir, threads=2)
    yield made
    made.close()


@pytest.fixture(scope="session")
def mesh_engine(models: Models) -> MeshEngine:
    from facefusion.swap.mesh.engine import MeshEngine

    return MeshEngine(models.tables, models={}, runtime="LiteRT (CPU)")

"""Whole jobs under oversight, with small real files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest
from face_material import Image, Portrait, moving
from installation import Installation

from facefusion.pipeline import SwapSession


@pytest.fixture(scope="session")
def session(models_dir: Path) -> Iterator[SwapSession]:
    made = SwapSession(models_dir, threads=2)
    yield made
    made.close()


@pytest.fixture(scope="session")
def state_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Private folder of an installation, shared by tests that do not harm it."""
    return tmp_path_factory.mktemp("installation") / ".automation"


@pytest.fixture(scope="session")
def face_file(man: Portrait, tmp_path_factory: pytest.TempPathFactory) -> Path:
    x0, y0, x1, y1 = (int(value) for value in man.face.box)
    path = tmp_path_factory.mktemp("faces") / "Hedwig Secret.jpg"
    cv2.imwrite(str(path), man.picture[max(0, y0 - 60) : y1 + 60, x0 - 60 : x1 + 60])
    return path


@pytest.fixture
def installation(
    state_dir: Path, models_dir: Path, session: SwapSession, tmp_path: Path, face_file: Path
) -> Installation:
    work = tmp_path / "work folders"
    work.mkdir()
    return Installation(state_dir, models_dir, session, work, face_file)


@pytest.fixture(scope="session")
def views(astronaut: Portrait) -> list[Image]:
    """A face that moves through 8 frames of 320 x 240."""
    return moving(astronaut, 8)[0]

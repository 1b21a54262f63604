"""Whole jobs under oversight, with small real files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from face_material import Image, Portrait, moving, write_face
from installation import Installation

from facefusion.pipeline import SwapSession


@pytest.fixture(scope="session")
def state_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Private folder of an installation, shared by tests that do not harm it."""
    return tmp_path_factory.mktemp("installation") / ".automation"


@pytest.fixture(scope="session")
def face_file(man: Portrait, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_face(tmp_path_factory.mktemp("faces") / "Hedwig Secret.jpg", man)


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """Inodes of the files and folders that were made to reach the disk since the test began."""
    found: set[int] = set()
    sync = os.fsync

    def watched(descriptor: int) -> None:
        found.add(os.fstat(descriptor).st_ino)
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    return found


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

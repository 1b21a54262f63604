"""A root to run the daemon on, and a queue by itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from workbench import Bench

from facefusion.automation.database import Database
from facefusion.automation.jobs import JobQueue


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database(tmp_path / "queue.sqlite3")


@pytest.fixture
def queue(database: Database) -> JobQueue:
    return JobQueue(database)

"""Processes that open one new database at the same moment wait for one another."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest

from facefusion.system.databases import use_write_ahead_log


def test_a_file_that_is_held_for_a_moment_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "new.sqlite3"
    holder = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    holder.execute("BEGIN EXCLUSIVE")
    timer = threading.Timer(0.3, lambda: holder.execute("COMMIT"))
    timer.start()
    other = sqlite3.connect(path, timeout=0.0)
    use_write_ahead_log(other, 10.0)
    assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    timer.join()


def test_a_file_that_stays_held_is_an_error(tmp_path: Path) -> None:
    holder = sqlite3.connect(tmp_path / "new.sqlite3", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        use_write_ahead_log(sqlite3.connect(tmp_path / "new.sqlite3", timeout=0.0), 0.1)

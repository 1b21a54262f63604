"""A queue that cannot be written, cannot be read or is damaged: said clearly, and nothing is lost."""

from __future__ import annotations

import contextlib
import errno
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from workbench import Bench

from facefusion.automation import worker as worker_module
from facefusion.automation.database import Database
from facefusion.automation.publish import Outbox
from facefusion.errors import StorageError


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@contextlib.contextmanager
def full_after_the_claim(seconds: float) -> Iterator[list[float]]:
    """The disk fills between the claim of a job and its start, and has room again after a while."""
    transaction, make_work_dir = Database.transaction, Outbox.make_work_dir
    until: list[float] = []

    def is_full() -> bool:
        return bool(until) and time.monotonic() < until[0]

    def no_transaction(self: Database) -> object:
        if is_full():
            raise StorageError("The queue cannot be written: database or disk is full.")
        return transaction(self)

    def no_folder(self: Outbox, name: str) -> Path:
        if not until:
            until.append(time.monotonic() + seconds)
        if is_full():
            raise StorageError("No space left on device.")
        return make_work_dir(self, name)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Database, "transaction", no_transaction)
        patch.setattr(Outbox, "make_work_dir", no_folder)
        yield until


def test_d3_a_claimed_job_that_cannot_be_given_back_on_a_full_disk_is_given_back_later(bench: Bench) -> None:
    bench.face()
    bench.target("clip.mp4")
    with full_after_the_claim(1.0) as until:
        shown = bench.run_until((bench.outbox / "clip__alice.json").exists)
    assert until, "the fault was met"
    assert any(snapshot.paused for snapshot in shown)
    assert bench.report("clip__alice.json")["attempts"] == 1


def test_d3_a_worker_that_cannot_be_started_pauses_the_work_until_it_can(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No process can be made, or the worker's log cannot be written."""
    bench.face()
    bench.target("clip.mp4")
    popen, refused = subprocess.Popen, []

    def no_room(*arguments: Any, **options: Any) -> Any:
        if len(refused) < 2:
            refused.append(OSError(errno.ENOMEM, "Cannot allocate memory"))
            raise refused[-1]
        return popen(*arguments, **options)

    monkeypatch.setattr(worker_module.subprocess, "Popen", no_room)
    shown = bench.run_until((bench.outbox / "clip__alice.json").exists)
    assert any("cannot be started" in (snapshot.paused or "") for snapshot in shown)

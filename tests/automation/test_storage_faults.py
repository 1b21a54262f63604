"""A queue that cannot be written, cannot be read or is damaged: said clearly, and nothing is lost."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from workbench import Bench

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

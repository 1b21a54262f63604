"""A queue that cannot be written, cannot be read or is damaged: said clearly, and nothing is lost."""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from workbench import FACTORY, Bench

from facefusion.automation import database as database_module
from facefusion.automation import processor as processor_module
from facefusion.automation import worker as worker_module
from facefusion.automation.commands import main
from facefusion.automation.daemon import Options
from facefusion.automation.database import Database
from facefusion.automation.publish import Outbox
from facefusion.automation.snapshot import Snapshot
from facefusion.errors import StorageError


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


# -- a damaged queue -----------------------------------------------------------------------------------------


def damage(queue: Path) -> None:
    """Overwrite everything but the first page, and make open connections notice."""
    with contextlib.closing(sqlite3.connect(queue)) as other:
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with queue.open("r+b") as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(4096)
            stream.write(b"\xa5" * (size - 4096))
        other.execute("PRAGMA application_id = 7")


@pytest.fixture
def damaged(bench: Bench) -> Bench:
    bench.face()
    bench.target("clip.mp4")
    assert bench.run_once() == 0
    damage(bench.root / ".automation" / "queue.sqlite3")
    return bench


@pytest.mark.parametrize("command", [["--once"], ["status"], ["retry"], ["cancel", "all"], ["purge"]])
def test_a_damaged_queue_is_said_with_a_way_out_and_what_it_costs(
    damaged: Bench, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    options = Options(session_factory=FACTORY)
    assert main(["--root", str(damaged.root), *command], options=options) == 2
    told = capsys.readouterr().err
    assert "is damaged" in told
    assert "move queue.sqlite3" in told
    assert "processed again" in told
    assert "Traceback" not in told


def test_the_way_out_of_a_damaged_queue_works(damaged: Bench) -> None:
    for path in (damaged.root / ".automation").glob("queue.sqlite3*"):
        path.unlink()
    assert damaged.run_once() == 0
    assert damaged.results() == ["clip__alice-2.mp4", "clip__alice.mp4"]


def test_a_queue_that_is_not_a_database_is_said(bench: Bench) -> None:
    (bench.root / ".automation").mkdir()
    (bench.root / ".automation" / "queue.sqlite3").write_bytes(b"these are words " * 1000)
    with pytest.raises(StorageError, match="is damaged"):
        bench.run_once()
    with pytest.raises(StorageError, match="is damaged"):
        bench.status()


def test_a_queue_that_is_damaged_while_the_daemon_works_pauses_it(bench: Bench) -> None:
    bench.face()
    with bench.start() as daemon:
        daemon.wait_until_watching()
        damage(bench.root / ".automation" / "queue.sqlite3")
        bench.target("clip.mp4")
        daemon.wait_until(lambda: "is damaged" in (bench.status_of_daemon().paused or ""))
        printed = daemon.stop()
    log = (bench.root / ".automation" / "log" / "daemon.log").read_text()
    assert "is damaged" in log
    assert "Traceback" not in printed + log


def test_once_ends_when_the_queue_is_damaged_meanwhile(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processor_module, "PAUSE_PATIENCE_SECONDS", 0.5)
    bench.face()
    bench.target("clip.mp4", seconds=0.5)
    done: list[object] = []

    def break_it(snapshot: Snapshot) -> None:
        if snapshot.running and not done:
            done.append(damage(bench.root / ".automation" / "queue.sqlite3"))

    shown: list[Snapshot] = []
    status = bench.processor().run_once(lambda snapshot: (shown.append(snapshot), break_it(snapshot))[0])
    assert done
    assert status == 1
    assert "is damaged" in (shown[-1].paused or "")


def test_a_queue_that_another_program_keeps_locked_is_said(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "BUSY_SECONDS", 0.1)
    assert bench.run_once() == 0
    with contextlib.closing(
        sqlite3.connect(bench.root / ".automation" / "queue.sqlite3", isolation_level=None)
    ) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageError, match="locked by another program"):
            bench.run_once()


def test_a_disk_without_room_for_the_queue_is_said(tmp_path: Path) -> None:
    database = Database(tmp_path / "queue.sqlite3")
    pages = database.rows("PRAGMA page_count")[0][0]
    database.rows(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StorageError, match="is full"):
        database.remember("much", "x" * 100_000)
    assert database.fact("much") is None
    database.close()


def test_a_batch_gives_up_where_results_cannot_be_placed(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processor_module, "PAUSE_PATIENCE_SECONDS", 0.5)
    bench.configure(limits={"free_disk_megabytes": 10})
    pair = (bench.face(), bench.target("clip.mp4").rename(tmp_path / "clip.mp4"))

    assert bench.processor(disk_free=lambda _: 0).process_videos_batch([pair]) == []

    (record,) = bench.processor(disk_free=lambda _: 10**12).process_videos_batch([pair])
    assert record.outcome == "done"

"""Disks that fill and outboxes that go away, while something is in work."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from workbench import Bench

from facefusion.automation.snapshot import Snapshot


def test_d3_too_little_room_pauses_the_queue_and_it_goes_on_by_itself(bench: Bench) -> None:
    bench.configure(limits={"free_disk_megabytes": 100})
    free = [50_000_000]
    bench.face()
    bench.target("clip.mp4")

    def make_room(snapshot: Snapshot) -> None:
        if snapshot.paused:
            assert bench.results() == []
            free[0] = 500_000_000

    shown = bench.run_until(
        (bench.outbox / "clip__alice.json").exists, on_snapshot=make_room, disk_free=lambda _: free[0]
    )

    assert any("50 MB are free" in (snapshot.paused or "") for snapshot in shown)
    assert bench.results() == ["clip__alice.mp4"]


@pytest.mark.parametrize("fault", ["disk_full", "storage_error"])
def test_d3_a_disk_that_fills_while_encoding_costs_no_attempt(
    bench: Bench, tmp_path: Path, fault: str
) -> None:
    full = tmp_path / "the disk is full"
    full.touch()
    bench.face()
    bench.target("clip.mp4", then=fault, marker=str(full))

    def make_room(snapshot: Snapshot) -> None:
        if snapshot.paused:
            full.unlink(missing_ok=True)

    shown = bench.run_until((bench.outbox / "clip__alice.json").exists, on_snapshot=make_room)

    assert any(snapshot.state == "paused" for snapshot in shown)
    assert bench.report("clip__alice.json")["attempts"] == 1
    assert bench.leftovers() == []


def test_d3_a_disk_that_stays_full_is_not_tried_over_and_over(bench: Bench, tmp_path: Path) -> None:
    full = tmp_path / "the disk is full"
    full.touch()
    bench.face()
    bench.target("clip.mp4", then="disk_full", marker=str(full))
    started = time.monotonic()
    bench.run_until(lambda: time.monotonic() > started + 3.0)
    with sqlite3.connect(bench.root / ".automation" / "queue.sqlite3") as database:
        (tries,) = database.execute("SELECT fence FROM jobs").fetchone()
    assert 1 < tries < 8, "each pause is longer than the one before"


@pytest.mark.parametrize("outcome", ["done", "no_face", "bad_source"])
def test_d3_a_disk_that_is_full_while_publishing_or_reporting_delays_that_and_loses_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, outcome: str
) -> None:
    import errno

    bench.face()
    bench.target("clip.mp4", then=outcome)
    link, refused = os.link, [0]

    def full_at_first(*arguments: object, **options: object) -> None:
        if refused[0] < 2:
            refused[0] += 1
            raise OSError(errno.ENOSPC, "No space left on device")
        link(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "link", full_at_first)

    assert bench.run_once() == {"done": 0, "no_face": 3, "bad_source": 1}[outcome]

    assert refused[0] == 2
    assert bench.results() == (["clip__alice.mp4"] if outcome == "done" else [])
    name = "failed/clip__alice.json" if outcome == "bad_source" else "clip__alice.json"
    assert bench.report(name)["attempts"] == 1
    assert bench.leftovers() == []


def test_d3_a_database_that_cannot_be_written_pauses_and_the_result_in_hand_is_not_lost(bench: Bench) -> None:
    from facefusion.automation.database import Database
    from facefusion.errors import StorageError

    bench.face()
    bench.target("clip.mp4", seconds=0.5)
    transaction = Database.transaction
    broken_until: list[float] = []

    def break_it(snapshot: Snapshot) -> None:
        if snapshot.running and not broken_until:
            broken_until.append(time.monotonic() + 2.0)

    def full(self: Database) -> object:
        if broken_until and time.monotonic() < broken_until[0]:
            raise StorageError("The queue cannot be written: database or disk is full.")
        return transaction(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Database, "transaction", full)
        shown = bench.run_until((bench.outbox / "clip__alice.json").exists, on_snapshot=break_it)

    assert any("disk is full" in (snapshot.paused or "") for snapshot in shown)
    assert bench.report("clip__alice.json")["attempts"] == 1


def test_d10_an_outbox_that_goes_away_pauses_and_comes_back(bench: Bench) -> None:
    bench.face()
    away = bench.root / "outbox is unmounted"
    with bench.start() as daemon:
        daemon.wait_until_watching()
        daemon.wait_until(bench.outbox.exists)
        bench.outbox.rename(away)
        daemon.wait_until(lambda: bench.status().state == "paused")
        bench.target("clip.mp4")
        daemon.wait_for_state("videos/clip.mp4", "queued")
        assert "outbox" in (bench.status().paused or "")
        assert not bench.outbox.exists()
        away.rename(bench.outbox)
        daemon.wait_for_result("clip__alice.json")
    assert bench.results() == ["clip__alice.mp4"]


@pytest.mark.skipif(
    shutil.which("unshare") is None
    or subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode != 0,
    reason="no right to mount a small disk here",
)
def test_d3_a_disk_that_is_really_full(tmp_path: Path) -> None:
    """A disk of one megabyte: the result does not fit, then room is made."""
    script = """
import os, sys, threading, time
from pathlib import Path
import subprocess
sys.path[:0] = sys.argv[2:]
root = Path(sys.argv[1])
(root / "outbox").mkdir()
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(root / "outbox")], check=True)
from workbench import Bench
bench = Bench(root)
ballast = bench.outbox / "ballast.bin"
try:
    ballast.write_bytes(bytes(2_000_000))
except OSError:
    pass
bench.face(); bench.target("clip.mp4")
def make_room(snapshot):
    if snapshot.paused:
        ballast.unlink(missing_ok=True)
shown = bench.run_until((bench.outbox / "clip__alice.json").exists, on_snapshot=make_room)
assert any(snapshot.state == "paused" for snapshot in shown), "never paused"
assert bench.results() == ["clip__alice.mp4"], bench.results()
assert bench.report("clip__alice.json")["attempts"] == 1
"""
    here = Path(__file__).resolve().parent
    done = subprocess.run(
        ["unshare", "-rm", sys.executable, "-c", script, str(tmp_path), str(here), str(here.parent.parent)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr

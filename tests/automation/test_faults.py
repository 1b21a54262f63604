"""Workers that die, hang and run out of memory; disks that fill; inboxes that go away."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from workbench import FACTORY, Bench

from facefusion.automation import children
from facefusion.automation import crew as crew_module
from facefusion.automation.publish import Outbox
from facefusion.automation.snapshot import Snapshot
from facefusion.automation.worker import Broken, Order, Progress, Worker, WorkerSpec
from facefusion.config import AutomationConfig
from facefusion.errors import JobTimeoutError


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


# -- D4, D5: workers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "category", "attempts"),
    [
        ("crash", "worker_crash", 3),
        ("out_of_memory", "memory_error", 3),
        ("engine_error", "engine_error", 3),
        ("bad_source", "face_detection", 1),
    ],
)
def test_d4_d5_a_job_that_breaks_every_time_ends_with_its_category_and_the_rest_is_processed(
    bench: Bench, fault: str, category: str, attempts: int
) -> None:
    bench.face()
    bench.target("a bad one.mp4", then=fault)
    bench.target("good.mp4")

    assert bench.run_once() == 1

    assert bench.results() == ["good__alice.mp4"]
    report = bench.report("failed/a bad one__alice.json")
    assert report["failure"]["category"] == category
    assert report["failure"]["remedy"]
    assert report["attempts"] == attempts
    assert bench.leftovers() == []


def test_d4_a_crash_is_explained_with_the_worker_s_last_words(bench: Bench) -> None:
    bench.face()
    bench.target("clip.mp4", then="crash")
    bench.run_once()
    detail = bench.report("failed/clip__alice.json")["failure"]["detail"]
    assert "SIGSEGV" in detail
    assert "scripted_session.py" in detail


def test_d4_last_words_are_the_worker_s_own_also_when_the_log_was_put_aside_for_it(
    spec: WorkerSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(children, "LOG_BYTES", 10_000)
    spec.log.write_bytes(b"words of a worker long dead\n" * 1000)
    told: list[object] = []
    ended = threading.Event()

    def tell(_: Worker, message: object) -> None:
        told.append(message)
        ended.set()

    worker = Worker(spec, tell)
    try:
        assert worker.run(order(tmp_path, '{"then": "crash"}'))
        assert ended.wait(20)
    finally:
        worker.close(5)
    (answer,) = told
    assert isinstance(answer, Broken)
    assert "scripted_session.py" in answer.detail
    assert "long dead" not in answer.detail
    assert spec.log.with_name("worker.log.1").exists()


def test_d4_what_works_the_second_time_is_done(bench: Bench, tmp_path: Path) -> None:
    bench.face()
    bench.target("clip.mp4", then="crash_once", marker=str(tmp_path / "crashed"))
    assert bench.run_once() == 0
    assert bench.report("clip__alice.json")["attempts"] == 2


@pytest.fixture
def spec(tmp_path: Path) -> WorkerSpec:
    return WorkerSpec(FACTORY, tmp_path, tmp_path, 1, tmp_path / "worker.log")


def order(tmp_path: Path, script: str) -> Order:
    target = tmp_path / "clip.mp4"
    target.write_text(script)
    work = tmp_path / "work"
    work.mkdir(exist_ok=True)
    return Order(1, target, (target,), "digest", work, "clip__alice", AutomationConfig())


def test_d4_a_worker_without_progress_is_replaced(spec: WorkerSpec, tmp_path: Path) -> None:
    now = [0.0]
    told: list[object] = []
    ended, ready = threading.Event(), threading.Event()

    def tell(_: Worker, message: object) -> None:
        told.append(message)
        if not isinstance(message, Progress):
            ended.set()

    def clock() -> float:
        if threading.current_thread().name.startswith("worker"):
            ready.set()  # the first message has arrived
        return now[0]

    worker = Worker(spec, tell, clock)
    try:
        assert worker.run(order(tmp_path, '{"then": "hang"}'))
        assert ready.wait(20)
        now[0] = 119.0
        assert worker.overdue(120.0, 0.0) is None
        now[0] = 121.0
        late = worker.overdue(120.0, 0.0)
        assert isinstance(late, JobTimeoutError)
        assert "120 seconds" in late.message
        worker.kill(late)
        assert ended.wait(10)
        (answer,) = told
        assert isinstance(answer, Broken)
        assert (answer.category, answer.retryable) == ("timeout", True)
        assert not worker.run(order(tmp_path, "{}")), "a dead worker takes no order"
    finally:
        worker.close(5)


@pytest.mark.parametrize("stage", ["preparing", "finishing"])
def test_a_worker_that_speaks_while_it_counts_no_frames_is_at_work(
    spec: WorkerSpec, tmp_path: Path, stage: str
) -> None:
    """Opening a large model takes minutes on a slow disk, moving the index of a large file too."""
    now = [0.0]
    worker = Worker(spec, lambda *_: None, clock=lambda: now[0])
    try:
        worker.run(order(tmp_path, '{"then": "hang"}'))
        said = {"frames_done": 0, "frames_total": None, "frames_per_second": 0.0, "seconds_left": None}
        for step in (100.0, 200.0, 300.0):
            now[0] = step
            worker._take({"event": "progress", "ticket": 1, "stage": stage, **said})
            assert worker.overdue(150.0, 0.0) is None
    finally:
        worker.kill()
        worker.close(5)


def test_progress_keeps_a_long_job_alive_until_the_limit_for_the_whole_job(
    spec: WorkerSpec, tmp_path: Path
) -> None:
    now = [0.0]
    frames = threading.Semaphore(0)

    def tell(_: Worker, message: object) -> None:
        frames.release()

    worker = Worker(spec, tell, clock=lambda: now[0])
    try:
        worker.run(order(tmp_path, '{"frames": 3, "seconds": 1.2}'))
        for step in (100.0, 200.0):
            now[0] = step
            assert frames.acquire(timeout=10)
            assert worker.overdue(150.0, 0.0) is None
            assert isinstance(worker.overdue(150.0, step - 1.0), JobTimeoutError)
    finally:
        worker.close(5)


def test_d4_a_hanging_job_does_not_hold_up_the_daemon(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.configure(max_retries=0)
    bench.face()
    bench.target("a hanging one.mp4", then="hang")
    bench.target("good.mp4")
    overdue = Worker.overdue
    # Five seconds is the least the settings allow; a test need not wait that long.
    monkeypatch.setattr(Worker, "overdue", lambda self, stall, job: overdue(self, 2.0, job))

    assert bench.run_once() == 1

    assert bench.results() == ["good__alice.mp4"]
    assert bench.report("failed/a hanging one__alice.json")["failure"]["category"] == "timeout"


def test_a_worker_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.face()
    bench.target("clip.mp4", seconds=60)
    with bench.start() as daemon:
        daemon.wait_for_state("videos/clip.mp4", "running")
        daemon.wait_until(lambda: bool(bench.status().running))
        worker = psutil.Process(bench.status().running[0].worker_pid)
        daemon.kill()
        gone, _ = psutil.wait_procs([worker], timeout=5)
        assert gone


def test_a_worker_ends_by_itself_when_nobody_can_give_it_orders(spec: WorkerSpec, tmp_path: Path) -> None:
    worker = Worker(spec, lambda *_: None)
    worker.run(order(tmp_path, '{"seconds": 60, "frames": 10}'))
    worker.close(10)
    assert worker._process.returncode == 0, "it had to be killed"


def test_an_idle_worker_gives_its_memory_back(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew_module, "IDLE_SECONDS", 0.2)
    bench.face()
    bench.target("clip.mp4")
    started: list[Worker] = []
    begin = Worker.__init__

    def remember(self: Worker, *arguments: Any, **options: Any) -> None:
        begin(self, *arguments, **options)
        started.append(self)

    monkeypatch.setattr(Worker, "__init__", remember)
    result = bench.outbox / "clip__alice.json"
    bench.run_until(lambda: result.exists() and not any(worker.alive for worker in started))
    settled = time.monotonic() + 1.5
    started.clear()
    bench.run_until(lambda: time.monotonic() > settled)
    assert not started, "a daemon with nothing to do starts no worker"


def test_two_workers_process_two_jobs_at_a_time(bench: Bench) -> None:
    bench.configure(workers=2)
    bench.face("alice")
    bench.face("bob")
    for face in ("alice", "bob"):
        bench.target(f"{face}__clip.mp4", seconds=1.0)
    assert bench.run_once() == 0
    reports = [bench.report(f"clip__{face}.json") for face in ("alice", "bob")]
    assert len({report["swap"]["media"]["pid"] for report in reports}) == 2
    assert max(r["started_at"] for r in reports) < min(r["finished_at"] for r in reports)


# -- D3, D10: storage ----------------------------------------------------------------------------------------


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


# -- F1, F4, F6, F7: the inbox, with the whole daemon --------------------------------------------------------


def test_f1_a_file_that_changes_while_it_is_processed_is_started_over(bench: Bench) -> None:
    bench.face()
    target = bench.target("clip.mp4", seconds=30, frames=600, version=1)
    with bench.start() as daemon:
        daemon.wait_for_state("videos/clip.mp4", "running")
        target.write_text('{"version": 2}')
        daemon.wait_for_result("clip__alice.json")
        assert bench.status().counts.failed == 0
    assert b'"version": 2' in (bench.outbox / "clip__alice.mp4").read_bytes()
    assert bench.results() == ["clip__alice.mp4"]


def test_f1_a_file_that_changed_unnoticed_while_it_was_processed_gives_no_result_of_the_old_content(
    bench: Bench,
) -> None:
    bench.configure(watch_interval=60)
    bench.face()
    target = bench.target("clip.mp4", seconds=1.0, version=1)
    replaced = []

    def replace(snapshot: Snapshot) -> None:
        if not replaced and any(job.frames_done for job in snapshot.running):
            replaced.append(target.write_text('{"version": 2}'))

    bench.run_until((bench.outbox / "clip__alice.json").exists, on_snapshot=replace, watch=False)

    assert replaced
    assert bench.results() == ["clip__alice.mp4"]
    assert b'"version": 2' in (bench.outbox / "clip__alice.mp4").read_bytes()


def test_f1_a_file_written_again_with_the_same_content_while_it_is_processed_is_done_once(
    bench: Bench,
) -> None:
    bench.face()
    target = bench.target("clip.mp4", seconds=2.0, frames=20)
    content = target.read_bytes()
    with bench.start() as daemon:
        daemon.wait_until(lambda: any(job.frames_done for job in bench.status().running))
        target.write_bytes(content)
        daemon.wait_for_result("clip__alice.json")
        assert daemon.wait_for_state("videos/clip.mp4", "done").jobs == ("1",)
    assert bench.results() == ["clip__alice.mp4"]


def test_f1_a_slow_copy_is_never_started_early(bench: Bench) -> None:
    bench.face()
    path = bench.inbox / "videos" / "clip.mp4"
    with bench.start() as daemon:
        daemon.wait_for_state("faces/alice.jpg", "ready")
        with path.open("w") as stream:
            for piece in ('{"version"', ": ", "1", "}"):
                stream.write(piece)
                stream.flush()
                time.sleep(0.6)  # three times the settling time
                states = {file.path: file.state for file in bench.status().files}
                assert states.get("videos/clip.mp4") in (None, "waiting", "preparing")
        daemon.wait_for_result("clip__alice.json")
        assert bench.status().counts.failed == 0


def test_f4_while_the_inbox_is_away_nothing_is_given_up(bench: Bench) -> None:
    bench.face()
    bench.target("first.mp4", seconds=2.0)
    bench.target("second.mp4")
    away = bench.root / "inbox is unmounted"
    with bench.start() as daemon:
        daemon.wait_until(lambda: any(job.frames_done for job in bench.status().running))
        bench.inbox.rename(away)
        bench.inbox.mkdir()  # the empty mount point
        daemon.wait_until(lambda: bench.status().state == "paused")
        daemon.wait_for_result("first__alice.json")
        daemon.wait_until(lambda: "mounted?" in (bench.status().paused or ""))
        snapshot = bench.status()
        assert snapshot.counts.queued == 1
        assert snapshot.counts.failed == 0
        assert {file.path: file.state for file in snapshot.files}["videos/second.mp4"] == "queued"
        bench.inbox.rmdir()
        away.rename(bench.inbox)
        daemon.wait_for_result("second__alice.json")
        bench.target("third.mp4")
        daemon.wait_for_result("third__alice.json")


def test_f3_files_whose_events_were_lost_are_found_by_the_scan(bench: Bench) -> None:
    bench.configure(accept_use_policy=0)
    bench.face()
    dropped = []

    def drop(snapshot: Snapshot) -> None:
        if snapshot.files and not dropped:
            for number in range(1000):
                dropped.append(bench.target(f"{number}.mp4"))

    bench.run_until(
        lambda: bool(dropped) and bench.status_of_daemon().counts.blocked == 1000,
        on_snapshot=drop,
        watch=False,  # no events at all
    )


def test_f6_a_target_that_is_refused_is_reported_and_mended_by_replacing_it(bench: Bench) -> None:
    bench.face()
    link = bench.inbox / "videos" / "clip.mp4"
    link.symlink_to("/etc/hostname")
    assert bench.run_once() == 1
    failure = bench.report("failed/clip.json")["failure"]
    assert failure["category"] == "input_error"
    assert "symbolic link" in failure["message"]
    assert bench.file("videos/clip.mp4").state == "refused"

    link.unlink()
    bench.target("clip.mp4")

    assert bench.run_once() == 0
    assert not any((bench.outbox / "failed").iterdir())


def test_f7_a_file_that_vanishes_while_it_waits_is_said_and_can_come_back(bench: Bench) -> None:
    bench.face()
    bench.target("first.mp4", seconds=2.0)
    second = bench.target("second.mp4")
    with bench.start() as daemon:
        daemon.wait_for_state("videos/second.mp4", "queued")
        content = second.read_bytes()
        second.unlink()
        assert "removed" in daemon.wait_for_state("videos/second.mp4", "vanished").reason
        daemon.wait_until((bench.outbox / "failed" / "second__alice.json").exists)
        assert bench.report("failed/second__alice.json")["failure"]["category"] == "vanished"
        second.write_bytes(content)
        daemon.wait_for_result("second__alice.json")
        daemon.wait_until(lambda: not any((bench.outbox / "failed").iterdir()))


def test_f7_a_file_that_vanishes_at_a_random_moment_leaves_the_daemon_well(bench: Bench) -> None:
    bench.face()
    with bench.start() as daemon:
        daemon.wait_until_watching()
        for number in range(12):
            path = bench.target(f"{number}.mp4", seconds=0.05)
            time.sleep(0.04 * number)
            path.unlink()
        bench.target("last.mp4")
        daemon.wait_for_result("last__alice.json")
        printed = daemon.stop()
    assert "Traceback" not in printed
    assert "Traceback" not in (bench.root / ".automation" / "log" / "daemon.log").read_text()


def test_a_fault_of_ours_in_publishing_ends_that_job_and_not_the_daemon(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.face()
    bench.target("bad.mp4")
    bench.target("good.mp4")
    place = Outbox.place

    def broken(self: Outbox, work: Path, base: str, *others: Any) -> object:
        if base.startswith("bad"):
            raise ZeroDivisionError("a fault of ours")
        return place(self, work, base, *others)

    monkeypatch.setattr(Outbox, "place", broken)
    assert bench.run_once() == 1
    assert bench.results() == ["good__alice.mp4"]
    assert bench.file("videos/bad.mp4").state == "failed"


def test_signals_are_for_the_parent_alone(bench: Bench) -> None:
    """A terminal's Ctrl-C reaches the worker as well; it must not notice."""
    bench.face()
    bench.target("clip.mp4", seconds=1.5)
    with bench.start() as daemon:
        daemon.wait_for_state("videos/clip.mp4", "running")
        daemon.wait_until(lambda: bool(bench.status().running))
        worker = bench.status().running[0].worker_pid
        assert worker is not None
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(worker, number)
        daemon.wait_for_result("clip__alice.json")
    assert bench.report("clip__alice.json")["attempts"] == 1

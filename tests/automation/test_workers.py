"""Workers that die, hang, run out of memory or have nothing to do."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from workbench import FACTORY, Bench

from facefusion.automation import children
from facefusion.automation import crew as crew_module
from facefusion.automation.worker import Broken, Order, Progress, Worker, WorkerSpec
from facefusion.config import AutomationConfig
from facefusion.errors import JobTimeoutError


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
    bench.target("other.mp4")
    assert bench.run_once() == 0
    assert bench.report("clip__alice.json")["attempts"] == 2
    again = [bench.report(f"{name}__alice.json")["swap"]["media"]["again"] for name in ("clip", "other")]
    assert again == [True, False], "what has failed once is tried with more care"


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

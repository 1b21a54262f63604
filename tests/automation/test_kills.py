"""A daemon that is killed, stopped or started twice: every file still ends exactly once."""

from __future__ import annotations

import json
import random
import signal
import sqlite3
import time
from pathlib import Path

import pytest
from workbench import Bench

STEPS = ["sealing", "placing", "placed", "published", "reported", "counted"]


def drop_a_mixture(bench: Bench, good: int = 4) -> dict[str, bytes]:
    """Some good targets, one without a face, one that fails; the content of all."""
    bench.face()
    for number in range(good):
        bench.target(f"good{number}.mp4", seconds=0.05)
    bench.target("nobody.mp4", then="no_face")
    bench.target("bad.mp4", then="bad_source")
    return {
        str(p): p.read_bytes() for p in bench.inbox.rglob("*") if p.is_file() and p.suffix in (".mp4", ".jpg")
    }


def check_invariants(bench: Bench, inputs: dict[str, bytes], good: int = 4) -> None:
    """What must hold after any number of kills and one last undisturbed run."""
    states = {Path(file.path).name: file.state for file in bench.status().files}
    expected = {f"good{number}.mp4": "done" for number in range(good)}
    assert states == {**expected, "nobody.mp4": "no_face", "bad.mp4": "failed", "alice.jpg": "ready"}
    assert bench.results() == sorted(f"good{number}__alice.mp4" for number in range(good)), (
        "each exactly once"
    )
    for number in range(good):
        content = (bench.outbox / f"good{number}__alice.mp4").read_bytes()
        assert content.endswith(b"}"), "a torn result"
        assert bench.report(f"good{number}__alice.json")["outcome"] == "done"
    assert bench.report("nobody__alice.json")["outcome"] == "no_face"
    assert [path.name for path in (bench.outbox / "failed").iterdir()] == ["bad__alice.json"]
    assert bench.leftovers() == []
    assert {path: Path(path).read_bytes() for path in inputs} == inputs, "inputs are untouched"
    database = sqlite3.connect(bench.root / ".automation" / "queue.sqlite3")
    assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    database.close()


@pytest.mark.parametrize("step", STEPS)
def test_d1_d2_a_kill_at_every_step_of_publishing_leaves_one_whole_result(bench: Bench, step: str) -> None:
    inputs = drop_a_mixture(bench, good=1)
    with bench.start("--once", "--kill-at", step) as daemon:
        assert daemon.ended()[0] == -signal.SIGKILL
    told = (bench.outbox / "failed" / "bad__alice.json").exists()
    assert bench.run_once() == (3 if told else 1), "what the killed run had told is no news"
    check_invariants(bench, inputs, good=1)
    attempts = bench.report("good0__alice.json")["attempts"]
    assert attempts == 1 or step in ("reported", "counted"), "a kill while it is published is no attempt"


def kill_at_random_moments(bench: Bench, kills: int, seed: int) -> None:
    bench.configure(max_retries=10)  # each kill counts for the job in hand
    inputs = drop_a_mixture(bench)
    chance = random.Random(seed)
    killed = rounds = 0
    while killed < kills:
        rounds += 1
        assert rounds < 5 * kills, "the blows come too late"
        with bench.start("--once") as daemon:
            time.sleep(chance.uniform(0.1, 1.0))
            if daemon.process.poll() is None:
                daemon.kill()
                killed += 1
            else:
                # Everything was done before the blow: give it something new to be killed at.
                for path in (bench.outbox / "failed").iterdir():
                    path.unlink()
                database = sqlite3.connect(bench.root / ".automation" / "queue.sqlite3")
                database.execute("DELETE FROM jobs")
                database.commit()
                database.close()
                for path in bench.outbox.iterdir():
                    if path.is_file():
                        path.unlink()
    assert bench.run_once() in (0, 1, 3), "it depends on what the killed runs had told already"
    check_invariants(bench, inputs)


@pytest.mark.slow
def test_d1_kills_at_random_moments_lose_and_double_nothing(bench: Bench) -> None:
    kill_at_random_moments(bench, kills=10, seed=20)


@pytest.mark.soak
def test_d1_three_hundred_kills(tmp_path: Path) -> None:
    for seed in range(10):
        root = tmp_path / str(seed)
        root.mkdir()
        kill_at_random_moments(Bench(root), kills=30, seed=seed)


def test_d5_a_job_that_kills_the_whole_program_fails_and_the_rest_is_processed(bench: Bench) -> None:
    bench.configure(max_retries=1)
    bench.face()
    bench.target("a killer.mp4", then="kill_the_program")
    bench.target("good.mp4")
    for _ in range(2):
        with bench.start("--once") as daemon:
            assert daemon.ended()[0] == -signal.SIGKILL

    with bench.start("--once") as daemon:
        assert daemon.ended()[0] == 1

    assert bench.results() == ["good__alice.mp4"]
    report = bench.report("failed/a killer__alice.json")
    assert (report["failure"]["category"], report["attempts"]) == ("worker_crash", 2)
    assert "whole program ended" in report["failure"]["message"]
    assert bench.leftovers() == []
    with bench.start("--once") as daemon:
        assert daemon.ended()[0] == 0, "it is no news"
    assert bench.report("failed/a killer__alice.json")["attempts"] == 2, "it is not tried again by itself"


def test_d2_a_result_published_just_before_the_kill_is_recognised_and_not_made_again(bench: Bench) -> None:
    bench.face()
    bench.target("clip.mp4")
    with bench.start("--once", "--kill-at", "placed") as daemon:
        assert daemon.ended()[0] == -signal.SIGKILL
    before = (bench.outbox / "clip__alice.mp4").stat()
    assert not (bench.outbox / "clip__alice.json").exists()

    assert bench.run_once() == 0

    assert bench.results() == ["clip__alice.mp4"]
    assert (bench.outbox / "clip__alice.mp4").stat().st_mtime_ns == before.st_mtime_ns
    assert bench.report("clip__alice.json")["outcome"] == "done"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_d7_a_stopped_daemon_gives_its_job_back_within_seconds_and_goes_on_later(
    bench: Bench, number: signal.Signals
) -> None:
    bench.face()
    bench.target("clip.mp4", seconds=1.0, frames=60)
    with bench.start() as daemon:
        daemon.wait_for_state("videos/clip.mp4", "running")
        began = time.monotonic()
        printed = daemon.stop(number)
        assert time.monotonic() - began < 10
        assert daemon.process.returncode == 0, printed
    assert "Traceback" not in printed
    snapshot = bench.status()
    assert snapshot.state == "stopped"
    assert snapshot.daemon_pid is None
    assert snapshot.counts.queued == 1
    assert bench.leftovers() == []

    assert bench.run_once() == 0
    assert bench.report("clip__alice.json")["attempts"] == 1


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="there are no terminals to close")
def test_d7_a_daemon_under_nohup_outlives_its_terminal(bench: Bench) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as `nohup` does; children inherit it
    try:
        daemon = bench.start()
    finally:
        signal.signal(signal.SIGHUP, before)
    with daemon:
        daemon.wait_until_watching()
        daemon.process.send_signal(signal.SIGHUP)
        bench.face()
        bench.target("clip.mp4")
        daemon.wait_for_result("clip__alice.json")


def test_d7_a_job_that_does_not_listen_is_killed_in_time(bench: Bench) -> None:
    bench.face()
    bench.target("clip.mp4", then="hang")
    with bench.start() as daemon:
        daemon.wait_for_state("videos/clip.mp4", "running")
        began = time.monotonic()
        daemon.stop(signal.SIGTERM)
        assert time.monotonic() - began < 10
    assert bench.status().counts.queued == 1


def test_d8_a_second_daemon_on_the_same_root_is_refused_with_the_first_one_s_pid(bench: Bench) -> None:
    with bench.start() as first:
        first.wait_until_watching()
        with bench.start() as second:
            status, printed = second.ended()
        assert status == 2
        assert str(first.process.pid) in printed
        assert first.process.poll() is None
    bench.face()
    bench.target("clip.mp4")
    assert bench.run_once() == 0, "a killed daemon leaves no lock behind"


def test_roots_beside_each_other_do_not_disturb_each_other(tmp_path: Path) -> None:
    benches = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        benches.append(Bench(tmp_path / name, outbox="../shared outbox"))
    for bench in benches:
        bench.face()
        bench.target("clip.mp4", version=bench.root.name)
    with benches[0].start() as one, benches[1].start() as two:
        shared = tmp_path / "shared outbox"
        for daemon in (one, two):
            daemon.wait_until(lambda: len(list(shared.glob("clip*.json"))) == 2)
    versions = {
        json.loads(path.read_bytes().splitlines()[-1])["version"] for path in shared.glob("clip*.mp4")
    }
    assert versions == {"one", "two"}


def test_d11_many_small_jobs_leave_files_threads_and_memory_flat(bench: Bench) -> None:
    run_many(bench, first=40, then=160, growth_megabytes=12)


@pytest.mark.soak
def test_d11_ten_thousand_jobs(bench: Bench) -> None:
    run_many(bench, first=1000, then=9000, growth_megabytes=60)


def run_many(bench: Bench, *, first: int, then: int, growth_megabytes: int) -> None:
    import psutil

    bench.face()
    with bench.start() as daemon:
        process = psutil.Process(daemon.process.pid)
        daemon.wait_until_watching()

        def process_more(start: int, count: int) -> tuple[int, int, int, int]:
            for number in range(start, start + count):
                bench.target(f"{number}.mp4", frames=1, seconds=0.0001)
            daemon.wait_until(lambda: bench.status_of_daemon().counts.done == start + count, seconds=1800)
            daemon.wait_until(lambda: not bench.status_of_daemon().running)
            wal = bench.root / ".automation" / "queue.sqlite3-wal"
            return (
                process.num_fds(),
                process.num_threads(),
                process.memory_info().rss // 1_000_000,
                wal.stat().st_size // 1_000_000,
            )

        before = process_more(0, first)
        after = process_more(first, then)
    assert after[0] <= before[0] + 2, "file handles"
    assert after[1] <= before[1] + 1, "threads"
    assert after[2] <= before[2] + growth_megabytes, "memory"
    assert after[3] <= 8, "write-ahead log"
    assert len(bench.results()) == first + then

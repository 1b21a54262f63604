"""`cancel`, `retry` and `first`, with and without a daemon."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from workbench import Bench, Running


def logged(bench: Bench) -> str:
    return (bench.root / ".automation" / "log" / "daemon.log").read_text()


@contextlib.contextmanager
def at_work(bench: Bench) -> Iterator[Running]:
    """A daemon with a long job in hand and another one that waits."""
    bench.face()
    bench.target("long.mp4", seconds=60.0, frames=6000)
    bench.target("waiting.mp4")
    with bench.start() as daemon:
        daemon.wait_until(lambda: any(job.frames_done for job in bench.status().running))
        yield daemon


def test_cancel_and_retry_work_while_the_daemon_runs(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    with at_work(bench) as daemon:
        running = bench.status().running[0].id
        waiting = bench.status().waiting[0].id
        assert bench.command("cancel", waiting) == 0
        assert bench.command("cancel", running) == 0
        daemon.wait_for_state("videos/long.mp4", "cancelled")
        assert bench.file("videos/waiting.mp4").state == "cancelled"
        assert bench.command("retry", waiting) == 0
        daemon.wait_for_result("waiting__alice.json")
        assert "is queued again" in capsys.readouterr().out
    assert bench.file("videos/long.mp4").state == "cancelled"
    assert bench.results() == ["waiting__alice.mp4"]


def test_what_a_person_cancels_is_reported_and_counted_like_everything_else(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    with at_work(bench) as daemon:
        for job in (*bench.status().running, *bench.status().waiting):
            assert bench.command("cancel", job.id) == 0
        for name in ("long", "waiting"):
            daemon.wait_until((bench.outbox / "failed" / f"{name}__alice.json").exists)
            report = bench.report(f"failed/{name}__alice.json")
            assert (report["outcome"], report["failure"]["category"]) == ("cancelled", "cancelled")
            assert "retry" in report["failure"]["remedy"]
        daemon.stop()
    for name, number in (("long", 1), ("waiting", 2)):  # the same of one that ran and of one that waited
        told = f"Cancelled videos/{name}.mp4 with alice by request; `retry {number}` brings it back."
        assert logged(bench).count(f"ancelled videos/{name}.mp4") == logged(bench).count(told) == 1
        assert bench.file(f"videos/{name}.mp4").reason == (
            f"cancelled by request, face alice (`retry {number}` brings it back)"
        )
    assert bench.command("report") == 0
    assert "2 jobs, 0 done" in capsys.readouterr().out

    assert bench.command("retry", "1") == 0
    (bench.inbox / "videos" / "long.mp4").unlink()
    assert bench.run_once() == 0
    assert bench.report("failed/long__alice.json")["outcome"] == "failed", "there is one report for a job"


def test_a_finished_job_is_made_anew_under_a_free_name(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.face()
    bench.target("clip.mp4", shows_preset=True)
    assert bench.run_once() == 0
    assert bench.command("status", "--all") == 0
    assert "`retry 1` makes it anew" in " ".join(capsys.readouterr().out.split())
    assert bench.command("retry") == 1, "without a number only what failed"

    bench.configure(quality_preset="fast")
    assert bench.command("retry", "1") == 0
    assert bench.run_once() == 0

    assert bench.results() == ["clip__alice-2.mp4", "clip__alice.mp4"]
    assert bench.report("clip__alice-2.json")["quality_preset"] == "fast"
    assert bench.report("clip__alice.json")["quality_preset"] == "balanced"
    said = bench.report("clip__alice-2.json")["warnings"]
    assert not [told for told in said if "was taken" in told], "that was asked for"
    assert bench.file("videos/clip.mp4").reason.startswith("result: clip__alice-2.mp4")

    with pytest.raises(SystemExit):
        bench.command("retry", "--help")
    assert "a finished one that is named is made anew" in " ".join(capsys.readouterr().out.split())


def test_cancel_and_retry_work_without_a_daemon(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.command("retry", "all") == 1
    assert "no queue" in capsys.readouterr().out
    bench.configure(max_retries=0)
    bench.face()
    bench.target("clip.mp4", then="crash_once", marker=str(bench.root / "crashed"))
    assert bench.run_once() == 1
    assert bench.command("retry", "99") == 1
    assert bench.command("retry", "clip") == 2
    assert bench.command("retry", "all") == 0
    assert "No daemon is running" in capsys.readouterr().out
    assert bench.run_once() == 0
    assert bench.command("retry", "all") == 1, "nothing has failed"
    assert bench.command("cancel", "1") == 1, "it is done"


def test_a_job_may_be_called_by_the_name_of_its_file(
    bench: Bench, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.face()
    bench.target("one.mp4")
    bench.target("videos/alice/two.mp4")
    bench.face("bob")
    bench.target("videos/bob/two.mp4", other=True)
    bench.target("alice__15.mp4")
    assert bench.run_once() == 1, "one.mp4 waits for a decision"
    numbers = {Path(job.output or "").name: job.id for job in bench.status().results}
    assert len(numbers) == 3
    capsys.readouterr()

    assert bench.command("retry", "two.mp4") == 2
    told = capsys.readouterr().err
    assert "with alice)" in told and "with bob)" in told and "Give the number" in told
    assert bench.command("retry", "one.mp4") == 2, "it has no job"

    monkeypatch.chdir(bench.root)
    assert bench.command("retry", "bob/two.mp4") == 0
    assert f"Job {numbers['two__bob.mp4']} " in capsys.readouterr().out
    assert bench.command("cancel", "two.mp4") == 0, "the other one is done, so it is not meant"
    assert f"Job {numbers['two__bob.mp4']} " in capsys.readouterr().out
    assert bench.command("retry", "outbox/two__alice.mp4", "inbox/videos/alice__15.mp4") == 0
    assert bench.command("first", "alice__15.mp4") == 0
    assert f"Job {numbers['15__alice.mp4']} (videos/alice__15.mp4) runs next." in capsys.readouterr().out
    assert bench.command("first", "wo.mp4") == 2, "part of a name is none"


def test_first_has_a_job_run_before_all_others(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.face()
    bench.target("0 long.mp4", seconds=2.0, frames=100)
    for number in range(1, 4):
        bench.target(f"{number}.mp4")
    with bench.start() as daemon:
        daemon.wait_until(lambda: len(bench.status().waiting) == 3)
        last = bench.status().waiting[-1]
        assert bench.command("first", last.id) == 0
        daemon.wait_until(lambda: bench.status().counts.done == 4)
    started = {name: bench.report(f"{name}__alice.json")["started_at"] for name in ("1", "2", "3")}
    assert min(started, key=lambda name: started[name]) == Path(last.target).stem
    assert "runs next" in capsys.readouterr().out

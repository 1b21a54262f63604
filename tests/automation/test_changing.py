"""Asking for jobs by their numbers: what comes of it, and why not."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from workbench import FACTORY, Bench

from facefusion.automation.commands import main
from facefusion.automation.daemon import Options


def run(bench: Bench, *words: str) -> int:
    return main([*words, "--root", str(bench.root)], options=Options(session_factory=FACTORY))


def test_a_result_that_is_made_anew_is_back_when_that_is_cancelled(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.face()
    bench.target("clip.mp4")
    assert bench.run_once() == 0
    before = bench.status()
    assert run(bench, "retry", "1") == 0
    assert "the old result stays, the new one gets a number" in capsys.readouterr().out
    assert run(bench, "cancel", "1") == 0
    assert "its earlier result stays" in capsys.readouterr().out
    assert bench.run_once() == 0

    after = bench.status()
    assert [view for view in after.results if view.id == "1"] == list(before.results)
    assert bench.file("videos/clip.mp4").reason.startswith("result: clip__alice.mp4")
    assert not (bench.outbox / "failed" / "clip__alice.json").exists()
    assert bench.report("clip__alice.json")["outcome"] == "done"
    bench.target("again.mp4").write_bytes((bench.inbox / "videos" / "clip.mp4").read_bytes())
    assert bench.run_once() == 0
    assert "result: clip__alice.mp4" in bench.file("videos/again.mp4").reason


def test_a_result_that_cannot_be_made_anew_is_still_there_and_that_is_said(
    bench: Bench, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    has_crashed = tmp_path / "has crashed"
    has_crashed.touch()
    bench.configure(max_retries=0)
    bench.face()
    bench.target("clip.mp4", then="crash_once", marker=str(has_crashed))
    assert bench.run_once() == 0
    assert run(bench, "retry", "1") == 0
    has_crashed.unlink()
    capsys.readouterr()

    assert run(bench, "--once") == 1

    kept = "Its earlier result clip__alice.mp4 is still there."
    assert kept in capsys.readouterr().out
    assert kept in bench.file("videos/clip.mp4").reason
    assert bench.report("failed/clip__alice.json")["warnings"] == [kept]
    (bench.outbox / "clip__alice.mp4").unlink()
    assert kept not in bench.status().failures[0].message


def test_a_job_that_cannot_be_changed_is_named_with_the_reason(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.face()
    bench.target("good.mp4")
    assert bench.run_once() == 0
    assert run(bench, "cancel", "1", "99") == 1
    said = capsys.readouterr().out
    assert "Job 1 has ended (videos/good.mp4)." in said
    assert "There is no job 99." in said
    assert run(bench, "first", "1") == 1
    assert "Job 1 has ended" in capsys.readouterr().out
    assert run(bench, "retry", "1", "99") == 1, "not everything that was asked for could be done"
    said = capsys.readouterr().out
    assert "Job 1 (videos/good.mp4) is queued again" in said
    assert "There is no job 99." in said


def test_what_has_no_file_any_more_is_not_tried_again(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.face()
    for name in ("gone", "other", "moved", "copied"):
        bench.target(f"{name}.mp4", then="bad_source")
    assert bench.run_once() == 1
    numbers = {Path(failure.target).stem: failure.id for failure in bench.status().failures}
    videos = bench.inbox / "videos"
    (videos / "gone.mp4").unlink()
    (videos / "other.mp4").write_text("something else")
    capsys.readouterr()

    assert run(bench, "retry") == 1

    said = capsys.readouterr().out
    assert f"Job {numbers['gone']} cannot be tried again: videos/gone.mp4 is gone; drop it again." in said
    assert f"Job {numbers['other']} cannot be tried again: videos/other.mp4 was replaced" in said
    assert f"Job {numbers['moved']} (videos/moved.mp4) is queued again" in said
    assert bench.status().counts.queued == 2
    assert bench.status().counts.failed == 2


def test_the_use_policy_is_asked_for_once_with_words_that_accept_it_for_this_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench = Bench(tmp_path / "my swaps")
    bench.configure(accept_use_policy=0)
    bench.face()
    for name in ("one", "two", "three"):
        bench.target(f"{name}.mp4")
    assert run(bench, "--once") == 1
    said = capsys.readouterr().out
    assert said.count("has not been accepted") == 1
    assert f"launch_automation.py --root '{bench.root}'" in said
    with bench.start() as daemon:
        daemon.wait_until(lambda: bool(bench.status().notices))
        capsys.readouterr()
        assert run(bench, "status") == 0
        assert capsys.readouterr().out.count("has not been accepted") == 1
    (command,) = (part for part in said.split("`") if part.startswith("python3 simple_auto_processor.py"))

    assert main([*shlex.split(command)[2:], "--once"], options=Options(session_factory=FACTORY)) == 0
    assert len(bench.results()) == 3

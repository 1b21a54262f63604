"""The command line, as a person or a script uses it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from workbench import FACTORY, REPOSITORY, Bench, Running

from facefusion.automation.commands import COMMANDS, main
from facefusion.automation.daemon import Options
from facefusion.automation.snapshot import snapshot_from_dict

STOPPED_SOON = """
import sys
from facefusion.automation import commands
from facefusion.automation.daemon import Options
from facefusion.automation.processor import SimpleAutoProcessor

SimpleAutoProcessor.run = lambda processor, on_ready: (processor.workspace.prepare_state(), on_ready(), 0)[-1]
commands.main(["--root", sys.argv[1]], options=Options(session_factory="scripted_session:ScriptedSession"))
"""


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def run(bench: Bench, *words: str) -> int:
    return main([*words, "--root", str(bench.root)], options=Options(session_factory=FACTORY))


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


def test_once_says_what_came_of_everything(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.face()
    bench.target("good.mp4")
    bench.target("bad.mp4", then="bad_source")
    assert run(bench, "--once") == 1
    printed = capsys.readouterr().out
    assert "good__alice.mp4" in printed
    assert "No face in the source picture." in printed
    assert "Use a sharp, well lit picture" in printed
    assert "1 done" in printed


def test_status_tells_the_state_of_every_file_without_a_daemon(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(bench, "status") == 0
    assert "no daemon is running" in capsys.readouterr().out
    bench.target("clip.mp4")
    (bench.inbox / "videos" / "x.part").touch()
    before = sorted(path.name for path in bench.root.rglob("*"))
    assert run(bench, "status", "--all") == 0
    printed = capsys.readouterr().out
    assert "clip.mp4: new: looked at when the program runs" in printed
    assert "temporary name" in printed
    assert sorted(path.name for path in bench.root.rglob("*")) == before, "looking changes nothing"


def test_status_as_json_can_be_read_back_whatever_the_names(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.face(os.fsdecode(b"\xffrank"))
    bench.target(os.fsdecode(b"clip\xfe\n.mp4"))
    bench.target("bad.mp4", then="bad_source")
    assert bench.run_once() == 1
    assert run(bench, "status", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    snapshot = snapshot_from_dict(document)
    assert snapshot == snapshot_from_dict(snapshot.as_dict())
    assert {file.path: file.state for file in snapshot.files} == {
        "faces/\\xffrank.jpg": "ready",
        "videos/clip\\xfe\\n.mp4": "done",
        "videos/bad.mp4": "failed",
    }
    assert snapshot.results[0].engine == snapshot.engine == "mesh"
    assert snapshot.failures[0].category == "face_detection"


def test_status_of_a_running_daemon_shows_progress(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.face()
    bench.target("clip.mp4", seconds=4.0, frames=100)
    bench.target("next.mp4")
    with bench.start() as daemon:
        daemon.wait_until(lambda: any(job.frames_per_second for job in bench.status().running))
        assert run(bench, "status") == 0
        printed = capsys.readouterr().out
        (job,) = bench.status().running
    assert f"process {daemon.process.pid}" in printed
    assert "frames/s" in printed
    assert "Next:" in printed
    assert job.frames_total == 100
    assert job.seconds_left is not None
    assert 0 < job.frames_done <= 100


def test_cancel_and_retry_work_while_the_daemon_runs(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    with at_work(bench) as daemon:
        running = bench.status().running[0].id
        waiting = bench.status().waiting[0].id
        assert run(bench, "cancel", waiting) == 0
        assert run(bench, "cancel", running) == 0
        daemon.wait_for_state("videos/long.mp4", "cancelled")
        assert bench.file("videos/waiting.mp4").state == "cancelled"
        assert run(bench, "retry", waiting) == 0
        daemon.wait_for_result("waiting__alice.json")
        assert "is queued again" in capsys.readouterr().out
    assert bench.file("videos/long.mp4").state == "cancelled"
    assert bench.results() == ["waiting__alice.mp4"]


def test_what_a_person_cancels_is_reported_and_counted_like_everything_else(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    with at_work(bench) as daemon:
        for job in (*bench.status().running, *bench.status().waiting):
            assert run(bench, "cancel", job.id) == 0
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
    assert run(bench, "report") == 0
    assert "2 jobs, 0 done" in capsys.readouterr().out

    assert run(bench, "retry", "1") == 0
    (bench.inbox / "videos" / "long.mp4").unlink()
    assert bench.run_once() == 0
    assert bench.report("failed/long__alice.json")["outcome"] == "failed", "there is one report for a job"


def test_a_finished_job_is_made_anew_under_a_free_name(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.face()
    bench.target("clip.mp4", shows_preset=True)
    assert bench.run_once() == 0
    assert run(bench, "status", "--all") == 0
    assert "`retry 1` makes it anew" in " ".join(capsys.readouterr().out.split())
    assert run(bench, "retry") == 1, "without a number only what failed"

    bench.configure(quality_preset="fast")
    assert run(bench, "retry", "1") == 0
    assert bench.run_once() == 0

    assert bench.results() == ["clip__alice-2.mp4", "clip__alice.mp4"]
    assert bench.report("clip__alice-2.json")["quality_preset"] == "fast"
    assert bench.report("clip__alice.json")["quality_preset"] == "balanced"
    assert bench.file("videos/clip.mp4").reason.startswith("result: clip__alice-2.mp4")

    with pytest.raises(SystemExit):
        run(bench, "retry", "--help")
    assert "a finished one that is named is made anew" in " ".join(capsys.readouterr().out.split())


def test_cancel_and_retry_work_without_a_daemon(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(bench, "retry", "all") == 1
    assert "no queue" in capsys.readouterr().out
    bench.configure(max_retries=0)
    bench.face()
    bench.target("clip.mp4", then="crash_once", marker=str(bench.root / "crashed"))
    assert bench.run_once() == 1
    assert run(bench, "retry", "99") == 1
    assert run(bench, "retry", "clip") == 2
    assert run(bench, "retry", "all") == 0
    assert "No daemon is running" in capsys.readouterr().out
    assert bench.run_once() == 0
    assert run(bench, "retry", "all") == 1, "nothing has failed"
    assert run(bench, "cancel", "1") == 1, "it is done"


def test_first_has_a_job_run_before_all_others(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.face()
    bench.target("0 long.mp4", seconds=2.0, frames=100)
    for number in range(1, 4):
        bench.target(f"{number}.mp4")
    with bench.start() as daemon:
        daemon.wait_until(lambda: len(bench.status().waiting) == 3)
        last = bench.status().waiting[-1]
        assert run(bench, "first", last.id) == 0
        daemon.wait_until(lambda: bench.status().counts.done == 4)
    started = {name: bench.report(f"{name}__alice.json")["started_at"] for name in ("1", "2", "3")}
    assert min(started, key=lambda name: started[name]) == Path(last.target).stem
    assert "runs next" in capsys.readouterr().out


def test_the_next_jobs_are_told_in_the_order_in_which_they_run(bench: Bench) -> None:
    bench.configure(pairing="all")
    bench.face("anna")
    bench.face("ben")
    bench.target("0 long.mp4", seconds=60.0, frames=6000)
    for number in range(1, 4):
        bench.target(f"{number}.mp4")
    with bench.start() as daemon:
        daemon.wait_until(lambda: any(job.frames_done for job in bench.status().running))
        daemon.wait_until(lambda: bench.status().counts.queued == 7)
        faces = [job.face for job in bench.status().waiting]
        assert faces == ["anna"] * 3 + ["ben"] * 4 or faces == ["ben"] * 3 + ["anna"] * 4
        bench.configure(group_videos_by_face=False)
        run(bench, "first", bench.status().waiting[-1].id)  # the list is made anew
        daemon.wait_until(lambda: bench.status().waiting[0].priority == 1)
        daemon.wait_until(lambda: bench.status().waiting[1].face != bench.status().waiting[2].face)


def test_the_use_policy_can_be_accepted_on_the_command_line_in_its_present_version(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.configure(accept_use_policy=0)
    bench.face()
    bench.target("clip.mp4")
    assert run(bench, "--once") == 1
    assert "use policy" in capsys.readouterr().out
    assert run(bench, "--once", "--accept-use-policy", "99") == 2
    assert "version 1, not 99" in capsys.readouterr().err
    assert run(bench, "--once", "--accept-use-policy", "1") == 0
    assert bench.results() == ["clip__alice.mp4"]


def test_the_use_policy_can_be_accepted_while_a_daemon_waits_for_it(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.configure(accept_use_policy=0)
    bench.face()
    bench.target("clip.mp4")
    with bench.start() as daemon:
        daemon.wait_until(lambda: bench.status().counts.blocked == 1)
        assert run(bench, "--accept-use-policy", "1") == 0
        assert f"(process {daemon.process.pid}) goes on with it" in capsys.readouterr().out
        daemon.wait_for_result("clip__alice.mp4")


def test_config_check_names_what_is_wrong(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(bench, "config", "check") == 0
    assert (bench.root / "automation_config.schema.json").exists()
    (bench.root / "automation_config.json").write_text('{\n  "watch_interval": 600\n}')
    assert run(bench, "config", "check") == 1
    error = capsys.readouterr().err
    assert "line 2" in error
    assert "watch_interval" in error
    assert "600" in error
    assert run(bench, "--once") == 2


def test_status_works_while_the_settings_are_broken(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.target("clip.mp4")
    (bench.root / "automation_config.json").write_text("{")
    assert run(bench, "status") == 0
    printed = capsys.readouterr().out
    assert "automation_config.json, line 1" in printed
    assert "clip.mp4" in printed


def test_config_schema_is_printed(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(bench, "config", "schema") == 0
    assert "quality_preset" in json.loads(capsys.readouterr().out)["properties"]


def test_folders_in_each_other_are_refused_before_anything_is_done(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.configure(outbox="inbox/videos/out")
    assert run(bench, "--once") == 2
    assert "lies inside the inbox" in capsys.readouterr().err
    assert not (bench.root / ".automation").exists()


def test_report_counts_what_was_done(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.face()
    bench.target("good.mp4")
    bench.target("bad.mp4", then="bad_source")
    bench.run_once()
    assert run(bench, "report", "--days", "7") == 0
    printed = capsys.readouterr().out
    assert "2 jobs, 1 done" in printed
    assert "What helps against the failures:\n  - " in printed
    assert (bench.outbox / "analytics" / "report.html").exists()


def test_purge_forgets_hashes_and_the_history_of_what_is_gone_and_keeps_results(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.face()
    bench.target("kept.mp4")
    gone = bench.target("gone.mp4")
    bench.run_once()
    gone.unlink()
    assert run(bench, "purge") == 0
    printed = capsys.readouterr().out
    assert "Forgot 1 ended job (1 done), because the target is no longer in the inbox." in printed
    assert "Kept 1 ended job" in printed
    assert "The audit log stays" in printed
    assert bench.file("videos/kept.mp4").state == "done", "its job is still known"
    assert bench.results() == ["gone__alice.mp4", "kept__alice.mp4"]
    assert bench.run_once() == 0
    assert bench.results() == ["gone__alice.mp4", "kept__alice.mp4"], "what is there is not made again"

    assert run(bench, "purge", "--everything") == 2, "nobody is there to ask"
    assert "Add --yes" in capsys.readouterr().err
    assert (bench.root / ".automation" / "queue.sqlite3").exists()
    assert run(bench, "purge", "--everything", "--yes") == 0
    printed = capsys.readouterr().out
    assert "Removed the queue with the history of all jobs" in printed
    assert "Kept" not in printed
    assert not (bench.root / ".automation" / "queue.sqlite3").exists()
    assert not (bench.root / ".automation" / "log").exists()


def test_a_second_daemon_does_not_say_that_it_watches(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    with bench.start() as daemon:
        daemon.wait_until_watching()
        assert run(bench) == 2
    told = capsys.readouterr()
    assert f"already being worked on by process {daemon.process.pid}" in told.err
    assert told.out == ""


def test_purge_is_refused_while_a_daemon_runs(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    with bench.start() as daemon:
        daemon.wait_until_watching()
        assert run(bench, "purge") == 2
    assert str(daemon.process.pid) in capsys.readouterr().err


@pytest.mark.parametrize("fault", ["import no_such_package", "from enum import NoSuchName", "match:"])
def test_a_python_that_cannot_load_the_program_says_what_helps(tmp_path: Path, fault: str) -> None:
    """An older one meets names and words that it does not know."""
    script = shutil.copy(REPOSITORY / "simple_auto_processor.py", tmp_path)
    (tmp_path / "facefusion" / "automation").mkdir(parents=True)
    (tmp_path / "facefusion" / "automation" / "commands.py").write_text(fault)
    told = subprocess.run([sys.executable, script, "status"], capture_output=True, text=True, check=False)
    assert told.returncode == 2
    assert told.stderr.startswith("The program cannot be loaded (")
    assert "Run `python3 launch_automation.py` once" in told.stderr
    assert "Traceback" not in told.stderr


@pytest.mark.parametrize("words", [["--root", "{root}", "status"], ["status", "--root", "{root}"]])
def test_root_may_stand_before_or_after_the_command(bench: Bench, words: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "simple_auto_processor.py", *(word.format(root=bench.root) for word in words)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    assert str(bench.root) in done.stdout


def test_a_settings_file_elsewhere_brings_its_own_folders(bench: Bench, tmp_path: Path) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "simple_auto_processor.py", "--config"),
            *(str(bench.root / "automation_config.json"), "status", "--json"),
        ],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout)["inbox"] == str(bench.inbox)


def test_a_pipe_that_closes_early_is_no_error(bench: Bench) -> None:
    done = subprocess.run(
        f"'{sys.executable}' simple_auto_processor.py status --json --root '{bench.root}' | head -c 1",
        shell=True,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""


@pytest.mark.parametrize("command", sorted(set(COMMANDS) - {"watch"}))
def test_the_help_of_each_command_says_what_it_does(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    told = capsys.readouterr().out
    assert "." in told.split("\n\n")[1], "a sentence"
    assert command == "doctor" or f"simple_auto_processor.py {command}" in told.split("example")[-1]


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["statsu"], "status"),
        (["--onec"], "--once"),
        (["status", "--al"], "--all"),
        (["models", "lst"], "list"),
    ],
)
def test_a_misspelt_word_is_answered_with_the_one_that_was_meant(
    words: list[str], meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(words)
    assert f"Did you mean '{meant}'?" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["quite something else"])
    assert "Did you mean" not in capsys.readouterr().err


def test_models_without_a_word_lists_them(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(bench, "models") == 0
    assert "Swap models that can be installed" in capsys.readouterr().out


def test_a_daemon_that_is_stopped_says_whether_something_is_left(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    words = [sys.executable, "-c", STOPPED_SOON, str(tmp_path)]
    nothing = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=True)
    assert nothing.stdout.splitlines()[-1] == "Stopped."
    bench.configure(accept_use_policy=0)
    bench.face()
    bench.target("clip.mp4")
    assert bench.run_once() == 1
    assert main(["--root", str(tmp_path), "retry"]) == 0
    waiting = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=True)
    assert waiting.stdout.splitlines()[-1] == "Stopped; 1 job goes on at the next start."


def test_counts_agree_with_their_nouns(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.face()
    bench.target("good.mp4")
    bench.run_once()
    assert run(bench, "report", "--days", "1") == 0
    assert "Last 1 day: 1 job, 1 done, success 100%." in capsys.readouterr().out
    with pytest.raises(SystemExit):
        run(bench, "report", "--days", "0")
    assert "a whole number, 1 or more" in capsys.readouterr().err


def test_the_doctor_examines_a_folder_that_was_never_used_and_names_each_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "fresh"
    root.mkdir()
    words = tmp_path / "words\x1b[2J.mp4"
    words.write_text("no video")
    photo = tmp_path / "photo.png"
    Image.new("RGB", (512, 512), "grey").save(photo)
    assert main(["doctor", str(words), str(photo), "--root", str(root)]) == 1, "the policy and a bad file"
    told = capsys.readouterr().out.splitlines()
    assert [line for line in told if line.startswith("ok   inbox ") and "first start makes it" in line]
    (bad,) = [line for line in told if line.startswith("BAD  target ")]
    assert r"words\x1b[2J.mp4" in bad
    (good,) = [line for line in told if line.startswith("ok   target ")]
    assert "photo.png: photo, 512x512" in good and "known after the first job of its kind" in good
    assert [path.name for path in root.iterdir() if path.name != ".automation"] == []

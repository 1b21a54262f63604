"""The command line, as a person or a script uses it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from workbench import Bench

from facefusion.automation.commands import COMMANDS, main
from facefusion.checkup import doctor
from facefusion.checkup.doctor import Check


def test_once_says_what_came_of_everything(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.face()
    bench.target("good.mp4")
    bench.target("bad.mp4", then="bad_source")
    assert bench.command("--once") == 1
    printed = capsys.readouterr().out
    assert "good__alice.mp4" in printed
    assert "No face in the source picture." in printed
    assert "Use a sharp, well lit picture" in printed
    assert "1 done" in printed


@pytest.fixture
def held(bench: Bench) -> Bench:
    """A root with one pair that waits for the use policy."""
    bench.configure(accept_use_policy=0)
    bench.face()
    bench.target("clip.mp4")
    return bench


def test_the_use_policy_can_be_accepted_on_the_command_line_in_its_present_version(
    held: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    assert held.command("--once") == 1
    assert "use policy" in capsys.readouterr().out
    assert held.command("--once", "--accept-use-policy", "99") == 2
    assert "version 1, not 99" in capsys.readouterr().err
    assert held.command("--once", "--accept-use-policy", "1") == 0
    assert held.results() == ["clip__alice.mp4"]


def test_the_use_policy_can_be_accepted_while_a_daemon_waits_for_it(
    held: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    with held.start() as daemon:
        daemon.wait_until(lambda: held.status().counts.blocked == 1)
        assert held.command("--accept-use-policy", "1") == 0
        assert f"(process {daemon.process.pid}) goes on with it" in capsys.readouterr().out
        daemon.wait_for_result("clip__alice.mp4")


def test_config_check_names_what_is_wrong(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.command("config", "check") == 0
    assert (bench.root / "automation_config.schema.json").exists()
    (bench.root / "automation_config.json").write_text('{\n  "watch_interval": 600\n}')
    assert bench.command("config", "check") == 1
    error = capsys.readouterr().err
    assert "line 2" in error
    assert "watch_interval" in error
    assert "600" in error
    assert bench.command("--once") == 2


def test_config_schema_is_printed(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.command("config", "schema") == 0
    assert "quality_preset" in json.loads(capsys.readouterr().out)["properties"]


def test_folders_in_each_other_are_refused_before_anything_is_done(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.configure(outbox="inbox/videos/out")
    assert bench.command("--once") == 2
    assert "lies inside the inbox" in capsys.readouterr().err
    assert not (bench.root / ".automation").exists()


@pytest.mark.parametrize("outbox", ["inbox/out", "LICENSE"])
def test_check_doctor_and_start_go_by_one_rule_for_folders(
    bench: Bench, outbox: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "_examine", only("folders", doctor._examine))
    (bench.root / "LICENSE").touch()
    bench.configure(outbox=outbox)
    told = []
    for command, status in ((("config", "check"), 1), (("doctor",), 1), (("--once",), 2)):
        assert bench.command(*command) == status
        printed = capsys.readouterr()
        told.append(printed.out + printed.err)
    why = "lies inside the inbox" if "inbox" in outbox else "LICENSE is a file, not a folder"
    assert all(why in text for text in told)


def test_wrong_settings_are_one_finding_of_the_doctor(
    bench: Bench, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "_examine", only("settings folders", doctor._examine))
    (bench.root / "automation_config.json").write_text('{\n  "watch_interval": 600\n}')
    assert bench.command("doctor") == 1
    told = capsys.readouterr().out
    assert "BAD  settings" in told and "line 2" in told and "watch_interval" in told
    assert "with the default settings" in told
    assert "ok   folders" in told


def only(names: str, examine: Callable[..., Check]) -> Callable[..., Check]:
    """The others take long and have tests of their own."""
    return lambda name, do: examine(
        name, do if name in names.split() else lambda: Check(name, True, "left out")
    )


def test_report_counts_what_was_done(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.face()
    bench.target("good.mp4")
    bench.target("bad.mp4", then="bad_source")
    bench.run_once()
    assert bench.command("report", "--days", "7") == 0
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
    assert bench.command("purge") == 0
    printed = capsys.readouterr().out
    assert "Forgot 1 ended job (1 done), because the target is no longer in the inbox." in printed
    assert "Kept 1 ended job" in printed
    assert "The audit log stays" in printed
    assert bench.file("videos/kept.mp4").state == "done", "its job is still known"
    assert bench.results() == ["gone__alice.mp4", "kept__alice.mp4"]
    assert bench.run_once() == 0
    assert bench.results() == ["gone__alice.mp4", "kept__alice.mp4"], "what is there is not made again"

    assert bench.command("purge", "--everything") == 2, "nobody is there to ask"
    assert "Add --yes" in capsys.readouterr().err
    assert (bench.root / ".automation" / "queue.sqlite3").exists()
    assert bench.command("purge", "--everything", "--yes") == 0
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
        assert bench.command() == 2
    told = capsys.readouterr()
    assert f"already being worked on by process {daemon.process.pid}" in told.err
    assert told.out == ""


def test_purge_is_refused_while_a_daemon_runs(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    with bench.start() as daemon:
        daemon.wait_until_watching()
        assert bench.command("purge") == 2
    assert str(daemon.process.pid) in capsys.readouterr().err


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
    assert bench.command("models") == 0
    assert "Swap models that can be installed" in capsys.readouterr().out


def test_counts_agree_with_their_nouns(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.face()
    bench.target("good.mp4")
    bench.run_once()
    assert bench.command("report", "--days", "1") == 0
    assert "Last 1 day: 1 job, 1 done, success 100%." in capsys.readouterr().out
    with pytest.raises(SystemExit):
        bench.command("report", "--days", "0")
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

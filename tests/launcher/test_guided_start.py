"""The conversation at a terminal, and what happens where there is none."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from terminal import Terminal

import facefusion.launcher.start as start_module
from facefusion.automation.lock import InstanceLock
from facefusion.launcher.conversation import UNANSWERED

SCRIPT = Path(__file__).with_name("imagined_start.py")
ASKS_WITH_SIGINT_ELSEWHERE = """
import os, signal, threading, time
from rich.console import Console
from facefusion.launcher.conversation import Conversation

def interrupt():
    time.sleep(0.3)
    os.kill(os.getpid(), signal.SIGINT)
    threading.Event().wait()

signal.signal(signal.SIGINT, signal.default_int_handler)
try:
    threading.Thread(target=interrupt, daemon=True).start()
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    Conversation(Console(), interactive=True).choose("Profile", ["fast", "best"], "fast")
except KeyboardInterrupt:
    print("stopped by Ctrl-C")
"""
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo terminal")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


@pytest.fixture
def terminal(root: Path) -> Iterator[Terminal]:
    opened = start(root)
    yield opened
    opened.close()


def start(root: Path, *words: str) -> Terminal:
    return Terminal([sys.executable, str(SCRIPT), str(root), str(root / "models"), *words], os.environ)


def without_terminal(root: Path, *words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), str(root), str(root / "models"), *words],
        env={**os.environ, "IMAGINED_STEPS": "3"},
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def settings(root: Path) -> dict[str, object]:
    return json.loads((root / "automation_config.json").read_text())


def test_the_whole_conversation(root: Path, terminal: Terminal) -> None:
    terminal.wait_for("This computer")
    terminal.wait_for("Profile")
    terminal.type("best\n")
    terminal.wait_for("Inbox")
    terminal.type("drop here\n")
    terminal.wait_for("Not there yet, will be made: ")
    terminal.wait_for("Outbox")
    terminal.type("drop here/results\n")
    terminal.wait_for("lies inside the inbox")
    terminal.type("results\n")
    terminal.wait_for("Use policy, version 1")
    terminal.wait_for("Type")
    terminal.type(" i  AGREE \n")
    terminal.wait_for("videos/party.mp4")
    terminal.wait_for("Stop with Ctrl-C or q")
    terminal.type("q")
    terminal.wait_for("Stopped. 7 results, 1 failed")
    assert terminal.end() == 0
    written = settings(root)
    assert (written["quality_preset"], written["inbox"], written["outbox"]) == (
        "best",
        "drop here",
        "results",
    )
    assert written["$schema"] == "./automation_config.schema.json"
    assert (root / "automation_config.schema.json").exists()
    assert sorted(entry.name for entry in (root / "drop here").iterdir()) == ["faces", "photos", "videos"]
    assert (root / ".automation" / "use-policy.json").exists()


def test_a_folder_that_cannot_be_made_is_asked_for_again(root: Path, terminal: Terminal) -> None:
    (root / "letter.txt").write_text("no folder")
    terminal.wait_for("Profile")
    terminal.type("\n")
    terminal.wait_for("Inbox")
    terminal.type("/proc/nowhere\n")
    terminal.wait_for("cannot be made")
    terminal.type("letter.txt/in\n")
    terminal.wait_for("The inbox cannot be")
    terminal.type("drop here\n")
    terminal.wait_for("Outbox")
    terminal.type("\x03")
    assert terminal.end() == 130
    assert not (root / "automation_config.json").exists()
    assert not (root / "drop here").exists(), "a folder that was only tried out must not stay behind"


def test_an_unusable_folder_without_a_terminal_is_refused_before_it_is_written_down(root: Path) -> None:
    (root / "letter.txt").write_text("no folder")
    text = '{"outbox": "letter.txt/out"}'
    (root / "automation_config.json").write_text(text)
    refused = without_terminal(root, "--yes", "--accept-use-policy", "1", "--profile", "fast")
    assert refused.returncode == 1
    assert "letter.txt/out: letter.txt is a file, not a folder. Set `outbox`" in refused.stdout
    assert (root / "automation_config.json").read_text() == text


def test_a_second_start_says_that_one_is_running_before_it_invites_to_anything(root: Path) -> None:
    (root / ".automation").mkdir()
    with InstanceLock(root / ".automation"):
        accepted = without_terminal(root, "--yes", "--accept-use-policy", "1")
        refused = without_terminal(root, "--yes")
    assert accepted.returncode == 0
    assert f"(process {os.getpid()}) goes on with it" in accepted.stdout
    assert refused.returncode == 1
    assert f"already being worked on by process {os.getpid()}" in refused.stdout
    assert "status" in refused.stdout
    assert "Drop files into" not in refused.stdout
    assert not (root / "automation_config.json").exists()


def test_enter_takes_every_default_but_the_agreement(root: Path, terminal: Terminal) -> None:
    terminal.wait_for("Profile")
    terminal.type("\n")
    terminal.wait_for("Inbox")
    terminal.type("\n")
    terminal.wait_for("Outbox")
    terminal.type("\n")
    terminal.wait_for("Type")
    terminal.type("\n")
    terminal.wait_for("has not been accepted")
    assert terminal.end() == 1
    assert not (root / ".automation" / "use-policy.json").exists()
    assert not (root / "automation_config.json").exists()


def test_an_agreement_in_other_words_is_asked_for_once_more(root: Path, terminal: Terminal) -> None:
    for title in ("Profile", "Inbox", "Outbox"):
        terminal.wait_for(title)
        terminal.type("\n")
    terminal.wait_for('Type "')
    terminal.type("yes\n")
    terminal.wait_for('That was not "I agree"')
    terminal.type('"i agree"\n')
    terminal.wait_for("videos/party.mp4")
    terminal.type("q")
    assert terminal.end() == 0
    assert "accept_use_policy" not in settings(root), "a 0 would say that it is not accepted"


def test_a_second_start_asks_one_question(root: Path) -> None:
    assert without_terminal(root, "--accept-use-policy", "1", "--yes").returncode == 0
    again = start(root)
    try:
        again.wait_for("Keep these settings?")
        again.type("\n")
        again.wait_for("videos/party.mp4")
        again.type("\x03")  # Ctrl-C
        again.wait_for("Stopped.")
        assert again.end() == 0
    finally:
        again.close()


@pytest.mark.parametrize("key", ["\x03", "\x04"], ids=["ctrl-c", "ctrl-d"])
def test_ctrl_c_and_ctrl_d_at_a_question_end_cleanly(terminal: Terminal, key: str) -> None:
    terminal.wait_for("Profile")
    terminal.type(key)
    terminal.wait_for("stopped by Ctrl-C. Nothing was started, and answers so far are not kept;")
    assert terminal.end() == 130


@pytest.mark.parametrize(
    ("interrupt", "told"),
    [
        (KeyboardInterrupt(UNANSWERED), f"Stopped. {UNANSWERED}\n"),
        (KeyboardInterrupt(), "Stopped. Nothing is lost; the next start goes on from here.\n"),
    ],
)
def test_what_is_lost_at_a_question_is_said_and_during_the_set_up_nothing_is(
    interrupt: KeyboardInterrupt,
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def interrupted(*_: object) -> int:
        raise interrupt

    monkeypatch.setattr(start_module, "_start", interrupted)
    assert start_module.start(SCRIPT, []) == 130
    assert capsys.readouterr().err.endswith(told)


def test_a_ctrl_c_that_interrupts_no_system_call_ends_a_question_too() -> None:
    """As one does that is pressed just before the waiting begins; here another thread is given the signal."""
    environment = {**os.environ, "PYTHONPATH": str(SCRIPT.parents[2])}
    terminal = Terminal([sys.executable, "-c", ASKS_WITH_SIGINT_ELSEWHERE], environment)
    try:
        terminal.wait_for("stopped by Ctrl-C")
        assert terminal.end() == 0
    finally:
        terminal.close()


def test_the_keyboard_works_as_before_after_the_end(root: Path) -> None:
    words = [sys.executable, str(SCRIPT), str(root), str(root), "--accept-use-policy", "1", "--yes"]
    shell = Terminal(["/bin/sh", "-c", '"$@"; stty -a; echo ended', "sh", *words], os.environ)
    try:
        shell.wait_for("videos/party.mp4")
        shell.type("q")
        shell.wait_for("ended")
        flags = shell.shown.split()
        assert "icanon" in flags
        assert "echo" in flags
    finally:
        shell.close()


def test_without_a_terminal_nothing_is_asked_and_the_missing_agreement_is_named(root: Path) -> None:
    refused = without_terminal(root)
    assert refused.returncode == 1
    assert "--accept-use-policy 1" in refused.stdout
    assert "I have the right" in refused.stdout


def test_yes_does_not_accept_the_policy(root: Path) -> None:
    assert without_terminal(root, "--yes").returncode == 1


def test_another_version_of_the_policy_is_not_an_agreement(root: Path) -> None:
    refused = without_terminal(root, "--yes", "--accept-use-policy", "99")
    assert refused.returncode == 1
    assert "version 1, not 99" in refused.stdout


def test_without_a_terminal_each_line_is_plain_text(root: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), str(root), str(root / "models"), "--accept-use-policy", "1"],
        env={**os.environ, "FORCE_COLOR": "1", "TTY_COMPATIBLE": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "started videos/party.mp4" in line:
            process.send_signal(2)
            break
    lines += process.stdout
    assert process.wait(30) == 0
    text = "".join(lines)
    assert "\x1b" not in text
    assert "\r" not in text
    assert "started videos/party.mp4 with alice" in text
    assert "Stopped. 7 results, 1 failed" in text, text


def test_flags_change_the_settings_and_keep_the_others(root: Path) -> None:
    (root / "automation_config.json").write_text('{"pairing": "newest", "quality_preset": "best"}')
    done = without_terminal(root, "--accept-use-policy", "1", "--profile", "fast", "--engine", "mesh")
    assert done.returncode == 0
    written = settings(root)
    assert (written["pairing"], written["quality_preset"], written["engine"]) == ("newest", "fast", "mesh")


def test_settings_that_already_say_so_are_not_rewritten(root: Path) -> None:
    text = '{ "quality_preset":"fast" }'
    (root / "automation_config.json").write_text(text)
    without_terminal(root, "--accept-use-policy", "1", "--profile", "fast")
    assert (root / "automation_config.json").read_text() == text


def test_an_engine_that_is_not_there_is_refused_with_a_way_out(root: Path) -> None:
    refused = without_terminal(root, "--yes", "--accept-use-policy", "1", "--engine", "neural")
    assert refused.returncode == 1
    assert "set `engine` to `auto`" in refused.stdout
    assert not (root / "automation_config.json").exists()


def test_a_mistake_in_the_settings_is_named(root: Path) -> None:
    (root / "automation_config.json").write_text('{"quality_preset": "nice"}')
    refused = without_terminal(root, "--yes", "--accept-use-policy", "1")
    assert refused.returncode == 1
    assert "quality_preset" in refused.stdout
    assert "`fast`, `balanced`, `best`" in refused.stdout


def test_paths_can_be_used_from_where_the_launcher_was_started(root: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    told = without_terminal(root, "--yes", "--accept-use-policy", "1", cwd=elsewhere).stdout
    assert f"Drop files into {root}/inbox (faces, videos, photos); results come out in {root}/outbox." in told
    assert "Ctrl-C or q" not in told, "nobody listens to keys"
    near_by = without_terminal(root, "--yes", cwd=root.parent).stdout
    assert f"Drop files into {root.name}/inbox " in near_by

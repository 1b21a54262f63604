"""`simple_auto_processor.py` as a process of its own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from workbench import REPOSITORY, Bench

from facefusion.automation.commands import main

STOPPED_SOON = """
import sys
from facefusion.automation import commands
from facefusion.automation.daemon import Options
from facefusion.automation.processor import SimpleAutoProcessor

def run(processor, on_snapshot, on_ready):
    processor.workspace.prepare_state()
    on_ready()
    on_snapshot(processor.status())
    return 0

SimpleAutoProcessor.run = run
commands.main(["--root", sys.argv[1]], options=Options(session_factory="scripted_session:ScriptedSession"))
"""


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


def test_a_daemon_that_is_stopped_says_whether_something_is_left(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    words = [sys.executable, "-c", STOPPED_SOON, str(tmp_path)]
    nothing = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=True)
    assert nothing.stdout.splitlines()[-1] == "Stopped. 0 results."
    bench.configure(accept_use_policy=0)
    bench.face()
    bench.target("clip.mp4")
    assert bench.run_once() == 1
    assert main(["--root", str(tmp_path), "retry"]) == 0
    waiting = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=True)
    assert "Stopped. 0 results, 1 still to be done." in waiting.stdout.splitlines()

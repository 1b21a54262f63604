"""`simple_auto_processor.py` at a terminal shows what the launcher shows."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from terminal import Terminal

SCRIPT = Path(__file__).with_name("live_command.py")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo terminal")


def start(root: Path, script: str, *words: str) -> Terminal:
    return Terminal([sys.executable, str(SCRIPT), str(root), script, *words], os.environ)


def test_watching_shows_progress_and_the_end_says_where_results_lie(tmp_path: Path) -> None:
    terminal = start(tmp_path, '{"seconds": 60, "frames": 6000}')
    try:
        terminal.wait_for("of 6,000 frames", 60)
        terminal.wait_for("Stop with Ctrl-C or q")
        terminal.type("q")
        terminal.wait_for("Stopped. 0 results, 1 still to be done.")
        assert terminal.end() == 0
    finally:
        terminal.close()
    end = terminal.shown[terminal.shown.index("Stopped.") :]
    assert f"Results  {tmp_path}/outbox" in end


def test_once_shows_progress_too_and_then_what_came_of_it(tmp_path: Path) -> None:
    terminal = start(tmp_path, '{"seconds": 3, "frames": 300}', "--once")
    try:
        terminal.wait_for("of 300 frames", 60)
        terminal.wait_for("Everything is done.", 60)
        assert terminal.end() == 0
    finally:
        terminal.close()
    end = terminal.shown[terminal.shown.rindex("Jobs: ") :]
    assert "clip__alice.mp4: 300 frames" in end
    assert f"Report   {tmp_path}/outbox/analytics/report.html" in end


def test_without_a_terminal_it_stays_lines(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(tmp_path), "{}", "--once"],
        env={**os.environ, "FORCE_COLOR": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "\x1b" not in done.stdout + done.stderr
    assert "Done videos/clip.mp4 with alice" in done.stderr
    assert done.stdout.splitlines()[-3:] == [
        "Everything is done.",
        f"  Results  {tmp_path}/outbox",
        f"  Report   {tmp_path}/outbox/analytics/report.html",
    ]

"""What README.md says is what the program does."""

import io
import re
from pathlib import Path

import pytest
from rich.console import Console
from snapshots import README_PICTURE, ROOT

from facefusion.launcher.dashboard import Dashboard
from facefusion.launcher.settings_table import BEGIN, END, settings_table

README = Path(__file__).resolve().parents[2] / "README.md"
THIRD_PARTIES = README.parent / "docs" / "third-parties.md"
HINTS = (
    "Drop files into inbox (faces, videos, photos); results come out in outbox.",
    "Stop with Ctrl-C or q; what is in work is kept or begun again at the next start.",
)


def test_the_settings_table_is_the_one_of_this_version() -> None:
    current = f"{BEGIN}\n{settings_table()}{END}"
    told = "run `python -m facefusion.launcher.settings_table`"
    assert current in README.read_text(encoding="utf-8"), told


def test_the_test_command_is_the_one_that_continuous_integration_runs() -> None:
    command = "python3 launch_automation.py test"
    assert command in README.read_text(encoding="utf-8")
    assert command in (README.parent / ".ci" / "run").read_text(encoding="utf-8")


def test_the_picture_of_the_terminal_is_the_one_of_this_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "cwd", lambda: Path(ROOT))
    console = Console(file=io.StringIO(), width=100, height=32, force_terminal=True, color_system=None)
    dashboard = Dashboard(HINTS, full_screen=False)
    dashboard.snapshot = README_PICTURE
    with console.capture() as captured:
        console.print(dashboard)
    drawn = re.sub(r"\d\d:\d\d", "12:41", captured.get())
    drawn = "\n".join(row.rstrip() for row in drawn.splitlines())
    assert f"```text\n{drawn}\n```" in README.read_text(encoding="utf-8"), f"the picture is now:\n{drawn}"


def test_every_library_is_named_with_its_licence() -> None:
    told = THIRD_PARTIES.read_text(encoding="utf-8")
    wanted = (README.parent / "requirements.txt").read_text(encoding="utf-8").splitlines()
    names = [re.split(r"[><=;\s]", line)[0] for line in wanted if line and not line.startswith("#")]
    assert len(names) > 10
    assert [name for name in names if f"`{name}`" not in told] == []

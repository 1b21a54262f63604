"""What README.md says is what the program does."""

from pathlib import Path

from facefusion.launcher.settings_table import BEGIN, END, settings_table

README = Path(__file__).resolve().parents[2] / "README.md"


def test_the_settings_table_is_the_one_of_this_version() -> None:
    current = f"{BEGIN}\n{settings_table()}{END}"
    told = "run `python -m facefusion.launcher.settings_table`"
    assert current in README.read_text(encoding="utf-8"), told


def test_the_test_command_is_the_one_that_continuous_integration_runs() -> None:
    command = "python3 launch_automation.py test"
    assert command in README.read_text(encoding="utf-8")
    assert command in (README.parent / ".ci" / "run").read_text(encoding="utf-8")

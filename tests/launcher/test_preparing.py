"""The loops are compiled once, at set-up and not in the first job."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from facefusion.launcher import preparing


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), force_terminal=False)


def said(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_it_happens_once_for_each_state_of_the_loops(
    tmp_path: Path, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    preparing.compile_once(console, tmp_path)
    assert "once" in said(console)
    console.file = io.StringIO()
    preparing.compile_once(console, tmp_path)
    assert said(console) == ""
    monkeypatch.setattr(preparing, "_key", lambda: "other loops")
    preparing.compile_once(console, tmp_path)
    assert "once" in said(console)


def test_a_compiler_that_fails_is_no_failure_and_is_tried_again(
    tmp_path: Path, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparing, "_COMPILE", "raise SystemExit(3)")
    preparing.compile_once(console, tmp_path)
    assert "take longer" in said(console)
    assert not (tmp_path / preparing.STAMP_FILE).exists()

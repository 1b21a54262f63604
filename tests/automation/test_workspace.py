"""Where everything lies, and how names are shown."""

from __future__ import annotations

import os
import string
from pathlib import Path

import pytest

from facefusion.automation.workspace import Workspace, printable
from facefusion.config import AutomationConfig
from facefusion.errors import ConfigError


@pytest.mark.parametrize(
    ("inbox", "outbox"),
    [("in", "in/out"), ("out/in", "out"), ("both", "both"), ("in", "link/out"), ("in", "up/../in/out")],
)
def test_f8_an_outbox_inside_the_inbox_is_refused_also_through_a_link(
    tmp_path: Path, inbox: str, outbox: str
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "in")
    workspace = Workspace.of(tmp_path, AutomationConfig(inbox=inbox, outbox=outbox))
    with pytest.raises(ConfigError, match=r"lies inside"):
        workspace.check()


def test_f8_folders_side_by_side_are_fine(tmp_path: Path) -> None:
    Workspace.of(tmp_path, AutomationConfig(inbox="in", outbox="in-out")).check()


def test_names_are_shown_on_one_line_whatever_they_hold() -> None:
    assert printable("plain name.mp4") == "plain name.mp4"
    assert printable("Zoë 🙂.mp4") == "Zoë 🙂.mp4"
    assert printable(os.fsdecode(b"\xff.mp4")) == "\\xff.mp4"
    assert printable("two\nlines\x1b[31m.mp4") == "two\\nlines\\x1b[31m.mp4"
    assert printable("\u202egpj.mp4") == "\\u202egpj.mp4"
    assert set(string.printable) - set(printable(string.printable)) <= set("\t\n\r\x0b\x0c")


@pytest.mark.parametrize(
    ("key", "place"), [("inbox", "LICENSE"), ("outbox", "LICENSE"), ("outbox", "LICENSE/out")]
)
def test_a_file_in_the_place_of_a_folder_is_refused_and_named(tmp_path: Path, key: str, place: str) -> None:
    (tmp_path / "LICENSE").touch()
    workspace = Workspace.of(tmp_path, AutomationConfig.model_validate({key: place}))
    with pytest.raises(ConfigError, match=r"LICENSE is a file, not a folder") as caught:
        workspace.check()
    assert f"Set `{key}`" in caught.value.remedy

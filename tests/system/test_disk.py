"""Small files are replaced whole or not at all."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from facefusion.system.disk import replace_text


def test_a_file_is_replaced_by_what_was_given_to_the_letter(tmp_path: Path) -> None:
    path = tmp_path / "notes.json"
    for text in ("first\n", "zweite Zeile \u2013 \U0001f600\n"):
        replace_text(path, text, durable=True)
        assert path.read_bytes() == text.encode()
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no mode bits")
def test_a_private_file_is_for_this_user_alone(tmp_path: Path) -> None:
    replace_text(tmp_path / "key", "secret", private=True)
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600


def test_what_cannot_be_written_leaves_the_old_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "notes.json"
    replace_text(path, "old")
    with pytest.raises(UnicodeEncodeError):
        replace_text(path, "new \ud800")
    assert path.read_text() == "old"
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(OSError):
        replace_text(folder, "new")
    assert sorted(tmp_path.iterdir()) == [folder, path]

"""The audit log: whole after every interruption, and every change to it is found."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from facefusion.automation.commands import main
from facefusion.errors import StorageError
from facefusion.trust.audit import (
    GENESIS,
    HEAD_FILE,
    KEY_FILE,
    LOG_FILE,
    AuditLog,
    check_audit,
    face_mark,
    forget_faces,
)

Change = Callable[[list[bytes]], list[bytes]]


def fill(folder: Path, count: int = 6, first: int = 0) -> Path:
    log = AuditLog(folder)
    for number in range(first, first + count):
        log.append({"event": "done", "job": str(number)}, same=("job",))
    return folder / LOG_FILE


def entries(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.skipif(sys.platform == "win32", reason="folders cannot be opened there")
def test_the_name_of_its_head_reaches_the_disk(tmp_path: Path, synced: set[int]) -> None:
    fill(tmp_path, 1)
    assert tmp_path.stat().st_ino in synced


def test_each_line_holds_the_hash_of_the_one_before(tmp_path: Path) -> None:
    path = fill(tmp_path)
    assert [entry["line"] for entry in entries(path)] == [1, 2, 3, 4, 5, 6]
    assert entries(path)[0]["previous"] == GENESIS
    assert len({entry["previous"] for entry in entries(path)}) == 6
    assert check_audit(tmp_path).ok
    assert path.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / HEAD_FILE).stat().st_mode & 0o777 == 0o600


def test_a_job_is_noted_once_however_often_it_is_finished(tmp_path: Path) -> None:
    path = fill(tmp_path)
    fill(tmp_path)
    assert len(entries(path)) == 6


def edited(lines: list[bytes]) -> list[bytes]:
    return [*lines[:2], lines[2].replace(b'"2"', b'"9"'), *lines[3:]]


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (edited, 4),  # the line after does not fit any more
        (lambda lines: [*lines[:3], *lines[4:]], 4),
        (lambda lines: [lines[1], lines[0], *lines[2:]], 1),
        (lambda lines: [*lines[:4], lines[3], *lines[4:]], 5),
        (lambda lines: [*lines[:2], b"nonsense\n", *lines[2:]], 3),
        (lambda lines: lines[:-1], 6),
        (lambda lines: [], 1),
        (lambda lines: [*lines[:-1], lines[-1].replace(b'"5"', b'"8"')], 6),
    ],
    ids=["edited", "removed", "exchanged", "doubled", "inserted", "cut", "emptied", "last edited"],
)
def test_the_first_changed_line_is_found_also_when_the_program_went_on_writing(
    tmp_path: Path, change: Change, line: int, capsys: pytest.CaptureFixture[str]
) -> None:
    state = tmp_path / ".automation"
    state.mkdir()
    path = fill(state)
    path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))
    assert check_audit(state).break_line == line
    assert main(["--root", str(tmp_path), "audit", "check", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["first_break"]["line"] == line
    assert main(["--root", str(tmp_path), "audit", "check"]) == 1
    assert f"Line {line}:" in capsys.readouterr().out
    fill(state, first=100)
    found = check_audit(state).break_line
    assert found is not None
    assert found <= line + 1


def test_a_whole_log_is_said_to_be_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = tmp_path / ".automation"
    assert main(["--root", str(tmp_path), "audit", "check"]) == 0
    assert "no audit log yet" in capsys.readouterr().out
    state.mkdir()
    fill(state)
    assert main(["--root", str(tmp_path), "audit", "check", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer == {"ok": True, "entries": 6, "first_break": None, "note": ""}


def test_a_torn_line_is_recognised_and_repaired_with_a_note(tmp_path: Path) -> None:
    path = fill(tmp_path)
    with path.open("ab") as log:
        log.write(b'{"line":7,"event":"do')
    found = check_audit(tmp_path)
    assert found.ok
    assert "unfinished" in found.note
    fill(tmp_path, 1, first=50)
    assert [entry["event"] for entry in entries(path)[-2:]] == ["repaired", "done"]
    assert entries(path)[-2]["removed_bytes"] == 21
    assert check_audit(tmp_path) == type(found)(entries=8)


def test_a_kill_between_line_and_head_breaks_nothing(tmp_path: Path) -> None:
    path = fill(tmp_path)
    before = (tmp_path / HEAD_FILE).read_bytes()
    fill(tmp_path, 1, first=50)
    (tmp_path / HEAD_FILE).write_bytes(before)
    assert check_audit(tmp_path).ok
    fill(tmp_path, 1, first=60)
    assert check_audit(tmp_path).ok
    assert "break" not in path.read_text()
    # Also at the very beginning.
    for file in (path, tmp_path / HEAD_FILE):
        file.unlink()
    fill(tmp_path, 1)
    (tmp_path / HEAD_FILE).write_text(json.dumps({"lines": 0, "sha256": GENESIS}))
    fill(tmp_path, 2)
    assert check_audit(tmp_path).ok


def test_kills_at_random_moments_leave_a_log_in_order(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from facefusion.trust.audit import AuditLog\n"
        "log = AuditLog(Path(sys.argv[1])); print('ready', flush=True)\n"
        "for number in range(10**9): log.append({'event': 'done', 'job': number, 'pad': 'x' * 500})\n"
    )
    for milliseconds in (3, 8, 15, 30):
        process = subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        process.stdout.readline()
        try:
            process.wait(milliseconds / 1000)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        assert check_audit(tmp_path).ok
    fill(tmp_path)
    assert check_audit(tmp_path).ok


def test_a_full_disk_is_said_and_loses_nothing(tmp_path: Path) -> None:
    path = fill(tmp_path)
    before = path.read_bytes()
    (tmp_path / HEAD_FILE).unlink()
    (tmp_path / HEAD_FILE).mkdir()  # cannot be replaced by a file
    with pytest.raises(StorageError):
        fill(tmp_path, 1, first=70)
    with pytest.raises(StorageError):
        check_audit(tmp_path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "head", ["", "{}", "[" * 100_000, '{"lines": "6", "sha256": "0"}', '{"lines": 6, "sha256": null}']
)
def test_a_head_that_says_nothing_is_a_break_and_no_crash(tmp_path: Path, head: str) -> None:
    path = fill(tmp_path)
    (tmp_path / HEAD_FILE).write_text(head)
    assert check_audit(tmp_path).reason == f"{HEAD_FILE} is missing or damaged"
    fill(tmp_path, 1, first=70)
    assert [entry["event"] for entry in entries(path)[-2:]] == ["break", "done"]
    assert check_audit(tmp_path).break_line == 7


@pytest.mark.skipif(sys.platform == "win32", reason="a limit on the size of files is POSIX")
def test_a_disk_that_fills_up_within_a_line_is_said_and_the_job_is_noted_later(tmp_path: Path) -> None:
    path = fill(tmp_path)
    allowed = path.stat().st_size + 30  # bytes of the next line that fit
    code = (
        "import pathlib, resource, sys; from facefusion.trust.audit import AuditLog;"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({allowed}, {allowed}));"
        "AuditLog(pathlib.Path(sys.argv[1])).append({'event': 'done', 'job': '70'}, same=('job',))"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    assert "StorageError" in ended.stderr
    fill(tmp_path, 1, first=70)
    assert check_audit(tmp_path).ok
    assert entries(path)[-1]["job"] == "70"


def test_a_face_is_told_by_a_keyed_hash_that_can_be_forgotten(tmp_path: Path) -> None:
    first, second = face_mark(tmp_path, "ab" * 32), face_mark(tmp_path, "cd" * 32)
    assert first != second
    assert first == face_mark(tmp_path, "ab" * 32)
    assert (tmp_path / KEY_FILE).stat().st_mode & 0o777 == 0o600
    other = tmp_path / "other"
    other.mkdir()
    assert face_mark(other, "ab" * 32) != first
    forget_faces(tmp_path)
    assert face_mark(tmp_path, "ab" * 32) != first
    assert [file.name for file in other.iterdir()] == [KEY_FILE]

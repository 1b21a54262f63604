"""What other processes and the live view see of a daemon."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from facefusion.automation import snapshot as module
from facefusion.automation.display import Display
from facefusion.automation.snapshot import (
    FailureView,
    InboxFile,
    JobView,
    QueueCounts,
    ResultView,
    Snapshot,
    SnapshotWriter,
    read_snapshot,
    snapshot_from_dict,
)

FULL = Snapshot(
    written_at=5.0,
    state="processing",
    root="/r",
    inbox="/r/inbox",
    outbox="/r/outbox",
    daemon_pid=7,
    started_at=1.0,
    files=(InboxFile("videos/a.mp4", "video", "running", "being processed", 10, ("1",)),),
    counts=QueueCounts(queued=1, running=1, done=2),
    running=(JobView("1", "videos/a.mp4", "alice", "video", "running", stage="swapping", frames_total=9),),
    waiting=(JobView("2", "videos/b.mp4", "alice", "video", "queued"),),
    seconds_left=2.5,
    results=(ResultView("3", "c.mp4", "bob", "done", "/o/c.mp4", "/o/c.json", 2.0, 1.5, warnings=("x",)),),
    failures=(FailureView("4", "d.mp4", "bob", "failed", "timeout", "m", "r", 3, 2.0),),
    notices=("n",),
)


def test_a_snapshot_survives_json_and_files(tmp_path: Path) -> None:
    assert snapshot_from_dict(json.loads(json.dumps(FULL.as_dict()))) == FULL
    assert SnapshotWriter(tmp_path).write(FULL)
    assert read_snapshot(tmp_path) == FULL
    assert all(path.stat().st_mode & 0o077 == 0 for path in tmp_path.iterdir())


def test_keys_of_a_newer_version_are_ignored() -> None:
    document = FULL.as_dict()
    document["new"] = 1
    document["running"][0]["new"] = 2
    assert snapshot_from_dict(document) == FULL


def test_no_file_or_a_broken_one_is_no_snapshot(tmp_path: Path) -> None:
    assert read_snapshot(tmp_path) is None
    SnapshotWriter(tmp_path).write(FULL)
    (tmp_path / module.STATUS_FILE).write_text("{")
    assert read_snapshot(tmp_path) is None


class Stage:
    """A display on a clock of its own."""

    def __init__(self, folder: Path) -> None:
        self.now = 0.0
        self.state = FULL
        self.seen: list[Snapshot] = []
        self.folder = folder
        self.display = Display(
            lambda: self.state,
            SnapshotWriter(folder),
            lambda shown: self.view(shown),
            lambda shown: None,
            lambda: self.now,
        )

    def view(self, shown: Snapshot) -> None:
        self.seen.append(shown)

    def after(self, seconds: float, **changes: object) -> None:
        self.now += seconds
        self.state = dataclasses.replace(self.state, written_at=self.now, **changes)  # type: ignore[arg-type]
        self.display.show()


def test_views_and_files_each_get_every_change_and_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facefusion.automation.display.FILE_SECONDS", 1.0)
    stage = Stage(tmp_path)
    stage.after(0.0)
    for _ in range(100):
        stage.after(0.1)
    assert len(stage.seen) == 1, "nothing has changed"
    stage.after(1.0, paused="the disk is full")
    stage.after(0.01)
    assert [shown.paused for shown in stage.seen] == [None, "the disk is full"]
    told = read_snapshot(tmp_path)
    assert told is not None
    assert told.paused == "the disk is full"
    stage.after(0.1, paused=None)
    assert len(stage.seen) == 2, "not more often than four times a second"
    stage.after(0.2)
    assert len(stage.seen) == 3
    told = read_snapshot(tmp_path)
    assert told is not None
    assert told.paused == "the disk is full", "the file once a second"
    stage.after(1.0)
    told = read_snapshot(tmp_path)
    assert told is not None
    assert told.paused is None


def test_a_long_list_of_files_is_not_written_all_the_time_but_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: slow[0])
    replace = module._replace

    def take_long(path: Path, document: object) -> None:
        slow[0] += 1.0
        replace(path, document)

    monkeypatch.setattr(module, "_replace", take_long)
    writer = SnapshotWriter(tmp_path)
    assert writer.write(FULL)
    longer = dataclasses.replace(FULL, files=(*FULL.files, InboxFile("b", "face", "ready", "r")))
    assert not writer.write(longer)
    slow[0] += 20.0
    assert writer.write(longer)
    assert read_snapshot(tmp_path) == longer


def test_a_terminal_that_was_closed_does_not_stop_the_work(tmp_path: Path) -> None:
    stage = Stage(tmp_path)

    def closed(shown: Snapshot) -> None:
        raise OSError(5, "Input/output error")

    stage.view = closed  # type: ignore[method-assign]
    stage.after(1.0)
    stage.after(1.0, paused="x")
    told = read_snapshot(tmp_path)
    assert told is not None
    assert told.paused == "x"

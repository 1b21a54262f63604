"""The settings name another outbox while a video is interrupted, or a result waits to be published."""

from __future__ import annotations

import errno
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
from workbench import Bench

from facefusion.automation import outboxes
from facefusion.automation.commands import main
from facefusion.automation.database import Database
from facefusion.automation.finishing import keep_name
from facefusion.automation.job import JobState
from facefusion.automation.jobs import JobQueue

CONTENT = b"a finished part"


class Moved:
    """A root with a job that goes on inside a video, parts of it, and the folders to be named."""

    def __init__(self, root: Path) -> None:
        self.bench = Bench(root, max_retries=0)
        self.bench.face()
        self.bench.target("long.mp4", then="crash_once", marker=str(root / "crashed"), seconds=3)
        assert self.bench.run_once() == 1
        database = Database(root / ".automation" / "queue.sqlite3")
        queue = JobQueue(database)
        (job,) = queue.in_state(JobState.FAILED)
        queue.retry([job.id])
        self.root_name = f".facefusion-work-{database.fact('installation')}"
        database.close()
        self.folder = keep_name(job)
        self.old = self.bench.outbox
        self.new = root / "elsewhere"
        work = self.old / self.root_name
        for name in (self.folder, "kept-99"):
            (work / name).mkdir(parents=True)
            (work / name / "000000.part").write_bytes(CONTENT)

    def name_another(self) -> None:
        self.bench.outbox = self.new
        self.bench.configure(outbox=str(self.new))

    def begin(self) -> None:
        """Run until the video is in hand, and stop."""
        self.bench.run_until(lambda: any(job.stage for job in self.bench.status_of_daemon().running))

    def leftovers(self) -> list[Path]:
        return list(self.old.rglob(".*"))


@pytest.fixture
def moved(tmp_path: Path) -> Moved:
    return Moved(tmp_path)


def on_two_disks(monkeypatch: pytest.MonkeyPatch) -> None:
    link = os.link

    def other_disk(source: Any, destination: Any, **more: Any) -> None:
        if Path(source).parents[2] != Path(destination).parents[2]:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        link(source, destination, **more)

    monkeypatch.setattr(os, "link", other_disk)


@pytest.mark.parametrize("disks", [1, 2])
def test_finished_parts_come_along_and_the_old_outbox_is_tidied(
    moved: Moved, monkeypatch: pytest.MonkeyPatch, disks: int
) -> None:
    if disks == 2:
        on_two_disks(monkeypatch)
    moved.name_another()
    moved.begin()
    assert (moved.new / moved.root_name / moved.folder / "000000.part").read_bytes() == CONTENT
    assert moved.leftovers() == []
    assert not (moved.new / moved.root_name / "kept-99").exists()


def test_an_outbox_that_is_away_is_tidied_when_it_is_back(moved: Moved) -> None:
    away = moved.old.with_name("unmounted")
    moved.old.rename(away)
    moved.name_another()
    moved.bench.run_once()
    assert moved.bench.results() == ["long__alice.mp4"]
    away.rename(moved.old)
    assert moved.leftovers() != []
    moved.bench.run_once()
    assert moved.leftovers() == []


def test_an_outbox_that_was_moved_and_is_linked_keeps_what_it_holds(moved: Moved) -> None:
    moved.old.rename(moved.new)
    moved.old.symlink_to(moved.new)
    moved.begin()
    assert (moved.new / moved.root_name / moved.folder / "000000.part").read_bytes() == CONTENT


def test_a_copy_of_a_root_leaves_the_outbox_of_the_original_alone(moved: Moved, tmp_path: Path) -> None:
    before = moved.leftovers()
    assert before != []
    copy = Bench(Path(shutil.copytree(tmp_path, tmp_path.with_name(f"{tmp_path.name}-copy"))))
    copy.run_until(lambda: any(job.stage for job in copy.status_of_daemon().running))
    assert main(["--root", str(copy.root), "purge", "--yes"]) == 0
    assert moved.leftovers() == before


def test_a_purge_removes_what_earlier_outboxes_hold(moved: Moved) -> None:
    moved.name_another()
    assert main(["--root", str(moved.bench.root), "purge", "--yes"]) == 0
    assert moved.leftovers() == []


def test_parts_that_cannot_be_brought_are_removed_and_the_video_is_done_anew(
    moved: Moved, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_two_disks(monkeypatch)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(outboxes.shutil, "copy", full)
    moved.name_another()
    assert moved.bench.run_once() == 0
    assert moved.bench.results() == ["long__alice.mp4"]
    assert (moved.leftovers(), moved.bench.leftovers()) == ([], [])
    log = (moved.bench.root / ".automation" / "log" / "daemon.log").read_text()
    assert "What was finished of videos/long.mp4 cannot be brought into the new outbox" in log


@pytest.mark.parametrize("disks", [1, 2])
def test_a_result_that_waits_to_be_published_gets_its_name_in_the_new_outbox(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, disks: int
) -> None:
    bench = Bench(tmp_path)
    bench.face()
    bench.target("clip.mp4")

    with bench.start("--once", "--kill-at", "placing") as daemon:
        assert daemon.ended()[0] == -signal.SIGKILL
    work = list(bench.outbox.glob(".facefusion-work-*/*/*.mp4"))
    assert len(work) == 1, "a result waits"
    content = work[0].read_bytes()
    if disks == 2:
        on_two_disks(monkeypatch)
    old, bench.outbox = bench.outbox, tmp_path / "elsewhere"
    bench.configure(outbox=str(bench.outbox))
    assert bench.run_once() == 0
    assert bench.results() == ["clip__alice.mp4"]
    assert (bench.outbox / "clip__alice.mp4").read_bytes() == content
    assert [*old.rglob(".*"), *old.glob("*.mp4")] == []
    log = (tmp_path / ".automation" / "log" / "daemon.log").read_text()
    assert log.count("Started videos/clip.mp4") == 1, "it was not made again"

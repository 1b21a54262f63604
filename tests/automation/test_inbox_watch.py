"""The inbox as a whole: whether it is there, and hints that something in it has changed."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from inbox_folder import make, make_inbox

from facefusion.automation.content import examine, signature_of
from facefusion.automation.database import Database
from facefusion.automation.kinds import MARKER, worth_entering
from facefusion.automation.presence import InboxPresence
from facefusion.automation.sightings import sweep
from facefusion.automation.watching import InboxWatch


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_inbox(tmp_path)


@pytest.fixture
def presence(folder: Path, tmp_path: Path) -> InboxPresence:
    return InboxPresence(folder, Database(tmp_path / "queue.sqlite3"))


def test_f4_an_inbox_that_is_not_mounted_is_not_taken_for_an_empty_one(
    presence: InboxPresence, folder: Path
) -> None:
    make(folder, "videos/clip.mp4")
    assert presence.check() is None
    assert (folder / MARKER).exists()

    mounted = folder.rename(folder.with_name("away"))
    assert "is not there" in (presence.check() or "")
    folder.mkdir()
    assert "mounted?" in (presence.check() or "")
    folder.rmdir()
    mounted.rename(folder)
    assert presence.check() is None


def test_f4_an_inbox_that_a_person_cleaned_out_and_filled_again_is_accepted(
    presence: InboxPresence, folder: Path
) -> None:
    assert presence.check() is None
    (folder / MARKER).unlink()
    assert presence.check() is None
    assert (folder / MARKER).exists()


def test_a_fresh_inbox_is_made_with_its_folders(tmp_path: Path) -> None:
    inbox = tmp_path / "new" / "inbox"
    assert InboxPresence(inbox, Database(tmp_path / "q.sqlite3")).check() is None
    assert {path.name for path in inbox.iterdir()} == {"faces", "videos", "photos", MARKER}


def wait_for(event: threading.Event) -> None:
    assert event.wait(10), "no hint came"
    event.clear()


def test_f4_the_watch_notices_its_own_death_and_an_inbox_renamed_away_and_back(folder: Path) -> None:
    hinted = threading.Event()
    watch = InboxWatch(folder, hinted.set)
    try:
        watch.ensure()
        wait_for(hinted)
        make(folder, "videos/a.mp4")
        wait_for(hinted)

        assert watch._observer is not None
        watch._observer.stop()  # dies
        watch._observer.join(5)
        assert not watch.working
        watch.ensure()
        wait_for(hinted)
        make(folder, "videos/b.mp4")
        wait_for(hinted)

        away = folder.rename(folder.with_name("away"))
        (folder / "videos").mkdir(parents=True)
        assert not watch.working, "it still watches the folder that was renamed"
        watch.ensure()
        wait_for(hinted)
        make(folder, "videos/c.mp4")
        wait_for(hinted)
        assert away.exists()
    finally:
        watch.close()


def test_f4_a_hint_that_raises_ends_only_the_watch_which_is_then_started_again(folder: Path) -> None:
    broken = True
    hinted = threading.Event()

    def hint() -> None:
        if broken and threading.current_thread() is not threading.main_thread():
            raise RuntimeError("a fault in the handler")
        hinted.set()

    watch = InboxWatch(folder, hint)
    before, threading.excepthook = threading.excepthook, lambda _: None
    try:
        watch.ensure()
        make(folder, "videos/a.mp4")
        deadline = time.monotonic() + 10
        while watch.working and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not watch.working
        broken = False
        hinted.clear()
        watch.ensure()
        make(folder, "videos/b.mp4")
        wait_for(hinted)
    finally:
        threading.excepthook = before
        watch.close()


def test_our_own_looking_and_reading_gives_no_hints(folder: Path) -> None:
    path = make(folder, "videos/a.mp4", b"x" * 100_000)
    hinted = threading.Event()
    watch = InboxWatch(folder, hinted.set)
    try:
        watch.ensure()
        time.sleep(0.3)
        hinted.clear()
        sweep(folder, worth_entering)
        seen = signature_of(path)
        assert seen is not None
        assert examine(folder, "videos/a.mp4", seen).verdict == "read"
        assert not hinted.wait(0.7)
    finally:
        watch.close()

"""What is known about the files of the inbox stays known when the disk is full."""

from __future__ import annotations

import stat
from contextlib import contextmanager
from pathlib import Path

import pytest

from facefusion.automation.catalogue import Catalogue
from facefusion.automation.database import Database, FileMemory
from facefusion.automation.inbox import Inbox
from facefusion.automation.sightings import Sighting, Signature, Sweep
from facefusion.errors import StorageError


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def sighting(path: str, inode: int = 1) -> Sighting:
    return Sighting(path, stat.S_IFREG | 0o644, 1, Signature(inode, 10, 1, 1))


class Room:
    """A catalogue whose disk can be full."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = Clock()
        self.full = False
        database = Database(folder / "queue.sqlite3")
        transaction = database.transaction

        @contextmanager
        def guarded():  # type: ignore[no-untyped-def]
            if self.full:
                raise StorageError("The disk is full.")
            with transaction() as connection:
                yield connection

        monkeypatch.setattr(database, "transaction", guarded)
        self.memory = FileMemory(database)
        self.catalogue = Catalogue(Inbox(1.0, clock=self.clock), self.memory, lambda _: None)

    def see(self, *sightings: Sighting) -> list[str]:
        """Look three times; the files that have to be read."""
        to_read = []
        for _ in range(3):
            changes = self.catalogue.inbox.update(Sweep(sightings))
            to_read += [entry.path for entry in self.catalogue.absorb(changes)]
            self.clock.now += 0.5
        return to_read

    def decide(self) -> dict[str, list[str]]:
        """Faces that each target is to be paired with."""
        decisions = self.catalogue.decide("auto", lambda *_: False)
        self.catalogue.decided([(decision, ()) for decision in decisions])
        return {d.entry.path: [face.name for face in d.pairing.faces] for d in decisions}


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Room:
    return Room(tmp_path, monkeypatch)


def test_d3_what_was_learnt_while_the_disk_was_full_is_saved_later(room: Room) -> None:
    face, clip = sighting("faces/alice.jpg"), sighting("videos/clip.mp4")
    assert room.see(face, clip) == [face.path, clip.path]
    room.full = True
    room.catalogue.learn(face.path, "face")
    room.catalogue.learn(clip.path, "clip")
    for _ in range(2):
        with pytest.raises(StorageError):
            room.decide()
    room.full = False
    assert room.decide() == {clip.path: ["alice"]}
    assert room.memory.get(clip.path, clip.signature) is not None


def test_d3_f7_files_that_go_while_the_disk_is_full_take_no_others_with_them(room: Room) -> None:
    face, first, second = sighting("faces/alice.jpg"), sighting("videos/1.mp4"), sighting("videos/2.mp4", 2)
    room.see(face, first)
    room.catalogue.learn(face.path, "face")
    room.catalogue.learn(first.path, "first")
    room.decide()
    room.full = True
    assert room.see(face, second) == [second.path], "the one that came is still to be read"
    room.full = False
    room.catalogue.learn(second.path, "second")
    assert room.decide() == {second.path: ["alice"]}
    assert room.memory.signature(first.path) is None


def test_the_list_is_the_same_object_until_something_changes(room: Room) -> None:
    clip = sighting("videos/clip.mp4")
    room.see(clip)
    listing = room.catalogue.listing()
    room.see(clip)
    assert room.catalogue.listing() is listing
    room.see(clip, sighting("videos/more.mp4"))
    assert room.catalogue.listing() is not listing

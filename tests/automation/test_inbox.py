"""What lies in the inbox, as it really can: names, types, numbers, things that go away."""

from __future__ import annotations

import errno
import os
import random
import socket
import subprocess
import sys
import threading
import time
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inbox_folder import make, make_inbox

from facefusion.automation.content import examine, signature_of, written_by_others
from facefusion.automation.inbox import Inbox
from facefusion.automation.kinds import MARKER, Entry, judge, worth_entering
from facefusion.automation.sightings import Sighting, Signature, Sweep, sweep
from facefusion.automation.workspace import printable


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_inbox(tmp_path)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def entries(folder: Path) -> dict[str, Entry]:
    """What the inbox says after everything has settled."""
    clock = Clock()
    inbox = Inbox(1.0, clock=clock)
    for _ in range(12):
        inbox.update(sweep(folder, worth_entering))
        clock.now += 0.5
    return inbox.entries


@pytest.mark.parametrize(
    ("name", "kind", "face", "phase"),
    [
        ("alice.jpg", "face", "alice", "settled"),
        ("clip.mp4", "video", None, "settled"),
        ("faces/alice.PNG", "face", "alice", "settled"),
        ("faces/alice/one.webp", "face", "alice", "settled"),
        ("faces/alice/more/two.webp", "face", "alice", "settled"),
        ("videos/clip.mov", "video", None, "settled"),
        ("videos/alice/clip.mkv", "video", "alice", "settled"),
        ("videos/a picture.jpg", "photo", None, "settled"),
        ("photos/beach.heic", "photo", None, "settled"),
        ("photos/alice/beach.tiff", "photo", "alice", "settled"),
        ("Faces/bob.jpg", "face", "bob", "settled"),
        ("faces/clip.mp4", "face", None, "refused"),
        ("videos/notes.txt", "other", None, "ignored"),
        ("videos/noextension", "other", None, "ignored"),
    ],
)
def test_place_and_name_say_what_a_file_is(
    folder: Path, name: str, kind: str, face: str | None, phase: str
) -> None:
    make(folder, name)
    entry = entries(folder)[name]
    assert (entry.kind, entry.face, entry.phase) == (kind, face, phase)
    assert bool(entry.reason) == (phase != "settled")


@pytest.mark.parametrize(
    "name",
    [
        *(
            "clip.mp4.part",
            "clip.mp4.crdownload",
            "clip.tmp",
            "clip.mp4~",
            "~$clip.mp4",
            "._clip.mp4",
            ".DS_Store",
        ),
        *(
            "Thumbs.db",
            ".syncthing.clip.mp4.tmp",
            "~syncthing~clip.mp4",
            ".hidden.mp4",
            "desktop.ini",
            "x.!qB",
        ),
        *("clip.mp4.filepart", "clip.download", ".goutputstream-ABC123", "clip.mp4.aria2"),
    ],
)
def test_f2_temporary_and_system_names_are_ignored_and_that_is_said(folder: Path, name: str) -> None:
    make(folder, f"videos/{name}")
    entry = entries(folder)[f"videos/{name}"]
    assert entry.phase == "ignored"
    assert "name" in entry.reason or "system" in entry.reason


def test_f2_system_folders_are_not_entered(folder: Path) -> None:
    make(folder, "videos/@eaDir/clip.mp4")
    make(folder, "videos/.stversions/clip.mp4")
    make(folder, "holiday/clip.mp4")
    found = entries(folder)
    assert set(found) == {"videos/@eaDir", "videos/.stversions", "holiday"}
    assert "move it into faces, videos or photos" in found["holiday"].reason


def test_the_program_s_own_files_are_not_listed(folder: Path) -> None:
    for name in ("README.md", "faces/README.md", "videos/README.md", "photos/README.md", MARKER):
        make(folder, name)
    assert entries(folder) == {}


@pytest.mark.slow
def test_f3_twenty_thousand_files_are_all_found_by_one_pass_within_seconds(folder: Path) -> None:
    for number in range(20_000):
        (folder / "videos" / f"{number}.mp4").touch()
    began = time.monotonic()
    inbox = Inbox(2.0)
    inbox.update(sweep(folder, worth_entering))
    assert len(inbox.entries) == 20_000
    assert time.monotonic() - began < 10


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names themselves")
def test_f5_names_of_any_bytes_are_found_and_can_be_shown_and_stored(folder: Path, tmp_path: Path) -> None:
    names = [
        unicodedata.normalize("NFC", "Zoë").encode() + b".mp4",
        unicodedata.normalize("NFD", "Zoë").encode() + b".mp4",
        b"Clip.mp4",
        b"clip.mp4",
        b"\xff\xfe broken.mp4",
        b"two\nlines.mp4",
        b"-rf.mp4",
        b"  spaces  .mp4",
        "🙂👩‍👩‍👧.mp4".encode(),
        b"a" * 251 + b".mp4",
        b"'; DROP TABLE jobs; --.mp4",
        "\u202egpj.exe.mp4".encode(),
    ]
    for name in names:
        (folder / "videos" / os.fsdecode(name)).write_bytes(name)

    found = entries(folder)

    assert sorted(os.fsencode(path) for path in found) == sorted(b"videos/" + name for name in names)
    assert all(entry.phase == "settled" for entry in found.values())
    for path in found:
        printable(path).encode("utf-8")
        assert "\n" not in printable(path)
        seen = signature_of(folder / path)
        assert seen is not None
        assert examine(folder, path, seen).verdict == "read"


@given(st.binary(min_size=1, max_size=60).filter(lambda name: b"/" not in name and b"\0" not in name))
def test_f5_no_name_whatever_breaks_the_judgement(name: bytes) -> None:
    sighting = Sighting(f"videos/{os.fsdecode(name)}", 0o100644, 1, Signature(1, 1, 1, 1))
    entry = judge(sighting)
    assert entry.phase in ("waiting", "ignored")
    assert printable(entry.path).isprintable() or " " in printable(entry.path) or entry.path


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX file types")
def test_f6_links_pipes_sockets_and_devices_are_refused_without_touching_them(
    folder: Path, tmp_path: Path
) -> None:
    secret = make(tmp_path, "secret.mp4")
    (folder / "videos/link.mp4").symlink_to(secret)
    (folder / "videos/folder").symlink_to(tmp_path)
    (folder / "faces/link.jpg").symlink_to(secret)
    os.link(make(folder, "videos/original.mp4"), folder / "videos/second name.mp4")
    os.mkfifo(folder / "videos/pipe.mp4")
    server = socket.socket(socket.AF_UNIX)
    working_directory = Path.cwd()
    os.chdir(folder / "videos")  # socket paths are short
    try:
        server.bind("socket.mp4")
    finally:
        os.chdir(working_directory)
    try:
        found = entries(folder)
    finally:
        server.close()

    reasons = {path: entry.reason for path, entry in found.items() if entry.phase == "refused"}
    assert "symbolic link" in reasons["videos/link.mp4"]
    assert "symbolic link" in reasons["faces/link.jpg"]
    assert "hard link" in reasons["videos/original.mp4"]
    assert "hard link" in reasons["videos/second name.mp4"]
    assert "pipe" in reasons["videos/pipe.mp4"]
    assert "socket" in reasons["videos/socket.mp4"]
    assert found["videos/folder"].phase == "ignored"
    assert not any(path.startswith("videos/folder/") for path in found)


def test_f6_a_pipe_that_takes_a_file_s_place_after_the_look_blocks_nobody(folder: Path) -> None:
    path = make(folder, "videos/clip.mp4")
    seen = signature_of(path)
    assert seen is not None
    path.unlink()
    os.mkfifo(path)
    assert examine(folder, "videos/clip.mp4", seen).verdict == "changed"


def test_f6_a_folder_that_became_a_link_after_the_look_is_not_followed(folder: Path, tmp_path: Path) -> None:
    elsewhere = make(tmp_path, "elsewhere/clip.mp4")
    seen = signature_of(elsewhere)
    assert seen is not None
    (folder / "videos/alice").symlink_to(elsewhere.parent)
    found = examine(folder, "videos/alice/clip.mp4", seen)
    assert found.verdict == "refused"
    assert "symbolic link" in found.reason


def test_f6_an_unreadable_file_is_refused_with_the_reason(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make(folder, "videos/clip.mp4")
    seen = signature_of(path)
    assert seen is not None

    def refuse(*_: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)  # rights do not stop a test that runs as root
    found = examine(folder, "videos/clip.mp4", seen)
    assert found.verdict == "refused"
    assert "permission" in found.reason


def test_f7_a_file_that_vanishes_is_simply_gone(folder: Path) -> None:
    path = make(folder, "videos/clip.mp4")
    inbox = Inbox(1.0)
    inbox.update(sweep(folder, worth_entering))
    seen = signature_of(path)
    assert seen is not None
    path.unlink()

    assert examine(folder, "videos/clip.mp4", seen).verdict == "gone"
    changes = inbox.update(sweep(folder, worth_entering))
    assert [entry.path for entry in changes.gone] == ["videos/clip.mp4"]
    assert inbox.entries == {}


def test_f7_files_that_come_and_go_during_the_pass_break_nothing(folder: Path) -> None:
    stop = threading.Event()

    def churn() -> None:
        chance = random.Random(5)
        while not stop.is_set():
            path = folder / "videos" / f"{chance.randrange(50)}.mp4"
            path.touch()
            (folder / "videos" / f"{chance.randrange(50)}.mp4").unlink(missing_ok=True)

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        inbox = Inbox(0.0)
        for _ in range(200):
            inbox.update(sweep(folder, worth_entering))
    finally:
        stop.set()
        thread.join()


def test_f1_a_file_replaced_while_it_is_read_is_not_believed(folder: Path) -> None:
    path = make(folder, "videos/clip.mp4", b"a" * (3 << 20))
    seen = signature_of(path)
    assert seen is not None

    def replace() -> bool:
        make(folder, "videos/new.mp4", b"b" * (3 << 20)).replace(path)
        return False

    assert examine(folder, "videos/clip.mp4", seen, replace).verdict == "changed"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells about writers")
def test_f1_a_copy_that_stalls_is_recognised_by_its_open_file(folder: Path) -> None:
    path = folder / "videos/clip.mp4"
    writer = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys; f = open(sys.argv[1], 'wb', 0); f.write(b'half'); print('.', flush=True); input()",
            str(path),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert writer.stdout is not None
        writer.stdout.readline()
        seen = signature_of(path)
        assert seen is not None
        assert examine(folder, "videos/clip.mp4", seen).verdict == "busy"
    finally:
        writer.communicate(b"\n")
    assert examine(folder, "videos/clip.mp4", seen).verdict == "read"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has leases")
def test_looking_for_writers_leaves_nothing_behind_that_could_stop_one(folder: Path) -> None:
    path = make(folder, "videos/clip.mp4")
    with path.open("rb") as reader:
        assert not written_by_others(reader.fileno())
        with path.open("ab") as writer:
            writer.write(b"more")
    assert path.read_bytes() == b"xmore"


def test_an_empty_file_is_given_more_time_and_then_refused(folder: Path) -> None:
    make(folder, "videos/clip.mp4", b"")
    clock = Clock()
    inbox = Inbox(1.0, clock=clock)
    for _ in range(4):
        inbox.update(sweep(folder, worth_entering))
        clock.now += 0.5
    assert inbox.entries["videos/clip.mp4"].phase == "waiting"
    for _ in range(4):
        inbox.update(sweep(folder, worth_entering))
        clock.now += 0.5
    assert inbox.entries["videos/clip.mp4"].reason == "the file is empty"


def test_a_folder_that_cannot_be_listed_does_not_make_its_files_vanish() -> None:
    clip = Sighting("videos/alice/clip.mp4", 0o100644, 1, Signature(1, 1, 1, 1))
    inbox = Inbox(1.0)
    inbox.update(Sweep((clip,)))
    changes = inbox.update(Sweep((), unread=(("videos/alice", "Permission denied"),)))
    assert not changes.gone
    assert "videos/alice/clip.mp4" in inbox.entries


def test_a_file_known_from_the_last_run_need_not_settle_again(folder: Path) -> None:
    path = make(folder, "videos/clip.mp4")
    inbox = Inbox(60.0, known=lambda name: signature_of(folder / name))
    changes = inbox.update(sweep(folder, worth_entering))
    assert [entry.path for entry in changes.settled] == ["videos/clip.mp4"]
    path.write_bytes(b"other content")
    fresh = Inbox(60.0, known=lambda name: Signature(1, 2, 3, 4))
    assert not fresh.update(sweep(folder, worth_entering)).settled

"""D12 and D3: what is kept of an unfinished video, on disks that fill up and files that resist."""

from __future__ import annotations

import shutil
import weakref
from pathlib import Path
from typing import Any

import pytest
from attempts import EVERY, Attempts
from face_material import read_clip

from facefusion import resuming, targets
from facefusion.errors import StorageError
from facefusion.media import segments
from facefusion.media.segments import Keeping, Segments


def test_a_part_that_cannot_be_removed_keeps_no_other(
    interrupted: Attempts, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlink = Path.unlink

    def stubborn(path: Path, missing_ok: bool = False) -> None:
        if path.name == "000001.part":
            raise PermissionError(13, "It is being used by another process")
        unlink(path, missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", stubborn)
        kept = Segments(Keeping(interrupted.folder / "kept"), "", 8)
        kept.open(b"")
    assert [path.name for path in interrupted.parts] == ["000001.part"]


def test_what_was_noted_with_earlier_parts_takes_no_memory(attempts: Attempts) -> None:
    """A long film has hundreds of parts, and each notes all faces so far."""
    kept = Segments(Keeping(attempts.folder / "kept"), "", 1)
    kept.open(b"")
    notes = [Note() for _ in range(5)]
    watched = [weakref.ref(note) for note in notes]
    for stamp in range(5):
        kept.picture(stamp)
        kept.finish(notes.pop())
    assert len(attempts.parts) == 5
    assert not [note for note in watched if note() is not None]


class Note(dict[str, int]):
    """A dictionary that can be watched."""


def test_a_disk_that_is_nearly_full_is_left_to_the_result(
    interrupted: Attempts, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    nearly_full = shutil._ntuple_diskusage(10**9, 9 * 10**8, 10**8)  # type: ignore[attr-defined]
    monkeypatch.setattr(segments.shutil, "disk_usage", lambda folder: nearly_full)
    result = interrupted.run()
    assert result.resumed is None
    assert interrupted.parts == []
    assert result.frames == len(read_clip(interrupted.output)[0]) == 40
    assert caplog.text.count("too full") == 2, "what there was, and what would have been"


def test_what_is_kept_makes_room_for_what_publishing_needs(
    attempts: Attempts, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[int] = []
    verify = targets.verify_video

    def free(folder: Path) -> Any:
        room = 200_000_000 + attempts.output.stat().st_size if kept else 10**9
        return shutil._ntuple_diskusage(10**9, 0, room)  # type: ignore[attr-defined]

    def look(*given: Any) -> None:
        kept.append(len(attempts.parts))
        verify(*given)

    monkeypatch.setattr(segments.shutil, "disk_usage", free)
    monkeypatch.setattr(targets, "verify_video", look)
    attempts.run()
    assert kept == [5]
    assert attempts.parts == [], "signing makes two copies of the result"


def test_d3_a_target_that_certainly_does_not_fit_is_not_begun(
    attempts: Attempts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resuming, "free_disk", lambda folder: 1000)
    with pytest.raises(StorageError, match=r"clip\.mp4 needs at least .* there are .* for it") as raised:
        attempts.run(keep=False)
    assert raised.value.retryable and "by itself" in raised.value.remedy
    assert (attempts.witness.seen, attempts.output.exists()) == ([], False)


def test_d3_work_stops_when_what_is_written_tells_that_the_rest_does_not_fit_and_goes_on_there(
    attempts: Attempts, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts.run(keep=False)
    whole = attempts.output.stat().st_size

    def free(folder: Path) -> int:
        written = attempts.output.stat().st_size if attempts.output.exists() else 0
        return max(0, disk[0] - written - sum(part.stat().st_size for part in attempts.parts))

    monkeypatch.setattr(targets, "ROOM_EVERY", EVERY)
    monkeypatch.setattr(resuming, "free_disk", free)
    disk = [int(1.5 * whole)]
    with pytest.raises(StorageError):
        attempts.run()
    stopped_at = len(attempts.witness.seen)
    assert stopped_at in range(EVERY, 40, EVERY), "signing needs three times the result"
    assert not attempts.output.exists()

    with pytest.raises(StorageError):
        attempts.run()
    assert attempts.witness.fresh == 0, "it is known from what is kept"

    disk[0] = 4 * whole
    result = attempts.run()
    assert result.resumed is not None and result.resumed["frame"] == stopped_at
    assert result.frames == 40


def test_d3_a_disk_that_just_suffices_is_used(attempts: Attempts, monkeypatch: pytest.MonkeyPatch) -> None:
    attempts.run(keep=False)
    room = int(3.1 * attempts.output.stat().st_size)
    monkeypatch.setattr(resuming, "free_disk", lambda folder: room)
    assert attempts.run().outcome == "done"


def test_what_cannot_be_kept_costs_nothing_but_the_keeping(
    attempts: Attempts, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_room(path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(segments, "sync_file", no_room)
    result = attempts.run()
    assert "No space left on device" in caplog.text
    assert attempts.parts == []
    assert result.frames == len(read_clip(attempts.output)[0]) == 40


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_disk_that_is_full_for_what_is_kept_alone_does_not_stop_the_job(
    attempts: Attempts, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write = segments.Segments._write

    def full(parts: segments.Segments, content: bytes) -> None:
        if parts._out is None:
            parts._folder.mkdir(exist_ok=True)
            parts._unfinished.symlink_to("/dev/full")
        write(parts, content)

    monkeypatch.setattr(segments.Segments, "_write", full)
    result = attempts.run()
    assert "No space left on device" in caplog.text
    assert attempts.parts == []
    assert result.frames == len(read_clip(attempts.output)[0]) == 40


def test_only_the_user_can_read_what_is_kept(left_behind: Path) -> None:
    assert left_behind.stat().st_mode & 0o777 == 0o700

"""Results get their names completely, durably and never over something else."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from pathlib import Path

import pytest

from facefusion.automation.publish import (
    Outbox,
    move_without_replacing,
    numbered,
    result_base,
)
from facefusion.automation.workspace import Workspace
from facefusion.config import AutomationConfig
from facefusion.errors import StorageError


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    workspace = Workspace.of(tmp_path, AutomationConfig())
    workspace.prepare_outbox()
    return workspace


@pytest.fixture
def outbox(workspace: Workspace) -> Outbox:
    return Outbox(workspace, "test", disk_free=lambda _: 10**12)


def work_file(outbox: Outbox, content: bytes = b"result", name: str = "1-1") -> Path:
    path = outbox.make_work_dir(name) / "clip.mp4"
    path.write_bytes(content)
    return path


def test_a_result_gets_its_name(outbox: Outbox) -> None:
    work = work_file(outbox)
    placed = outbox.place(work, "clip__alice")
    assert placed.output.read_bytes() == b"result"
    assert (placed.output.name, placed.report.name) == ("clip__alice.mp4", "clip__alice.json")
    assert placed.warnings == ()
    assert not work.exists()


@pytest.mark.parametrize("taken", ["clip__alice.mp4", "clip__alice.json"])
def test_f10_a_name_that_is_taken_is_left_alone_and_the_other_name_is_said(
    outbox: Outbox, taken: str
) -> None:
    (outbox.folder / taken).write_bytes(b"something else")
    placed = outbox.place(work_file(outbox), "clip__alice")
    assert (outbox.folder / taken).read_bytes() == b"something else"
    assert (placed.output.name, placed.report.name) == ("clip__alice-2.mp4", "clip__alice-2.json")
    assert "clip__alice-2.mp4" in placed.warnings[0]


def test_f10_also_a_dangling_link_and_a_folder_keep_their_names(outbox: Outbox) -> None:
    (outbox.folder / "clip__alice.mp4").symlink_to(outbox.folder / "nowhere")
    (outbox.folder / "clip__alice-2.mp4").mkdir()
    placed = outbox.place(work_file(outbox), "clip__alice")
    assert placed.output.name == "clip__alice-3.mp4"
    assert not (outbox.folder / "nowhere").exists()


def test_f10_somebody_who_takes_the_name_at_the_last_moment_keeps_it(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = os.link

    def race(source: Path, destination: Path) -> None:
        if destination.name == "clip__alice.mp4":
            destination.write_bytes(b"somebody was faster")
        link(source, destination)

    monkeypatch.setattr(os, "link", race)
    placed = outbox.place(work_file(outbox), "clip__alice")
    assert placed.output.name == "clip__alice-2.mp4"
    assert (outbox.folder / "clip__alice.mp4").read_bytes() == b"somebody was faster"


def test_file_systems_without_hard_links_are_served_as_carefully(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    (outbox.folder / "clip__alice.mp4").write_bytes(b"something else")
    placed = outbox.place(work_file(outbox), "clip__alice")
    assert placed.output.read_bytes() == b"result"
    assert placed.output.name == "clip__alice-2.mp4"
    assert not move_without_replacing(work_file(outbox), placed.output)
    assert placed.output.read_bytes() == b"result"


def test_d2_a_result_placed_before_a_kill_is_recognised_by_its_content(outbox: Outbox) -> None:
    (outbox.folder / "clip__alice.mp4").write_bytes(b"other!")
    placed = outbox.place(work_file(outbox), "clip__alice")
    sha256 = hashlib.sha256(b"result").hexdigest()
    assert outbox.find("clip__alice", ".mp4", sha256, 6) == placed.__class__(placed.output, placed.report)
    assert outbox.find("clip__alice", ".mp4", hashlib.sha256(b"x").hexdigest(), 1) is None


def test_d2_it_is_recognised_under_decomposed_accents_and_beside_a_dangling_link(outbox: Outbox) -> None:
    (outbox.folder / "z\u00e9__alice-2.mp4").symlink_to("nowhere")
    (outbox.folder / "ze\u0301__alice.mp4").write_bytes(b"result")  # as HFS+ gives names back
    found = outbox.find("z\u00e9__alice", ".mp4", hashlib.sha256(b"result").hexdigest(), 6)
    assert found is not None
    assert found.output.read_bytes() == b"result"
    assert found.report.name == "ze\u0301__alice.json"


def test_d3_too_little_room_is_said(workspace: Workspace) -> None:
    outbox = Outbox(workspace, "test", disk_free=lambda _: 99_000_000)
    outbox.require_room(99)
    with pytest.raises(StorageError, match="99 MB are free"):
        outbox.require_room(100)


def test_d10_an_outbox_that_is_gone_is_not_made_anew_elsewhere(outbox: Outbox) -> None:
    for child in outbox.folder.iterdir():
        child.rmdir()
    outbox.folder.rmdir()
    with pytest.raises(StorageError):
        outbox.require_room(0)
    with pytest.raises(StorageError):
        outbox.make_work_dir("1-1")
    assert not outbox.folder.exists()


@pytest.mark.parametrize("fault", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_d3_d10_a_failure_to_place_leaves_the_work_for_later(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch, fault: int
) -> None:
    work = work_file(outbox)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(fault, os.strerror(fault))

    with monkeypatch.context() as patch:
        patch.setattr(os, "link", refuse)
        with pytest.raises(StorageError, match=os.strerror(fault)):
            outbox.place(work, "clip__alice")
    assert outbox.place(work, "clip__alice").output.read_bytes() == b"result"


def test_what_an_earlier_run_left_is_removed_and_nothing_else(outbox: Outbox) -> None:
    kept, dropped = work_file(outbox, name="1-1"), work_file(outbox, name="2-1")
    mine = outbox.folder / "my own.part"
    mine.touch()
    report = outbox.failed / ".report-123-abc.part"
    report.touch()
    outbox.tidy(frozenset({"1-1"}))
    assert kept.exists()
    assert mine.exists()
    assert not dropped.parent.exists()
    assert not report.exists()


@pytest.mark.parametrize(
    ("target", "face", "base"),
    [
        ("videos/clip.mp4", "alice", "clip__alice"),
        ("photos/a.b.c.jpg", "alice", "a.b.c__alice"),
        ("videos/two\nlines.mp4", "al/ice", "two_lines__al_ice"),
        (os.fsdecode(b"videos/\xff\xfe.mp4"), "Zoë", "____Zoë"),
        ("videos/-rf.mp4", "alice", "-rf__alice"),
        ("videos/ .mp4", "...", "____"),
        ("videos/link.mp4", "", "link"),
        ("videos/CON: a|b?.mp4", "x", "CON_ a_b___x"),
    ],
)
def test_f5_result_names_can_be_written_everywhere(target: str, face: str, base: str) -> None:
    assert result_base(target, face) == base


def test_f5_long_names_are_cut_between_characters() -> None:
    base = result_base("videos/" + "é" * 120 + ".mp4", "ß" * 100)
    assert len(numbered(base, 999).encode()) + len(".webm") <= 255
    assert "\ufffd" not in base
    json.dumps(base)


@pytest.mark.parametrize(
    ("target", "face", "base"),
    [
        ("videos/albert__woman.jpg", "albert", "woman__albert"),
        ("videos/Albert__woman.jpg", "albert", "woman__albert"),
        ("videos/ren\u00e9__woman.mp4", "rene\u0301", "woman__rene\u0301"),
        ("videos/bob/albert__woman.jpg", "bob", "albert__woman__bob"),
        ("videos/a__b__c.mp4", "a", "b__c__a"),
        ("videos/albert__.mp4", "albert", "albert____albert"),
    ],
)
def test_a_face_asked_for_by_name_stands_once_in_the_name_of_the_result(
    target: str, face: str, base: str
) -> None:
    assert result_base(target, face) == base


def with_sidecar(outbox: Outbox, signature: bytes = b"signature") -> tuple[Path, Path]:
    work = work_file(outbox)
    sidecar = work.with_name(work.name + ".c2pa")
    sidecar.write_bytes(signature)
    return work, sidecar


def names(outbox: Outbox) -> list[str]:
    return sorted(path.name for path in outbox.folder.iterdir() if path.is_file() and path.suffix != ".md")


def test_what_belongs_beside_a_result_is_there_before_it(outbox: Outbox) -> None:
    work, sidecar = with_sidecar(outbox)
    seen: list[list[str]] = []
    placed = outbox.place(work, "clip__alice", sidecar, lambda step: seen.append(names(outbox)))
    assert seen == [["clip__alice.mp4.c2pa"]]
    assert placed.output.name == "clip__alice.mp4"
    assert (outbox.folder / "clip__alice.mp4.c2pa").read_bytes() == b"signature"


def test_a_second_try_recognises_its_own_sidecar(outbox: Outbox) -> None:
    work, sidecar = with_sidecar(outbox)

    def die(step: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        outbox.place(work, "clip__alice", sidecar, die)
    assert names(outbox) == ["clip__alice.mp4.c2pa"]
    assert outbox.place(work, "clip__alice", sidecar).output.name == "clip__alice.mp4"
    assert names(outbox) == ["clip__alice.mp4", "clip__alice.mp4.c2pa"]


def test_a_sidecar_of_something_else_is_left_alone(outbox: Outbox) -> None:
    (outbox.folder / "clip__alice.mp4.c2pa").write_bytes(b"of another file")
    work, sidecar = with_sidecar(outbox)
    placed = outbox.place(work, "clip__alice", sidecar)
    assert placed.output.name == "clip__alice-2.mp4"
    assert (outbox.folder / "clip__alice.mp4.c2pa").read_bytes() == b"of another file"
    assert (outbox.folder / "clip__alice-2.mp4.c2pa").read_bytes() == b"signature"


def test_a_name_that_is_taken_in_the_last_moment_keeps_no_sidecar(outbox: Outbox) -> None:
    work, sidecar = with_sidecar(outbox)

    def somebody_is_quicker(step: str) -> None:
        if not (outbox.folder / "clip__alice.mp4").exists():
            (outbox.folder / "clip__alice.mp4").write_bytes(b"something else")

    placed = outbox.place(work, "clip__alice", sidecar, somebody_is_quicker)
    assert placed.output.name == "clip__alice-2.mp4"
    assert names(outbox) == ["clip__alice-2.mp4", "clip__alice-2.mp4.c2pa", "clip__alice.mp4"]


@pytest.mark.parametrize("said", [errno.EPERM, errno.EINVAL, errno.EXDEV])
def test_a_file_system_without_hard_links_takes_sidecars_too(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch, said: int
) -> None:
    def no_links(*_: object) -> None:
        raise OSError(said, os.strerror(said))

    monkeypatch.setattr(os, "link", no_links)
    work, sidecar = with_sidecar(outbox)
    outbox.place(work, "clip__alice", sidecar)
    assert (outbox.folder / "clip__alice.mp4.c2pa").read_bytes() == b"signature"


def test_a_reserved_name_is_given_back_when_the_move_fails(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = work_file(outbox)

    def no_links(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "link", no_links)
    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(StorageError):
        outbox.place(work, "clip__alice")
    assert names(outbox) == []
    assert work.read_bytes() == b"result"

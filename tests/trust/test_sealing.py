"""Sealing replaces a finished file by its signed self, or leaves it as it was."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

import av
import pytest
from sealed_files import packets, plain_file, statement_for

from facefusion.errors import MediaFormatError, SealingError, StorageError, VerificationError
from facefusion.media import verify as media_verify
from facefusion.trust import credentials, sealing
from facefusion.trust.identity import identity_of, known_authorities
from facefusion.trust.sealing import Seal, seal

KINDS = ["clip.mp4", "clip.mkv", "picture.jpg"]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


def sign(path: Path, state: Path, **more: Any) -> Seal:
    target = path.parent.parent / f"target{path.suffix}"
    shutil.copy(path, target)
    return seal(path, statement_for(path), target, identity_of(state), known_authorities(state), **more)


def left_as_it_was(path: Path, content: bytes) -> bool:
    return path.read_bytes() == content and [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_pictures_and_sound_are_what_they_were(work: Path, state: Path) -> None:
    path = plain_file(work / "clip.mp4")
    before = shutil.copy(path, work.parent / "before.mp4")
    sign(path, state)
    assert path.read_bytes() != before.read_bytes()
    media_verify.verify_same(before, path)
    for kind in ("video", "audio"):
        assert [size for _, size in packets(path, kind)] == [size for _, size in packets(before, kind)]


@pytest.mark.parametrize("name", KINDS)
def test_nothing_is_left_beside_it_but_a_signature_that_cannot_be_inside(
    work: Path, state: Path, name: str
) -> None:
    path = plain_file(work / name)
    made = sign(path, state)
    expected = {name} if made.embedded else {name, f"{name}.c2pa"}
    assert {entry.name for entry in work.iterdir()} == expected
    assert made.embedded == (name != "clip.mkv")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no mode bits")
def test_its_rights_stay(work: Path, state: Path) -> None:
    path = plain_file(work / "picture.jpg")
    path.chmod(0o640)
    sign(path, state)
    assert path.stat().st_mode & 0o777 == 0o640


def test_what_the_library_spools_stays_in_the_work_folder(
    work: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credentials, "_SPOOL_MEGABYTES", 0)
    monkeypatch.setenv("TMPDIR", "/nonexistent")
    path = plain_file(work / "clip.mp4")
    seen: list[str | None] = []
    sign(path, state, at=lambda step: seen.append(os.environ.get("TMPDIR")) if step == "signing" else None)
    assert seen == [str(work / ".spool")]
    assert os.environ["TMPDIR"] == "/nonexistent"
    assert [entry.name for entry in work.iterdir()] == ["clip.mp4"]


@pytest.mark.parametrize("name", KINDS)
def test_without_room_for_twice_the_file_nothing_is_begun(
    work: Path, state: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    path = plain_file(work / name)
    content = path.read_bytes()
    usage = shutil.disk_usage(work)._replace(free=2 * len(content) - 1)
    monkeypatch.setattr(sealing.shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(StorageError, match="free on the disk of the outbox"):
        sign(path, state)
    assert left_as_it_was(path, content)


def test_a_signature_by_a_key_that_is_not_the_certificate_s_fails_the_job(work: Path, state: Path) -> None:
    path = plain_file(work / "clip.mp4")
    content = path.read_bytes()
    mixed = credentials.Identity(identity_of(state).certificate, identity_of(state / "other").key)
    with pytest.raises(SealingError) as raised:
        seal(path, statement_for(path), path, mixed, known_authorities(state))
    assert raised.value.retryable
    assert left_as_it_was(path, content)


def test_a_signature_that_is_not_trusted_here_fails_the_job(work: Path, state: Path) -> None:
    path = plain_file(work / "clip.mkv")
    content = path.read_bytes()
    identity_of(state)
    with pytest.raises(SealingError, match="does not hold"):
        seal(path, statement_for(path), path, identity_of(state / "other"), known_authorities(state))
    assert left_as_it_was(path, content)


@pytest.mark.parametrize("name", KINDS)
def test_a_signed_file_that_is_damaged_before_it_is_read_back_fails_the_job(
    work: Path, state: Path, name: str
) -> None:
    path = plain_file(work / name)
    content = path.read_bytes()

    def damage(step: str) -> None:
        if step == "signed":
            fresh = next(entry for entry in work.iterdir() if entry.name.startswith(".signing"))
            signed = bytearray(fresh.read_bytes())
            signed[-200] ^= 1
            fresh.write_bytes(signed)

    with pytest.raises(SealingError, match="does not hold"):
        sign(path, state, at=damage)
    assert left_as_it_was(path, content)


@pytest.mark.parametrize("name", KINDS)
def test_a_signed_file_that_is_not_the_one_that_was_checked_fails_the_job(
    work: Path, state: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    path = plain_file(work / name)
    content = path.read_bytes()
    other = plain_file(work.parent / f"other{path.suffix}")
    with other.open("r+b") as stream:  # another picture, signed as well as the right one
        at = content.find(b"mdat") + 3000 if path.suffix == ".mp4" else len(content) * 9 // 10
        stream.seek(at)
        stream.write(b"\x55" * 40)
    signed = credentials.sign
    monkeypatch.setattr(credentials, "sign", lambda source, *rest, **more: signed(other, *rest, **more))
    with pytest.raises(VerificationError):
        sign(path, state)
    assert left_as_it_was(path, content)


def test_a_full_disk_while_signing_is_a_storage_error(
    work: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = plain_file(work / "clip.mp4")
    content = path.read_bytes()
    free = [10**12, 0]
    usage = shutil.disk_usage(work)
    monkeypatch.setattr(sealing.shutil, "disk_usage", lambda folder: usage._replace(free=free.pop(0)))

    def full(*_: object, **__: object) -> bytes:
        raise credentials.CredentialsError("Io: write failed")

    monkeypatch.setattr(credentials, "sign", full)
    with pytest.raises(StorageError):
        sign(path, state)
    assert left_as_it_was(path, content)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows knows no limit of the size of files")
def test_a_signed_file_larger_than_the_file_system_allows_is_said_so(work: Path, state: Path) -> None:
    import resource

    path = plain_file(work / "clip.mp4")
    content = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(content) + 1000, hard))
    try:
        with pytest.raises(MediaFormatError, match="larger than a file on the disk of the outbox may be"):
            sign(path, state)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert left_as_it_was(path, content)


def test_chapters_and_sound_stay_where_they_were(work: Path, state: Path) -> None:
    path = plain_file(work / "clip.mp4", chapters=["one", "two"])
    before = shutil.copy(path, work.parent / "before.mp4")
    sign(path, state)
    with av.open(str(path)) as signed, av.open(str(before)) as unsigned:
        assert [chapter["metadata"]["title"] for chapter in signed.chapters()] == ["one", "two"]
        assert signed.metadata == unsigned.metadata
        sounds = [list(map(bytes, file.demux(file.streams.audio[0]))) for file in (signed, unsigned)]
    assert sounds[0] == sounds[1]


def test_credentials_beside_a_target_are_not_kept_and_that_is_said(work: Path, state: Path) -> None:
    path = plain_file(work / "clip.mkv")
    (work.parent / "target.mkv.c2pa").write_bytes(b"of the target")
    assert "beside the target are not kept" in sign(path, state).warnings[0]

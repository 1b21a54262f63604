"""The lock of a root where the file system does not play along."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import psutil
import pytest

from facefusion.automation import lock
from facefusion.automation.lock import InstanceLock, holder
from facefusion.errors import StorageError


def test_a_share_without_locks_is_said_with_what_can_be_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / lock.LOCK_FILE).touch()

    def no_locks(descriptor: int) -> bool:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(lock, "try_lock", no_locks)
    before = psutil.Process().num_fds()
    with pytest.raises(StorageError) as raised:
        InstanceLock(tmp_path).acquire()
    assert "knows no locks" in raised.value.message
    assert "--root" in raised.value.remedy
    assert holder(tmp_path) is None
    after = psutil.Process().num_fds()
    assert after == before, "no handle is left open"


def test_a_lock_file_that_cannot_be_written_is_said_and_not_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int, length: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "ftruncate", full)
        with pytest.raises(StorageError, match="No space left"):
            InstanceLock(tmp_path).acquire()
    with InstanceLock(tmp_path):
        assert holder(tmp_path) == os.getpid()


def test_a_disk_that_goes_away_does_not_keep_a_daemon_from_ending(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(descriptor: int, length: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    held = InstanceLock(tmp_path)
    held.acquire()
    with monkeypatch.context() as patch:
        patch.setattr(os, "ftruncate", gone)
        held.release()
    assert holder(tmp_path) is None


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_state_folder_is_said(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(StorageError, match="cannot be written"):
            InstanceLock(tmp_path).acquire()
    finally:
        tmp_path.chmod(0o700)

"""On file systems without hard links a name is reserved first; a kill there leaves no empty file behind."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from workbench import HERE, REPOSITORY, Bench

from facefusion.automation.publish import RESERVING, Outbox, move_without_replacing
from facefusion.automation.workspace import Workspace
from facefusion.config import AutomationConfig

KILLED = """
import errno, os, pathlib, signal, sys

replace = pathlib.Path.replace

def no_links(*_, **__):
    raise OSError(errno.EPERM, os.strerror(errno.EPERM))

def killed(source, destination):
    if destination.parent.name == "outbox" and source.suffix == sys.argv[2]:
        os.kill(os.getpid(), signal.SIGKILL)
    return replace(source, destination)

os.link, pathlib.Path.replace = no_links, killed
sys.argv.append("--once")
import daemon_script

raise SystemExit(daemon_script.main())
"""
"""A daemon on a file system without links that is killed when a name is reserved and nothing has it yet."""


@pytest.mark.skipif(sys.platform == "win32", reason="a rename refuses a taken name there")
@pytest.mark.parametrize("suffix", [".mp4", ".json"])
def test_a_kill_between_reserving_and_naming_leaves_nothing_and_takes_no_name(
    bench: Bench, suffix: str
) -> None:
    bench.face()
    bench.target("clip.mp4")
    ended = subprocess.run(
        [sys.executable, "-c", KILLED, str(bench.root), suffix],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(HERE), str(REPOSITORY)))},
        capture_output=True,
        timeout=60,
        start_new_session=True,
        check=False,
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    reserved = bench.outbox / f"clip__alice{suffix}"
    assert reserved.stat().st_size == 0
    assert bench.run_once() == 0
    assert sorted(path.name for path in bench.outbox.iterdir() if path.is_file()) == [
        "clip__alice.json",
        "clip__alice.mp4",
    ]
    assert reserved.stat().st_size > 0
    assert bench.report("clip__alice.json")["warnings"] == []
    assert bench.leftovers() == []


@pytest.fixture
def outbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Outbox:
    workspace = Workspace.of(tmp_path, AutomationConfig())
    workspace.prepare_outbox()

    def no_links(*_: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", no_links)
    return Outbox(workspace, "test")


def note(outbox: Outbox, name: Path) -> None:
    folder = outbox.make_work_dir("1-1")
    (folder / f"clip.mp4{RESERVING}").write_bytes(os.fsencode(name))


def test_only_what_is_empty_and_in_the_outbox_is_given_back(outbox: Outbox, tmp_path: Path) -> None:
    full, elsewhere = outbox.folder / "clip__alice.mp4", tmp_path / "precious.mp4"
    full.write_bytes(b"a result")
    elsewhere.touch()
    for name in (full, elsewhere, outbox.folder / "gone.mp4"):
        note(outbox, name)
        outbox.tidy(frozenset({"1-1"}))
    assert full.read_bytes() == b"a result"
    assert elsewhere.exists()
    assert list((outbox.work_root / "1-1").iterdir()) == []


def test_a_persons_own_empty_file_is_no_reservation(outbox: Outbox) -> None:
    theirs = outbox.folder / "clip__alice.mp4"
    theirs.touch()
    work = outbox.make_work_dir("1-1") / "clip.mp4"
    work.write_bytes(b"a result")
    assert not move_without_replacing(work, theirs)
    assert list(work.parent.iterdir()) == [work], "nothing is noted that was not ours"
    outbox.tidy(frozenset({"1-1"}))
    assert theirs.exists()


def test_a_name_that_was_given_leaves_no_note(outbox: Outbox) -> None:
    work = outbox.make_work_dir("1-1") / "clip.mp4"
    work.write_bytes(b"a result")
    assert move_without_replacing(work, outbox.folder / "clip__alice.mp4")
    assert list(work.parent.iterdir()) == []

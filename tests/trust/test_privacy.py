"""Who may read what is written, what reaches a log, and what is left after a purge."""

from __future__ import annotations

import base64
import io
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from facefusion.automation.commands import main
from facefusion.automation.database import Database
from facefusion.automation.finishing import work_name
from facefusion.automation.job import JobRequest, JobState
from facefusion.automation.jobs import JobQueue
from facefusion.automation.logs import DiscreetFormatter, DiscreetStream, daemon_log
from facefusion.automation.publish import Outbox
from facefusion.automation.sightings import Signature
from facefusion.automation.workspace import Workspace
from facefusion.config import AutomationConfig
from facefusion.trust.audit import KEY_FILE, AuditLog, check_audit, face_mark
from facefusion.trust.privacy import make_shared_folder, private_files, share


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def rights(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_files_are_private_and_results_have_the_persons_own_rights(tmp_path: Path) -> None:
    with private_files():
        (tmp_path / "work").write_text("private")
        (tmp_path / "result").write_text("for others")
        share(tmp_path / "result")
        make_shared_folder(tmp_path / "outbox" / "failed")
        (tmp_path / "state").mkdir()
        with private_files():  # a second daemon in this process
            share(tmp_path / "result")
        (tmp_path / "late").write_text("private")
    (tmp_path / "after").write_text("as before")
    assert rights(tmp_path / "work") == rights(tmp_path / "late") == 0o600
    assert rights(tmp_path / "result") == rights(tmp_path / "after") == 0o644
    assert rights(tmp_path / "outbox") == rights(tmp_path / "outbox" / "failed") == 0o755
    assert rights(tmp_path / "state") == 0o700


def test_a_stricter_umask_is_kept(tmp_path: Path) -> None:
    os.umask(0o027)
    with private_files():
        (tmp_path / "result").write_text("for the group")
        share(tmp_path / "result")
    assert rights(tmp_path / "result") == 0o640


def test_outside_a_daemon_nothing_is_changed(tmp_path: Path) -> None:
    (tmp_path / "file").touch(0o600)
    share(tmp_path / "file")
    assert rights(tmp_path / "file") == 0o600


# ---- logs -------------------------------------------------------------------------------------------------

_VECTOR = np.random.default_rng(1).normal(size=512).astype(np.float32)
_CROP = np.random.default_rng(2).integers(0, 255, (112, 112, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    "secret",
    [
        str(_VECTOR),
        repr(_VECTOR),
        str(_VECTOR.tolist()),
        str(list(_VECTOR[:20])),
        str(dict(enumerate(_VECTOR.tolist()))),
        "\n".join(map(str, _VECTOR)),
        ";".join(f"{value:.3e}" for value in _VECTOR[:10]),
        str(_CROP),
        str(_CROP.tobytes()[:300]),
        base64.b64encode(_CROP.tobytes()[:300]).decode(),
        _VECTOR.tobytes().hex(),
    ],
)
def test_no_embedding_and_no_picture_reaches_a_log(tmp_path: Path, secret: str) -> None:
    log = logging.getLogger("facefusion.test")
    with daemon_log(tmp_path):
        log.error("it was %s.", secret)
        try:
            raise ValueError(secret)
        except ValueError:
            log.exception("failed")
    written = (tmp_path / "daemon.log").read_text()
    pieces = [piece for piece in secret.replace("\n", " ").split() if len(piece) > 6] or [secret]
    shown = [piece for piece in pieces if piece in written]
    assert len(shown) <= 4
    assert secret[40:120] not in written
    assert "failed" in written


@pytest.mark.parametrize("value", [_VECTOR, _CROP, _CROP.tobytes(), bytearray(99), memoryview(b"abc" * 30)])
def test_arrays_and_bytes_are_only_named(value: object) -> None:
    record = logging.LogRecord("facefusion", 20, "", 1, "job %d: %s %r", (7, value, value), None)
    shown = DiscreetFormatter("%(message)s").format(record)
    assert shown.startswith(f"job 7: [{type(value).__name__}")
    assert len(shown) < 80


def test_ordinary_lines_stay_as_they_are() -> None:
    lines = [
        f"Job 7 took 12.5 s (3 of 4), sha256 {'0a' * 32}",
        "frame 12 of 300, 48.5 frames/s at 2026-11-21 13:08:22,123, box 1 2 3 4",
        "Queued videos/2020 01 02 03 clip.mp4 with anna.",
    ]
    for line in lines:
        record = logging.LogRecord("facefusion", 20, "", 1, line, None, None)
        assert DiscreetFormatter("%(message)s").format(record) == line


def test_what_workers_print_follows_the_same_rules() -> None:
    below = io.StringIO()
    stream = DiscreetStream(below)
    print("a library says 3 things,", end=" ", file=stream)
    print("one of them", *_VECTOR.tolist(), file=stream)
    print("done", end="", file=stream)
    stream.flush()
    assert below.getvalue().startswith("a library says 3 things, one of them [numbers]")
    assert below.getvalue().endswith("done")
    assert len(below.getvalue()) < 80


def test_no_text_takes_the_filter_long() -> None:
    """Each of these would take a pattern that tries again from every place minutes or for ever."""
    parts = ["1 ", "1.", "1. ", "a.b(", "word ", "a_long_word", "\\x00", "b'", "nan", "(1", "1e", " "]
    script = (
        "from facefusion.automation.logs import without_numbers\n"
        f"for part in {parts!r}: without_numbers(part * 20000 + 'x')\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


# ---- telemetry --------------------------------------------------------------------------------------------


def test_telemetry_is_off_before_onnxruntime_is_loaded() -> None:
    script = (
        "import os, sys\n"
        "from facefusion.system.onnx_runtime import import_onnxruntime\n"
        "assert 'onnxruntime' not in sys.modules\n"
        "class Watch:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'onnxruntime':\n"
        "            assert os.environ['ORT_DISABLE_TELEMETRY'] == '1'\n"
        "            print('seen')\n"
        "sys.meta_path.insert(0, Watch())\n"
        "import_onnxruntime()\n"
    )
    environment = {key: value for key, value in os.environ.items() if key != "ORT_DISABLE_TELEMETRY"}
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == "seen\n"


# ---- purge ------------------------------------------------------------------------------------------------


@pytest.fixture
def waiting(tmp_path: Path) -> tuple[Workspace, Path]:
    """A root with a finished result that the program could not publish before it was ended."""
    workspace = Workspace.of(tmp_path, AutomationConfig())
    workspace.prepare_state()
    workspace.prepare_outbox()
    database = Database(workspace.database)
    queue = JobQueue(database)
    inputs = (("videos/clip.mp4", Signature(1, 2, 3, 4)), ("faces/alice.jpg", Signature(5, 6, 7, 8)))
    queue.request([JobRequest("aa" * 32, "bb" * 32, "video", 2, "alice", inputs)])
    job = queue.claim("fast")
    assert job is not None
    outbox = Outbox(workspace, database.fact("installation") or "")
    work = outbox.make_work_dir(work_name(job)) / "clip__alice.mp4"
    work.write_bytes(b"a finished result")
    outbox.make_work_dir("99-1")  # of an attempt that was killed
    assert queue.finished_work(job, work=str(work), swap={}, seconds=1.0) is not None
    database.close()
    AuditLog(workspace.state_dir).append({"event": "done", "face": face_mark(workspace.state_dir, "bb" * 32)})
    return workspace, work


def test_purge_keeps_finished_work_and_says_so(
    waiting: tuple[Workspace, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    workspace, work = waiting
    assert main(["--root", str(workspace.root), "purge"]) == 0
    assert "Kept 1 finished result not published yet" in capsys.readouterr().out
    assert work.read_bytes() == b"a finished result"
    assert not (work.parent.parent / "99-1").exists()
    assert not (workspace.state_dir / KEY_FILE).exists()
    assert check_audit(workspace.state_dir).entries == 1


def test_purging_everything_asks_before_it_throws_finished_work_away(
    waiting: tuple[Workspace, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    workspace, work = waiting
    command = ["--root", str(workspace.root), "purge", "--everything", "--yes"]
    assert main(command) == 2
    told = capsys.readouterr().err
    assert "1 finished result not published yet would be lost" in told
    assert "--discard-unpublished" in told
    assert work.exists()
    database = Database(workspace.database)
    assert len(JobQueue(database).in_state(JobState.PUBLISHING)) == 1
    database.close()

    assert main(["--root", str(workspace.root), "purge", "--discard-unpublished"]) == 2
    assert work.exists()

    assert main([*command, "--discard-unpublished"]) == 0
    assert not work.exists()
    assert not work.parent.parent.exists()
    left = {path.name for path in workspace.state_dir.iterdir()}
    assert left <= {"audit.jsonl", "audit.head", "lock"}
    assert check_audit(workspace.state_dir).ok

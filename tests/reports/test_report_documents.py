"""The JSON beside a result, and the one for a failure."""

import json
import os
import re
import stat
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from facefusion.errors import ErrorCategory, StorageError
from facefusion.reports import Failure, JobRecord, write_failure_report, write_result_report
from facefusion.reports.documents import iso_time, write_text

RECORD = JobRecord(
    job_id="job-7",
    outcome="done",
    target=Path("/in/videos/clip.mp4"),
    target_kind="video",
    face_name="alice",
    face_files=(Path("/in/faces/alice/1.jpg"), Path("/in/faces/alice/2.jpg")),
    target_sha256="a" * 64,
    face_sha256="b" * 64,
    quality_preset="balanced",
    attempts=2,
    queued_at=1_700_000_000.0,
    started_at=1_700_000_001.5,
    finished_at=1_700_000_011.4996,
    seconds=10.0,
    target_bytes=123,
    output=Path("/out/clip__alice.mp4"),
    swap={
        "engine": "mesh",
        "provider": "cpu",
        "models": {"landmarks": "c" * 64},
        "frames": 300,
        "frames_swapped": np.int64(290),
        "tracks": ({"id": 1, "first": 0, "last": 299},),
        "timings": {"swap": np.float32(2.5)},
        "warnings": ("the subtitles were left out", "said by both"),
    },
    warnings=("said by both",),
)


def read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def test_a_result_report_tells_what_was_done_with_which_files(tmp_path: Path) -> None:
    write_result_report(RECORD, tmp_path / "clip__alice.json")
    report = read(tmp_path / "clip__alice.json")
    assert report["schema"] == 1
    assert report["kind"] == "result"
    assert report["target"] == {
        "name": "clip.mp4",
        "path": str(Path("/in/videos/clip.mp4")),
        "kind": "video",
        "sha256": "a" * 64,
        "bytes": 123,
    }
    assert report["face"]["name"] == "alice"
    assert len(report["face"]["files"]) == 2
    assert report["output"]["name"] == "clip__alice.mp4"
    assert report["frames_per_second"] == 30.0
    assert report["swap"]["engine"] == "mesh"
    assert report["swap"]["frames_swapped"] == 290
    assert report["swap"]["tracks"] == [{"id": 1, "first": 0, "last": 299}]
    assert report["failure"] is None


def test_every_warning_of_queue_and_pipeline_stands_in_the_report_once(tmp_path: Path) -> None:
    write_result_report(RECORD, tmp_path / "r.json")
    assert read(tmp_path / "r.json")["warnings"] == ["said by both", "the subtitles were left out"]


def test_times_are_utc_in_iso_8601(tmp_path: Path) -> None:
    write_result_report(replace(RECORD, started_at=None), tmp_path / "r.json")
    report = read(tmp_path / "r.json")
    assert report["queued_at"] == "2023-11-14T22:13:20.000Z"
    assert report["finished_at"] == "2023-11-14T22:13:31.500Z"
    assert report["started_at"] is None
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", str(iso_time(0.9999)))


def test_a_failure_report_names_category_what_happened_and_remedy(tmp_path: Path) -> None:
    failed = replace(
        RECORD,
        outcome="failed",
        output=None,
        swap=None,
        failure=Failure(ErrorCategory.FORMAT, "clip.mp4 ends in the middle.", "Copy it again.", "trace"),
    )
    write_failure_report(failed, tmp_path / "failed" / "clip__alice.json")
    report = read(tmp_path / "failed" / "clip__alice.json")
    assert report["kind"] == "failure"
    assert report["output"] is None
    assert report["swap"] is None
    assert report["failure"] == {
        "category": "format_error",
        "message": "clip.mp4 ends in the middle.",
        "remedy": "Copy it again.",
        "detail": "trace",
    }


def test_a_report_replaces_its_forerunner_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    write_result_report(RECORD, path)
    write_result_report(replace(RECORD, attempts=3), path)
    assert read(path)["attempts"] == 3
    assert [entry.name for entry in tmp_path.iterdir()] == ["r.json"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no permission bits")
def test_a_report_is_as_readable_as_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "other").touch()
    write_result_report(RECORD, tmp_path / "r.json")
    assert stat.S_IMODE((tmp_path / "r.json").stat().st_mode) == stat.S_IMODE(
        (tmp_path / "other").stat().st_mode
    )


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux allows names that are no valid text")
def test_a_name_that_is_no_valid_text_still_gives_valid_json(tmp_path: Path) -> None:
    odd = Path(os.fsdecode(b"/in/videos/caf\xe9\n.mp4"))
    write_result_report(replace(RECORD, target=odd, face_name=os.fsdecode(b"\xff")), tmp_path / "r.json")
    report = read(tmp_path / "r.json")
    assert report["target"]["name"] == "caf\\xe9\n.mp4"
    assert report["face"]["name"] == "\\xff"


def test_a_name_of_255_bytes_leaves_room_for_the_unfinished_file(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 250 + ".json")
    write_result_report(RECORD, path)
    assert read(path)["schema"] == 1


def test_a_folder_that_cannot_be_written_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match=r"r\.json cannot be written"):
        write_result_report(RECORD, tmp_path / "file" / "r.json")


def test_a_full_disk_leaves_the_old_report_and_no_unfinished_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "r.json"
    write_text("old", path)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("facefusion.reports.documents.os.fsync", full)
    with pytest.raises(StorageError, match="No space left"):
        write_text("new", path)
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["r.json"]

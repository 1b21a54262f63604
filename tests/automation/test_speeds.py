"""How long a target takes is estimated from finished jobs of the same engine, preset and kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from facefusion.automation.database import Database
from facefusion.automation.job import JobRequest, JobState
from facefusion.automation.jobs import JobQueue
from facefusion.automation.sightings import Signature
from facefusion.automation.speeds import measured_speeds
from facefusion.automation.workspace import Workspace
from facefusion.config import AutomationConfig
from facefusion.errors import StorageError

PIXELS = 640 * 360 * 100


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = Workspace.of(tmp_path, AutomationConfig())
    made.prepare_state()
    return made


def finish(
    workspace: Workspace,
    name: str,
    seconds: float,
    *,
    preset: str = "balanced",
    engine: str = "mesh",
    kind: str = "video",
    state: JobState = JobState.DONE,
    **media: Any,
) -> None:
    database = Database(workspace.database)
    queue = JobQueue(database)
    inputs = tuple((path, Signature(1, 1, 1, 1)) for path in (f"videos/{name}.mp4", "faces/a.jpg"))
    queue.request([JobRequest(name, "face", "video", 100, "a", inputs)])
    job = queue.claim(preset)
    assert job is not None
    about = {"kind": kind, "width": 640, "height": 360, **media}
    swap = {"engine": engine, "frames": 100, "media": about}
    if state is JobState.DONE:
        worked = queue.finished_work(job, work="w.mp4", swap=swap, seconds=seconds)
        assert worked is not None
        queue.published(worked, output="o.mp4", report="o.json", warnings=())
    else:
        queue.end(job, state, swap=swap, seconds=seconds)
    database.close()


def test_a_root_without_a_queue_has_no_speeds_and_gets_no_queue(workspace: Workspace) -> None:
    assert measured_speeds(workspace, "balanced")("mesh", "video") == []
    assert not workspace.database.exists()


def test_only_finished_jobs_of_the_same_engine_preset_and_kind_count(workspace: Workspace) -> None:
    finish(workspace, "one", 10.0)
    finish(workspace, "two", 20.0)
    finish(workspace, "fast", 1.0, preset="fast")
    finish(workspace, "neural", 2.0, engine="neural")
    finish(workspace, "photo", 3.0, kind="photo")
    finish(workspace, "no face", 4.0, state=JobState.NO_FACE)
    finish(workspace, "unknown size", 5.0, width=0)
    found = measured_speeds(workspace, "balanced")("mesh", "video")
    assert sorted(found) == [PIXELS / 20.0, PIXELS / 10.0]
    assert measured_speeds(workspace, "balanced")("neural", "video") == [PIXELS / 2.0]
    assert measured_speeds(workspace, "balanced")("mesh", "photo") == [PIXELS / 3.0]
    assert measured_speeds(workspace, "best")("mesh", "video") == []


def test_only_the_latest_jobs_count(workspace: Workspace) -> None:
    for number in range(25):
        finish(workspace, f"clip {number}", 100.0 if number < 5 else 1.0)
    assert measured_speeds(workspace, "balanced")("mesh", "video") == [PIXELS / 1.0] * 20


def test_a_queue_that_cannot_be_read_is_said(workspace: Workspace) -> None:
    workspace.database.write_bytes(b"no database " * 1000)
    with pytest.raises(StorageError):
        measured_speeds(workspace, "balanced")("mesh", "video")

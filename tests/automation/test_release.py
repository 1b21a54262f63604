"""Blocked jobs that may go on."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from facefusion.automation import release
from facefusion.automation.database import Database
from facefusion.automation.job import JobRequest, failure_from
from facefusion.automation.jobs import JobQueue
from facefusion.automation.sightings import Signature
from facefusion.automation.workspace import Workspace
from facefusion.config import AutomationConfig
from facefusion.errors import ConsentError
from facefusion.trust.consent import listing


def test_the_folder_of_the_faces_is_listed_once_for_all_jobs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = Workspace.of(tmp_path, AutomationConfig())
    faces = workspace.inbox / "faces"
    faces.mkdir(parents=True)
    queue = JobQueue(Database(None))
    for name in ("anna", "ben", "cleo"):
        inputs = ((f"videos/{name}.mp4", Signature(1, 1, 1, 1)), (f"faces/{name}.jpg", Signature(2, 1, 1, 1)))
        (answer,) = queue.request([JobRequest(f"t {name}", f"f {name}", "video", 1, name, inputs)])
        job = queue.claim("balanced", only=[answer.job_id])
        assert job is not None
        queue.end(job, release.JobState.BLOCKED, failure=failure_from(ConsentError("There is none.")))
    for name in ("anna", "ben"):
        (faces / f"{name}.consent.toml").write_text('basis = "permission"\n')
    listed: Counter[Path] = Counter()

    def counted(folder: Path) -> list[Path]:
        listed[folder] += 1
        return listing(folder)

    monkeypatch.setattr(release, "listing", counted)
    config = AutomationConfig(require_face_consent=True)
    assert release.release_blocked(queue, workspace, config) == [1, 2]
    assert set(listed.values()) == {1}
    (faces / "cleo.consent.toml").write_text('basis = "permission"\n')
    assert release.release_blocked(queue, workspace, config) == [3], "what was seen is not kept"

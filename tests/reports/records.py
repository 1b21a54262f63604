"""A record of a job, to be changed with `dataclasses.replace`."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from facefusion.reports import JobRecord

NOON = datetime(2025, 3, 10, 12, 0).timestamp()
DONE = JobRecord(
    job_id="1",
    outcome="done",
    target=Path("/in/videos/clip.MP4"),
    target_kind="video",
    face_name="alice",
    face_files=(),
    target_sha256="",
    face_sha256="",
    quality_preset="balanced",
    attempts=1,
    queued_at=NOON,
    started_at=NOON,
    finished_at=NOON,
    seconds=4.0,
    target_bytes=1000,
    swap={"engine": "mesh", "frames": 120, "frames_swapped": 100, "timings": {"swap": 3.0, "encode": 1.0}},
)

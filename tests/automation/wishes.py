"""Jobs that are asked for, claimed and worked without any files."""

from __future__ import annotations

from facefusion.automation.job import Job, JobRequest, failure_from
from facefusion.automation.jobs import JobQueue
from facefusion.automation.sightings import Signature
from facefusion.errors import EngineError

NOTE = failure_from(EngineError("it did not work"))


def wish(target: str = "clip", face: str = "alice", *, drop: int = 1, priority: int = 0) -> JobRequest:
    return JobRequest(
        target_sha256=f"content of {target}",
        face_sha256=f"content of {face}",
        target_kind="video",
        target_bytes=100,
        face_name=face,
        inputs=(
            (f"videos/{target}.mp4", Signature(1, 100, 1, drop)),
            (f"faces/{face}.jpg", Signature(2, 10, 1, 1)),
        ),
        priority=priority,
    )


def ask(queue: JobQueue, *wishes: JobRequest) -> list[Job]:
    ids = [answer.job_id for answer in queue.request(wishes)]
    jobs = queue.jobs(ids)
    return [jobs[job_id] for job_id in ids]


def claim(
    queue: JobQueue, face: str | None = None, busy: tuple[str, ...] = (), only: list[int] | None = None
) -> Job:
    job = queue.claim("balanced", face, busy, only)
    assert job is not None
    return job


def worked(queue: JobQueue, job: Job) -> Job:
    finished = queue.finished_work(job, work="/folder/x.mp4", swap={"frames": 1}, seconds=1.0)
    assert finished is not None
    return finished

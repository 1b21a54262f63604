"""What is known of earlier attempts when a job is tried again."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from workbench import Bench

from facefusion.automation.database import Database
from facefusion.automation.job import Job, JobRequest, failure_from
from facefusion.automation.jobs import JobQueue
from facefusion.automation.sightings import Signature
from facefusion.errors import WorkerCrashError


@pytest.fixture
def queue() -> JobQueue:
    queue = JobQueue(Database(None))
    inputs = (("videos/a.mp4", Signature(1, 1, 1, 1)), ("faces/b.jpg", Signature(2, 1, 1, 1)))
    queue.request([JobRequest("target", "face", "video", 1, "b", inputs)])
    return queue


def claimed(queue: JobQueue) -> Job:
    job = queue.claim("balanced")
    assert job is not None
    return job


def test_a_crash_makes_the_next_attempt_careful_one_power_cut_does_not(queue: JobQueue) -> None:
    assert not claimed(queue).failed_before
    queue.recover(5)
    job = claimed(queue)
    assert not job.failed_before, "the computer was switched off"
    queue.give_back(job, failure_from(WorkerCrashError("It died.")), counted=True)
    assert claimed(queue).failed_before
    queue.recover(5)
    assert claimed(queue).failed_before


def test_a_program_that_ends_with_the_job_each_time_makes_it_careful_too(queue: JobQueue) -> None:
    for careful in (False, False, True):
        assert claimed(queue).failed_before is careful
        queue.recover(5)


def test_the_worker_is_told_so(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.face()
    bench.target("clip.mp4", seconds=3)
    with bench.start("--once") as daemon:
        daemon.wait_for_state("videos/clip.mp4", "running")
        daemon.kill()
        assert daemon.process.returncode == -signal.SIGKILL
    assert bench.run_once() == 0
    report = bench.report("clip__alice.json")
    assert (report["attempts"], report["swap"]["media"]["again"]) == (2, False)

"""The durable queue."""

from __future__ import annotations

import dataclasses
import os
import sqlite3
from pathlib import Path

import pytest

from facefusion.automation.database import Database, FileMemory, KnownFile
from facefusion.automation.job import Job, JobRequest, JobState, failure_from
from facefusion.automation.jobdesk import Asked
from facefusion.automation.jobs import JobQueue
from facefusion.automation.sightings import Signature
from facefusion.errors import CancelledError, EngineError, PolicyNotAcceptedError, StorageError

NOTE = failure_from(EngineError("it did not work"))


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database(tmp_path / "queue.sqlite3")


@pytest.fixture
def queue(database: Database) -> JobQueue:
    return JobQueue(database)


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


def test_a_pair_of_contents_has_one_job_however_often_it_is_asked_for(queue: JobQueue) -> None:
    answers = queue.request([wish(), wish(), wish(drop=2), wish(face="bob")])
    assert [answer.started for answer in answers] == [True, False, False, True]
    assert len({answer.job_id for answer in answers}) == 2


def test_the_queue_survives_its_process(queue: JobQueue, database: Database) -> None:
    (job,) = ask(queue, wish())
    database.close()
    again = JobQueue(Database(database.path)).job(job.id)
    assert again == job


def test_jobs_run_by_priority_then_face_then_turn(queue: JobQueue) -> None:
    ask(queue, wish("1"), wish("2", "bob"), wish("3"), wish("4", priority=5), wish("5", "bob"))
    order = []
    face: str | None = None
    while (job := queue.claim("balanced", face)) is not None:
        order.append(job.target)
        face = job.face_sha256
    assert order == [f"videos/{n}.mp4" for n in (4, 1, 3, 2, 5)]


def test_without_grouping_jobs_run_by_turn(queue: JobQueue) -> None:
    ask(queue, wish("1"), wish("2", "bob"), wish("3"))
    assert [claim(queue).target for _ in range(3)] == [f"videos/{n}.mp4" for n in (1, 2, 3)]


def test_a_second_worker_takes_another_face_while_there_is_one(queue: JobQueue) -> None:
    ask(queue, wish("1"), wish("2"), wish("3", "bob"))
    first = claim(queue)
    second = claim(queue, None, (first.face_sha256,))
    assert second.face_name == "bob"
    assert claim(queue, None, (first.face_sha256, second.face_sha256)).face_name == "alice"


def test_a_job_is_claimed_once(queue: JobQueue) -> None:
    ask(queue, wish())
    claim(queue)
    assert queue.claim("balanced") is None


def test_an_attempt_that_counts_goes_to_the_end_of_the_queue(queue: JobQueue) -> None:
    ask(queue, wish("1"), wish("2"))
    job = claim(queue)
    assert job.attempts == 1
    queue.give_back(job, NOTE, counted=True)
    assert claim(queue).target == "videos/2.mp4"
    again = claim(queue)
    assert (again.target, again.attempts) == ("videos/1.mp4", 2)


def test_d7_an_attempt_that_was_only_interrupted_does_not_count_and_keeps_its_turn(queue: JobQueue) -> None:
    ask(queue, wish("1"), wish("2"))
    queue.give_back(claim(queue), None, counted=False)
    again = claim(queue)
    assert (again.target, again.attempts) == ("videos/1.mp4", 1)


def test_whoever_comes_back_with_an_old_fence_changes_nothing(queue: JobQueue) -> None:
    ask(queue, wish())
    lost = claim(queue)
    queue.give_back(lost, None, counted=False)
    current = claim(queue)

    assert queue.finished_work(lost, work="/old", swap={}, seconds=1.0) is None
    assert not queue.give_back(lost, None, counted=True)
    assert not queue.end(lost, JobState.FAILED, failure=NOTE)
    queue.published(lost, output="/old", report="/old", warnings=())

    assert queue.job(current.id) == current


def test_d1_a_kill_leaves_running_jobs_to_be_queued_again_behind_the_others(
    queue: JobQueue, database: Database
) -> None:
    ask(queue, wish("1"), wish("2"))
    killed = claim(queue)
    database.close()
    reborn = JobQueue(Database(database.path))
    reborn.recover(max_retries=2)
    assert claim(reborn).id != killed.id
    again = claim(reborn)
    assert (again.id, again.attempts) == (killed.id, 2)
    assert again.failure is not None
    assert "whole program ended" in again.failure.message


def test_d5_a_job_with_which_the_whole_program_ends_each_time_fails_in_the_end(queue: JobQueue) -> None:
    (job,) = ask(queue, wish())
    for _ in range(3):
        claim(queue)
        queue.recover(max_retries=2)
    ended = queue.job(job.id)
    assert ended is not None
    assert (ended.state, ended.attempts, ended.reported) == (JobState.FAILED, 3, False)
    assert ended.failure is not None
    assert (ended.failure.category, "of 3 attempts" in ended.failure.message) == ("worker_crash", True)
    assert queue.retry([job.id]) == [job.id]


def test_d2_a_job_that_was_being_published_is_remembered_with_what_was_made(
    queue: JobQueue, database: Database
) -> None:
    ask(queue, wish())
    job = worked(queue, claim(queue))
    queue.sealed(job, "hash", 99)
    database.close()
    reborn = JobQueue(Database(database.path))
    reborn.recover(max_retries=0)
    found = reborn.job(job.id)
    assert found is not None
    assert (found.state, found.work, found.work_sha256, found.work_bytes) == (
        JobState.PUBLISHING,
        "/folder/x.mp4",
        "hash",
        99,
    )


@pytest.mark.parametrize("state", [JobState.FAILED, JobState.CANCELLED, JobState.NO_FACE, JobState.BLOCKED])
def test_dropping_again_what_ended_without_a_result_is_a_retry(queue: JobQueue, state: JobState) -> None:
    ask(queue, wish())
    queue.end(claim(queue), state, failure=NOTE)
    assert not queue.request([wish()])[0].started, "the same drop is no new wish"

    answer = queue.request([wish(drop=2)])[0]

    assert answer.started
    job = queue.job(answer.job_id)
    assert job is not None
    assert (job.state, job.attempts, job.failure) == (JobState.QUEUED, 0, None)


def test_dropping_again_what_is_done_points_to_the_result_unless_that_was_taken_away(queue: JobQueue) -> None:
    ask(queue, wish())
    job = worked(queue, claim(queue))
    queue.published(job, output="/out/clip.mp4", report="/out/clip.json", warnings=())
    assert not queue.request([wish(drop=2)], lambda _: True)[0].started
    assert not queue.request([wish(drop=2)], lambda _: False)[0].started, "it only lies there"
    assert queue.request([wish(drop=3)], lambda _: False)[0].started


def test_files_touched_while_their_job_waits_or_runs_are_followed_and_copies_are_not(queue: JobQueue) -> None:
    ask(queue, wish(drop=1))
    ask(queue, wish(drop=2))
    assert queue.in_state(JobState.QUEUED)[0].inputs == wish(drop=2).inputs
    running = claim(queue)
    ask(queue, wish(drop=3))
    copy = dataclasses.replace(wish(), inputs=(("videos/copy.mp4", Signature(9, 9, 9, 9)),))
    ask(queue, copy)
    now = queue.job(running.id)
    assert now is not None
    assert now.state is JobState.RUNNING
    assert now.inputs == wish(drop=3).inputs


def test_cancel_stops_waiting_jobs_at_once_and_running_ones_on_request(queue: JobQueue) -> None:
    ask(queue, wish("1"), wish("2"))
    running = claim(queue)
    waiting = next(job for job in queue.in_state(JobState.QUEUED))
    reason = failure_from(CancelledError("by request"))
    assert set(queue.cancel([running.id, waiting.id, 99], reason)) == {running.id, waiting.id}
    after = queue.jobs([running.id, waiting.id])
    assert after[waiting.id].state is JobState.CANCELLED
    assert after[running.id].state is JobState.RUNNING
    assert after[running.id].stop_requested


@pytest.mark.parametrize("killed", [True, False])
def test_a_wish_to_cancel_is_not_forgotten_by_giving_back_or_by_a_kill(queue: JobQueue, killed: bool) -> None:
    (job,) = ask(queue, wish())
    running = claim(queue)
    queue.cancel([job.id], failure_from(CancelledError("by request")))
    if killed:
        queue.recover(max_retries=2)
    else:
        queue.give_back(running, NOTE, counted=True)
    after = queue.job(job.id)
    assert after is not None
    assert (after.state, after.reported) == (JobState.CANCELLED, False)
    assert after.failure is not None
    assert after.failure.message == "by request"


def test_a_batch_may_claim_its_own_jobs_alone(queue: JobQueue) -> None:
    jobs = ask(queue, wish("1", priority=9), wish("2", "bob"), wish("3"), wish("4", "bob"))
    own = [jobs[1].id, jobs[2].id]
    assert claim(queue, only=own).id == jobs[1].id
    assert queue.claim("balanced", "content of bob", ["content of alice"], own) is not None
    assert queue.claim("balanced", "content of bob", ["content of alice"], own) is None
    assert queue.claim("balanced", only=[]) is None


def test_retry_starts_ended_jobs_anew_and_leaves_others_alone(queue: JobQueue) -> None:
    ask(queue, wish("1"), wish("2"))
    failed = claim(queue)
    queue.end(failed, JobState.FAILED, failure=NOTE)
    waiting = queue.in_state(JobState.QUEUED)[0]
    assert queue.retry([failed.id, waiting.id]) == [failed.id]


def test_jobs_held_for_the_use_policy_go_on_when_it_is_accepted(queue: JobQueue) -> None:
    ask(queue, wish("1"), wish("2"))
    running = claim(queue)
    assert queue.hold_for_policy(failure_from(PolicyNotAcceptedError("not accepted"))) == 1
    queue.end(running, JobState.BLOCKED, failure=NOTE)
    assert queue.release_from_policy() == 1
    job = claim(queue)
    assert not job.reported, "its end is still to be reported"
    assert queue.counts().blocked == 1, "what is blocked for another reason stays blocked"


def test_changes_are_followed_by_revision_also_when_rows_are_deleted(queue: JobQueue) -> None:
    ask(queue, wish("1"), wish("2"))
    seen = queue.changed_since(0)[-1].revision
    failed = claim(queue)
    queue.end(failed, JobState.FAILED, failure=NOTE)
    (changed,) = queue.changed_since(seen)
    assert changed.id == failed.id
    queue.forget([failed.id])
    last = changed.revision
    claim(queue)
    assert [job.state for job in queue.changed_since(last)] == [JobState.RUNNING]


def test_another_process_s_changes_are_noticed(queue: JobQueue, database: Database) -> None:
    (job,) = ask(queue, wish())
    before = database.written_elsewhere()
    ask(queue, wish("own change"))
    assert database.written_elsewhere() == before
    JobQueue(Database(database.path)).cancel([job.id], NOTE)
    assert database.written_elsewhere() != before


def test_f5_names_of_any_bytes_survive(queue: JobQueue) -> None:
    name = os.fsdecode(b"videos/\xff\n'; -- \xf0\x9f\x99\x82.mp4")
    request = dataclasses.replace(wish(), inputs=((name, Signature(2**63, 1, 1, 1)),), face_name=name)
    (job,) = ask(queue, request)
    found = queue.job(job.id)
    assert found is not None
    assert (found.target, found.face_name) == (name, name)
    assert found.inputs[0][1].inode == 2**63


def test_a_refused_target_is_one_failed_job_for_each_drop(queue: JobQueue) -> None:
    first = queue.refuse("videos/link.mp4", Signature(1, 1, 1, 1), "video", NOTE)
    assert first.started
    known = queue.refuse("videos/link.mp4", Signature(1, 1, 1, 1), "video", NOTE)
    assert known == Asked(first.job_id, started=False)
    assert queue.refuse("videos/link.mp4", Signature(1, 1, 1, 2), "video", NOTE) == first
    assert queue.retry([first.job_id]) == [], "trying again would follow the link"
    assert queue.failed_at("videos/link.mp4")[0].id == first.job_id
    assert [job.inputs[0][1].ctime_ns for job in queue.refused()] == [2]


def test_d3_a_full_disk_is_said_and_loses_nothing(queue: JobQueue, database: Database) -> None:
    (job,) = ask(queue, wish())
    pages = database.rows("PRAGMA page_count")[0][0]
    database.rows(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StorageError, match="full"):
        queue.request([wish(f"clip {number}") for number in range(2000)])
    database.rows("PRAGMA max_page_count = 1000000")
    assert queue.counts().queued == 1
    assert queue.job(job.id) == job
    ask(queue, wish("more"))


def test_d9_a_clock_that_jumps_back_changes_no_order_and_loses_no_claim(database: Database) -> None:
    now = [1e9]
    queue = JobQueue(database, clock=lambda: now[0])
    ask(queue, wish("1"))
    now[0] -= 1e6
    ask(queue, wish("2"))
    first = claim(queue)
    now[0] += 1e8
    assert first.target == "videos/1.mp4"
    assert worked(queue, first).state is JobState.PUBLISHING
    assert claim(queue).target == "videos/2.mp4"


def test_a_damaged_queue_is_said_with_a_way_out(tmp_path: Path) -> None:
    path = tmp_path / "queue.sqlite3"
    path.write_bytes(b"this is no database, but long enough to be taken for one" * 100)
    with pytest.raises(StorageError) as caught:
        Database(path)
    assert "move queue.sqlite3" in caught.value.remedy


def test_the_queue_of_a_newer_program_is_not_touched(database: Database) -> None:
    database.rows("PRAGMA user_version = 99")
    database.close()
    assert database.path is not None
    with pytest.raises(StorageError, match="another version"):
        Database(database.path)
    assert sqlite3.connect(database.path).execute("PRAGMA user_version").fetchone() == (99,)


def test_contents_are_remembered_as_long_as_the_file_is_the_same(database: Database) -> None:
    name = os.fsdecode(b"videos/\xff.mp4")
    memory = FileMemory(database)
    memory.put([KnownFile(name, Signature(1, 2, 3, 4), "hash", 5.0, "alice")])
    reborn = FileMemory(database)
    assert reborn.get(name, Signature(1, 2, 3, 4)) == KnownFile(
        name, Signature(1, 2, 3, 4), "hash", 5.0, "alice"
    )
    assert reborn.get(name, Signature(1, 2, 3, 5)) is None
    reborn.forget([name])
    assert FileMemory(database).signature(name) is None


@pytest.mark.parametrize("way", ["ended", "given back", "killed"])
@pytest.mark.parametrize("there", [True, False])
def test_a_running_job_that_is_made_anew_and_cancelled_has_its_result_again(
    queue: JobQueue, tmp_path: Path, way: str, there: bool
) -> None:
    output = tmp_path / "result.mp4"
    output.touch()
    ask(queue, wish())
    job = worked(queue, claim(queue))
    queue.published(job, output=str(output), report="/outbox/result.json", warnings=["small"])
    queue.reported(job)
    before = queue.job(job.id)
    assert before is not None

    assert queue.retry([job.id]) == [job.id]
    job = claim(queue)
    queue.cancel([job.id], NOTE)
    if not there:
        output.unlink()
    if way == "ended":
        queue.end(job, JobState.CANCELLED, failure=NOTE)
    elif way == "given back":
        queue.give_back(job, None, counted=False)
    else:
        queue.recover(3)

    after = queue.job(job.id)
    assert after is not None
    if there:
        same = {"fence": after.fence, "revision": after.revision, "turn": after.turn}
        assert after == dataclasses.replace(before, reported=True, **same)
    else:
        assert after.state is JobState.CANCELLED
        assert not after.reported

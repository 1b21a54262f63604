"""The durable queue: who is asked for, claims, ends and begins again."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from wishes import NOTE, ask, claim, wish, worked

from facefusion.automation.database import Database
from facefusion.automation.job import JobState, failure_from
from facefusion.automation.jobdesk import Asked
from facefusion.automation.jobs import JobQueue
from facefusion.automation.sightings import Signature
from facefusion.errors import CancelledError, PolicyNotAcceptedError


def test_a_pair_of_contents_has_one_job_however_often_it_is_asked_for(queue: JobQueue) -> None:
    answers = queue.request([wish(), wish(), wish(drop=2), wish(face="bob")])
    assert [answer.started for answer in answers] == [True, False, False, True]
    assert len({answer.job_id for answer in answers}) == 2


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


def test_a_refused_target_is_one_failed_job_for_each_drop(queue: JobQueue) -> None:
    first = queue.refuse("videos/link.mp4", Signature(1, 1, 1, 1), "video", NOTE)
    assert first.started
    known = queue.refuse("videos/link.mp4", Signature(1, 1, 1, 1), "video", NOTE)
    assert known == Asked(first.job_id, started=False)
    assert queue.refuse("videos/link.mp4", Signature(1, 1, 1, 2), "video", NOTE) == first
    assert queue.retry([first.job_id]) == [], "trying again would follow the link"
    assert queue.failed_at("videos/link.mp4")[0].id == first.job_id
    assert [job.inputs[0][1].ctime_ns for job in queue.refused()] == [2]


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

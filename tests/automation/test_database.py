"""What the queue's file keeps, and what is said when it is full, damaged or another program's."""

from __future__ import annotations

import dataclasses
import os
import sqlite3
from pathlib import Path

import pytest
from wishes import NOTE, ask, claim, wish, worked

from facefusion.automation.database import Database, FileMemory, KnownFile
from facefusion.automation.job import JobState
from facefusion.automation.jobs import JobQueue
from facefusion.automation.sightings import Signature
from facefusion.errors import StorageError


def test_the_queue_survives_its_process(queue: JobQueue, database: Database) -> None:
    (job,) = ask(queue, wish())
    database.close()
    again = JobQueue(Database(database.path)).job(job.id)
    assert again == job


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

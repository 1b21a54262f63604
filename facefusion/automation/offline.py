"""The state of a root on which no daemon runs: what lies in the inbox, and what the queue remembers."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace

from facefusion.automation.asking import earlier_jobs
from facefusion.automation.book import JobBook
from facefusion.automation.catalogue import Catalogue
from facefusion.automation.database import Database, FileMemory, KnownFile
from facefusion.automation.facecheck import UNJUDGED, PictureMemory
from facefusion.automation.finishing import finished_part
from facefusion.automation.inbox import EMPTY, Inbox
from facefusion.automation.job import ENDED, Job, JobState
from facefusion.automation.jobdesk import UNREAD
from facefusion.automation.jobs import JobQueue
from facefusion.automation.kinds import worth_entering
from facefusion.automation.publish import Outbox
from facefusion.automation.settings import Settings
from facefusion.automation.sightings import sweep
from facefusion.automation.snapshot import InboxFile, Snapshot
from facefusion.automation.views import job_view
from facefusion.automation.workspace import Workspace, printable
from facefusion.config import AutomationConfig

INTERRUPTED = "interrupted; the next start goes on with it"
NOT_YET_SEEN = "new: looked at when the program runs"


def offline_snapshot(workspace: Workspace, settings: Settings) -> Snapshot:
    """Look at the inbox and the queue once. Nothing is changed, nothing is waited for.

    Raises:
        StorageError: the queue cannot be opened.
    """
    database = Database(workspace.database if workspace.database.exists() else None)
    try:
        queue = JobQueue(database)
        outbox = Outbox(workspace, database.fact("installation") or "")
        book = JobBook(
            queue,
            lambda path: away is None and not _is_there(workspace, path),
            lambda job: finished_part(job, outbox),
        )
        book.refresh()
        files, away = _look(workspace, database, book, settings.current)
        summary = book.summary(settings.current)
        latest = summary.results[0] if summary.results else None
        interrupted = [  # by a kill or a power cut; the next start takes them up
            replace(job_view(job, settings.current, finished_part(job, outbox)[0]), state="running", note="")
            for job in queue.in_state(JobState.RUNNING, JobState.PUBLISHING)
        ]
        return Snapshot(
            written_at=time.time(),
            state="stopped",
            root=printable(workspace.root),
            inbox=printable(workspace.inbox),
            outbox=printable(workspace.outbox),
            files=files,
            counts=summary.counts,
            running=tuple(interrupted),
            waiting=summary.waiting,
            seconds_left=summary.seconds_queued if summary.counts.open and not interrupted else None,
            results=summary.results,
            failures=summary.failures,
            failures_gone=summary.failures_gone,
            paused=away,
            config_problem=settings.problem,
            engine="" if latest is None else latest.engine,
            provider="" if latest is None else latest.provider,
            quality_preset=settings.current.quality_preset if settings.ever_good else "",
        )
    finally:
        database.close()


def _is_there(workspace: Workspace, path: str) -> bool:
    return os.path.lexists(workspace.inbox / path)


def _look(
    workspace: Workspace, database: Database, book: JobBook, config: AutomationConfig
) -> tuple[tuple[InboxFile, ...], str | None]:
    queue, memory = JobQueue(database), FileMemory(database)
    memory.suppose(file for job in queue.in_state(*ENDED) for file in _files_of(job))
    pictures = PictureMemory(database)
    inbox = Inbox(config.limits.settle_seconds, memory.signature)
    catalogue = Catalogue(inbox, memory, book.brief, lambda picture: pictures.get(picture.sha256) or UNJUDGED)
    try:
        seen = sweep(workspace.inbox, worth_entering)
    except FileNotFoundError:
        return (), f"There is no inbox at {printable(workspace.inbox)} yet; the first start makes it."
    except OSError as error:
        return (), f"The inbox {printable(workspace.inbox)} cannot be read: {error.strerror}."
    for entry in catalogue.absorb(catalogue.inbox.update(seen)):
        catalogue.send_back(entry.path, NOT_YET_SEEN, 0.0)
    for path in list(catalogue.inbox.tracker):
        entry = catalogue.inbox.entries[path]
        if entry.phase == "waiting" and entry.signature.size == 0:
            catalogue.refuse(path, EMPTY)
        elif entry.phase == "waiting":
            catalogue.send_back(path, NOT_YET_SEEN, 0.0)
    for job in queue.refused():
        path, signature = job.inputs[0]
        if path in inbox.entries and inbox.entries[path].signature == signature:
            if inbox.entries[path].phase != "refused" and job.failure is not None:
                catalogue.refuse(path, job.failure.detail)
            catalogue.refused_as(path, job.id)
    noted = []
    for decision in catalogue.decide(config.pairing, queue.is_paired):
        faces = {wish.face_sha256 for wish in decision.wishes}
        asked = (job.id for job in queue.of_target(decision.target_sha256) if job.face_sha256 in faces)
        jobs = tuple(asked) or earlier_jobs(decision, queue)
        noted.append((decision, jobs))
    catalogue.decided(noted, remember=False)
    return tuple(map(_as_interrupted, catalogue.listing())), None


def _as_interrupted(file: InboxFile) -> InboxFile:
    return replace(file, reason=INTERRUPTED) if file.state == "running" else file


def _files_of(job: Job) -> Iterator[KnownFile]:
    """What a job tells about files whose content has been forgotten (`purge`)."""
    target, *pictures = job.inputs
    if not job.target_sha256.startswith(UNREAD):
        yield KnownFile(*target, job.target_sha256, job.queued_at)
    if len(pictures) == 1:
        yield KnownFile(*pictures[0], job.face_sha256, job.queued_at)

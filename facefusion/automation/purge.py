"""Removing what the program remembers about faces."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator

from facefusion.automation.database import Database
from facefusion.automation.finishing import work_name
from facefusion.automation.job import ENDED, Job, JobState
from facefusion.automation.jobs import JobQueue
from facefusion.automation.kinds import worth_entering
from facefusion.automation.outboxes import earlier_outboxes
from facefusion.automation.publish import Outbox
from facefusion.automation.sightings import sweep
from facefusion.automation.snapshot import INBOX_FILE, STATE_WORDS, STATUS_FILE
from facefusion.automation.workspace import Workspace
from facefusion.errors import ConfigError
from facefusion.reports.usage import DATABASE_FILE
from facefusion.trust.audit import forget_faces
from facefusion.wording import count

EVERYTHING = "the queue with the history of all jobs, the statistics, the log and outbox/analytics/"


def purge_leftovers(workspace: Workspace) -> list[str]:
    """Remove content hashes, unfinished work, and the history of jobs whose target is no longer in the inbox.

    Jobs of targets that still lie there are kept: without them these would be processed again. So are
    results that are finished and wait to be published. Results and their reports stay where they are; the
    audit log stays, but its lines can no longer be matched to a face. Returns what was done.

    Raises:
        StorageError: the queue cannot be written.
    """
    return _forget(workspace) or ["There is nothing to remove."]


def _forget(workspace: Workspace, *, history_goes: bool = False) -> list[str]:
    """Do what `purge_leftovers` says; the sentences about it.

    Args:
        history_goes: the history of all jobs is removed afterwards, so nothing is said about it.
    """
    if not workspace.database.exists():
        return []
    database = Database(workspace.database)
    try:
        queue = JobQueue(database)
        present = _present(workspace)
        ended = queue.in_state(*ENDED) if present is not None else []
        gone = [job for job in ended if job.target not in (present or ())]
        queue.forget(job.id for job in gone)
        with database.transaction() as connection:
            removed = connection.execute("DELETE FROM files").rowcount
            connection.execute("DELETE FROM pictures")
        waiting = frozenset(map(work_name, queue.in_state(JobState.PUBLISHING)))
        for outbox in _outboxes(workspace, database):
            outbox.tidy(waiting)
            outbox.close()
        database.shrink()
    finally:
        database.close()
    for name in (STATUS_FILE, INBOX_FILE):
        (workspace.state_dir / name).unlink(missing_ok=True)
    forget_faces(workspace.state_dir)
    told = [f"Forgot the content of {count(removed, 'file')}; it is read again at the next start."]
    if not history_goes:
        told += _about_history(gone, kept=len(ended) - len(gone), readable=present is not None)
    told.append("The audit log stays, but its lines can no longer be matched to a face.")
    if waiting and not history_goes:
        unpublished = count(len(waiting), "finished result")
        told.append(f"Kept {unpublished} not published yet: start the program to get them.")
    return told


def _about_history(gone: list[Job], kept: int, readable: bool) -> Iterator[str]:
    if gone:
        kinds = Counter(STATE_WORDS[job.state] for job in gone)
        told = ", ".join(f"{number:,} {kind}" for kind, number in kinds.items())
        what = f"{count(len(gone), 'ended job')} ({told})"
        yield f"Forgot {what}, because the target is no longer in the inbox."
    if kept:
        yield f"Kept {count(kept, 'ended job')} whose target is still there, or it would be processed again."
    if not readable:
        yield "The inbox cannot be read, so the history of all jobs was kept."


def purge_everything(workspace: Workspace, *, discard_unpublished: bool = False) -> Iterator[str]:
    """Remove queue, statistics and log as well.

    What stays says nothing about faces: the acceptance of the use policy, the signing identity and the audit
    log. Whatever still lies in the inbox is processed again at the next start. Yields what was done.

    Args:
        discard_unpublished: also throw away finished results that wait to be published.

    Raises:
        ConfigError: there are such results, and they are not to be thrown away.
        StorageError: the queue cannot be read or written.
    """
    if not discard_unpublished and (waiting := _unpublished(workspace)):
        raise ConfigError(
            f"{count(waiting, 'finished result')} not published yet would be lost.",
            remedy="Start the program once to get them, or add --discard-unpublished.",
        )
    yield from _forget(workspace, history_goes=True)
    _discard_work(workspace)
    for name in (workspace.database.name, DATABASE_FILE):
        for suffix in ("", "-wal", "-shm"):
            (workspace.state_dir / f"{name}{suffix}").unlink(missing_ok=True)
    for folder in (workspace.log_dir, workspace.analytics_dir):
        shutil.rmtree(folder, ignore_errors=True)
    yield f"Removed {EVERYTHING}; what lies in the inbox will be processed again."


def _unpublished(workspace: Workspace) -> int:
    if not workspace.database.exists():
        return 0
    database = Database(workspace.database)
    try:
        return len(JobQueue(database).in_state(JobState.PUBLISHING))
    finally:
        database.close()


def _discard_work(workspace: Workspace) -> None:
    if not workspace.database.exists():
        return
    database = Database(workspace.database)
    try:
        outboxes = _outboxes(workspace, database)
    finally:
        database.close()
    for outbox in outboxes:
        outbox.tidy(frozenset())
        outbox.close()


def _outboxes(workspace: Workspace, database: Database) -> list[Outbox]:
    """The one that is named now, and earlier ones in which something may be left."""
    now = Outbox(workspace, database.fact("installation") or "")
    return [now, *earlier_outboxes(workspace, database)]


def _present(workspace: Workspace) -> set[str] | None:
    """What lies in the inbox; None if that cannot be said at the moment."""
    try:
        return {sighting.path for sighting in sweep(workspace.inbox, worth_entering).sightings}
    except OSError:
        return None

"""Removing what the program remembers about faces."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

from facefusion.automation.database import Database
from facefusion.automation.job import ENDED
from facefusion.automation.jobs import JobQueue
from facefusion.automation.kinds import worth_entering
from facefusion.automation.publish import Outbox
from facefusion.automation.sightings import sweep
from facefusion.automation.snapshot import INBOX_FILE, STATUS_FILE
from facefusion.automation.workspace import Workspace
from facefusion.reports.usage import DATABASE_FILE
from facefusion.wording import count


def purge_leftovers(workspace: Workspace) -> Iterator[str]:
    """Remove content hashes, unfinished work, and the history of jobs whose target is no longer in the inbox.

    Jobs of targets that still lie there are kept: without them these would be processed again. Results and
    their reports stay where they are. Yields what was done.

    Raises:
        StorageError: the queue cannot be written.
    """
    if not workspace.database.exists():
        yield "There is nothing to remove."
        return
    database = Database(workspace.database)
    try:
        queue = JobQueue(database)
        present = _present(workspace)
        ended = queue.in_state(*ENDED) if present is not None else []
        gone = [job.id for job in ended if job.target not in (present or ())]
        queue.forget(gone)
        with database.transaction() as connection:
            removed = connection.execute("DELETE FROM files").rowcount
        Outbox(workspace, database.fact("installation") or "").tidy(frozenset())
        database.shrink()
    finally:
        database.close()
    for name in (STATUS_FILE, INBOX_FILE):
        (workspace.state_dir / name).unlink(missing_ok=True)
    yield f"Removed the content hashes of {count(removed, 'file')} and {count(len(gone), 'finished job')}."


def purge_everything(workspace: Workspace) -> Iterator[str]:
    """Remove queue, statistics and log as well; only the acceptance of the use policy stays.

    Whatever still lies in the inbox is processed again at the next start. Yields what was done.
    """
    yield from purge_leftovers(workspace)
    for name in (workspace.database.name, DATABASE_FILE):
        for suffix in ("", "-wal", "-shm"):
            (workspace.state_dir / f"{name}{suffix}").unlink(missing_ok=True)
    shutil.rmtree(workspace.log_dir, ignore_errors=True)
    yield "Removed the queue, the statistics and the log; what lies in the inbox will be processed again."


def _present(workspace: Workspace) -> set[str] | None:
    """What lies in the inbox; None if that cannot be said at the moment."""
    try:
        return {sighting.path for sighting in sweep(workspace.inbox, worth_entering).sightings}
    except OSError:
        return None

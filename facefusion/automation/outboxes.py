"""The outboxes that the settings have named so far: what earlier ones hold of open jobs comes along."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
from dataclasses import replace
from pathlib import Path

from facefusion.automation.database import Database
from facefusion.automation.finishing import keep_name, work_name
from facefusion.automation.job import Job, JobState
from facefusion.automation.jobs import JobQueue
from facefusion.automation.publish import Outbox, storage
from facefusion.automation.workspace import Workspace, printable
from facefusion.system.disk import sync_file

logger = logging.getLogger(__name__)

_FACT = "outboxes_of_root"


def take_up_work(workspace: Workspace, database: Database, outbox: Outbox) -> None:
    """Remove what earlier runs left unfinished, wherever that lies, but for what open jobs go on with.

    That is the work file of a result that waits to be published, and the finished parts of a video. Where
    another outbox was named before, both are brought into this one. One that is away (a disk that is not
    mounted) is looked at again by the next start.

    Args:
        workspace, database, outbox: of the root; the folders of the outbox are there.

    Raises:
        StorageError: the queue cannot be written, or there is no room for a result that waits.
    """
    queue = JobQueue(database)
    publishing = queue.in_state(JobState.PUBLISHING)
    waiting = queue.in_state(JobState.QUEUED)
    wanted = frozenset([*map(work_name, publishing), *map(keep_name, (*publishing, *waiting))])
    outbox.tidy(wanted)
    before = earlier_outboxes(workspace, database)
    _remember(workspace, database, [outbox, *before])
    for earlier in [there for there in before if there.folder.is_dir()]:
        earlier.tidy(wanted)
        for job in publishing:
            _bring_result(job, queue, earlier, outbox)
        for job in waiting:
            _bring_parts(job, earlier, outbox)
        earlier.tidy(frozenset())
        earlier.close()
        before.remove(earlier)
    _remember(workspace, database, [outbox, *before])


def earlier_outboxes(workspace: Workspace, database: Database) -> list[Outbox]:
    """Those in which something may be left, without the one that is named now, whatever it was called before.

    A root that was copied or moved has none: what its queue remembers may be another root's by now, and that
    root may be at work.
    """
    names = json.loads(database.fact(_FACT) or "[]")
    root, *folders = map(_path, names or [""])
    installation = database.fact("installation") or ""
    return [
        Outbox(replace(workspace, outbox=folder), installation)
        for folder in folders
        if root == workspace.root and not _is_one(folder, workspace.outbox)
    ]


def _remember(workspace: Workspace, database: Database, outboxes: list[Outbox]) -> None:
    places = [workspace.root, *(outbox.folder for outbox in outboxes)]
    names = json.dumps([os.fsencode(place).hex() for place in places])
    if database.fact(_FACT) != names:
        database.remember(_FACT, names)


def _path(name: str) -> Path:
    return Path(os.fsdecode(bytes.fromhex(name)))


def _is_one(folder: Path, other: Path) -> bool:
    """Whether both are the same folder; a link may stand where one has been."""
    with contextlib.suppress(OSError):
        return folder.samefile(other)
    return folder == other


def _bring_result(job: Job, queue: JobQueue, earlier: Outbox, outbox: Outbox) -> None:
    source = earlier.work_root / work_name(job)
    if not source.is_dir() or Path(job.work or "").parent != source:
        return
    with storage(outbox.folder):
        brought = _copy(source, outbox)
    queue.moved(job, work=str(brought / Path(job.work or "").name))
    logger.info("The result of %s waits in the new outbox.", printable(job.target))


def _bring_parts(job: Job, earlier: Outbox, outbox: Outbox) -> None:
    source = earlier.work_root / keep_name(job)
    if not source.is_dir() or outbox.keep_dir(source.name).exists():
        return
    try:
        _copy(source, outbox)
    except OSError as error:
        logger.warning(
            "What was finished of %s cannot be brought into the new outbox (%s); it is made anew.",
            printable(job.target),
            error.strerror or error,
        )
    else:
        logger.info("What was finished of %s goes on in the new outbox.", printable(job.target))


def _copy(source: Path, outbox: Outbox) -> Path:
    """A whole copy, or none; by second names where both are on one disk."""
    destination = outbox.work_root / source.name
    draft = outbox.make_work_dir(f"bringing-{source.name}")
    try:
        for file in source.iterdir():
            if file.is_file():
                try:
                    os.link(file, draft / file.name)
                except OSError:
                    shutil.copy(file, draft / file.name)
                    sync_file(draft / file.name)
        if destination.exists():
            shutil.rmtree(destination)
        draft.rename(destination)
    except OSError:
        with contextlib.suppress(OSError):
            shutil.rmtree(draft)
        raise
    return destination

"""How fast finished jobs of the queue were, for estimates."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from itertools import islice

from facefusion.automation.database import Database
from facefusion.automation.job import Job, JobState
from facefusion.automation.jobtable import JobTable
from facefusion.automation.workspace import Workspace

_LOOKED_AT = 500
_COUNTED = 20


def measured_speeds(workspace: Workspace, quality_preset: str) -> Callable[[str, str], list[float]]:
    """What tells the speeds of the latest jobs of a root by engine and kind of target, in pixels per second.

    A job counts with all its seconds, from when a worker took it until its result was signed.

    Args:
        workspace: whose queue; nothing is made where there is none yet.
        quality_preset: with which they were done.

    Returns:
        A function that raises a StorageError where the queue cannot be read.
    """

    def speeds(engine: str, kind: str) -> list[float]:
        if not workspace.database.exists():
            return []
        with contextlib.closing(Database(workspace.database)) as database:
            done = JobTable(database).latest((JobState.DONE,), _LOOKED_AT)
        alike = (job for job in done if job.quality_preset == quality_preset)
        return list(islice(_pixels_per_second(alike, engine, kind), _COUNTED))

    return speeds


def _pixels_per_second(jobs: Iterator[Job], engine: str, kind: str) -> Iterator[float]:
    for job in jobs:
        swap = job.swap or {}
        media = swap.get("media", {})
        pixels = media.get("width", 0) * media.get("height", 0) * swap.get("frames", 0)
        if swap.get("engine") == engine and media.get("kind") == kind and pixels > 0 and job.seconds > 0:
            yield pixels / job.seconds

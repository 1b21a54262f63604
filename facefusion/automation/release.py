"""Blocked jobs that may go on because what blocked them is gone."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from pathlib import Path

from facefusion.automation.job import Job, JobState
from facefusion.automation.jobs import JobQueue
from facefusion.automation.workspace import Workspace
from facefusion.config import AutomationConfig
from facefusion.errors import ConsentError, ErrorCategory, FaceFusionError
from facefusion.trust.consent import consent_for, listing
from facefusion.trust.rules import GATE_MODEL, GATE_UNAVAILABLE


def release_blocked(queue: JobQueue, workspace: Workspace, config: AutomationConfig) -> list[int]:
    """Queue again what waited for a consent that is good now, or for a content gate that works now.

    To be called at the start, and when a consent file or the settings have changed. What waits for the use
    policy is released by its acceptance (`JobQueue.release_from_policy`); what was refused stays refused.

    Returns:
        Ids of the jobs that are queued again.

    Raises:
        StorageError: the queue cannot be written.
    """
    blocked = queue.in_state(JobState.BLOCKED)
    seen = functools.cache(listing)  # many jobs have their faces in one folder
    return queue.retry([job.id for job in blocked if _may_go_on(job, workspace, config, seen)])


def _may_go_on(
    job: Job, workspace: Workspace, config: AutomationConfig, seen: Callable[[Path], list[Path]]
) -> bool:
    category = "" if job.failure is None else job.failure.category
    if category == ErrorCategory.CONSENT:
        with contextlib.suppress(ConsentError):
            pictures = [workspace.inbox / path for path in job.faces]
            consent_for(pictures, required=config.require_face_consent, list_folder=seen)
            return True
    elif category == ErrorCategory.CONTENT and job.failure is not None:
        return job.failure.detail == GATE_UNAVAILABLE and _gate_is_there(workspace)
    return False


def _gate_is_there(workspace: Workspace) -> bool:
    from facefusion.models.manager import ModelManager
    from facefusion.models.registry import load_registry

    try:
        manager = ModelManager(workspace.models_dir, registry=load_registry())
        return manager.status(GATE_MODEL).state == "ok"
    except FaceFusionError:
        return False

"""What the audit log says about a job that has ended."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from facefusion.automation.job import Job
from facefusion.automation.jobdesk import UNREAD
from facefusion.errors import ErrorCategory
from facefusion.reports.documents import iso_time
from facefusion.trust import policy
from facefusion.trust.audit import AuditLog, face_mark
from facefusion.trust.rules import GATE_UNAVAILABLE


def record_in_audit_log(job: Job, state_dir: Path) -> None:
    """Note an ended job; once for each time it ended, however often this is called.

    Raises:
        StorageError: the log cannot be written.
    """
    AuditLog(state_dir).append(audit_entry(job, state_dir), same=("job", "run", "time"))


def was_refused(job: Job) -> bool:
    """Whether the content gate has seen something; of such material not even the hash is told."""
    failure = job.failure
    return (
        failure is not None
        and failure.category == ErrorCategory.CONTENT
        and failure.detail != GATE_UNAVAILABLE
    )


def audit_entry(job: Job, state_dir: Path) -> dict[str, Any]:
    """The line for a job. Of what the content gate refused it holds time, class and score, and nothing else.

    Raises:
        StorageError: the key for faces cannot be read or made.
    """
    entry: dict[str, Any] = {
        "event": job.state.value,
        "time": iso_time(job.finished_at),
        "job": str(job.id),
        "run": job.fence,
        "policy": policy.CURRENT_VERSION,
    }
    if job.failure is not None:
        entry["category"] = job.failure.category
        if job.failure.category == ErrorCategory.CONTENT:
            entry["finding"] = job.failure.detail
    if was_refused(job):
        return entry
    swap = job.swap or {}
    return entry | {
        "target": None if job.target_sha256.startswith(UNREAD) else job.target_sha256,
        "face": face_mark(state_dir, job.face_sha256) if job.face_sha256 else None,
        "output": job.work_sha256 if job.output is not None else None,
        "manifest": (swap.get("provenance") or {}).get("manifest_id"),
        "models": swap.get("models", {}),
        "gate": swap.get("gate"),
        "consent": swap.get("consent"),
    }

"""The facts of one finished job, as they cross from the queue into reports and analytics."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Outcome = Literal["done", "no_face", "failed", "blocked", "cancelled"]


@dataclass(frozen=True)
class Failure:
    """Why a job ended without a result.

    Attributes:
        category: value of `facefusion.errors.ErrorCategory`.
        message: what happened, in a sentence.
        remedy: what the person can do.
        detail: traceback or worker exit status for whoever debugs; may be empty.
    """

    category: str
    message: str
    remedy: str
    detail: str = ""


@dataclass(frozen=True)
class JobRecord:
    """One job that reached its end. Times are seconds since the epoch (UTC).

    Attributes:
        seconds: the work itself, without waiting.
        swap: `facefusion.pipeline.SwapResult` as a plain dict, absent when nothing was processed.
    """

    job_id: str
    outcome: Outcome
    target: Path
    target_kind: Literal["video", "photo"]
    face_name: str
    face_files: tuple[Path, ...]
    target_sha256: str
    face_sha256: str
    quality_preset: str
    attempts: int
    queued_at: float
    started_at: float | None
    finished_at: float
    seconds: float
    target_bytes: int
    output: Path | None = None
    swap: dict[str, Any] | None = None
    failure: Failure | None = None
    warnings: tuple[str, ...] = ()

"""One target through: read, find faces, swap, write.

A `SwapSession` is what a worker process keeps warm between jobs: models, and the prepared source of the
last face. It writes to a work file; publishing under the final name is the business of `automation`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from facefusion.config import AutomationConfig


@dataclass(frozen=True)
class SwapRequest:
    """One target to be swapped.

    Attributes:
        target: the video or photo.
        faces: pictures of the one source face (several pictures of one person are combined).
        face_digest: identifies the content of `faces`; equal digests share the prepared source.
        output: work file to be written (parent exists, file does not). Its suffix is decided by
            `planned_suffix`.
        config: the settings in force for this job.
    """

    target: Path
    faces: tuple[Path, ...]
    face_digest: str
    output: Path
    config: AutomationConfig


@dataclass(frozen=True)
class SwapProgress:
    """How far a job is. `frames_total` is an estimate where the container does not say."""

    stage: Literal["preparing", "swapping", "finishing"]
    frames_done: int
    frames_total: int | None
    frames_per_second: float
    seconds_left: float | None


@dataclass(frozen=True)
class SwapResult:
    """What was really done.

    Attributes:
        outcome: `done`, or `no_face` when no face of the target could be swapped (then no output exists).
        engine: `mesh` or `neural`.
        models: name -> SHA-256 of every model file used.
        provider: execution provider that really ran (for the mesh engine: its runtime on the CPU).
        frames: frames written (1 for photos).
        frames_swapped: frames in which at least one face was swapped.
        tracks: one entry per followed face: id, first and last frame, frames swapped.
        timings: seconds by stage.
        media: container, codec, encoder, audio tracks ... as written.
        warnings: everything done differently from what was asked, in sentences.
    """

    outcome: Literal["done", "no_face"]
    engine: str
    models: Mapping[str, str]
    provider: str
    frames: int
    frames_swapped: int
    tracks: tuple[Mapping[str, Any], ...]
    timings: Mapping[str, float]
    media: Mapping[str, Any]
    warnings: tuple[str, ...] = ()


ProgressCallback = Callable[[SwapProgress], None]
StopRequested = Callable[[], bool]


def planned_suffix(target: Path, config: AutomationConfig) -> str:
    """Suffix (with dot) that the result of `target` will have under these settings."""
    raise NotImplementedError


class SwapSession:
    """Warm models and the prepared source of the last face; used by one worker process.

    Args:
        models_dir: where installed model files lie.
        threads: cores this session may use, all parts together.
    """

    def __init__(self, models_dir: Path, *, threads: int) -> None:
        self.models_dir = models_dir
        self.threads = threads

    def swap(
        self, request: SwapRequest, on_progress: ProgressCallback, should_stop: StopRequested
    ) -> SwapResult:
        """Swap one target.

        Raises:
            CancelledError: `should_stop` answered true; the work file is gone.
            FaceFusionError: any other reason, each with category and remedy; the work file is gone.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Release models."""

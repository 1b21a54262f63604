"""What is asked of the pipeline for one target, and what it answers.

Whoever orders a job, watches it or writes down what came of it needs these and nothing that does the work;
so this module loads none of that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    from facefusion.config import AutomationConfig
    from facefusion.media.frame import Frame
    from facefusion.media.labels import Label
    from facefusion.media.segments import Keeping
    from facefusion.swap.contract import Canvas


class FrameMarker(Protocol):
    """Writes an invisible mark into finished frames."""

    def mark(self, frame: Frame) -> None:
        """Mark a frame in place. Called once for every frame, from several threads."""
        ...


class FrameInspector(Protocol):
    """Looks at what is about to be written."""

    def inspect(self, frame: Canvas, seconds: float) -> None:
        """Look at a finished frame, called in order of time, and leave it as it is.

        Args:
            seconds: time stamp of the frame, as the target counts.

        Raises:
            FaceFusionError: nothing of this target may be written; the job ends with this.
        """
        ...


@runtime_checkable
class RememberingInspector(Protocol):
    """An inspector that can go on where an earlier attempt has ended."""

    def memory(self) -> Mapping[str, Any]:
        """What it has seen so far, JSON-able."""
        ...

    def recall(self, memory: Mapping[str, Any]) -> None:
        """Go on behind what `memory` gave; frames before that are not shown again."""
        ...


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
        label: what the output's metadata is to say about how it came about.
        marker: marks every frame after it was painted.
        inspector: sees every frame after it was painted and marked, before it is written.
        keeping: where finished parts of a long video are kept for another attempt; None to keep nothing.
        again: an earlier attempt has failed; so the software reads and writes, whatever a device could do.
    """

    target: Path
    faces: tuple[Path, ...]
    face_digest: str
    output: Path
    config: AutomationConfig
    label: Label | None = None
    marker: FrameMarker | None = None
    inspector: FrameInspector | None = None
    keeping: Keeping | None = None
    again: bool = False


@dataclass(frozen=True)
class SwapProgress:
    """How far a job is. `frames_total` is an estimate where the container does not say.

    While `resuming`, frames that were finished before an interruption are looked at again.
    """

    stage: Literal["preparing", "resuming", "swapping", "finishing"]
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
        left_out: processors of the quality preset that did not run, because no model for them is installed or
            the engine has none; asked for by a preset, so no warning.
        warnings: everything else done differently from what was asked, in sentences.
        resumed: `frame` at which the work went on after an interruption, and `seconds_before`, what the
            attempts before have done of it; None where it was done in one go. Counts and timings are always
            of the whole.
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
    left_out: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    resumed: Mapping[str, Any] | None = None


ProgressCallback = Callable[[SwapProgress], None]
StopRequested = Callable[[], bool]

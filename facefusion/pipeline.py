"""One target through: read, find faces, swap, write.

A `SwapSession` is what a worker process keeps warm between jobs: models, and the prepared sources of the last
faces. It writes to a work file and verifies it; publishing under the final name is the business of
`automation`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import cv2

from facefusion.config import AutomationConfig
from facefusion.errors import FaceNotFoundError
from facefusion.faces.detect import FaceDetector
from facefusion.faces.landmarks import Landmarker
from facefusion.faces.topology import Topology, load_topology
from facefusion.flow import signs_of_life
from facefusion.media import imprint
from facefusion.media import kernels as media_kernels
from facefusion.media.frame import Frame
from facefusion.media.labels import Label
from facefusion.media.plan import plan_output
from facefusion.media.probe import probe
from facefusion.models.manager import ModelManager
from facefusion.swap.contract import Canvas, SwapEngine
from facefusion.swap.mesh import kernels as mesh_kernels
from facefusion.swap.mesh.engine import MeshEngine
from facefusion.swap.mesh.geometry import build_tables
from facefusion.swap.neural.workshop import NeuralWorkshop
from facefusion.system.threads import ThreadPlan, plan_threads


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
    """

    target: Path
    faces: tuple[Path, ...]
    face_digest: str
    output: Path
    config: AutomationConfig
    label: Label | None = None
    marker: FrameMarker | None = None
    inspector: FrameInspector | None = None


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
        left_out: processors of the quality preset that did not run, because no model for them is installed or
            the engine has none; asked for by a preset, so no warning.
        warnings: everything else done differently from what was asked, in sentences.
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


ProgressCallback = Callable[[SwapProgress], None]
StopRequested = Callable[[], bool]

_KEPT_SOURCES = 8


def compile_loops() -> None:
    """Compile the per-pixel loops (seconds, once), or load them from the cache on disk."""
    media_kernels.warm_up()
    imprint.warm_up()
    mesh_kernels.warm_up()


def planned_suffix(target: Path, config: AutomationConfig) -> str:
    """Suffix (with dot) that the result of `target` will have under these settings.

    Raises:
        MediaFormatError: the target cannot be read, or not be written faithfully.
    """
    return plan_output(probe(target), config).suffix


@dataclass(frozen=True)
class Toolbox:
    """Warm models and the thread plan, shared by all jobs of a session."""

    detector: FaceDetector
    landmarker: Landmarker
    topology: Topology
    threads: ThreadPlan


@dataclass(frozen=True)
class PreparedFace:
    """A source as the engine keeps it, and what had to be said about its pictures."""

    source: object
    warnings: tuple[str, ...]


class SwapSession:
    """Warm models and prepared sources; used by one worker process, one job at a time.

    Args:
        models_dir: where installed model files lie.
        threads: cores this session may use, all parts together.
    """

    def __init__(self, models_dir: Path, *, threads: int) -> None:
        self.models_dir = models_dir
        self._plan = plan_threads(max(1, threads))
        self._heavy_plan = plan_threads(max(1, threads), heavy_inference=True)
        cv2.setNumThreads(self._plan.opencv)
        self._toolbox: Toolbox | None = None
        self._engines: dict[str, SwapEngine] = {}
        self._neural = NeuralWorkshop(models_dir, threads=self._heavy_plan.inference)
        self._notes: tuple[str, ...] = ()
        self._sources: OrderedDict[tuple[str, str], PreparedFace] = OrderedDict()

    def swap(
        self, request: SwapRequest, on_progress: ProgressCallback, should_stop: StopRequested
    ) -> SwapResult:
        """Swap one target.

        Raises:
            CancelledError: `should_stop` answered true; the work file is gone.
            FaceFusionError: any other reason, each with category and remedy; the work file is gone.
        """
        from facefusion.targets import swap_target

        # Opening a large model and measuring it for the first time takes longer than a job may be silent.
        with signs_of_life(lambda: on_progress(SwapProgress("preparing", 0, None, 0.0, None))):
            engine = self.engine(request.config)
            prepared = self.source(request, engine)
            toolbox = self.toolbox()
        if engine.identity.name == "neural":
            toolbox = replace(toolbox, threads=self._heavy_plan)
        result = swap_target(request, engine, prepared, toolbox, on_progress, should_stop)
        models = self._embedded_models() | dict(result.models)
        return replace(result, models=models, warnings=(*self._notes, *result.warnings))

    def warm_up(self) -> None:
        """Load models and compiled loops now, so that the first job does not wait for them.

        Raises:
            ModelMissingError: the models are not installed.
        """
        compile_loops()
        self.toolbox()

    def close(self) -> None:
        """Release models and sources."""
        self._toolbox = None
        self._engines.clear()
        self._neural.close()
        self._sources.clear()

    def toolbox(self) -> Toolbox:
        """Models that every engine uses.

        Raises:
            ModelMissingError: they are not installed.
        """
        if self._toolbox is None:
            threads = self._plan.inference
            self._toolbox = Toolbox(
                FaceDetector(self.models_dir, threads=threads),
                Landmarker(self.models_dir, threads=threads),
                load_topology(self.models_dir),
                self._plan,
            )
        return self._toolbox

    def engine(self, config: AutomationConfig) -> SwapEngine:
        """The engine these settings ask for.

        Raises:
            ModelMissingError: it needs a model that is not installed.
        """
        self._notes = ()
        if config.engine != "mesh":
            neural, self._notes = self._neural.engine(config)
            if neural is not None:
                return neural
        if "mesh" not in self._engines:
            toolbox = self.toolbox()
            self._engines["mesh"] = MeshEngine(
                build_tables(toolbox.topology),
                models=self._embedded_models(),
                runtime=toolbox.landmarker.runtime,
            )
        return self._engines["mesh"]

    def _embedded_models(self) -> dict[str, str]:
        """File name -> SHA-256 of what follows faces, for every engine."""
        manager = ModelManager(self.models_dir)
        detector = Path(self.toolbox().detector.model_name).stem
        used = [detector, "face_landmark", "iris_landmark", "face_mesh_connections"]
        return {manager.path(name).name: manager.registry.find(name).sha256 or "" for name in used}

    def source(self, request: SwapRequest, engine: SwapEngine) -> PreparedFace:
        """The prepared source face, from memory if this face was used before.

        Raises:
            FaceNotFoundError: none of the pictures shows a usable face.
        """
        identity = engine.identity
        key = (" ".join([identity.name, *identity.models.values()]), request.face_digest)
        if key not in self._sources:
            from facefusion.faces.portrait import read_portraits

            toolbox = self.toolbox()
            portraits = read_portraits(request.faces, toolbox.detector, toolbox.landmarker)
            if not portraits.usable:
                raise FaceNotFoundError(" ".join(portraits.warnings))
            self._sources[key] = PreparedFace(engine.prepare(portraits.usable), tuple(portraits.warnings))
        self._sources.move_to_end(key)
        while len(self._sources) > _KEPT_SOURCES:
            self._sources.popitem(last=False)
        return self._sources[key]

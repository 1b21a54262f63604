"""One target through: read, find faces, swap, write.

A `SwapSession` is what a worker process keeps warm between jobs: models, and the prepared sources of the last
faces. It writes to a work file and verifies it; publishing under the final name is the business of
`automation`.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from pathlib import Path

import cv2

from facefusion.config import AutomationConfig
from facefusion.errors import FaceNotFoundError
from facefusion.faces import kernels as face_kernels
from facefusion.faces.attention import ATTENTION_MESH
from facefusion.faces.detect import FULL_RANGE, FaceDetector
from facefusion.faces.landmarks import Landmarker
from facefusion.faces.topology import CONNECTIONS, load_topology
from facefusion.flow import signs_of_life
from facefusion.jobspec import (
    FrameInspector,
    FrameMarker,
    ProgressCallback,
    StopRequested,
    SwapProgress,
    SwapRequest,
    SwapResult,
)
from facefusion.media import imprint
from facefusion.media import kernels as media_kernels
from facefusion.media.plan import plan_output
from facefusion.media.probe import probe
from facefusion.media.segments import Keeping
from facefusion.models.manager import ModelManager
from facefusion.reference import find_person
from facefusion.swap.contract import SwapEngine
from facefusion.swap.mesh import kernels as mesh_kernels
from facefusion.swap.mesh.engine import MeshEngine
from facefusion.swap.mesh.geometry import build_tables
from facefusion.swap.neural.workshop import NeuralWorkshop
from facefusion.system.threads import plan_threads
from facefusion.targets import PreparedFace, Toolbox, swap_target

__all__ = [
    "FrameInspector",
    "FrameMarker",
    "Keeping",
    "ProgressCallback",
    "StopRequested",
    "SwapProgress",
    "SwapRequest",
    "SwapResult",
    "SwapSession",
    "compile_loops",
    "planned_suffix",
]


_KEPT_SOURCES = 8
_OPENING_SECONDS = 1800.0  # TensorRT builds for many minutes; what takes longer hangs


def compile_loops() -> None:
    """Compile the per-pixel loops (seconds, once), or load them from the cache on disk."""
    media_kernels.warm_up()
    imprint.warm_up()
    face_kernels.warm_up()
    mesh_kernels.warm_up()


def planned_suffix(target: Path, config: AutomationConfig) -> str:
    """Suffix (with dot) that the result of `target` will have under these settings.

    Raises:
        MediaFormatError: the target cannot be read, or not be written faithfully.
    """
    return plan_output(probe(target), config).suffix


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
        self._device_plan = plan_threads(max(1, threads), device_inference=True)
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
        # Opening a large model and measuring it for the first time takes longer than a job may be silent.
        opening = SwapProgress("preparing", 0, None, 0.0, None)
        with signs_of_life(lambda: on_progress(opening), longest=_OPENING_SECONDS):
            engine = self.engine(request.config)
            chooser = self._neural.chooser(request.config)
            prepared = self.source(request, engine)
            toolbox = self.toolbox()
            if chooser.detector is not None:
                toolbox = replace(toolbox, detector=chooser.detector)
            if chooser.recogniser is not None:
                person = find_person(request.config.reference, *chooser.recogniser, toolbox)
                toolbox = replace(toolbox, person=person.finder)
                prepared = replace(prepared, warnings=(*prepared.warnings, *person.warnings))
        if engine.identity.name == "neural" or len(engine.identity.processors) > 1:
            on_device = self._neural.on_device(request.config)
            toolbox = replace(toolbox, threads=self._device_plan if on_device else self._heavy_plan)
        result = swap_target(request, engine, prepared, toolbox, on_progress, should_stop)
        models = self._embedded_models() | dict(result.models) | chooser.models
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
        engine, notes = self._neural.processed(self._engines["mesh"], config)
        self._notes += notes
        return engine

    def _embedded_models(self) -> dict[str, str]:
        """File name -> SHA-256 of what follows faces, for every engine."""
        manager = ModelManager(self.models_dir)
        used = (FULL_RANGE, ATTENTION_MESH, CONNECTIONS)
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

"""A video, photo or animation with the source face in it: the frame loop and its bookkeeping."""

from __future__ import annotations

import itertools
from collections import deque
from dataclasses import dataclass, replace
from typing import Any

from facefusion.bookkeeping import Crowd, ProgressClock
from facefusion.errors import CancelledError, VerificationError
from facefusion.faces.align import canonicalise
from facefusion.faces.chosen import PersonFinder, PersonTracker
from facefusion.faces.finder_detector import Detector
from facefusion.faces.landmarks import Face, Landmarker
from facefusion.faces.recent import PerTrack
from facefusion.faces.smooth import RADIUS, PosedFace, Smoother
from facefusion.faces.topology import Topology
from facefusion.faces.track import FaceTracker, Observation, SelectorMode, find_faces
from facefusion.flow import ByteBudget, Flow
from facefusion.jobspec import ProgressCallback, StopRequested, SwapProgress, SwapRequest, SwapResult
from facefusion.media.frame import PlanarFrame
from facefusion.media.hardware import accelerated
from facefusion.media.hardware_decode import failure, on_device
from facefusion.media.open import open_reader, open_writer
from facefusion.media.photos import read_photo, write_photo
from facefusion.media.plan import OutputPlan, plan_output
from facefusion.media.probe import MediaInfo, probe
from facefusion.media.verify import verify_photo, verify_video
from facefusion.media.writer import VideoWriter
from facefusion.resuming import Attempt
from facefusion.swap.contract import Canvas, FramePainter, Painter, SwapEngine
from facefusion.swap.lacking import left_out, unheeded
from facefusion.system.threads import ThreadPlan

ROOM_EVERY = 100
"""Pictures of a video after which the disk is looked at again."""


@dataclass(frozen=True)
class Toolbox:
    """Warm models and the thread plan, shared by all jobs of a session."""

    detector: Detector
    landmarker: Landmarker
    topology: Topology
    threads: ThreadPlan
    person: PersonFinder | None = None
    """Whose face alone is swapped; None where the settings do not name a person."""


@dataclass(frozen=True)
class PreparedFace:
    """A source as the engine keeps it, and what had to be said about its pictures."""

    source: object
    warnings: tuple[str, ...]


def swap_target(
    request: SwapRequest,
    engine: SwapEngine,
    prepared: PreparedFace,
    toolbox: Toolbox,
    on_progress: ProgressCallback,
    should_stop: StopRequested,
) -> SwapResult:
    """Swap one target and verify the work file. See `SwapSession.swap` for the errors."""
    attempt = Attempt(request)
    ledger, watch = attempt.ledger, attempt.watch
    looks = itertools.count(1)

    def alive() -> None:
        if should_stop():
            raise CancelledError(f"{request.target.name} was stopped.")
        on_progress(SwapProgress("preparing", next(looks), None, 0.0, None))

    with watch.time("probe"):
        info = probe(request.target)
        attempt.require_room(info)
        plan = replace(plan_output(info, request.config), label=request.label)
        threads = toolbox.threads.encode
        plan = accelerated(plan, info, request.config, threads=threads, again=request.again, alive=alive)
    if should_stop():
        raise CancelledError(f"{request.target.name} was stopped.")
    painter = engine.painter(prepared.source, request.config)
    attempt.keep(info, plan, engine, (toolbox.detector, toolbox.person), alive)
    work = _swap_photo if info.kind == "photo" else _swap_video
    crowd = Crowd(toolbox.detector)
    if request.config.face_selector_mode == "largest":
        toolbox = replace(toolbox, detector=crowd)
    if request.again:
        ledger.warnings += failure(info)
    else:
        info = on_device(info, request.config, threads=toolbox.threads.decode, alive=alive)
    work(attempt, info, plan, painter, toolbox, on_progress, should_stop)
    done = ledger.frames_swapped > 0
    if not done and toolbox.person is not None:
        ledger.warnings.append(toolbox.person.refusal())
    if not done:
        request.output.unlink(missing_ok=True)
    if done:
        ledger.warnings += crowd.remarks(info.kind)
    identity = engine.identity
    return SwapResult(
        outcome="done" if done else "no_face",
        engine=identity.name,
        models=identity.models,
        provider=identity.provider,
        frames=ledger.frames,
        frames_swapped=ledger.frames_swapped,
        tracks=tuple(ledger.tracks()),
        timings={stage: round(seconds, 3) for stage, seconds in watch.seconds.items()},
        media=_describe(info, plan),
        left_out=left_out(request.config, identity.processors),
        warnings=(
            *prepared.warnings,
            *identity.warnings,
            *unheeded(request.config, identity.name, identity.processors),
            *plan.warnings,
            *ledger.warnings,
        ),
        resumed=attempt.resumed,
    )


@dataclass(frozen=True)
class _Task:
    """A frame that is ready to be painted: its faces, smoothed, each with its manner."""

    frame: Any
    faces: list[tuple[int, Face, object]]
    painted: list[int]


class _Analyst:
    """Follows faces, looks ahead, and hands out frames whose faces have come to rest."""

    def __init__(self, tracker: FaceTracker | PersonTracker, painter: Painter, topology: Topology) -> None:
        self._tracker = tracker
        self._painter = painter
        self._mirror = topology.mirror
        self._smoother = Smoother(
            [topology.left_eye, topology.right_eye, topology.lips, topology.left_brow, topology.right_brow]
        )
        self._references: PerTrack[list[Any]] = PerTrack(list)
        self._window: deque[tuple[Any, dict[int, PosedFace]]] = deque()
        self._next = 0  # place in the window of the first frame that was not handed out

    def __call__(self, frame: Any | None) -> list[_Task]:
        """See `Flow`: takes the next frame, or None after the last."""
        if frame is not None:
            posed = {}
            for observation in self._tracker.observe(frame):
                posed[observation.track] = PosedFace.of(observation.face, self._reference(observation))
            self._window.append((frame, posed))
        tasks = []
        ahead = RADIUS if frame is not None else 0
        while self._next < len(self._window) - ahead:
            tasks.append(self._task(self._next))
            self._next += 1
            if self._next > RADIUS:
                self._window.popleft()
                self._next -= 1
        return tasks

    def _reference(self, observation: Observation) -> Any:
        """Canonical shape that the poses of a track are measured against: that of its first face."""
        known = self._references[observation.track]
        if not known:
            known.append(canonicalise(observation.face.points, self._mirror)[1])
        return known[0]

    def _task(self, place: int) -> _Task:
        frame, posed = self._window[place]
        faces = []
        for track in posed:
            window, centre = self._neighbours(place, track)
            face = self._smoother.smooth(window, centre)
            faces.append((track, face, self._painter.study(frame, track, face)))
        # What was handed out keeps its geometry for its neighbours, but the pixels are no longer needed here.
        self._window[place] = (None, posed)
        return _Task(frame, faces, [])

    def _neighbours(self, place: int, track: int) -> tuple[list[PosedFace], int]:
        """The consecutive frames round `place` in which the track is seen."""
        first = place
        while first > 0 and place - first < RADIUS and track in self._window[first - 1][1]:
            first -= 1
        last = place
        while last + 1 < len(self._window) and last - place < RADIUS and track in self._window[last + 1][1]:
            last += 1
        return [self._window[i][1][track] for i in range(first, last + 1)], place - first


def _swap_video(
    attempt: Attempt,
    info: MediaInfo,
    plan: OutputPlan,
    painter: Painter,
    toolbox: Toolbox,
    on_progress: ProgressCallback,
    should_stop: StopRequested,
) -> None:
    request, ledger, watch = attempt.request, attempt.ledger, attempt.watch
    clock = ProgressClock(info.frames, on_progress)
    threads = toolbox.threads
    tracker = _tracker(request, toolbox)
    budget = ByteBudget(request.config.limits.queue_megabytes << 20, least=RADIUS + 5)
    with (
        open_reader(request.target, info, threads=threads.decode) as reader,
        open_writer(request.output, info, plan, threads=threads.encode, segments=attempt.segments) as writer,
    ):
        parts = writer if isinstance(writer, VideoWriter) else None  # animations are short
        kept = 0 if parts is None else parts.kept
        attempt.take_up(kept)
        attempt.require_room(info, kept)

        def paint(task: _Task) -> None:
            if task.frame.index < kept:
                return
            task.painted.extend(_paint(task.frame, task.faces, painter))
            if request.marker is not None:
                request.marker.mark(task.frame)

        def write(task: _Task) -> None:
            if should_stop():
                raise CancelledError(f"{request.target.name} was stopped.")
            index = task.frame.index
            if parts is not None and index < kept:
                parts.skip(task.frame)
                clock.tick(index + 1, again=True)
                return
            if parts is not None and parts.due():
                with clock.pausing(ledger.frames):  # a slow encoder holds many pictures
                    parts.cut(attempt.memory())
            if index % ROOM_EVERY == 0:
                attempt.require_room(info, ledger.frames)
            if request.inspector is not None:
                request.inspector.inspect(task.frame, task.frame.seconds)
            writer.write(task.frame)
            ledger.count(index, task.painted)
            clock.tick(ledger.frames)

        flow: Flow[PlanarFrame, _Task] = Flow(
            reader,
            _Analyst(tracker, painter, toolbox.topology),
            paint,
            size=lambda task: task.frame.nbytes,
            budget=budget,
            painters=threads.swap,
            stopwatch=watch,
        )
        flow.run(write)
        ledger.warnings += reader.warnings
        if ledger.frames_swapped == 0:
            return
        with watch.time("finish"), clock.finishing(ledger.frames):
            writer.commit(attempt.memory())
            ledger.warnings += writer.warnings
    with watch.time("verify"), clock.finishing(ledger.frames):
        try:
            verify_video(request.output, writer.expected())
        except BaseException as error:
            request.output.unlink(missing_ok=True)
            if attempt.segments is not None and isinstance(error, VerificationError):
                attempt.segments.forget("The result is not what it should be.")
            raise
    if attempt.segments is not None:
        attempt.segments.spare(2 * request.output.stat().st_size)  # whoever signs it makes copies


def _tracker(request: SwapRequest, toolbox: Toolbox) -> FaceTracker | PersonTracker:
    mode: SelectorMode = "largest" if request.config.face_selector_mode == "largest" else "all"
    tracker = FaceTracker(toolbox.detector, toolbox.landmarker, mode=mode)
    return tracker if toolbox.person is None else PersonTracker(tracker, toolbox.person)


def _swap_photo(
    attempt: Attempt,
    info: MediaInfo,
    plan: OutputPlan,
    painter: Painter,
    toolbox: Toolbox,
    on_progress: ProgressCallback,
    should_stop: StopRequested,
) -> None:
    request, ledger, watch = attempt.request, attempt.ledger, attempt.watch
    with watch.time("decode"):
        photo = read_photo(request.target)
    with watch.time("analyse"):
        limit = 1 if request.config.face_selector_mode == "largest" else None
        faces = find_faces(photo.frame, toolbox.detector, toolbox.landmarker, limit=limit)
        if toolbox.person is not None:
            chosen = toolbox.person.among(photo.frame, faces)
            faces = [] if chosen is None else [chosen]
        tasks = [
            (number, face, painter.study(photo.frame, number, face)) for number, face in enumerate(faces)
        ]
    with watch.time("swap"):
        painted = _paint(photo.frame, tasks, painter)
        if request.marker is not None:
            request.marker.mark(photo.frame)
    if request.inspector is not None:
        request.inspector.inspect(photo.frame, 0.0)
    ledger.count(0, painted)
    if should_stop():
        raise CancelledError(f"{request.target.name} was stopped.")
    if painted:
        on_progress(SwapProgress("finishing", 1, 1, 0.0, 0.0))
        with watch.time("encode"):
            write_photo(request.output, photo, plan)
        with watch.time("verify"):
            try:
                verify_photo(request.output, photo.frame.width, photo.frame.height)
            except BaseException:
                request.output.unlink(missing_ok=True)
                raise
    ledger.warnings += photo.warnings


def _paint(frame: Canvas, faces: list[tuple[int, Face, object]], painter: Painter) -> list[int]:
    """Swap the faces of one frame in place, smallest (farthest) first; returns the tracks that were."""
    painted = []
    for track, face, manner in sorted(faces, key=lambda entry: entry[1].size):
        patch = painter.draw(frame, face, manner)
        if patch is not None:
            frame.blend(patch.box, patch.colour, patch.alpha)
            painted.append(track)
    if isinstance(painter, FramePainter):
        painter.finish(frame)
    return painted


def _describe(info: MediaInfo, plan: OutputPlan) -> dict[str, Any]:
    described: dict[str, Any] = {
        "kind": info.kind,
        "container": plan.container,
        "width": plan.width or info.width,
        "height": plan.height or info.height,
        "source_codec": info.codec,
    }
    if plan.encode is not None:
        described |= {
            "encoder": plan.encode.encoder,
            "pixel_format": plan.encode.pix_fmt,
            "crf": plan.encode.crf,
            "preset": plan.encode.preset,
            "frame_rate": str(info.rate),
            "tracks": [f"{t.stream.kind} {t.stream.codec}: {t.action}" for t in plan.tracks],
        }
    return described

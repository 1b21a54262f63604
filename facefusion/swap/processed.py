"""Any engine with further processors: what it draws goes through enhancer and age before it is pasted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from facefusion.config import AutomationConfig
from facefusion.faces.landmarks import Face
from facefusion.swap.contract import Canvas, EngineIdentity, FramePainter, Painter, Patch, SwapEngine
from facefusion.swap.frame_enhance import FrameEnhancer
from facefusion.swap.layers import Benches, FaceView, Processor, process
from facefusion.swap.neural.points import FivePoints
from facefusion.system.networks import NetworkFactory
from facefusion.system.onnx_runtime import PROVIDERS


@dataclass(frozen=True)
class FurtherParts:
    """What runs after a swap.

    Attributes:
        processors: on each face, in order.
        frame_enhancer: on whole frames, at the end.
        points: finds five landmarks.
        models: file name -> SHA-256.
        notes: for the report.
    """

    processors: tuple[Processor, ...]
    frame_enhancer: FrameEnhancer | None
    points: FivePoints
    models: Mapping[str, str]
    notes: tuple[str, ...]


class ProcessedEngine:
    """See `SwapEngine`.

    Args:
        engine: draws the faces.
        parts: what runs on them afterwards.
        networks: where the parts come from.
    """

    def __init__(self, engine: SwapEngine, parts: FurtherParts, networks: NetworkFactory) -> None:
        self._engine = engine
        self._parts = parts
        self._networks = networks

    @property
    def identity(self) -> EngineIdentity:
        """That of the engine, with the processors."""
        own, parts = self._engine.identity, self._parts
        names = [processor.name for processor in parts.processors]
        if parts.frame_enhancer is not None:
            names.append(parts.frame_enhancer.name)
        return replace(
            own,
            provider=f"{own.provider}; ONNX Runtime ({PROVIDERS[self._networks.provider].title})",
            models={**own.models, **parts.models},
            processors=(*own.processors, *names),
            warnings=(*own.warnings, *self._networks.warnings, *parts.notes),
        )

    def prepare(self, pictures: Sequence[tuple[NDArray[np.uint8], Face]]) -> object:
        """See `SwapEngine.prepare`."""
        return self._engine.prepare(pictures)

    def painter(self, source: object, config: AutomationConfig) -> Painter:
        """See `SwapEngine.painter`."""
        return _ProcessedPainter(self._engine.painter(source, config), self._parts, Benches(self._networks))


class _ProcessedPainter:
    """See `Painter`; the manner is the inner painter's and the correction of the landmarks."""

    def __init__(self, painter: Painter, parts: FurtherParts, benches: Benches) -> None:
        self._painter = painter
        self._benches = benches
        self._processors = parts.processors
        self._points = parts.points.follow()
        self._frame_enhancer = parts.frame_enhancer

    def study(self, frame: Canvas, track: int, face: Face) -> object:
        """See `Painter.study`."""
        correction = self._points.learn(frame, track, face) if self._processors else None
        return self._painter.study(frame, track, face), correction

    def draw(self, frame: Canvas, face: Face, manner: object) -> Patch | None:
        """See `Painter.draw`."""
        assert isinstance(manner, tuple)
        drawn = self._painter.draw(frame, face, manner[0])
        if drawn is None or not self._processors:
            return drawn
        view = FaceView(self._points.five(face, manner[1]), face)
        return process(frame, view, self._processors, first=drawn, benches=self._benches)

    def finish(self, frame: Canvas) -> None:
        """See `FramePainter.finish`."""
        if isinstance(self._painter, FramePainter):
            self._painter.finish(frame)
        if self._frame_enhancer is not None:
            self._frame_enhancer.refine(frame, self._benches)

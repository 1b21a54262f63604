"""The neural engine: an ONNX swapper with everything that its faces go through."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facefusion.config import AutomationConfig
from facefusion.errors import FaceNotFoundError
from facefusion.faces.five_points import Affine, Floats, align, crop_corners, cut_aligned
from facefusion.faces.landmarks import Face
from facefusion.faces.recognise import Recogniser, mean_embedding
from facefusion.media.frame import PackedFrame
from facefusion.models.contracts import Template
from facefusion.swap.bench import Layer, Region
from facefusion.swap.contract import Canvas, EngineIdentity, Patch
from facefusion.swap.frame_enhance import FrameEnhancer
from facefusion.swap.layers import Benches, FaceView, Processor, process
from facefusion.swap.neural.masks import CropMask, box_mask
from facefusion.swap.neural.points import FivePoints
from facefusion.swap.neural.swapper import Conditioning, Swapper, boosted_size
from facefusion.system.networks import NetworkFactory
from facefusion.system.onnx_runtime import PROVIDERS


@dataclass(frozen=True)
class NeuralParts:
    """What an engine is made of; see `facefusion.swap.neural.build`.

    Attributes:
        swapper: what swaps.
        recogniser: None for swappers that take a picture.
        source_template: alignment of that picture.
        points: finds five landmarks.
        masks: of the swapped crop, besides the box.
        box: whether the box limits the crop softly; without it only its very edge fades.
        further: processors after the swapper, in order.
        frame_enhancer: changes whole frames at the end.
        models: file name -> SHA-256.
        notes: for the report.
    """

    swapper: Swapper
    recogniser: Recogniser | None
    source_template: Template | None
    points: FivePoints
    masks: tuple[CropMask, ...]
    box: bool
    further: tuple[Processor, ...]
    frame_enhancer: FrameEnhancer | None
    models: Mapping[str, str]
    notes: tuple[str, ...]


class NeuralEngine:
    """See `SwapEngine`.

    Args:
        parts: opened networks and what belongs to them.
        networks: where they come from; knows the provider and what went wrong with it.
    """

    def __init__(self, parts: NeuralParts, networks: NetworkFactory) -> None:
        self._parts = parts
        self._networks = networks

    @property
    def identity(self) -> EngineIdentity:
        """What really runs, as of now: a provider may have given way meanwhile."""
        parts = self._parts
        names = ["face_swapper", *(processor.name for processor in parts.further)]
        if parts.frame_enhancer:
            names.append(parts.frame_enhancer.name)
        title = PROVIDERS[parts.swapper.provider].title
        return EngineIdentity(
            "neural",
            f"ONNX Runtime ({title})",
            parts.models,
            tuple(names),
            (*self._networks.warnings, *parts.notes),
        )

    def prepare(self, pictures: Sequence[tuple[NDArray[np.uint8], Face]]) -> Conditioning:
        """See `SwapEngine.prepare`: embeddings of all pictures are averaged, then projected once."""
        parts = self._parts
        faces = [(PackedFrame(image), face) for image, face in pictures]
        found = [(frame, parts.points.still(frame, face)) for frame, face in faces]
        if parts.recogniser is not None:
            embeddings = parts.recogniser.embed(found)
            if not np.isfinite(embeddings).all() or not embeddings.any(axis=1).all():
                raise FaceNotFoundError("The recogniser made nothing of the source face.")
            return parts.swapper.from_embedding(mean_embedding(embeddings))
        assert parts.source_template is not None
        # A picture cannot be averaged: the largest face shows most.
        best = int(np.argmax([face.size for _, face in faces]))
        if len(faces) > 1:
            self._networks.warn(
                f"This swap model takes one picture of the face: the largest of {len(faces)} was used."
            )
        frame, five = found[best]
        size = parts.swapper.contract.source_size
        return parts.swapper.from_face(cut_aligned(frame, align(five, parts.source_template, size), size))

    def painter(self, source: object, config: AutomationConfig) -> NeuralPainter:
        """See `SwapEngine.painter`."""
        assert isinstance(source, Conditioning)
        parts, processors = self._parts, self.processors(source, config)
        return NeuralPainter(processors, parts.points, parts.frame_enhancer, Benches(self._networks))

    def processors(self, source: Conditioning, config: AutomationConfig) -> tuple[Processor, ...]:
        """What a face goes through, in order."""
        parts = self._parts
        size = boosted_size(parts.swapper.contract.size, config.neural.pixel_boost)
        return FaceSwapper(parts.swapper, source, size, parts.masks, soft_box=parts.box), *parts.further


class FaceSwapper:
    """The swap itself, as the first of the processors. See `Processor`."""

    name = "face_swapper"

    def __init__(
        self,
        swapper: Swapper,
        source: Conditioning,
        size: int,
        masks: Sequence[CropMask],
        *,
        soft_box: bool,
    ) -> None:
        self._swapper = swapper
        self._source = source
        self._size = size
        self._masks = tuple(masks)
        self._box = box_mask(size) if soft_box else box_mask(size, 0.02)

    def reach(self, five: Floats) -> NDArray[np.float64]:
        """See `Processor.reach`."""
        return crop_corners(self._affine(five), self._size)

    def apply(self, region: Region, view: FaceView) -> Layer | None:
        """See `Processor.apply`."""
        bench, affine = region.bench, self._affine(view.five)
        before = region.cut(affine, self._size)
        after = self._swapper.swap(before[None], self._source, bench)[0]
        masks = [bench.put(self._box, constant=True)]
        masks += [mask.mask(bench, before, after, view, affine) for mask in self._masks]
        return region.stamp(after, bench.strictest(masks), affine)

    def _affine(self, five: Floats) -> Affine:
        return align(five, self._swapper.template, self._size)


class NeuralPainter:
    """See `Painter`; what is known about a track is the correction of its landmarks."""

    def __init__(
        self,
        processors: Sequence[Processor],
        points: FivePoints,
        frame_enhancer: FrameEnhancer | None,
        benches: Benches,
    ) -> None:
        self._processors = tuple(processors)
        self._benches = benches
        self._points = points.follow()
        self._frame_enhancer = frame_enhancer

    def study(self, frame: Canvas, track: int, face: Face) -> object:
        """See `Painter.study`."""
        return self._points.learn(frame, track, face)

    def draw(self, frame: Canvas, face: Face, manner: object) -> Patch | None:
        """See `Painter.draw`."""
        correction = manner if isinstance(manner, np.ndarray) else None
        view = FaceView(self._points.five(face, correction), face)
        return process(frame, view, self._processors, benches=self._benches)

    def finish(self, frame: Canvas) -> None:
        """See `FramePainter.finish`."""
        if self._frame_enhancer is not None:
            self._frame_enhancer.refine(frame, self._benches)

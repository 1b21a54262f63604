"""The mesh engine: draws the source face over a target face."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from facefusion.config import AutomationConfig
from facefusion.faces.align import fit_pose
from facefusion.faces.landmarks import Face
from facefusion.faces.topology import INNER_LIPS
from facefusion.swap.contract import Canvas, EngineIdentity, Patch
from facefusion.swap.mesh.geometry import MeshTables, shape_difference
from facefusion.swap.mesh.kernels import rasterise, shade
from facefusion.swap.mesh.light import vertex_colours
from facefusion.swap.mesh.source import MeshSource, prepare_source

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Manner:
    """How one track is drawn; changes slowly.

    Attributes:
        shape: (468, 3) mean canonical shape of the target.
        difference: (468, 3) what is added to it, canonical.
        openness: (2,) factor for the opening of the eyes.
        closing: (2,) how far the lids are closed beyond what the source's open eye can be bent to, 0..1.
    """

    shape: Floats
    difference: Floats
    openness: Floats
    closing: Floats


class MeshEngine:
    """Draws with the embedded mesh; needs no swap model.

    Args:
        tables: of the mesh.
        models: file name -> SHA-256 of the landmark and detection models in use.
        runtime: what runs them.
    """

    def __init__(self, tables: MeshTables, *, models: Mapping[str, str], runtime: str) -> None:
        self._tables = tables
        self._identity = EngineIdentity("mesh", runtime, models)

    @property
    def identity(self) -> EngineIdentity:
        """What really runs."""
        return self._identity

    def prepare(self, pictures: Sequence[tuple[NDArray[np.uint8], Face]]) -> MeshSource:
        """See `SwapEngine.prepare`."""
        return prepare_source(list(pictures), self._tables)

    def painter(self, source: object, config: AutomationConfig) -> MeshPainter:
        """See `SwapEngine.painter`."""
        assert isinstance(source, MeshSource)
        return MeshPainter(source, self._tables, strength=config.mesh.shape_strength)


class _TrackModel:
    """What a track has shown of its face so far: mean shape and how wide the eyes open."""

    def __init__(self) -> None:
        self.shape: Floats | None = None
        self.count = 0
        self._lids: list[Floats] = []

    def learn(self, face: Face, reference: Floats) -> None:
        shape = fit_pose(reference, face.points).invert(face.points)
        self.count += 1
        # A mean at first, then a slow average: the shape must not creep over hours of video.
        share = 1.0 / min(self.count, _MEMORY)
        self.shape = shape if self.shape is None else self.shape + (shape - self.shape) * np.float32(share)
        if len(self._lids) < 200 or self.count % 8 == 0:
            self._lids = [*self._lids[-399:], face.lids]

    @property
    def open_lids(self) -> Floats:
        """(2,) opening of the eyes when they are open."""
        return np.asarray(np.percentile(self._lids, 70, axis=0), np.float32)


_MEMORY = 300


class MeshPainter:
    """Draws one prepared source. `draw` is safe to call from several threads."""

    def __init__(self, source: MeshSource, tables: MeshTables, *, strength: float) -> None:
        self._source = source
        self._tables = tables
        self._strength = strength
        self._tracks: dict[int, _TrackModel] = {}

    def study(self, track: int, face: Face) -> Manner:
        """See `Painter.study`."""
        model = self._tracks.get(track)
        if model is None:
            self._tracks = {**dict(list(self._tracks.items())[-31:]), track: (model := _TrackModel())}
        model.learn(face, self._source.shape)
        assert model.shape is not None
        openness = np.clip(np.sqrt(self._source.lids / (model.open_lids + 1e-6)), 0.85, 1.15)
        return Manner(
            model.shape,
            shape_difference(self._source.shape, model.shape, self._tables, self._strength),
            np.asarray(openness, np.float32),
            np.asarray(np.clip((0.8 - face.lids / (model.open_lids + 1e-6)) / 0.25, 0.0, 1.0), np.float32),
        )

    def draw(self, frame: Canvas, face: Face, manner: object) -> Patch | None:
        """See `Painter.draw`."""
        assert isinstance(manner, Manner)
        source, tables = self._source, self._tables
        pose = fit_pose(manner.shape, face.points)
        moved = np.asarray(face.points + pose.scale * manner.difference @ pose.rotation, np.float32)
        irises = self._set_eyes(face, moved, manner)
        box = _box(np.concatenate([moved[:, :2], face.points[:, :2]]), frame.width, frame.height)
        if box is None:
            return None
        target = frame.read(box)
        origin = np.array([box[0], box[1]], np.float32)
        moved[:, :2] -= origin
        old = face.points[:, :2] - origin
        irises[:, :2] -= origin
        size = face.size
        height, width = target.shape[:2]
        ids, weights = rasterise(moved, tables.triangles, width, height)
        level = int(np.clip(np.floor(np.log2(max(source.size / size, 1.0)) + 0.35), 0, len(source.atlas) - 1))
        shrink = 0.5**level
        colours = vertex_colours(target, old, size)
        skin, confidence = source.light.skin(colours)
        gain = source.light.gain(source.colours, colours, confidence * source.confidence)
        attributes = np.concatenate(
            [
                (source.places + 0.5) * shrink - 0.5,
                old,
                gain,
                tables.coverage[:, None],
                skin,
                tables.edge_zone[:, None],
            ],
            axis=1,
        ).astype(np.float32)
        eyes = np.zeros((2, 8), np.float32)
        for e in range(2):
            if irises[e, 2] > 0.5 and source.irises[e, 2] > 0:
                place = (source.irises[e, :2] + 0.5) * shrink - 0.5
                eyes[e] = (*irises[e], *place, source.irises[e, 2] * shrink, 2.6, 1.0)
        own = _polygons(
            (height, width), [_grown(moved[list(INNER_LIPS)], 0.03)], size / 260, _mouth_share(face.points)
        )
        for eye, closing in zip(tables.eyes, manner.closing, strict=True):
            if closing > 0:
                lid = cv2.convexHull(moved[list(eye.contour + eye.halo), :2])[:, 0]
                lid = lid + (lid.mean(0) - lid) * 0.12
                np.maximum(own, _polygons((height, width), [lid], size / 70, float(closing)), out=own)
        openings = _polygons(
            (height, width), [moved[list(eye.contour), :2] for eye in tables.eyes], size / 260, 1.0
        )
        spare = _polygons(
            (height, width), [_grown(old[list(points)], 0.25) for points in tables.dark], size / 60, 1.0
        )
        colour, alpha = np.empty_like(target), np.empty((height, width), np.uint8)
        shade(
            ids, weights, tables.triangles, attributes, source.atlas[level], target, own, spare, eyes,
            openings, colour, alpha,
        )  # fmt: skip
        np.minimum(alpha, _silhouette(ids, size), out=alpha)
        return Patch(box, colour, alpha)

    def _set_eyes(self, face: Face, moved: Floats, manner: Manner) -> Floats:
        """Give the lids the source's openness, place the target's gaze; returns irises (2, 3)."""
        irises = face.irises.copy()
        for side, eye in enumerate(self._tables.eyes):
            upper, lower = np.array(eye.lids).T
            middle = (moved[upper] + moved[lower]) / 2
            half = (moved[upper] - moved[lower]) / 2 * manner.openness[side]
            moved[upper], moved[lower] = middle + half, middle - half
            # The iris keeps its place in the eye's own frame.
            before, after = face.points[list(eye.corners), :2], moved[list(eye.corners), :2]
            along, along_new = before[1] - before[0], after[1] - after[0]
            ratio = float(np.linalg.norm(along_new) / (np.linalg.norm(along) + 1e-6))
            irises[side, :2] = (irises[side, :2] - before.mean(0)) * ratio + after.mean(0)
            irises[side, 2] *= ratio
        return irises


def _mouth_share(points: Floats) -> float:
    """How much of the target's inner mouth shows: none while the lips touch."""
    width = np.linalg.norm(points[78, :2] - points[308, :2]) + 1e-6
    gap = np.linalg.norm(points[13, :2] - points[14, :2]) / width
    return float(np.clip((gap - 0.02) / 0.05, 0.0, 1.0))


def _polygons(
    shape: tuple[int, int], outlines: list[Floats], sigma: float, share: float
) -> NDArray[np.uint8]:
    """Filled polygons with an edge of `sigma` pixels, uint8; `share` of full strength."""
    mask = np.zeros(shape, np.uint8)
    if share <= 0:
        return mask
    for outline in outlines:
        cv2.fillPoly(mask, [np.round(outline * 16).astype(np.int32)], int(255 * share), cv2.LINE_AA, 4)
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), max(0.6, sigma)), np.uint8)


def _grown(points: Floats, share: float) -> Floats:
    """Convex hull of points, larger on all sides by a share of its width."""
    hull = cv2.convexHull(np.ascontiguousarray(points[:, :2], np.float32))[:, 0]
    middle = hull.mean(0)
    reach = share * float(np.ptp(hull[:, 0]))
    away = hull - middle
    return np.asarray(hull + away / (np.linalg.norm(away, axis=1, keepdims=True) + 1e-6) * reach, np.float32)


def _silhouette(ids: NDArray[np.int16], size: float) -> NDArray[np.uint8]:
    """Opacity that fades towards the edge of what was drawn, uint8; worked out on a small copy."""
    height, width = ids.shape
    shrink = max(1.0, size / 96)
    small = (max(4, round(width / shrink)), max(4, round(height / shrink)))
    mask = cv2.resize((ids >= 0).astype(np.uint8) * 255, small, interpolation=cv2.INTER_AREA)
    mask = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    mask = cv2.erode(mask, np.ones((5, 5), np.uint8), borderType=cv2.BORDER_REPLICATE)
    mask = cv2.GaussianBlur(mask, (0, 0), 1.3, borderType=cv2.BORDER_REPLICATE)[1:-1, 1:-1]
    return np.asarray(cv2.resize(mask, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def _box(points: Floats, width: int, height: int) -> tuple[int, int, int, int] | None:
    low = np.floor(points.min(0)).astype(int) - 2
    high = np.ceil(points.max(0)).astype(int) + 3
    x0, y0 = max(0, int(low[0])), max(0, int(low[1]))
    x1, y1 = min(width, int(high[0])), min(height, int(high[1]))
    return (x0, y0, x1, y1) if x1 - x0 >= 8 and y1 - y0 >= 8 else None

"""The mesh engine: draws the source face over a target face."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facefusion.config import AutomationConfig
from facefusion.faces.align import fit_pose
from facefusion.faces.landmarks import Face, lid_opening, mouth_gap
from facefusion.faces.recent import PerTrack
from facefusion.faces.topology import INNER_LIPS
from facefusion.swap.contract import Canvas, EngineIdentity, Patch
from facefusion.swap.masks import add_polygons, fading_silhouette, grown_hull
from facefusion.swap.mesh.fringe import fringe
from facefusion.swap.mesh.geometry import (
    LIPS,
    MeshTables,
    frontness,
    mouth_width,
    shape_difference,
)
from facefusion.swap.mesh.grain import SoftnessControl, sharpness_of_middle
from facefusion.swap.mesh.kernels import rasterise, shade
from facefusion.swap.mesh.light import Light, UsualColours, read_colours
from facefusion.swap.mesh.occlusion import OcclusionModel
from facefusion.swap.mesh.source import MeshSource, prepare_source

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Manner:
    """How one track is drawn; changes slowly.

    Attributes:
        shape: (468, 3) mean canonical shape of the target.
        difference: (468, 3) what is added to it, canonical.
        openness: (2,) factor for the opening of the eyes.
        own_lids: (2,) how much of the target's own lids shows, 0..1: what the source's open eye cannot be
            bent to.
        light: on the target.
        hidden: (468,) where something is in front of the face, 0..1.
        variant: of the atlas, see `grain.SOFTENING`.
    """

    shape: Floats
    difference: Floats
    openness: Floats
    own_lids: Floats
    light: Light
    hidden: Floats
    variant: int = 0


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
    """What a track has shown of its face so far.

    Attributes:
        shape: (468, 3) mean canonical shape.
        difference: towards the source; None when the mean has moved on since it was worked out.
        open_lids: (2,) opening of the eyes when they are open.
        usual: colours of this target.
    """

    def __init__(self, tables: MeshTables) -> None:
        self.occlusion = OcclusionModel(tables)
        self.shape: Floats | None = None
        self.count = 0
        self.softness = SoftnessControl()
        self.usual = UsualColours()
        self.difference: Floats | None = None
        self.open_lids = np.zeros(2, np.float32)
        self._lids: list[Floats] = []

    def learn(self, face: Face, reference: Floats) -> None:
        shape = fit_pose(reference, face.points).invert(face.points)
        self.count += 1
        # A mean at first, then a slow average: the shape must not creep over hours of video.
        share = 1.0 / min(self.count, _MEMORY)
        self.shape = shape if self.shape is None else self.shape + (shape - self.shape) * np.float32(share)
        if len(self._lids) < 200 or self.count % 8 == 0:
            self._lids = [*self._lids[-399:], face.lids]
        if self.count <= 24 or self.count % 8 == 0:
            usual = np.percentile(self._lids, 60, axis=0)
            self.open_lids = np.asarray(np.maximum(usual, _OPEN_LIDS), np.float32)
            self.difference = None


_LID_SHADOW = 0.16
"""How far down the shadow of an upper lid and its lashes falls on the eye, over half of its width."""
_MEMORY = 300
_OPEN_LIDS = (
    0.2  # lid distance over eye width that nobody's open eyes fall short of: a sleeper's lids are shut
)


class MeshPainter:
    """Draws one prepared source. `draw` is safe to call from several threads."""

    def __init__(self, source: MeshSource, tables: MeshTables, *, strength: float) -> None:
        self._source = source
        self._tables = tables
        self._strength = strength
        # An eye that is shut in the photo cannot be opened; the target's own is shown.
        self._shut = np.asarray(np.clip((0.20 - source.lids) / 0.07, 0.0, 1.0), np.float32)
        self._tracks = PerTrack(lambda: _TrackModel(tables))

    def study(self, frame: Canvas, track: int, face: Face) -> Manner:
        """See `Painter.study`."""
        model = self._tracks[track]
        model.learn(face, self._source.shape)
        assert model.shape is not None
        if model.difference is None:
            model.difference = shape_difference(self._source.shape, model.shape, self._tables, self._strength)
        source = self._source
        colours = read_colours(frame, face.points, face.size)
        hidden = model.occlusion.update(colours, mouth_gap(face.points))
        if model.softness.due:
            model.softness.take(*self._sharpness(frame, face, colours))
        # What faces away shows its surroundings rather than skin.
        seen = np.clip(frontness(face.points, self._tables) * 3.0 - 0.4, 0.01, 1.0)
        trust = source.confidence * (1.0 - 0.98 * hidden) * seen
        opening = face.lids / (model.open_lids + 1e-6)
        return Manner(
            model.shape,
            model.difference,
            np.asarray(
                np.clip(np.sqrt(self._source.lids / (model.open_lids + 1e-6)), 0.88, 1.15), np.float32
            ),
            np.maximum(_own_lids(opening), self._shut),
            source.light.transfer(source.colours, trust, colours, model.usual),
            hidden,
            model.softness.variant,
        )

    def _sharpness(self, frame: Canvas, face: Face, colours: Floats) -> tuple[float, Floats]:
        """How sharp the target's face is, and how sharp the source would be drawn over it, by variant."""
        source = self._source
        box = _box(face.points, frame.width, frame.height)
        if box is None:
            return 0.0, np.zeros(len(source.sharpness[0]), np.float32)
        low = np.array(box[:2], np.float32)
        target = sharpness_of_middle(frame.read(box), low - low, np.array(box[2:], np.float32) - low)
        level = source.level(face.size)
        # Drawn smaller, neighbouring pixels differ more, but the finest detail is lost.
        shrink = np.sqrt(source.size * 0.5**level / face.size)
        brightness = float(colours.mean() / (source.colours.mean() + 1e-6))
        return target, np.asarray(source.sharpness[level] * shrink * brightness, np.float32)

    def draw(self, frame: Canvas, face: Face, manner: object) -> Patch | None:
        """See `Painter.draw`."""
        assert isinstance(manner, Manner)
        source, tables = self._source, self._tables
        pose = fit_pose(manner.shape, face.points)
        moved = np.asarray(face.points + pose.scale * manner.difference @ pose.rotation, np.float32)
        _purse_lips(moved, face.points, manner.shape)
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
        level = source.level(size)
        shrink = 0.5**level
        attributes = np.concatenate(
            [
                (source.places + 0.5) * shrink - 0.5,
                old,
                manner.light.gain,
                tables.coverage[:, None],
                manner.light.skin,
                tables.edge_zone[:, None],
                manner.hidden[:, None],
            ],
            axis=1,
        ).astype(np.float32)
        eyes = self._eyes(moved, irises, shrink)
        own, openings, spare = (np.zeros((height, width), np.uint8) for _ in range(3))
        # What lies between the lips is the target's, but for two closed mouths.
        parted = max(_rise(mouth_gap(points), 0.02, 0.07) for points in (face.points, source.shape))
        inner_lips = grown_hull(moved[list(INNER_LIPS)], 0.03)
        add_polygons(own, [inner_lips], sigma=size / 260, shares=[parted])
        lids = [grown_hull(moved[list(eye.contour + eye.halo)], 0.10) for eye in tables.eyes]
        add_polygons(own, lids, sigma=size / 60, shares=manner.own_lids.tolist())
        add_polygons(openings, [moved[list(eye.contour), :2] for eye in tables.eyes], sigma=size / 130)
        dark = [grown_hull(old[list(points)], 0.25) for points in tables.dark]
        add_polygons(spare, dark, sigma=size / 60)
        colour, alpha = np.empty_like(target), np.empty((height, width), np.uint8)
        shade(
            ids, weights, tables.triangles, attributes, source.atlas[level][manner.variant], target,
            own, spare, eyes, openings, manner.light.depth, manner.light.tone, source.tint, colour, alpha,
        )  # fmt: skip
        np.minimum(alpha, fading_silhouette(ids >= 0, size), out=alpha)
        hair = fringe(target, old, manner.light.skin, spare)
        if hair is not None:
            np.minimum(alpha, 255 - hair, out=alpha)
        return Patch(box, colour, alpha)

    def _eyes(self, moved: Floats, irises: Floats, shrink: float) -> Floats:
        """(2, 17) what `shade` is told of the eyes.

        Args:
            moved, irises: landmarks and irises as drawn.
            shrink: size of the atlas in use over the largest.
        """
        source = self._source
        eyes = np.zeros((2, 17), np.float32)
        wider = lid_opening(moved) / (source.lids + 1e-6)
        for side, eye in enumerate(self._tables.eyes):
            if irises[side, 2] <= 0.5 or source.eyeballs[side, 2] <= 0:
                continue
            centre = np.array([0.5, 0.5, 0.0], np.float32)
            ball, iris = (
                (place + centre) * shrink - centre for place in (source.eyeballs[side], source.irises[side])
            )
            ends = moved[list(eye.corners), :2]
            along = (ends[1] - ends[0]) / 2
            across = along / (along @ along + 1e-6)
            bare = _rise(float(wider[side]), 1.1, 1.5)
            upper, lower = (moved[list(row), :2].mean(0) for row in zip(*eye.lids, strict=True))
            up = (
                (upper - lower)
                / (np.linalg.norm(upper - lower) + 1e-6)
                * (_LID_SHADOW * np.linalg.norm(along))
            )
            eyes[side] = (*irises[side], *ball, *iris, *ends.mean(0), *across, bare, 1.0, *up)
        return eyes

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


def _purse_lips(moved: Floats, points: Floats, usual: Floats) -> None:
    """Give lips that are drawn together less of the source's width, or an O would become a grin."""
    lips = list(LIPS)
    share = np.float32(np.clip(mouth_width(points) / (mouth_width(usual) + 1e-6), 0.3, 1.0))
    shift = moved[lips] - points[lips]
    block = shift.mean(0)
    moved[lips] = points[lips] + block + (shift - block) * share


def _own_lids(opening: Floats) -> Floats:
    """(2,) how much of the target's own lids shows: all when they close."""
    return np.asarray(np.clip((0.72 - opening) / 0.25, 0.0, 1.0), np.float32)


def _rise(value: float, low: float, high: float) -> float:
    """0 up to `low`, 1 from `high` on, a straight line in between."""
    return float(np.clip((value - low) / (high - low), 0.0, 1.0))


def _box(points: Floats, width: int, height: int) -> tuple[int, int, int, int] | None:
    low = np.floor(points.min(0)).astype(int) - 2
    high = np.ceil(points.max(0)).astype(int) + 3
    x0, y0 = max(0, int(low[0])), max(0, int(low[1]))
    x1, y1 = min(width, int(high[0])), min(height, int(high[1]))
    return (x0, y0, x1, y1) if x1 - x0 >= 8 and y1 - y0 >= 8 else None

"""Drive the mesh engine by hand and measure what comes out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from face_material import Floats, Image, Models, Portrait, camera, middle, packed, shown
from numpy.typing import NDArray

from facefusion.config import AutomationConfig, MeshSettings
from facefusion.faces.landmarks import Face
from facefusion.swap.contract import Patch
from facefusion.swap.mesh.engine import Manner, MeshEngine
from facefusion.swap.mesh.kernels import interpolate, rasterise
from facefusion.swap.mesh.source import MeshSource

_SIDE = 128


@dataclass(frozen=True)
class Swapped:
    """One frame after the swap.

    Attributes:
        picture: (h, w, 3) BGR.
        target: the face that was there.
        patch: what was blended.
        manner: how it was drawn.
    """

    picture: Image
    target: Face
    patch: Patch
    manner: Manner


def swap(
    models: Models,
    engine: MeshEngine,
    source: MeshSource,
    pictures: Sequence[Image],
    *,
    shape_strength: float = 1.0,
    face: Face | None = None,
) -> list[Swapped]:
    """Swap one followed face through pictures; `face` is where it is in the first."""
    config = AutomationConfig(mesh=MeshSettings(shape_strength=shape_strength))
    painter = engine.painter(source, config)
    out = []
    for picture in pictures:
        frame = packed(picture)
        face = models.face(picture) if face is None else models.landmarker.follow(frame, face)
        manner = painter.study(frame, 0, face)
        patch = painter.draw(frame, face, manner)
        assert patch is not None
        frame.blend(patch.box, patch.colour, patch.alpha)
        out.append(Swapped(frame.pixels, face, patch, manner))
    return out


def closer(
    models: Models, portrait: Portrait, face_pixels: float, size: tuple[int, int] = (320, 240)
) -> Portrait:
    """The portrait in a view of another size."""
    view = shown(
        portrait.picture,
        camera(middle(portrait.face), size=size, zoom=face_pixels / portrait.face.size),
        size,
    )
    return Portrait(view, models.face(view))


def likeness(models: Models, picture: Image, face: Face, source: MeshSource) -> float:
    """Correlation of the fine structure of eyes and brows with the source's, both in the source's shape."""
    places = (source.places * (_SIDE / source.atlas[0][0].shape[0])).astype(np.float32)
    flat = np.concatenate([places, np.zeros((468, 1), np.float32)], axis=1)
    triangles = models.tables.triangles
    ids, weights = rasterise(flat, triangles, _SIDE, _SIDE)
    at = interpolate(ids, weights, triangles, np.ascontiguousarray(face.points[:, :2], np.float32), -1.0)
    drawn = cv2.remap(picture, at[..., 0].copy(), at[..., 1].copy(), cv2.INTER_LINEAR)
    atlas = cv2.resize(source.atlas[0][0], (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    topology = models.topology
    region = [*topology.left_eye, *topology.right_eye, *topology.left_brow, *topology.right_brow]
    mask = np.zeros((_SIDE, _SIDE), np.uint8)
    cv2.fillConvexPoly(mask, cv2.convexHull(places[region]).astype(np.int32), 1)
    inside = cv2.dilate(mask, np.ones((5, 5), np.uint8)) > 0
    return float(
        np.corrcoef(_fine(np.asarray(drawn, np.uint8))[inside], _fine(np.asarray(atlas, np.uint8))[inside])[
            0, 1
        ]
    )


def _fine(picture: Image) -> Floats:
    luma = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY).astype(np.float32)
    return np.asarray(cv2.GaussianBlur(luma, (0, 0), 1) - cv2.GaussianBlur(luma, (0, 0), 6), np.float32)


def skin(
    picture: Image, face: Face, points: Sequence[int] = (50, 280, 117, 346, 101, 330)
) -> NDArray[np.float64]:
    """(n, 3) mean BGR round points of the cheeks."""
    reach = max(2, round(face.size * 0.03))
    spots = []
    for x, y in face.points[list(points), :2]:
        part = picture[round(float(y)) - reach : round(float(y)) + reach + 1]
        spots.append(part[:, round(float(x)) - reach : round(float(x)) + reach + 1].reshape(-1, 3).mean(0))
    return np.array(spots)


def luma(colours: NDArray[np.float64]) -> NDArray[np.float64]:
    """Luma of BGR colours (..., 3)."""
    return np.asarray(colours @ (0.114, 0.587, 0.299))


def mouth_gap(face: Face) -> float:
    """Distance of the inner lips over the distance of the outer eye corners."""
    points = face.points[:, :2]
    return float(np.linalg.norm(points[13] - points[14]) / np.linalg.norm(points[33] - points[263]))

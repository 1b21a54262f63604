"""The source face, prepared once: atlas, shape, colours.

The atlas is a frontal picture of the face in which every landmark has a fixed place. It is drawn from the
source photo (or several): what one photo hides comes from the other side of the face or from another photo.
Then it is cleaned, see `retouch`.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from facefusion.faces.align import canonicalise
from facefusion.faces.landmarks import Face
from facefusion.swap.mesh.eyeballs import add_eyeballs
from facefusion.swap.mesh.geometry import MeshTables, frontness
from facefusion.swap.mesh.grain import SOFTENING, atlas_sharpness
from facefusion.swap.mesh.kernels import interpolate, rasterise
from facefusion.swap.mesh.light import LightTransfer, vertex_colours
from facefusion.swap.mesh.retouch import (
    Layout,
    as_image,
    clean_edge,
    denoise,
    even_light,
    extend,
    relax_smile,
)

Floats = NDArray[np.float32]
Image = NDArray[np.uint8]


@dataclass(frozen=True)
class MeshSource:
    """What the engine keeps of a source face.

    Attributes:
        shape: (468, 3) canonical, symmetric.
        atlas: pyramid of (h, w, 3) uint8 BGR pictures, each half the size of the one before; of every size
            the variants of `grain.SOFTENING`.
        places: (468, 2) float32, landmarks in the largest atlas picture.
        irises: (2, 3) float32 in the largest atlas picture: x, y, radius.
        eyeballs: (2, 3) float32, irises in the pictures of whole eyeballs in the largest atlas picture: x, y,
            radius; see `eyeballs`.
        lids: (2,) how far the eyes are open.
        size: height of the face in the largest atlas picture, in pixels.
        colours: (468, 3) float32 BGR at the landmarks.
        confidence: (468,) float32, how far each landmark shows bare skin.
        light: smoothing operator over this face.
        tint: how much redder than blue the skin is, (r - b) / (r + b), median.
        sharpness: (sizes, variants) float32, see `grain.atlas_sharpness`.
    """

    shape: Floats
    atlas: tuple[tuple[Image, ...], ...]
    places: Floats
    irises: Floats
    eyeballs: Floats
    lids: Floats
    size: float
    colours: Floats
    confidence: Floats
    light: LightTransfer
    tint: float
    sharpness: Floats

    def level(self, size: float) -> int:
        """Which size of the atlas to draw a face of `size` pixels from: the one a little larger."""
        steps = np.floor(np.log2(max(self.size / size, 1.0)) + 0.35)
        return int(np.clip(steps, 0, len(self.atlas) - 1))


def prepare_source(pictures: list[tuple[Image, Face]], tables: MeshTables) -> MeshSource:
    """Build the source from photos of one person (BGR uint8) and the face found in each."""
    shapes = [canonicalise(face.points, tables.mirror) for _, face in pictures]
    shape = np.mean([symmetric for _, symmetric in shapes], axis=0).astype(np.float32)
    tallest = max(face.size for _, face in pictures)
    side = int(np.clip(round(tallest * 1.15 / 64) * 64, 384, 1024))
    places = _places(shape, side)
    flat = np.concatenate([places, shape[:, 2:] * side], axis=1).astype(np.float32)
    ids, weights = rasterise(flat, tables.triangles, side, side)
    layers = [_draw_layer(denoise(image, face), face, ids, weights, tables) for image, face in pictures]
    atlas, known = _merge(layers)
    inside = ids >= 0
    size = float(places[:, 1].max() - places[:, 1].min())
    light = LightTransfer(shape, tables)
    atlas = extend(atlas, known & inside)

    def spread(values: Floats) -> Floats:
        """Vertex values (468, k) over the atlas."""
        return np.asarray(interpolate(ids, weights, tables.triangles, values, 0.0))

    layout = Layout(inside, spread, places, size, tables)
    atlas, genuine = clean_edge(atlas, layout, light)
    atlas = even_light(atlas, layout, LightTransfer(shape, tables, reach=0.16))
    atlas = relax_smile(atlas, layout, shape)
    colours = vertex_colours(atlas, places, size)
    irises = _iris_places(pictures[0][1], flat, tables)
    atlas, eyeballs = add_eyeballs(atlas, places, irises, tables.eyes)
    pyramid = [atlas]
    while min(pyramid[-1].shape[:2]) > 96:
        pyramid.append(
            np.asarray(cv2.resize(pyramid[-1], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), np.uint8)
        )
    variants = tuple(_variants(level) for level in pyramid)
    return MeshSource(
        shape=shape,
        atlas=variants,
        sharpness=atlas_sharpness(variants, places),
        places=places,
        irises=irises,
        eyeballs=eyeballs,
        lids=np.mean([face.lids for _, face in pictures], axis=0).astype(np.float32),
        size=size,
        colours=colours,
        confidence=np.maximum(np.maximum(light.confidence(colours), 0.4) * genuine, 0.004),
        light=light,
        tint=float(np.median((colours[:, 2] - colours[:, 0]) / (colours[:, 2] + colours[:, 0] + 8.0))),
    )


def _places(shape: Floats, side: int) -> Floats:
    low, high = shape[:, :2].min(0), shape[:, :2].max(0)
    scale = side * 0.9 / float((high - low).max())
    return np.asarray((shape[:, :2] - (low + high) / 2) * scale + side / 2, np.float32)


def _draw_layer(
    image: Image, face: Face, ids: NDArray[np.int16], weights: Floats, tables: MeshTables
) -> tuple[Floats, Floats]:
    """One photo in the atlas: (h, w, 3) float32 colours, (h, w) float32 how well they were seen."""
    seen = frontness(face.points, tables)
    attributes = np.concatenate([face.points[:, :2], seen[:, None]], axis=1).astype(np.float32)
    maps = interpolate(ids, weights, tables.triangles, attributes, -1.0)
    side = ids.shape[0]
    shrink = face.size / (side * 0.9)
    if shrink > 1.3:  # a large photo is reduced first, or details would turn into noise
        image = np.asarray(
            cv2.resize(image, None, fx=1 / shrink, fy=1 / shrink, interpolation=cv2.INTER_AREA), np.uint8
        )
        maps[..., :2] = (maps[..., :2] + 0.5) / shrink - 0.5
    colours = cv2.remap(
        image, maps[..., 0].copy(), maps[..., 1].copy(), cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    quality = np.where(ids >= 0, np.clip(maps[..., 2], 0.0, 1.0) ** 3, 0.0)
    return np.asarray(colours, np.float32), np.asarray(quality, np.float32)


def _merge(layers: list[tuple[Floats, Floats]]) -> tuple[Image, NDArray[np.bool_]]:
    """Blend photos, and the mirror image where one side was hardly seen."""
    colours = sum(colour * quality[..., None] for colour, quality in layers)
    quality = sum(quality for _, quality in layers)
    colours, quality = np.asarray(colours), np.asarray(quality)
    twin_colours, twin_quality = colours[:, ::-1], quality[:, ::-1]
    # The other side helps only where it was seen far better.
    share = np.clip((twin_quality - 2.5 * quality) / (twin_quality + 1e-6), 0.0, 1.0)
    share = cv2.GaussianBlur(share, (0, 0), quality.shape[0] / 60)
    own = colours / (quality[..., None] + 1e-6)
    twin = twin_colours / (twin_quality[..., None] + 1e-6)
    merged = own * (1 - share[..., None]) + twin * share[..., None]
    return as_image(merged), (quality + twin_quality) > 1e-4


def _variants(atlas: Image) -> tuple[Image, ...]:
    blurred = (cv2.GaussianBlur(atlas, (0, 0), sigma) if sigma else atlas for sigma in SOFTENING)
    return tuple(np.asarray(image, np.uint8) for image in blurred)


def _iris_places(face: Face, flat: Floats, tables: MeshTables) -> Floats:
    """Irises carried from the photo into the atlas by the eye's own corners."""
    places = np.zeros((2, 3), np.float32)
    for side, eye in enumerate(tables.eyes):
        outline = list(eye.contour)
        pose = cv2.estimateAffinePartial2D(face.points[outline, :2], flat[outline, :2])[0]
        if pose is None:
            continue
        places[side, :2] = pose[:, :2] @ face.irises[side, :2] + pose[:, 2]
        places[side, 2] = face.irises[side, 2] * np.sqrt(abs(np.linalg.det(pose[:, :2])))
    return places

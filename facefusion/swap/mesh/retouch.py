"""What is cleaned in the atlas of a source face: grain, hair, shadows and the lines of a smile.

Atlas pictures are (h, w, 3) uint8 BGR.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from facefusion.faces.landmarks import Face
from facefusion.faces.picture import fine_detail
from facefusion.swap.masks import grown_hull
from facefusion.swap.mesh.geometry import LIPS, MeshTables, mouth_width
from facefusion.swap.mesh.kernels import foreign
from facefusion.swap.mesh.light import LightTransfer, vertex_colours

Floats = NDArray[np.float32]
Image = NDArray[np.uint8]


@dataclass(frozen=True)
class Layout:
    """Where what is in an atlas.

    Attributes:
        inside: (h, w) bool, True on the face.
        spread: vertex values (468, k) over the atlas: (h, w, k).
        places: (468, 2) float32, the landmarks, pixels.
        size: the face's height, pixels.
        tables: of the mesh.
    """

    inside: NDArray[np.bool_]
    spread: Callable[[Floats], Floats]
    places: Floats
    size: float
    tables: MeshTables


def denoise(image: Image, face: Face) -> Image:
    """Take out film grain and sensor noise; a grain that sticks to a moving face looks like dirt."""
    x0, y0, x1, y1 = (int(value) for value in face.box)
    margin = int(face.size * 0.1)
    x0, y0 = max(0, x0 - margin), max(0, y0 - margin)
    part = image[y0 : y1 + margin, x0 : x1 + margin]
    luma = np.asarray(cv2.cvtColor(part, cv2.COLOR_BGR2GRAY), np.uint8)
    noise = fine_detail(luma) if min(luma.shape) >= 16 else 0.0
    if noise < 4.0 or max(part.shape[:2]) > 900:
        return image
    strength = float(min(noise * 0.7, 8.0))
    result = image.copy()
    result[y0 : y1 + margin, x0 : x1 + margin] = cv2.fastNlMeansDenoisingColored(
        part, None, strength, strength / 2, 5, 17
    )
    return result


def clean_edge(atlas: Image, layout: Layout, light: LightTransfer) -> tuple[Image, Floats]:
    """Replace hair, ears, jewellery and collars at the edge by skin.

    Returns:
        The atlas, and (468,) float32: 1 for landmarks that show the photo's own skin, less for others.
    """
    places, size, tables = layout.places, layout.size, layout.tables
    colours = vertex_colours(atlas, places, size)
    skin = light.bare_skin(colours)
    near_edge = np.clip(2.0 - tables.outline_rings, 0.0, 1.0)
    zone = np.clip(np.maximum(tables.edge_zone, near_edge) * 1.5, 0.0, 1.0)
    maps = layout.spread(np.concatenate([skin, zone[:, None]], axis=1).astype(np.float32))
    expected = np.ascontiguousarray(maps[..., :3])
    # A forehead catches more light than a face does on the whole.
    expected = np.ascontiguousarray(np.clip(expected * 1.06, 0, 255))
    soft = cv2.GaussianBlur(atlas, (0, 0), max(0.8, size / 150)).astype(np.float32)
    doubt = foreign(soft, expected) * maps[..., 3]
    grow = int(size / 28) | 1
    # What touches the outline is seen at a grazing angle, mixed with what lies behind it.
    depth = cv2.distanceTransform(layout.inside.astype(np.uint8), cv2.DIST_L2, 3)
    bad: NDArray[Any] = cv2.dilate((doubt > 0.35).astype(np.uint8), np.ones((grow, grow), np.uint8))
    # Above the lower edge of a fringe there is nothing but hair.
    brow_line = int(places[list(tables.dark[0] + tables.dark[1]), 1].min())
    bad[:brow_line] = np.maximum.accumulate(bad[brow_line - 1 :: -1] if brow_line else bad[:0], axis=0)[::-1]
    bad = np.maximum(bad, _under_fringe(bad, brow_line, layout))
    at = np.clip(np.round(places).astype(int), 0, np.array(bad.shape)[::-1] - 1)
    genuine = 1.0 - 0.6 * bad[at[:, 1], at[:, 0]].astype(np.float32)
    bad = np.maximum(bad, (depth < 0.035 * size).astype(np.uint8))
    # Next to hair lie its shadow and single strands: the filling is taken from farther inside, and from
    # what the bare skin as a whole is like.
    wide = int(size / 18) | 1
    filled = extend(atlas, cv2.dilate(bad, np.ones((wide, wide), np.uint8)) == 0)
    bare = np.where(layout.inside[..., None], expected, filled)
    smooth = cv2.GaussianBlur(filled * 0.15 + bare * 0.85, (0, 0), size / 30)
    share = cv2.GaussianBlur(bad.astype(np.float32), (0, 0), size / 45)[..., None]
    return as_image(atlas * (1 - share) + smooth * share), genuine


def _under_fringe(hair: NDArray[np.uint8], brow_line: int, layout: Layout) -> NDArray[np.uint8]:
    """(h, w) uint8, 1 where the shadow of a fringe and its single strands lie, down to the brows.

    Args:
        hair: (h, w) uint8, 1 where hair is.
        brow_line: upper edge of the brows, in pixels.
    """
    reach = int(layout.size * 0.08)
    result = np.zeros_like(hair)
    result[reach:brow_line] = hair[: max(0, brow_line - reach)]
    result = np.asarray(cv2.dilate(result, np.ones((1, int(layout.size / 28) | 1), np.uint8)), np.uint8)
    for brow in layout.tables.dark[:2]:
        cv2.fillConvexPoly(result, np.round(grown_hull(layout.places[list(brow)], 0.15)).astype(np.int32), 0)
    return result


def even_light(atlas: Image, layout: Layout, light: LightTransfer) -> Image:
    """Take the shadow of one side out: the light becomes the same on both."""
    logs = np.log(vertex_colours(atlas, layout.places, layout.size) + 6.0)
    smooth = light.smooth(logs)
    even = (smooth + smooth[layout.tables.mirror]) / 2
    factor: NDArray[Any] = layout.spread(np.exp(np.clip(0.5 * (even - smooth), -0.7, 0.7)).astype(np.float32))
    factor[~layout.inside] = 1.0
    factor = cv2.GaussianBlur(factor, (0, 0), layout.size / 40)
    return as_image(atlas * factor)


def relax_smile(atlas: Image, layout: Layout, shape: Floats) -> Image:
    """Fade the lines that a smile draws from the nose round the mouth, as far as this mouth smiles.

    They would stay in every frame, whatever the target's mouth does. Pores and the broad light stay.

    Args:
        shape: (468, 3) canonical shape of the source.
    """
    smile = float(np.clip((mouth_width(shape) - 0.53) / 0.12, 0.0, 1.0))
    if not smile:
        return atlas
    zone = np.zeros((len(shape), 1), np.float32)
    zone[[*_SMILE_LINES, *layout.tables.mirror[list(_SMILE_LINES)]]] = 1
    zone = np.clip(1.6 * layout.tables.spread @ zone, 0.0, 1.0)
    zone[list(LIPS)] = 0
    share = cv2.GaussianBlur(layout.spread(zone)[..., 0], (0, 0), layout.size / 40)
    values = atlas.astype(np.float32)
    lines = _blur(values, layout.size / 110) - _blur(values, layout.size / 14)
    return as_image(values - 0.8 * smile * share[..., None] * lines)


_SMILE_LINES = (36, 43, 57, 92, 165, 186, 187, 192, 202, 203, 205, 206, 207, 210, 212, 214, 216)


def extend(atlas: Image, known: NDArray[np.bool_]) -> Image:
    """Fill what lies outside the face with its nearest colours, so that sampling at the edge is clean."""
    filled = atlas.astype(np.float32) * known[..., None]
    weight = known.astype(np.float32)
    result, done = filled.copy(), weight.copy()
    for sigma in (2, 6, 18, 54, 162):
        spread, amount = _blur(filled, sigma), _blur(weight, sigma)
        fresh = (done == 0) & (amount > 1e-3)
        result[fresh] = (spread / (amount[..., None] + 1e-9))[fresh]
        done[fresh] = 1
    return as_image(result)


def _blur(values: Floats, sigma: float) -> Floats:
    """Gaussian blur; a wide one on a reduced copy, where it costs a thousandth and looks the same."""
    shrink = int(sigma / 4)
    if shrink < 2:
        return np.asarray(cv2.GaussianBlur(values, (0, 0), sigma), np.float32)
    height, width = values.shape[:2]
    size = (max(1, width // shrink), max(1, height // shrink))
    small = cv2.resize(values, size, interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), sigma * size[0] / width)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def as_image(values: NDArray[Any]) -> Image:
    """Round and clip to uint8."""
    return np.asarray(np.clip(values + 0.5, 0, 255), np.uint8)

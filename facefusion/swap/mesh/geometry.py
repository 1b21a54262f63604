"""Constant tables of the drawn mesh, and the transfer of face shape."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from facefusion.faces.align import fit_pose
from facefusion.faces.topology import (
    INNER_LIPS,
    LANDMARK_COUNT,
    LEFT_EYE_CONTOUR,
    LEFT_EYE_CORNERS,
    LEFT_LIDS,
    LOWER_LIP,
    MOUTH_CORNERS,
    RIGHT_EYE_CONTOUR,
    RIGHT_EYE_CORNERS,
    RIGHT_LIDS,
    UPPER_LIP,
    Topology,
)
from facefusion.swap.mesh.kernels import facing

Floats = NDArray[np.float32]


LIPS = tuple(
    sorted({point for part in (UPPER_LIP, LOWER_LIP, MOUTH_CORNERS) for row in part for point in row})
)
"""All points on the lips, the rows between their edges included."""


@dataclass(frozen=True)
class Eye:
    """One eye in the mesh's numbering.

    Attributes:
        corners: outer, inner.
        contour: 16 points of the lid margins, in ring order.
        lids: (upper, lower) pairs above one another.
        halo: skin round the eye that moves with it.
    """

    corners: tuple[int, int]
    contour: tuple[int, ...]
    lids: tuple[tuple[int, int], ...]
    halo: tuple[int, ...]


@dataclass(frozen=True)
class MeshTables:
    """What every drawing needs and never changes.

    Attributes:
        triangles: (n, 3) int32: skin, then eye openings, then the inner mouth; area > 0 seen from the front.
        skin_triangles: how many of them are skin.
        coverage: (468,) float32, opacity: 0 on the outline, 1 from the second ring on.
        shape_weight: (468, 1) float32, how much of the shape difference a point takes.
        lip_weight: (468, 1) float32, 0 on the lips (they move as one block), 1 far from them.
        edge_zone: (468,) float32, 1 where hair may lie over skin (forehead, temples, sides).
        chin: (468,) bool, skin below the mouth; where the lower lip may be found when it is torn open.
        feature: (468,) bool, points whose colour is not that of lit skin (eyes, brows, lips, nostrils).
        eyes: left and right in the image.
        dark: landmark numbers of each brow, and of each eye with its lids.
        spread: (468, 468) float32, mean over a point, its neighbours and theirs.
        mirror, oval, outline_rings: as in `Topology`.
    """

    triangles: NDArray[np.int32]
    skin_triangles: int
    coverage: Floats
    shape_weight: Floats
    lip_weight: Floats
    edge_zone: Floats
    chin: NDArray[np.bool_]
    feature: NDArray[np.bool_]
    eyes: tuple[Eye, Eye]
    dark: tuple[tuple[int, ...], ...]
    spread: Floats
    mirror: NDArray[np.int32]
    oval: NDArray[np.int32]
    outline_rings: NDArray[np.int32]


def build_tables(topology: Topology) -> MeshTables:
    """Derive the drawing tables from the mesh."""
    openings = [*_strip(LEFT_EYE_CORNERS, LEFT_LIDS), *_strip(RIGHT_EYE_CORNERS, RIGHT_LIDS)]
    upper, lower = INNER_LIPS[1:10], INNER_LIPS[:10:-1]
    mouth = _strip((INNER_LIPS[0], INNER_LIPS[10]), tuple(zip(upper, lower, strict=True)))
    triangles = _orient(np.concatenate([topology.triangles, np.array(openings + mouth, np.int32)]))
    rings = topology.outline_rings
    eyes = tuple(
        Eye(corners, (*contour[:9], *contour[:8:-1]), lids, _around(topology, contour))
        for corners, contour, lids in (
            (LEFT_EYE_CORNERS, LEFT_EYE_CONTOUR, LEFT_LIDS),
            (RIGHT_EYE_CORNERS, RIGHT_EYE_CONTOUR, RIGHT_LIDS),
        )
    )
    nostrils = (
        2,
        97,
        326,
        98,
        327,
        19,
        94,
        125,
        354,
        241,
        461,
        238,
        458,
        20,
        250,
        242,
        462,
        99,
        328,
        60,
        290,
        75,
        305,
    )
    feature = np.zeros(LANDMARK_COUNT, bool)
    feature[list(LIPS + topology.left_brow + topology.right_brow + nostrils)] = True
    for eye in eyes:
        feature[list(eye.contour)] = True
        feature[list(eye.halo)] = True
    return MeshTables(
        triangles=triangles,
        skin_triangles=len(topology.triangles),
        coverage=np.clip(rings, 0.0, 1.0).astype(np.float32),
        shape_weight=np.clip((rings + 1) / 3.0, 0.0, 1.0).astype(np.float32)[:, None],
        lip_weight=np.clip(topology.rings_from(LIPS) / 2.0, 0.0, 1.0).astype(np.float32)[:, None],
        edge_zone=_edge_zone(topology),
        chin=_chin(topology),
        feature=feature,
        spread=_spread(topology),
        eyes=(eyes[0], eyes[1]),
        dark=(topology.left_brow, topology.right_brow, *((*eye.contour, *eye.halo) for eye in eyes)),
        mirror=topology.mirror,
        oval=np.array(topology.oval, np.int32),
        outline_rings=rings,
    )


_EMPHASIS = 1.2
"""The outline stays the target's; what lies inside it has to say a little more for the face to be known."""


def shape_difference(source: Floats, target: Floats, tables: MeshTables, strength: float) -> Floats:
    """What must be added, in canonical coordinates, to give the target's mean shape the source's proportions.

    Args:
        source: (468, 3) canonical shape of the source.
        target: (468, 3) mean canonical shape of the target over its track.
        strength: 0 to 1.

    Returns:
        (468, 3) float32, small on the outline, where the face must meet the target's head. The eyes move as
        blocks, the lips nearly so: their place is identity, their curve expression.
    """
    difference = fit_pose(target, source).invert(source) - target
    difference = _EMPHASIS * strength * difference * tables.shape_weight
    lips = _lip_difference(source, target, difference, strength)
    difference = difference * tables.lip_weight + (1 - tables.lip_weight) * lips.mean(0)
    difference[list(LIPS)] = lips
    for eye in tables.eyes:
        difference[list(eye.contour)] = difference[list(eye.contour)].mean(0)
    return np.asarray(difference, np.float32)


def _lip_difference(source: Floats, target: Floats, difference: Floats, strength: float) -> Floats:
    """(80, 3) what is added to the points of `LIPS`.

    The mouth moves as a block: its place is identity. Of its own shape it takes half of the source's
    fullness, and its width at rest; the line where the lips meet is expression, and stays the target's.
    """
    own = np.zeros_like(difference)
    for rows in (UPPER_LIP, LOWER_LIP, MOUTH_CORNERS):
        own[np.array(rows)] = 0.5 * (difference[np.array(rows)] - difference[np.array(rows[-1])])
    lips = list(LIPS)
    widening = strength * (_width_at_rest(source) / _width_at_rest(target) - 1.0)
    own[:, 0] += widening * (target[:, 0] - target[lips, 0].mean())
    return np.asarray(difference[lips].mean(0) + own[lips], np.float32)


def _width_at_rest(points: Floats) -> float:
    """How wide a mouth is without its smile: of what is more than usual, half counts."""
    width = max(mouth_width(points), 0.2)
    return min(width, 0.5 + (width - 0.5) / 2)


def mouth_width(points: Floats) -> float:
    """Distance of the mouth's corners over that of the outer eye corners; about 0.5 at rest."""
    mouth, eyes = (np.linalg.norm(points[a, :2] - points[b, :2]) for a, b in ((61, 291), (33, 263)))
    return float(mouth / (eyes + 1e-6))


def _orient(triangles: NDArray[np.int32]) -> NDArray[np.int32]:
    """Give all triangles the same sense of rotation, by walking from neighbour to neighbour."""
    by_edge: dict[tuple[int, int], list[int]] = {}
    for index, (a, b, c) in enumerate(triangles):
        for edge in ((a, b), (b, c), (a, c)):
            by_edge.setdefault((min(edge), max(edge)), []).append(index)
    result = triangles.copy()
    done, stack = {0}, [0]
    while stack:
        here = stack.pop()
        a, b, c = result[here]
        for p, q in ((a, b), (b, c), (c, a)):
            for other in by_edge[(min(p, q), max(p, q))]:
                if other in done:
                    continue
                x, y, z = result[other]
                if (p, q) in (
                    (x, y),
                    (y, z),
                    (z, x),
                ):  # neighbours must run along the edge in opposite senses
                    result[other] = (x, z, y)
                done.add(other)
                stack.append(other)
    return result


def _spread(topology: Topology) -> Floats:
    near = (topology.adjacency | np.eye(LANDMARK_COUNT, dtype=bool)).astype(np.float32)
    near /= near.sum(axis=1, keepdims=True)
    return np.asarray(near @ near, np.float32)


def _edge_zone(topology: Topology) -> Floats:
    """Forehead above the brows, temples, and the sides down to the level of the mouth."""
    rings = topology.outline_rings
    from_brows = topology.rings_from(topology.left_brow + topology.right_brow)
    from_top = topology.rings_from((10, 109, 338, 67, 297, 103, 332))
    zone = np.zeros(LANDMARK_COUNT, np.float32)
    forehead = (from_top < 4) & (from_brows > 0)
    zone[forehead] = 1.0
    sides = topology.rings_from((21, 54, 162, 127, 234, 93, 251, 284, 389, 356, 454, 323))
    zone = np.maximum(zone, np.clip(1.0 - (sides - 1) / 2.0, 0.0, 1.0) * (from_brows > 0))
    zone = np.maximum(zone, np.where((from_brows > 0) & (rings <= 2) & (from_top <= 6), 1.0, 0.0))
    return np.asarray(zone, np.float32)


def _chin(topology: Topology) -> NDArray[np.bool_]:
    from_lower, from_upper = (topology.rings_from(lip[0]) for lip in (LOWER_LIP, UPPER_LIP))
    chin = (from_lower <= 5) & (from_lower < from_upper)
    chin[list(LIPS)] = False
    return np.asarray(chin)


def frontness(points: Floats, tables: MeshTables) -> Floats:
    """(468,) how far the skin round each landmark faces the camera: 1 straight, 0 at right angles or away.

    Args:
        points: (468, 3) in a picture.
        tables: of the mesh.
    """
    return np.asarray(facing(points, tables.triangles, tables.skin_triangles), np.float32)


def _strip(ends: tuple[int, int], pairs: tuple[tuple[int, int], ...]) -> list[tuple[int, int, int]]:
    """Triangles of an opening between two rows of points that meet in two corners."""
    triangles = [(ends[0], *pairs[0])]
    for (u0, l0), (u1, l1) in pairwise(pairs):
        triangles += [(u0, u1, l0), (u1, l1, l0)]
    return [*triangles, (pairs[-1][0], ends[1], pairs[-1][1])]


def _around(topology: Topology, contour: tuple[int, ...]) -> tuple[int, ...]:
    near = np.flatnonzero(topology.adjacency[list(contour)].any(axis=0))
    return tuple(int(point) for point in near if point not in contour)

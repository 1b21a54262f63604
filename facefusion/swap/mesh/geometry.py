"""Constant tables of the drawn mesh, head pose, and the transfer of face shape."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facefusion.faces.topology import (
    INNER_LIPS,
    LANDMARK_COUNT,
    LEFT_EYE_CONTOUR,
    LEFT_EYE_CORNERS,
    LEFT_LIDS,
    RIGHT_EYE_CONTOUR,
    RIGHT_EYE_CORNERS,
    RIGHT_LIDS,
    STABLE,
    Topology,
)

Floats = NDArray[np.float32]


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
        feature: (468,) bool, points whose colour is not that of lit skin (eyes, brows, lips, nostrils).
        eyes: left and right in the image.
    """

    triangles: NDArray[np.int32]
    skin_triangles: int
    coverage: Floats
    shape_weight: Floats
    lip_weight: Floats
    feature: NDArray[np.bool_]
    eyes: tuple[Eye, Eye]
    mirror: NDArray[np.int32]
    lips: NDArray[np.int32]
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
    nostrils = (2, 97, 326, 98, 327, 19, 94, 125, 354, 241, 461, 238, 458, 20, 250, 242, 462, 99, 328, 60, 290, 75, 305)
    feature = np.zeros(LANDMARK_COUNT, bool)
    feature[list(topology.lips + topology.left_brow + topology.right_brow + nostrils)] = True
    for eye in eyes:
        feature[list(eye.contour)] = True
        feature[list(eye.halo)] = True
    return MeshTables(
        triangles=triangles,
        skin_triangles=len(topology.triangles),
        coverage=np.clip(rings / 1.6, 0.0, 1.0).astype(np.float32),
        shape_weight=np.clip(rings / 3.0, 0.0, 1.0).astype(np.float32)[:, None],
        lip_weight=np.clip(topology.lip_rings / 4.0, 0.0, 1.0).astype(np.float32)[:, None],
        feature=feature,
        eyes=(eyes[0], eyes[1]),
        mirror=topology.mirror,
        lips=np.array(topology.lips, np.int32),
        oval=np.array(topology.oval, np.int32),
        outline_rings=rings,
    )


@dataclass(frozen=True)
class Pose:
    """Similarity that takes canonical coordinates to a picture: y = scale * x @ rotation + offset."""

    scale: float
    rotation: Floats
    offset: Floats

    def apply(self, points: Floats) -> Floats:
        """Canonical points (n, 3) to the picture."""
        return np.asarray(self.scale * points @ self.rotation + self.offset, np.float32)

    def invert(self, points: Floats) -> Floats:
        """Points of the picture (n, 3) to canonical coordinates."""
        return np.asarray((points - self.offset) @ self.rotation.T / self.scale, np.float32)


def fit_pose(canonical: Floats, points: Floats, weights: Floats | None = None) -> Pose:
    """Least-squares similarity from canonical to picture coordinates.

    Source: Umeyama, "Least-squares estimation of transformation parameters between two point patterns" (1991),
    on the points that expressions hardly move.
    """
    chosen = list(STABLE)
    a, b = canonical[chosen].astype(np.float64), points[chosen].astype(np.float64)
    w = np.ones(len(chosen)) if weights is None else weights[chosen].astype(np.float64)
    w = (w / w.sum())[:, None]
    mean_a, mean_b = (a * w).sum(0), (b * w).sum(0)
    a, b = a - mean_a, b - mean_b
    u, values, vt = np.linalg.svd((a * w).T @ b)
    flip = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    rotation = (u * flip) @ vt
    scale = float((values * flip).sum() / ((a**2) * w).sum())
    offset = mean_b - scale * mean_a @ rotation
    return Pose(scale, rotation.astype(np.float32), offset.astype(np.float32))


def canonicalise(points: Floats, mirror: NDArray[np.int32]) -> tuple[Floats, Floats]:
    """Frontal, centred shape of unit size.

    A face is nearly symmetric; the frame in which the face and its mirror image agree best faces forward.

    Returns:
        (468, 3) the shape itself, and (468, 3) its symmetric part; x to the right, y down, z away from the
        camera, distance between the outer eye corners = 1.
    """
    flipped = points[mirror] * np.array([-1.0, 1.0, 1.0], np.float32)
    pose = fit_pose(flipped, points)
    # Half of the rotation between the mirror image and the face leads to the frame of symmetry.
    middle = _half_rotation(pose.rotation)
    shape = (points - points.mean(0)) @ middle.T
    shape = shape / np.linalg.norm(shape[33] - shape[263])
    mirrored = shape[mirror] * np.array([-1.0, 1.0, 1.0], np.float32)
    shape = shape - np.array([(shape - mirrored)[list(STABLE), 0].mean() / 2, 0, 0], np.float32)
    mirrored = shape[mirror] * np.array([-1.0, 1.0, 1.0], np.float32)
    return shape.astype(np.float32), ((shape + mirrored) / 2).astype(np.float32)


def shape_difference(source: Floats, target: Floats, tables: MeshTables, strength: float) -> Floats:
    """What must be added, in canonical coordinates, to give the target's mean shape the source's proportions.

    Args:
        source: (468, 3) canonical shape of the source.
        target: (468, 3) mean canonical shape of the target over its track, in the same frame.
        strength: 0 to 1.

    Returns:
        (468, 3) float32. Zero on the outline. Lips and eyes move as blocks: their place is identity, their
        curve is expression.
    """
    difference = strength * (fit_pose(target, source).invert(source) - target) * tables.shape_weight
    block = difference[tables.lips].mean(0)
    difference = difference * tables.lip_weight + block * (1 - tables.lip_weight)
    for eye in tables.eyes:
        shift = difference[list(eye.contour)].mean(0)
        difference[list(eye.contour)] = shift + 0.0
    return np.asarray(difference, np.float32)


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
                if (p, q) in ((x, y), (y, z), (z, x)):  # neighbours must run along the edge in opposite senses
                    result[other] = (x, z, y)
                done.add(other)
                stack.append(other)
    return result


def _half_rotation(rotation: Floats) -> Floats:
    """Rotation by half the angle about the same axis (Rodrigues)."""
    r = rotation.astype(np.float64)
    axis = np.array([r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1]])
    sine = np.linalg.norm(axis) / 2
    angle = np.arctan2(sine, (np.trace(r) - 1) / 2) / 2
    if sine < 1e-9:
        return np.eye(3, dtype=np.float32)
    x, y, z = axis / (2 * sine)
    k = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.asarray(np.eye(3) + np.sin(angle) * k + (1 - np.cos(angle)) * k @ k, np.float32)


def _strip(ends: tuple[int, int], pairs: tuple[tuple[int, int], ...]) -> list[tuple[int, int, int]]:
    """Triangles of an opening between two rows of points that meet in two corners."""
    triangles = [(ends[0], *pairs[0])]
    for (u0, l0), (u1, l1) in zip(pairs, pairs[1:], strict=False):
        triangles += [(u0, u1, l0), (u1, l1, l0)]
    return [*triangles, (pairs[-1][0], ends[1], pairs[-1][1])]


def _around(topology: Topology, contour: tuple[int, ...]) -> tuple[int, ...]:
    near = topology.adjacency[list(contour)].any(0)
    near[list(contour)] = False
    return tuple(int(point) for point in np.flatnonzero(near))

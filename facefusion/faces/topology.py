"""The mesh of 468 landmarks: triangles, rings and neighbourhoods.

The edge list is MediaPipe's own table. It lies in the same wheel as the models and is *parsed*, never
executed; triangles are the 3-cliques of that graph. Everything here is computed once and read-only.
"""

from __future__ import annotations

import ast
from collections import deque
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facefusion.errors import ModelMissingError

CONNECTIONS = "face_mesh_connections.py"
LANDMARK_COUNT = 468
_TRIANGLE_COUNT = 852

# Contours in the model's numbering ("left" is the image's left of an upright face). Lower lid from the outer
# to the inner corner, then the upper lid from outer to inner without the corners: the same order in which
# the iris model gives its first 16 points.
LEFT_EYE_CONTOUR = (33, 7, 163, 144, 145, 153, 154, 155, 133, 246, 161, 160, 159, 158, 157, 173)
RIGHT_EYE_CONTOUR = (263, 249, 390, 373, 374, 380, 381, 382, 362, 466, 388, 387, 386, 385, 384, 398)
# Pairs of an upper and a lower lid point above one another, outer to inner.
LEFT_LIDS = ((246, 7), (161, 163), (160, 144), (159, 145), (158, 153), (157, 154), (173, 155))
RIGHT_LIDS = ((466, 249), (388, 390), (387, 373), (386, 374), (385, 380), (384, 381), (398, 382))
LEFT_EYE_CORNERS = (33, 133)
RIGHT_EYE_CORNERS = (263, 362)
INNER_LIPS = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95)
# Rows of the lips from their outer edge to where they meet, each from the image's left to its right, without
# the corners; the columns of both lips stand above one another.
UPPER_LIP = (
    (185, 40, 39, 37, 0, 267, 269, 270, 409),
    (184, 74, 73, 72, 11, 302, 303, 304, 408),
    (183, 42, 41, 38, 12, 268, 271, 272, 407),
    (191, 80, 81, 82, 13, 312, 311, 310, 415),
)
LOWER_LIP = (
    (146, 91, 181, 84, 17, 314, 405, 321, 375),
    (77, 90, 180, 85, 16, 315, 404, 320, 307),
    (96, 89, 179, 86, 15, 316, 403, 319, 325),
    (95, 88, 178, 87, 14, 317, 402, 318, 324),
)
MOUTH_CORNERS = ((61, 291), (76, 306), (62, 292), (78, 308))
# Points that move with the head and hardly with expression.
STABLE = (10, 152, 234, 454, 127, 356, 168, 6, 1, 4, 33, 263, 133, 362, 61, 291, 172, 397)


@dataclass(frozen=True)
class Topology:
    """Constant tables of the mesh.

    Attributes:
        triangles: (n, 3) int32, skin only (holes at eyes and mouth).
        oval: landmark numbers of the face outline, in order round the face.
        outline_rings: (468,) int32, edge steps from the outline.
        mirror: (468,) int32, the landmark at the other side of the face.
        lips, left_eye, right_eye, left_brow, right_brow: landmark numbers.
        adjacency: (468, 468) bool.
    """

    triangles: NDArray[np.int32]
    oval: tuple[int, ...]
    outline_rings: NDArray[np.int32]
    mirror: NDArray[np.int32]
    lips: tuple[int, ...]
    left_eye: tuple[int, ...]
    right_eye: tuple[int, ...]
    left_brow: tuple[int, ...]
    right_brow: tuple[int, ...]
    adjacency: NDArray[np.bool_]

    def rings_from(self, start: tuple[int, ...]) -> NDArray[np.int32]:
        """Edge steps of every landmark from the nearest of `start`."""
        steps = np.full(LANDMARK_COUNT, 99, np.int32)
        steps[list(start)] = 0
        queue = deque(start)
        while queue:
            here = queue.popleft()
            for other in np.flatnonzero(self.adjacency[here]):
                if steps[other] > steps[here] + 1:
                    steps[other] = steps[here] + 1
                    queue.append(int(other))
        return steps


@lru_cache(maxsize=4)
def load_topology(models_dir: Path) -> Topology:
    """Read the mesh out of the installed connection table.

    Raises:
        ModelMissingError: when the table is absent or is not the expected one.
    """
    path = models_dir / CONNECTIONS
    try:
        return _build(_parse(path.read_text(encoding="utf-8")))
    except (OSError, SyntaxError, LookupError, TypeError, ValueError) as error:
        raise ModelMissingError(
            f"The mesh table {path.name} is not installed or damaged ({error})."
        ) from error


def _build(tables: dict[str, list[tuple[int, int]]]) -> Topology:
    edges, oval = tables["FACEMESH_TESSELATION"], _ring(tables["FACEMESH_FACE_OVAL"])
    adjacency = np.zeros((LANDMARK_COUNT, LANDMARK_COUNT), bool)
    for a, b in edges:
        adjacency[a, b] = adjacency[b, a] = True
    cliques = {
        tuple(sorted((a, b, int(c)))) for a, b in edges for c in np.flatnonzero(adjacency[a] & adjacency[b])
    }
    # Three points round a fourth, whose only neighbours they are, are no triangle of the surface.
    centred = {tuple(int(i) for i in np.flatnonzero(row)) for row in adjacency if row.sum() == 3}
    triangles = sorted(cliques - centred)
    if len(triangles) != _TRIANGLE_COUNT:
        raise ValueError(f"{len(triangles)} triangles instead of {_TRIANGLE_COUNT}")
    # MediaPipe names sides from the person's point of view; here sides are those of the image.
    lips, left_eye, right_eye, left_brow, right_brow = (
        _points(tables, f"FACEMESH_{name}")
        for name in ("LIPS", "RIGHT_EYE", "LEFT_EYE", "RIGHT_EYEBROW", "LEFT_EYEBROW")
    )
    empty = np.zeros(LANDMARK_COUNT, np.int32)
    bare = Topology(
        np.array(triangles, np.int32), oval, empty, _mirror(adjacency),
        lips, left_eye, right_eye, left_brow, right_brow, adjacency,
    )  # fmt: skip
    return Topology(
        bare.triangles, oval, bare.rings_from(oval), bare.mirror,
        lips, left_eye, right_eye, left_brow, right_brow, adjacency,
    )  # fmt: skip


def _parse(text: str) -> dict[str, list[tuple[int, int]]]:
    """Literal edge sets (`NAME = frozenset([(a, b), ...])`) of a Python file, without running it."""
    tables: dict[str, list[tuple[int, int]]] = {}
    for node in ast.parse(text).body:
        if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Call) or not node.value.args:
            continue
        target = node.targets[0]
        try:
            pairs = ast.literal_eval(node.value.args[0])
        except ValueError:
            continue  # a union of other tables; not needed
        if isinstance(target, ast.Name) and isinstance(pairs, list):
            tables[target.id] = [(int(a), int(b)) for a, b in pairs]
    return tables


def _points(tables: dict[str, list[tuple[int, int]]], name: str) -> tuple[int, ...]:
    points = sorted({point for edge in tables[name] for point in edge})
    if not points or points[0] < 0 or points[-1] >= LANDMARK_COUNT:
        raise ValueError(f"{name} is not a part of the mesh")
    return tuple(points)


def _ring(edges: list[tuple[int, int]]) -> tuple[int, ...]:
    following = dict(edges)
    ring = [edges[0][0]]
    while (after := following[ring[-1]]) != ring[0]:
        ring.append(after)
        if len(ring) > len(edges):
            raise ValueError("the outline is not a ring")
    return tuple(ring)


def _mirror(adjacency: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Match the two sides by growing from the middle line: the mesh is symmetric as a graph."""
    mirror = np.full(LANDMARK_COUNT, -1, np.int32)
    seeds = zip(LEFT_EYE_CONTOUR, RIGHT_EYE_CONTOUR, strict=True)
    middle = (
        10,
        151,
        9,
        8,
        168,
        6,
        197,
        195,
        5,
        4,
        1,
        19,
        94,
        2,
        164,
        0,
        11,
        12,
        13,
        14,
        15,
        16,
        17,
        18,
        200,
        199,
        175,
        152,
    )
    for a, b in [*seeds, *((m, m) for m in middle)]:
        mirror[a], mirror[b] = b, a
    degree = adjacency.sum(0)
    # A point is known by its already matched neighbours: its twin is next to their twins. The best
    # supported pair goes first; the two halves differ in a few edges, so not every vote must agree.
    near = adjacency.astype(np.float32)
    votes = near[:, mirror >= 0] @ near[mirror[mirror >= 0]]
    unlike = np.abs(degree[:, None] - degree[None, :])
    while (mirror < 0).any():
        score = np.where(votes > 0, votes * 4 - unlike, -99.0)
        score[mirror >= 0] = -99.0
        score[:, mirror >= 0] = -99.0
        np.fill_diagonal(score, -99.0)  # the middle line is complete
        point, twin = np.unravel_index(int(score.argmax()), score.shape)
        if score[point, twin] < 0:
            break
        mirror[point], mirror[twin] = twin, point
        votes += np.outer(near[point], near[twin]) + np.outer(near[twin], near[point])
    if (mirror < 0).any():
        raise ValueError("the mesh is not symmetric")
    return mirror

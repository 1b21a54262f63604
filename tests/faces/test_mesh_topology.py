"""The mesh: complete, symmetric, of one sense of rotation; damaged tables are named."""

from __future__ import annotations

import shutil
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from face_material import Models, Portrait

from facefusion.errors import ModelMissingError
from facefusion.faces.align import canonicalise
from facefusion.faces.attention import ATTENTION_MESH
from facefusion.faces.detect import FULL_RANGE, FaceDetector
from facefusion.faces.landmarks import Landmarker
from facefusion.faces.topology import (
    CONNECTIONS,
    LANDMARK_COUNT,
    LOWER_LIP,
    MOUTH_CORNERS,
    UPPER_LIP,
    load_topology,
)
from facefusion.swap.mesh.kernels import rasterise


def test_the_mesh_has_468_points_and_uses_all_of_them(models: Models) -> None:
    assert LANDMARK_COUNT == 468
    assert set(models.topology.triangles.ravel()) == set(range(468))
    assert models.topology.adjacency.shape == (468, 468)


def sides_of(triangles: Any) -> Counter[tuple[int, int]]:
    """How many triangles lie at each edge."""
    return Counter(
        (min(a, b), max(a, b))
        for triangle in triangles.tolist()
        for a, b in zip(triangle, triangle[1:] + triangle[:1], strict=True)
    )


def test_the_skin_is_one_surface_with_holes_at_eyes_and_mouth(models: Models) -> None:
    """Euler: points - edges + faces = 1 - holes for a disc with holes; every edge has one or two sides."""
    triangles = models.topology.triangles
    edges = sides_of(triangles)
    assert max(edges.values()) == 2
    assert 468 - len(edges) + len(triangles) == 1 - 3
    oval = models.topology.oval
    rim = {(min(a, b), max(a, b)) for a, b in zip(oval, oval[1:] + oval[:1], strict=True)}
    assert rim <= {edge for edge, sides in edges.items() if sides == 1}


def test_eyes_and_mouth_close_the_holes_when_the_mesh_is_drawn(models: Models) -> None:
    triangles = models.tables.triangles
    edges = sides_of(triangles)
    assert len([edge for edge, sides in edges.items() if sides == 1]) == len(models.topology.oval)


def test_all_triangles_turn_the_same_way(models: Models) -> None:
    """Neighbours run along their common edge in opposite senses."""
    directed = Counter(
        (a, b)
        for triangle in models.tables.triangles.tolist()
        for a, b in zip(triangle, triangle[1:] + triangle[:1], strict=True)
    )
    assert max(directed.values()) == 1


def test_triangles_seen_from_the_front_have_a_positive_area(models: Models, astronaut: Portrait) -> None:
    _, shape = canonicalise(astronaut.face.points, models.topology.mirror)
    a, b, c = (shape[models.tables.triangles[:, k], :2] for k in range(3))
    area = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]
    assert (area > 0).mean() > 0.95
    assert -area[area < 0].sum() < 0.01 * area.sum()


def test_a_drawn_face_has_no_gaps(models: Models, astronaut: Portrait) -> None:
    x0, y0, _, _ = astronaut.face.box
    points = ((astronaut.face.points - (x0, y0, 0)) * 2 + (5, 5, 0)).astype(np.float32)
    width, height = (int(v) + 10 for v in np.ptp(points[:, :2], axis=0))
    ids, weights = rasterise(points, models.tables.triangles, width, height)
    drawn = (ids >= 0).astype(np.uint8)
    filled = drawn.copy()
    for row in filled:  # between the first and the last drawn pixel of a row nothing is missing
        where = np.flatnonzero(row)
        if len(where):
            row[where[0] : where[-1] + 1] = 1
    assert (filled != drawn).sum() == 0
    inside = weights[ids >= 0]
    assert inside.min() > -0.01
    assert inside.sum(axis=1).max() < 1.01


def test_mirroring_twice_changes_nothing(models: Models) -> None:
    mirror = models.topology.mirror
    assert (mirror[mirror] == np.arange(468)).all()
    assert sorted(mirror) == list(range(468))


def test_the_mirror_point_lies_on_the_other_side_of_the_face(models: Models, astronaut: Portrait) -> None:
    shape, symmetric = canonicalise(astronaut.face.points, models.topology.mirror)
    flipped = shape[models.topology.mirror] * (-1, 1, 1)
    assert np.linalg.norm(flipped - shape, axis=1).max() < 0.12
    assert np.allclose(symmetric[models.topology.mirror] * (-1, 1, 1), symmetric, atol=1e-6)
    own = np.flatnonzero(models.topology.mirror == np.arange(468))
    assert len(own) == 28
    assert np.abs(symmetric[own, 0]).max() < 1e-6


def test_the_mirror_exchanges_left_and_right_features(models: Models) -> None:
    topology = models.topology
    for left, right in (
        (topology.left_eye, topology.right_eye),
        (topology.left_brow, topology.right_brow),
        (topology.lips, topology.lips),
        (topology.oval, topology.oval),
    ):
        assert {int(topology.mirror[point]) for point in left} == set(right)


def test_left_is_the_left_of_the_picture(models: Models, astronaut: Portrait) -> None:
    points, topology = astronaut.face.points, models.topology
    for left, right in ((topology.left_eye, topology.right_eye), (topology.left_brow, topology.right_brow)):
        assert points[list(left), 0].max() < points[list(right), 0].min()
    assert astronaut.face.irises[0, 0] < astronaut.face.irises[1, 0]


def test_rings_count_edge_steps(models: Models) -> None:
    topology = models.topology
    rings = topology.outline_rings
    assert (rings[list(topology.oval)] == 0).all()
    a, b = np.nonzero(topology.adjacency)
    assert np.abs(rings[a] - rings[b]).max() == 1
    assert rings.max() < 30


def test_rows_of_the_lips_follow_one_another_in_the_mesh(models: Models, astronaut: Portrait) -> None:
    """Each point touches the next in its row, its column and, at the ends, the corner of its row."""
    adjacency, points = models.topology.adjacency, astronaut.face.points
    for lip, side in ((UPPER_LIP, 1), (LOWER_LIP, -1)):
        for row, corners in zip(lip, MOUTH_CORNERS, strict=True):
            line = (corners[0], *row, corners[1])
            assert all(adjacency[a, b] for a, b in pairwise(line))
            assert (np.diff(points[list(line), 0]) > 0).all()
        for column in zip(*lip, strict=True):
            assert all(adjacency[a, b] for a, b in pairwise(column))
            assert (points[column[-1], 1] - points[column[0], 1]) * side > 0
    every = {point for part in (UPPER_LIP, LOWER_LIP, MOUTH_CORNERS) for row in part for point in row}
    assert len(every) == 80
    assert set(models.topology.lips) < every


# -- what is missing or damaged ------------------------------------------------------------------------------


@pytest.fixture
def folder(models: Models, tmp_path: Path) -> Path:
    """A models folder of its own, to be damaged."""
    for name in (FULL_RANGE, ATTENTION_MESH, CONNECTIONS):
        shutil.copyfile(models.folder / name, tmp_path / name)
    return tmp_path


def _load(folder: Path) -> None:
    FaceDetector(folder)
    Landmarker(folder)
    load_topology(folder)


ALL = pytest.mark.parametrize("name", [FULL_RANGE, ATTENTION_MESH, CONNECTIONS])


def test_an_intact_folder_loads(folder: Path) -> None:
    _load(folder)
    assert load_topology(folder).triangles.shape[1] == 3


@ALL
def test_an_absent_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(ModelMissingError, match=name) as caught:
        _load(folder)
    assert "models install" in caught.value.remedy


@ALL
@pytest.mark.parametrize("content", [b"", b"\0" * 4096, b"<html>404</html>", b"\xff\xfe\x80 not a model"])
def test_a_damaged_file_is_named(folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    with pytest.raises(ModelMissingError, match=name):
        _load(folder)


@ALL
@pytest.mark.parametrize("share", [0.1, 0.5, 0.98])
def test_a_truncated_file_is_named(folder: Path, name: str, share: float) -> None:
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ModelMissingError, match=name):
        _load(folder)


TABLES = (
    "FACEMESH_LIPS",
    "FACEMESH_LEFT_EYE",
    "FACEMESH_LEFT_EYEBROW",
    "FACEMESH_RIGHT_EYE",
    "FACEMESH_RIGHT_EYEBROW",
    "FACEMESH_FACE_OVAL",
    "FACEMESH_TESSELATION",
)


@pytest.mark.parametrize("pairs", ["[]", "[(0, 9999)]", "[(0, 'x')]", "[3, 4]", "missing"])
@pytest.mark.parametrize("table", TABLES)
def test_a_table_that_says_something_else_is_refused(folder: Path, table: str, pairs: str) -> None:
    text = (folder / CONNECTIONS).read_text().replace(f"{table} =", "OTHER =")
    text += f"\n{table} = frozenset({pairs})\n" if pairs != "missing" else ""
    (folder / CONNECTIONS).write_text(text)
    with pytest.raises(ModelMissingError, match=CONNECTIONS):
        load_topology(folder)


def test_a_mesh_with_an_edge_too_few_is_refused(folder: Path) -> None:
    text = (folder / CONNECTIONS).read_text()
    (folder / CONNECTIONS).write_text(
        text.replace("(127, 34)", "(127, 139)").replace("(34, 127)", "(127, 139)")
    )
    with pytest.raises(ModelMissingError, match="triangles"):
        load_topology(folder)


def test_the_table_is_parsed_and_not_executed(folder: Path, tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    with (folder / CONNECTIONS).open("a") as table:
        table.write(
            f"\nopen({str(witness)!r}, 'w').write('ran')\nX = frozenset(open({str(witness)!r}, 'w'))\n"
        )
    load_topology(folder)
    assert not witness.exists()

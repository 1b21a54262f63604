"""What is cleaned in a source face before it is drawn over others."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from face_material import Floats, Image, Models, Portrait

from facefusion.faces.align import canonicalise
from facefusion.swap.masks import grown_hull
from facefusion.swap.mesh.kernels import interpolate, rasterise
from facefusion.swap.mesh.retouch import Layout, relax_smile
from facefusion.swap.mesh.source import MeshSource


@pytest.fixture(scope="module")
def smiling(models: Models, astronaut: Portrait) -> Floats:
    return canonicalise(astronaut.face.points, models.topology.mirror)[1]


def _layout(models: Models, source: MeshSource) -> Layout:
    side = source.atlas[0][0].shape[0]
    flat = np.concatenate([source.places, source.shape[:, 2:] * side], axis=1).astype(np.float32)
    ids, weights = rasterise(flat, models.tables.triangles, side, side)

    def spread(values: Floats) -> Floats:
        return np.asarray(interpolate(ids, weights, models.tables.triangles, values, 0.0))

    return Layout(ids >= 0, spread, source.places, source.size, models.tables)


def _with_line(picture: Image, source: MeshSource, ends: tuple[int, int]) -> Image:
    """A dark line as wide as a fold between two landmarks."""
    start, stop = (tuple(int(v) for v in source.places[point]) for point in ends)
    line = np.zeros(picture.shape[:2], np.float32)
    cv2.line(line, start, stop, 1.0, max(2, int(source.size / 50)), cv2.LINE_AA)
    return np.asarray(
        picture * (1 - 0.4 * cv2.GaussianBlur(line, (0, 0), source.size / 200))[..., None], np.uint8
    )


def _depth(picture: Image, plain: Image, source: MeshSource, ends: tuple[int, int]) -> float:
    """How much darker the middle of such a line is than the same place without it."""
    x, y = source.places[list(ends)].mean(0).round().astype(int)
    place = np.s_[y - 2 : y + 3, x - 2 : x + 3]
    return float(plain[place].mean() - picture[place].mean())


NOSE_TO_MOUTH = (206, 216)
UNDER_AN_EYE = (118, 101)


def test_lines_of_a_smile_fade_and_others_stay(
    models: Models, source_astronaut: MeshSource, smiling: Floats
) -> None:
    source, layout = source_astronaut, _layout(models, source_astronaut)
    plain = source.atlas[0][0]
    relaxed_plain = relax_smile(plain, layout, smiling)
    for ends, most, least in ((NOSE_TO_MOUTH, 0.5, 0.0), (UNDER_AN_EYE, 1.05, 0.8)):
        lined = _with_line(plain, source, ends)
        relaxed = relax_smile(lined, layout, smiling)
        left = _depth(relaxed, relaxed_plain, source, ends) / _depth(lined, plain, source, ends)
        assert least <= left <= most


def test_a_face_that_does_not_smile_keeps_all_its_lines(
    models: Models, source_astronaut: MeshSource, smiling: Floats
) -> None:
    resting = smiling.copy()
    resting[[61, 291], 0] *= 0.7
    atlas = source_astronaut.atlas[0][0]
    relaxed = relax_smile(atlas, _layout(models, source_astronaut), resting)
    assert np.array_equal(relaxed, atlas)


def test_nothing_of_a_fringe_is_left_on_the_forehead(models: Models, source_astronaut: MeshSource) -> None:
    """The astronaut's fringe ends just above her brows, with strands and a shadow below."""
    source = source_astronaut
    grey = cv2.cvtColor(source.atlas[0][0], cv2.COLOR_BGR2GRAY)
    forehead = np.zeros_like(grey)
    points = source.places[
        [10, 109, 67, 103, 54, 68, 104, 69, 108, 151, 337, 299, 333, 298, 284, 332, 297, 338]
    ]
    cv2.fillConvexPoly(forehead, cv2.convexHull(points.round().astype(np.int32)), 1)
    for brow in models.tables.dark[:2]:
        cv2.fillConvexPoly(forehead, grown_hull(source.places[list(brow)], 0.3).round().astype(np.int32), 0)
    cheeks = np.median(source.colours[[50, 280, 205, 425]] @ (0.114, 0.587, 0.299))
    assert forehead.sum() > 2000
    assert grey[forehead > 0].min() > 0.8 * cheeks

"""Eyes are balls behind lids: whole in the atlas, and seen as far as the target's lids are open."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from face_material import Image, Models, Portrait, packed
from numpy.typing import NDArray
from swapping import closer

from facefusion.config import AutomationConfig
from facefusion.faces.landmarks import lid_opening
from facefusion.swap.mesh.engine import MeshEngine
from facefusion.swap.mesh.eyeballs import REACH
from facefusion.swap.mesh.source import MeshSource


def _luma(picture: Image) -> NDArray[np.float32]:
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), np.float32)


@pytest.mark.parametrize("side", [0, 1])
def test_an_eyeball_has_a_round_iris_and_white_all_round(source_astronaut: MeshSource, side: int) -> None:
    luma = _luma(source_astronaut.atlas[0][0])
    x, y, radius = source_astronaut.eyeballs[side]
    rows, columns = np.indices(luma.shape)
    far = np.hypot(columns - x, rows - y) / radius
    above, below = (
        np.median(luma[(far > 0.5) & (far < 0.8) & half])
        for half in (rows < y - radius / 3, rows > y + radius / 3)
    )
    ring = (far > 1.5) & (far < 2.0)
    over, under = (np.median(luma[ring & half]) for half in (rows < y - radius, rows > y + radius))
    assert abs(above - below) < 30
    assert min(over, under) > max(above, below) + 30
    assert abs(over - under) < 30


@pytest.mark.parametrize("source", ["source_astronaut", "source_man", "source_woman"])
def test_eyeballs_lie_beside_the_face_and_inside_the_atlas(
    source: str, request: pytest.FixtureRequest
) -> None:
    prepared: MeshSource = request.getfixturevalue(source)
    outline = cv2.convexHull(prepared.places)
    side = prepared.atlas[0][0].shape[0]
    for x, y, radius in prepared.eyeballs:
        assert radius > 0
        reach = REACH * radius
        corners = [(x + dx * reach, y + dy * reach) for dx in (-1, 1) for dy in (-1, 1)]
        for corner in corners:
            assert cv2.pointPolygonTest(outline, (float(corner[0]), float(corner[1])), False) < 0
            assert min(corner) >= -1
            assert max(corner) <= side


def test_an_eye_open_wider_than_the_sources_shows_more_white(
    models: Models, mesh_engine: MeshEngine, astronaut: Portrait, source_astronaut: MeshSource
) -> None:
    near = closer(models, astronaut, 220, (400, 320))
    points = near.face.points.copy()
    lifted = []
    for eye in models.tables.eyes:
        upper, lower = np.array(eye.lids).T
        points[upper] += 0.9 * (points[upper] - points[lower])
        lifted.append(points[list(eye.contour), :2])
    wide = replace(near.face, points=points, lids=lid_opening(points))
    frame = packed(near.picture)
    painter = mesh_engine.painter(source_astronaut, AutomationConfig())
    painter.study(frame, 0, near.face)
    patch = painter.draw(frame, wide, painter.study(frame, 0, wide))
    assert patch is not None
    frame.blend(patch.box, patch.colour, patch.alpha)
    for side, (eye, contour) in enumerate(zip(models.tables.eyes, lifted, strict=True)):
        opening = np.zeros(near.picture.shape[:2], np.uint8)
        cv2.fillPoly(opening, [np.round(contour).astype(np.int32)], 1)
        opening = cv2.erode(opening, np.ones((5, 5), np.uint8))
        rows, columns = np.indices(opening.shape)
        x, y, radius = near.face.irises[side]
        above = (opening > 0) & (rows < y - 1.3 * radius) & (np.abs(columns - x) < radius)
        column, row = near.face.points[list(eye.contour), :2].mean(0)
        row += 1.2 * (radius + 12)  # on the cheek
        around = np.s_[int(row) - 3 : int(row) + 4, int(column) - 3 : int(column) + 4]
        assert above.sum() > 10
        assert _redness(frame.pixels[above]) < 0.75 * _redness(frame.pixels[around].reshape(-1, 3))


def _redness(pixels: NDArray[np.uint8]) -> float:
    blue, red = (pixels[:, k].astype(np.float32) for k in (0, 2))
    return float(np.median((red - blue) / (red + blue + 1)))

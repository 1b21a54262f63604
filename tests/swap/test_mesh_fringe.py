"""Hair over the forehead of a target stays in front of the face that is drawn."""

from __future__ import annotations

import cv2
import numpy as np
from face_material import Models, Portrait
from swapping import swap

from facefusion.swap.mesh.engine import MeshEngine
from facefusion.swap.mesh.fringe import fringe
from facefusion.swap.mesh.light import vertex_colours
from facefusion.swap.mesh.source import MeshSource

FOREHEAD = [10, 109, 67, 103, 104, 69, 108, 151, 337, 299, 333, 332, 297, 338]


def test_a_fringe_stays_whole(
    models: Models, mesh_engine: MeshEngine, source_man: MeshSource, target_astronaut: Portrait
) -> None:
    """The astronaut's fringe is as light as her skin, but for its lower edge."""
    [swapped] = swap(models, mesh_engine, source_man, [target_astronaut.picture])
    change = np.abs(swapped.picture.astype(int) - target_astronaut.picture).max(axis=2)
    points = swapped.target.points[:, :2].round().astype(int)
    for point in (109, 10, 338, 297):
        x, y = points[point]
        assert change[y - 2 : y + 3, x - 2 : x + 3].mean() < 4
    x, y = points[50]
    assert change[y - 5 : y + 6, x - 5 : x + 6].mean() > 4


def test_a_bare_forehead_has_none(models: Models, man: Portrait) -> None:
    picture, points = man.picture, man.face.points[:, :2].astype(np.float32)
    skin = np.tile(
        np.median(picture[tuple(points[[9, 8, 151]].round().astype(int).T[::-1])], axis=0), (468, 1)
    )
    spare = np.zeros(picture.shape[:2], np.uint8)
    for brow in models.tables.dark:
        hull = cv2.convexHull(points[list(brow)])[:, 0]
        cv2.fillConvexPoly(spare, ((hull - hull.mean(0)) * 1.5 + hull.mean(0)).round().astype(np.int32), 255)
    mask = fringe(picture, points, skin.astype(np.float32), spare)
    middle = points[[9, 151, 108, 337]].round().astype(int)
    assert mask is None or mask[middle[:, 1], middle[:, 0]].max() < 30


def test_hair_is_found_whichever_way_the_head_is_held(
    astronaut: Portrait, source_astronaut: MeshSource
) -> None:
    """What lies above the lower edge of a fringe is above it in the head's own frame."""
    colours = vertex_colours(astronaut.picture, astronaut.face.points, astronaut.face.size)
    skin = source_astronaut.light.bare_skin(colours)
    for turn in (0, 35, -60, 180):
        height, width = astronaut.picture.shape[:2]
        matrix = cv2.getRotationMatrix2D((width / 2, height / 2), turn, 1.0)
        picture = cv2.warpAffine(astronaut.picture, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
        points = (astronaut.face.points[:, :2] @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)
        mask = fringe(np.asarray(picture, np.uint8), points, skin, np.zeros((height, width), np.uint8))
        assert mask is not None
        x, y = points[10].round().astype(int)
        assert mask[y, x] > 200, turn
        x, y = points[6].round().astype(int)
        assert mask[y, x] < 30, turn

"""The result looks like the source: texture, proportions, whatever the source's picture is like."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from face_material import Floats, Image, Models, Portrait, camera, middle, shown
from swapping import closer, likeness, skin, swap

from facefusion.faces.align import canonicalise, fit_pose
from facefusion.faces.landmarks import Face
from facefusion.swap.mesh.engine import MeshEngine
from facefusion.swap.mesh.source import MeshSource

PAIRS = [("man", "astronaut"), ("woman", "astronaut"), ("astronaut", "man"), ("woman", "man")]


@pytest.mark.parametrize(("whose", "onto"), PAIRS)
def test_the_result_is_nearer_to_the_source_than_the_target_was(
    models: Models, mesh_engine: MeshEngine, whose: str, onto: str, request: pytest.FixtureRequest
) -> None:
    source: MeshSource = request.getfixturevalue(f"source_{whose}")
    target: Portrait = request.getfixturevalue(f"target_{onto}")
    [swapped] = swap(models, mesh_engine, source, [target.picture])
    before = likeness(models, target.picture, target.face, source)
    after = likeness(models, swapped.picture, models.face(swapped.picture), source)
    # Shut eyes are not carried over, and eyes are a large part of likeness.
    least, gain = (0.4, 0.02) if source.lids.max() < 0.15 else (0.55, 0.15)
    assert after > least
    assert after > before + gain


def _away_from(source: MeshSource, face: Face, models: Models) -> float:
    """Mean distance of a face's proportions from the source's, outer eye corners 1 apart."""
    shape = canonicalise(face.points, models.topology.mirror)[1]
    fitted = fit_pose(source.shape, shape).invert(shape)
    inner = models.topology.outline_rings > 2
    return float(np.linalg.norm((fitted - source.shape)[:, :2], axis=1)[inner].mean())


def test_without_shape_the_targets_geometry_stays(
    models: Models, mesh_engine: MeshEngine, source_man: MeshSource, target_astronaut: Portrait
) -> None:
    [swapped] = swap(models, mesh_engine, source_man, [target_astronaut.picture], shape_strength=0.0)
    assert not swapped.manner.difference.any()
    face = models.face(swapped.picture)
    away = np.linalg.norm(face.points[:, :2] - swapped.target.points[:, :2], axis=1)
    assert away.mean() < 0.02 * swapped.target.size
    assert away.max() < 0.06 * swapped.target.size


def test_with_shape_the_proportions_become_the_sources(
    models: Models, mesh_engine: MeshEngine, source_man: MeshSource, target_astronaut: Portrait
) -> None:
    distances = []
    for strength in (0.0, 0.5, 1.0):
        [swapped] = swap(models, mesh_engine, source_man, [target_astronaut.picture], shape_strength=strength)
        distances.append(_away_from(source_man, models.face(swapped.picture), models))
    assert distances[0] > distances[1] > distances[2]
    assert distances[2] < 0.65 * _away_from(source_man, target_astronaut.face, models)


def test_the_outline_stays_where_it_meets_the_targets_head(
    models: Models, mesh_engine: MeshEngine, source_man: MeshSource, target_astronaut: Portrait
) -> None:
    [swapped] = swap(models, mesh_engine, source_man, [target_astronaut.picture])
    moved = np.linalg.norm(swapped.manner.difference, axis=1)
    rings = models.topology.outline_rings
    assert moved[rings == 0].mean() < 0.6 * moved[rings > 3].mean()
    assert moved.max() < 0.35


def test_a_face_swapped_onto_itself_stays_itself(
    models: Models, mesh_engine: MeshEngine, source_astronaut: MeshSource, target_astronaut: Portrait
) -> None:
    [swapped] = swap(models, mesh_engine, source_astronaut, [target_astronaut.picture])
    x0, y0, x1, y1 = swapped.patch.box
    inside = swapped.patch.alpha > 200
    before = target_astronaut.picture[y0:y1, x0:x1][inside].astype(float)
    after = swapped.picture[y0:y1, x0:x1][inside].astype(float)
    assert np.abs(before - after).mean() < 14
    assert likeness(models, swapped.picture, models.face(swapped.picture), source_astronaut) > 0.85


# -- kinds of sources ---------------------------------------------------------------------------------------


def _fine(source: MeshSource) -> Floats:
    """Fine structure of the middle of the atlas, 128 x 128."""
    picture = cv2.resize(source.atlas[0][0], (128, 128), interpolation=cv2.INTER_AREA)
    luma = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY).astype(np.float32)
    fine = cv2.GaussianBlur(luma, (0, 0), 1) - cv2.GaussianBlur(luma, (0, 0), 6)
    return np.asarray(fine[20:108, 30:98], np.float32)


def _alike(one: MeshSource, other: MeshSource) -> float:
    return float(np.corrcoef(_fine(one).ravel(), _fine(other).ravel())[0, 1])


def test_several_pictures_of_one_face_are_laid_over_each_other(
    models: Models, mesh_engine: MeshEngine, astronaut: Portrait, source_astronaut: MeshSource
) -> None:
    """A picture turned by 20 degrees and of another size falls into place; nothing blurs."""
    matrix = camera(middle(astronaut.face), size=(400, 400), zoom=1.3, turn=20)
    turned = shown(astronaut.picture, matrix, (400, 400))
    both = mesh_engine.prepare([(astronaut.picture, astronaut.face), (turned, models.face(turned))])
    assert _alike(both, source_astronaut) > 0.97
    assert _fine(both).std() > 0.85 * _fine(source_astronaut).std()


def test_every_one_of_several_pictures_counts(
    mesh_engine: MeshEngine,
    astronaut: Portrait,
    man: Portrait,
    source_astronaut: MeshSource,
    source_man: MeshSource,
) -> None:
    mixed = mesh_engine.prepare([(astronaut.picture, astronaut.face), (man.picture, man.face)])
    apart = _alike(source_astronaut, source_man)
    assert _alike(mixed, source_astronaut) > apart + 0.15
    assert _alike(mixed, source_man) > apart + 0.15
    assert np.allclose(mixed.shape, (source_astronaut.shape + source_man.shape) / 2, atol=1e-5)


@pytest.mark.parametrize("place", [1, 4])
def test_a_source_turned_away_has_two_sides(
    models: Models, mesh_engine: MeshEngine, group: list[Portrait], target_astronaut: Portrait, place: int
) -> None:
    """What the picture hides comes from the other side; neither half is a smear."""
    source = mesh_engine.prepare([(group[place].picture, group[place].face)])
    fine = _fine(source)
    half = fine.shape[1] // 2
    ratio = fine[:, :half].std() / fine[:, half:].std()
    assert 0.6 < ratio < 1.7
    assert np.isfinite(source.colours).all()
    [swapped] = swap(models, mesh_engine, source, [target_astronaut.picture])
    before = likeness(models, target_astronaut.picture, target_astronaut.face, source)
    assert likeness(models, swapped.picture, models.face(swapped.picture), source) > before


def test_a_black_and_white_source_gets_the_targets_colour(
    models: Models, mesh_engine: MeshEngine, man: Portrait, target_astronaut: Portrait
) -> None:
    grey = np.asarray(
        cv2.cvtColor(cv2.cvtColor(man.picture, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR), np.uint8
    )
    source = mesh_engine.prepare([(grey, man.face)])
    assert np.ptp(source.colours, axis=1).max() < 2
    [swapped] = swap(models, mesh_engine, source, [target_astronaut.picture])
    wanted = skin(target_astronaut.picture, swapped.target).mean(0)
    got = skin(swapped.picture, swapped.target).mean(0)
    # Blue, green and red each; a grey face would miss red by 30 and blue by 25.
    assert np.abs(got - wanted).max() < 14
    assert got[2] - got[0] > 0.6 * (wanted[2] - wanted[0])


@pytest.mark.parametrize("side", ["left", "top"])
def test_a_source_cut_by_the_border_of_its_picture_can_be_used(
    models: Models, mesh_engine: MeshEngine, astronaut: Portrait, target_man: Portrait, side: str
) -> None:
    x0, y0, x1, y1 = astronaut.face.box
    left = int(x0 + 0.1 * (x1 - x0)) if side == "left" else 0
    top = int(y0 + 0.1 * (y1 - y0)) if side == "top" else 0
    cut: Image = np.ascontiguousarray(astronaut.picture[top:, left:])
    source = mesh_engine.prepare([(cut, models.face(cut))])
    [swapped] = swap(models, mesh_engine, source, [target_man.picture])
    assert likeness(models, swapped.picture, models.face(swapped.picture), source) > 0.5


@pytest.mark.parametrize("face_pixels", [42, 120, 1400])
def test_sources_of_every_size_can_be_used(
    models: Models, mesh_engine: MeshEngine, astronaut: Portrait, target_man: Portrait, face_pixels: int
) -> None:
    side = int(1.6 * face_pixels)
    portrait = closer(models, astronaut, face_pixels, (side, side))
    source = mesh_engine.prepare([(portrait.picture, portrait.face)])
    assert 384 <= source.atlas[0][0].shape[0] <= 1024
    [swapped] = swap(models, mesh_engine, source, [target_man.picture])
    assert likeness(models, swapped.picture, models.face(swapped.picture), source) > 0.5

"""The parts of the mesh engine by themselves: drawing, masks, light, shape, softness, things in front."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from face_material import Floats, Image, Models, Portrait, packed

from facefusion.config import AutomationConfig
from facefusion.faces.align import canonicalise
from facefusion.faces.picture import fine_detail
from facefusion.faces.topology import LOWER_LIP, MOUTH_CORNERS
from facefusion.swap.masks import add_polygons, fading_silhouette, grown_hull
from facefusion.swap.mesh.engine import MeshEngine
from facefusion.swap.mesh.geometry import LIPS, mouth_width, shape_difference
from facefusion.swap.mesh.grain import (
    SOFTENING,
    SoftnessControl,
    sharpness,
    sharpness_of_middle,
)
from facefusion.swap.mesh.kernels import foreign, interpolate, rasterise, weighted_means
from facefusion.swap.mesh.light import (
    LightTransfer,
    UsualColours,
    colour_depth,
    colour_tone,
    read_colours,
    vertex_colours,
    with_depth,
)
from facefusion.swap.mesh.occlusion import OcclusionModel
from facefusion.swap.mesh.source import MeshSource


@pytest.fixture(scope="module")
def shape(models: Models, astronaut: Portrait) -> Floats:
    return canonicalise(astronaut.face.points, models.topology.mirror)[1]


# -- drawing ------------------------------------------------------------------------------------------------

NEAR = np.array([[10, 10, 1], [30, 10, 1], [10, 30, 1]], np.float32)
FAR = NEAR + np.array([2, 2, 5], np.float32)


@pytest.mark.parametrize("order", [[[0, 1, 2], [3, 4, 5]], [[3, 4, 5], [0, 1, 2]]])
def test_what_is_nearer_covers_what_is_farther(order: list[list[int]]) -> None:
    ids, _ = rasterise(np.concatenate([NEAR, FAR]), np.array(order, np.int32), 40, 40)
    assert ids[14, 14] == order.index([0, 1, 2])
    assert ids[21, 21] == order.index([3, 4, 5])
    assert ids[5, 5] == -1


def test_triangles_seen_from_behind_are_not_drawn() -> None:
    ids, _ = rasterise(NEAR, np.array([[0, 2, 1]], np.int32), 40, 40)
    assert (ids == -1).all()


def test_neighbouring_triangles_leave_no_gap() -> None:
    random = np.random.default_rng(4)
    for _ in range(20):
        inner = random.uniform(12, 28, 2)
        corners = np.array([[2, 2], [38, 2], [38, 38], [2, 38], inner])
        points = np.concatenate([corners, np.zeros((5, 1))], axis=1).astype(np.float32)
        fan = np.array([[0, 1, 4], [1, 2, 4], [2, 3, 4], [3, 0, 4]], np.int32)
        ids, _ = rasterise(points, fan, 41, 41)
        assert (ids[2:39, 2:39] >= 0).all()


def test_a_linear_function_is_interpolated_exactly() -> None:
    triangles = np.array([[0, 1, 2]], np.int32)
    ids, weights = rasterise(NEAR, triangles, 40, 40)
    values = interpolate(ids, weights, triangles, np.ascontiguousarray(NEAR[:, :2] * (2, -3) + 7), -99.0)
    y, x = np.nonzero(ids >= 0)
    assert np.allclose(values[y, x], np.stack([2 * x + 7, -3 * y + 7], axis=1), atol=1e-3)
    assert (values[ids < 0] == -99).all()


@pytest.mark.parametrize("offset", [(-25, 0), (25, 0), (0, -25), (0, 25), (-500, 900)])
def test_what_lies_outside_the_picture_is_clipped(offset: tuple[int, int]) -> None:
    ids, _ = rasterise(NEAR + np.array([*offset, 0], np.float32), np.array([[0, 1, 2]], np.int32), 40, 40)
    assert ids.shape == (40, 40)
    whole, _ = rasterise(NEAR + 1000, np.array([[0, 1, 2]], np.int32), 1100, 1100)
    assert (ids >= 0).sum() < (whole >= 0).sum()


def test_weighted_means_are_means() -> None:
    random = np.random.default_rng(1)
    kernel, values, weights = (random.random(s).astype(np.float32) for s in ((7, 5), (5, 3), (5,)))
    share = kernel * weights
    expected = share @ values / share.sum(axis=1, keepdims=True)
    assert np.allclose(weighted_means(kernel, values, weights), expected, atol=1e-4)


def _doubt(colour: tuple[float, float, float]) -> float:
    skin = np.array([[[110, 140, 190]]], np.float32)
    return float(foreign(np.array([[colour]], np.float32), skin)[0, 0])


def test_skin_in_another_light_is_skin_and_hair_is_not() -> None:
    assert _doubt((110, 140, 190)) == 0
    assert _doubt((95, 120, 165)) == 0
    assert _doubt((140, 175, 235)) == 0
    assert _doubt((25, 30, 40)) == 1
    assert _doubt((190, 120, 60)) == 1
    assert _doubt((70, 170, 80)) == 1


# -- masks --------------------------------------------------------------------------------------------------

SQUARE = np.array([[20, 20], [40, 20], [40, 40], [20, 40]], np.float32)


def test_a_polygon_is_full_inside_and_soft_at_its_edge() -> None:
    mask = np.zeros((60, 60), np.uint8)
    add_polygons(mask, [SQUARE], sigma=2.0)
    assert mask[30, 30] == 255
    assert 90 < mask[30, 20] < 170
    assert mask[30, 5] == 0
    assert (np.diff(mask[30, 10:30].astype(int)) >= 0).all()


def test_the_stronger_of_two_polygons_stays() -> None:
    mask = np.zeros((60, 60), np.uint8)
    add_polygons(mask, [SQUARE], sigma=1.0)
    add_polygons(mask, [SQUARE], sigma=1.0, shares=[0.4])
    assert mask[30, 30] == 255
    add_polygons(mask, [SQUARE + 15], sigma=1.0, shares=[0.4])
    assert mask[50, 50] == round(255 * 0.4)


def test_the_stronger_of_two_polygons_that_are_added_together_stays() -> None:
    mask = np.zeros((60, 60), np.uint8)
    add_polygons(mask, [SQUARE, SQUARE + 10], sigma=1.0, shares=[0.8, 0.4])
    assert mask[35, 35] == round(255 * 0.8)
    assert mask[46, 46] == round(255 * 0.4)


@pytest.mark.parametrize("offset", [-100, -25, 35, 200])
def test_polygons_may_leave_the_picture(offset: int) -> None:
    mask = np.zeros((60, 60), np.uint8)
    add_polygons(mask, [SQUARE + offset], sigma=2.0)
    wide = np.zeros((400, 400), np.uint8)
    add_polygons(wide, [SQUARE + 150 + offset], sigma=2.0)
    assert np.abs(mask.astype(int) - wide[150:210, 150:210]).max() <= 8
    add_polygons(mask, [SQUARE], sigma=2.0, shares=[0.0])


def test_a_hull_grows_on_all_sides() -> None:
    grown = grown_hull(SQUARE, 0.1)
    assert np.allclose(np.linalg.norm(grown - 30, axis=1), np.sqrt(200) + 2, atol=1e-3)


def test_a_silhouette_fades_inwards_but_not_at_the_border_of_the_picture() -> None:
    inside = np.zeros((200, 200), bool)
    inside[40:160, :160] = True
    mask = fading_silhouette(inside, 120.0)
    assert mask[100, 100] == 255
    assert mask[100, 0] == 255
    assert mask[100, 158] < 110
    assert mask[41, 80] < 110
    assert (mask[~inside] < 60).all()


# -- light --------------------------------------------------------------------------------------------------


def test_colours_are_read_where_the_landmarks_are(astronaut: Portrait) -> None:
    """The same from the whole picture and from the reduced region of a frame."""
    direct = vertex_colours(astronaut.picture, astronaut.face.points, astronaut.face.size)
    read = read_colours(packed(astronaut.picture), astronaut.face.points, astronaut.face.size)
    assert direct.shape == read.shape == (468, 3)
    assert np.abs(direct - read).mean() < 3


@pytest.mark.parametrize("gain", [0.4, 1.0, 1.8])
def test_the_light_is_the_ratio_of_target_to_source(source_astronaut: MeshSource, gain: float) -> None:
    source = source_astronaut
    light = source.light.transfer(
        source.colours, source.confidence, source.colours * np.float32(gain), UsualColours()
    )
    assert np.median(np.abs(light.gain - gain)) < 0.06


def test_what_is_not_skin_has_no_say_in_the_light(models: Models, source_astronaut: MeshSource) -> None:
    source = source_astronaut
    colours = source.colours.copy()
    lips = list(models.topology.lips)
    colours[lips] = (20, 20, 250)
    painted = source.light.transfer(source.colours, source.confidence, colours, UsualColours())
    plain = source.light.transfer(source.colours, source.confidence, source.colours, UsualColours())
    assert np.abs(painted.gain - plain.gain).max() < 0.02


def test_smoothing_keeps_a_constant(models: Models, shape: Floats) -> None:
    transfer = LightTransfer(shape, models.tables)
    assert np.allclose(transfer.smooth(np.full((468, 2), 5.0, np.float32)), 5.0, atol=1e-3)


# -- shape --------------------------------------------------------------------------------------------------


def test_a_face_does_not_differ_from_itself(models: Models, shape: Floats) -> None:
    assert np.abs(shape_difference(shape, shape, models.tables, 1.0)).max() < 1e-4
    wider = (shape * (1.1, 1, 1)).astype(np.float32)
    assert not shape_difference(wider, shape, models.tables, 0.0).any()
    half, whole = (shape_difference(wider, shape, models.tables, s) for s in (0.5, 1.0))
    assert np.allclose(2 * half, whole, atol=1e-4)


def test_the_smile_of_the_source_is_not_copied(models: Models, shape: Floats) -> None:
    """Not its curve, and of its width half: a wide mouth may be the person's own."""
    lips = list(LIPS)
    resting, smiling = shape.copy(), shape.copy()
    resting[lips, 0] *= 0.5 / mouth_width(shape)
    aside = shape[lips, 0] / np.abs(shape[lips, 0]).max()
    smiling[lips, 1] -= 0.10 * aside**2
    moved = resting + shape_difference(smiling, resting, models.tables, 1.0)

    def rise(points: Floats) -> float:
        return float(points[[13, 14], 1].mean() - points[[78, 308], 1].mean())

    assert abs(rise(moved) - rise(resting)) < 0.01
    assert mouth_width(moved) - mouth_width(resting) < 0.6 * (mouth_width(smiling) - mouth_width(resting))


def test_lips_do_not_fold_over_the_skin_for_a_source_that_laughs(models: Models, shape: Floats) -> None:
    laughing = shape.copy()
    laughing[np.array(LOWER_LIP), 1] += 0.15
    laughing[np.array(MOUTH_CORNERS), 1] -= 0.05
    moved = shape + shape_difference(laughing, shape, models.tables, 1.0)
    round_mouth = models.topology.rings_from(LIPS) <= 2
    triangles = models.topology.triangles
    triangles = triangles[round_mouth[triangles].all(axis=1)]

    def areas(points: Floats) -> Floats:
        a, b, c = (points[triangles[:, k], :2] for k in range(3))
        return np.asarray((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0], np.float32)

    before, after = areas(shape), areas(moved)
    seen = np.abs(before) > 1e-3  # slivers at the corners aside
    assert seen.sum() > 100
    assert (np.sign(before) == np.sign(after))[seen].all()


def test_the_opening_of_the_sources_mouth_is_not_copied(models: Models, shape: Floats) -> None:
    """A source that laughs does not make every frame laugh."""
    laughing = shape.copy()
    lower = [14, 87, 317, 178, 402, 88, 318, 95, 324, 17, 84, 314, 181, 405, 91, 321, 146, 375]
    laughing[lower, 1] += 0.15
    moved = shape + shape_difference(laughing, shape, models.tables, 1.0)
    gap = np.linalg.norm(shape[13] - shape[14])
    assert abs(np.linalg.norm(moved[13] - moved[14]) - gap) < 0.02


# -- softness -----------------------------------------------------------------------------------------------


def _texture(sigma: float, noise: float) -> Image:
    random = np.random.default_rng(8)
    base = cv2.GaussianBlur(random.normal(0, 400, (128, 128)), (0, 0), 6) + 128
    return np.clip(
        cv2.GaussianBlur(base, (0, 0), sigma) + random.normal(0, noise, base.shape), 0, 255
    ).astype(np.uint8)


def test_fine_detail_measures_noise_and_not_structure() -> None:
    levels = [fine_detail(_texture(0.5, noise)) for noise in (0.0, 4.0, 8.0)]
    assert levels[0] < 1.0
    assert levels[1] == pytest.approx(4.0, rel=0.25)
    assert levels[2] == pytest.approx(8.0, rel=0.25)


def test_blurring_makes_less_sharp() -> None:
    sharp = _texture(0.5, 5.0)
    assert sharpness(np.asarray(cv2.GaussianBlur(sharp, (0, 0), 1.5), np.uint8)) < 0.6 * sharpness(sharp)


def test_the_drawing_becomes_as_soft_as_the_target_and_no_softer() -> None:
    control = SoftnessControl()
    drawn = np.array([9.0, 7.0, 5.0, 3.2], np.float32)
    for target, variant in ((3.0, 3), (4.3, 2), (8.0, 0), (0.5, 3)):
        for _ in range(12):
            control.take(target, drawn)
        assert control.variant == variant, target


def test_a_variant_that_still_serves_is_not_changed() -> None:
    control = SoftnessControl()
    for target in (3.9, 4.0, 4.1, 3.95) * 8:  # round the point where two variants meet
        control.take(target, np.array([9.0, 7.0, 5.2, 3.2], np.float32))
        assert control.variant == 2


def test_the_sharpness_of_a_drawing_is_foretold(
    models: Models, mesh_engine: MeshEngine, source_man: MeshSource, target_astronaut: Portrait
) -> None:
    """No measurement of drawn frames is waited for: results do not depend on which thread is quicker."""
    frame, face = packed(target_astronaut.picture), target_astronaut.face
    painter = mesh_engine.painter(source_man, AutomationConfig())
    manner = painter.study(frame, 0, face)
    assert source_man.sharpness.shape == (len(source_man.atlas), len(SOFTENING))
    foretold = source_man.sharpness[source_man.level(face.size)]
    drawn = []
    for variant in range(len(SOFTENING)):
        patch = painter.draw(frame, face, replace(manner, variant=variant))
        assert patch is not None
        drawn.append(sharpness_of_middle(patch.colour, np.zeros(2), np.array(patch.colour.shape[1::-1])))
    assert np.corrcoef(foretold, drawn)[0, 1] > 0.98


def test_a_deeply_coloured_source_becomes_as_pale_as_the_target() -> None:
    pale = np.tile(np.array([[150.0, 170.0, 200.0]], np.float32), (468, 1))
    deep = with_depth(pale, 1.8)
    weights = np.ones(468, np.float32)
    depth = float(colour_depth(deep, pale, weights)[0])
    assert with_depth(deep, depth) == pytest.approx(pale, abs=1.5)
    grey = np.full((468, 3), 160, np.float32)
    assert colour_depth(grey, pale, weights) == 1.0
    assert with_depth(grey, 0.4) == pytest.approx(grey, abs=0.1)


def test_shadows_are_as_deep_and_lights_as_pale_as_the_targets() -> None:
    brightness = np.linspace(60, 240, 468, dtype=np.float32)[:, None]
    even = brightness * np.array([[0.9, 0.97, 1.08]], np.float32)
    film = with_depth(even, 1.0)
    film += (even - even @ np.array([0.114, 0.587, 0.299], np.float32)[:, None]) * (1.5 - brightness / 100)
    weights = np.ones(468, np.float32)
    _, dark, light = colour_tone(even, film, weights)
    assert dark > 1.2
    assert light < 0.8
    assert colour_tone(film, film, weights)[1:] == pytest.approx(1.0, abs=0.01)


# -- in front of the face -----------------------------------------------------------------------------------


def _settled(models: Models, colours: Floats) -> OcclusionModel:
    model = OcclusionModel(models.tables)
    for _ in range(20):
        assert model.update(colours, 0.0).max() < 0.05
    return model


def _around(models: Models, point: int, steps: int) -> list[int]:
    return np.flatnonzero(models.topology.rings_from((point,)) <= steps).tolist()


def test_a_patch_of_another_colour_is_in_front(models: Models, source_astronaut: MeshSource) -> None:
    colours = source_astronaut.colours
    model = _settled(models, colours)
    covered = colours.copy()
    hand = _around(models, 50, 4)
    covered[hand] = (30, 30, 35)
    hidden = model.update(covered, 0.0)
    assert hidden[50] > 0.9
    assert hidden[_around(models, 280, 2)].max() < 0.1


def test_a_change_of_the_light_is_not(models: Models, source_astronaut: MeshSource) -> None:
    model = _settled(models, source_astronaut.colours)
    assert model.update(source_astronaut.colours * np.float32(0.6), 0.0).max() < 0.2


def test_one_landmark_alone_is_noise(models: Models, source_astronaut: MeshSource) -> None:
    model = _settled(models, source_astronaut.colours)
    odd = source_astronaut.colours.copy()
    odd[50] = (30, 30, 35)
    assert model.update(odd, 0.0).max() < 0.3


def test_a_face_is_free_again_soon_after(models: Models, source_astronaut: MeshSource) -> None:
    colours = source_astronaut.colours
    model = _settled(models, colours)
    covered = colours.copy()
    covered[_around(models, 50, 4)] = (30, 30, 35)
    for _ in range(10):
        model.update(covered, 0.0)
    for _ in range(6):
        hidden = model.update(colours, 0.0)
    assert hidden.max() < 0.1


def test_a_mouth_torn_open_down_to_the_chin_is_not_something_in_front(
    models: Models, source_astronaut: MeshSource
) -> None:
    colours = source_astronaut.colours
    lower = colours.copy()
    lower[_around(models, 18, 2)] = (70, 60, 150)
    for gap, hidden in ((0.3, False), (0.0, True)):
        model = _settled(models, colours)
        assert bool(model.update(lower, gap)[18] > 0.5) == hidden
    dark = colours.copy()
    dark[_around(models, 18, 2)] = (30, 30, 30)
    assert _settled(models, colours).update(dark, 0.3)[18] > 0.5

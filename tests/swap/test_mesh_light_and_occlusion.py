"""Light and colour are the target's, and what passes in front of its face stays visible."""

from __future__ import annotations

import numpy as np
import pytest
from face_material import Image, Models, Portrait
from swapping import luma, skin, swap

from facefusion.swap.mesh.engine import MeshEngine
from facefusion.swap.mesh.source import MeshSource

PAIRS = pytest.mark.parametrize(
    ("whose", "onto"), [("man", "astronaut"), ("woman", "astronaut"), ("astronaut", "man")]
)


def _lit(picture: Image, gain: object) -> Image:
    return np.asarray(np.clip(picture * np.asarray(gain), 0, 255), np.uint8)


@PAIRS
@pytest.mark.parametrize("gain", [0.3, 0.6, 1.0, 1.25])
def test_the_brightness_follows_the_target(
    models: Models,
    mesh_engine: MeshEngine,
    whose: str,
    onto: str,
    gain: float,
    request: pytest.FixtureRequest,
) -> None:
    source: MeshSource = request.getfixturevalue(f"source_{whose}")
    target: Portrait = request.getfixturevalue(f"target_{onto}")
    picture = _lit(target.picture, gain)
    [swapped] = swap(models, mesh_engine, source, [picture], face=target.face)
    wanted = luma(skin(picture, target.face)).mean()
    got = luma(skin(swapped.picture, target.face)).mean()
    assert abs(got - wanted) < 4 + 0.05 * wanted


@pytest.mark.parametrize("tint", [(1.15, 0.9, 0.6), (0.6, 0.9, 1.15), (0.7, 1.1, 0.8)])
def test_the_colour_of_the_light_follows_the_target(
    models: Models,
    mesh_engine: MeshEngine,
    source_man: MeshSource,
    target_astronaut: Portrait,
    tint: tuple[float, float, float],
) -> None:
    picture = _lit(target_astronaut.picture, tint)
    [swapped] = swap(models, mesh_engine, source_man, [picture], face=target_astronaut.face)
    wanted = skin(picture, target_astronaut.face).mean(0)
    got = skin(swapped.picture, target_astronaut.face).mean(0)
    assert np.abs(got - wanted).max() < 16


@pytest.mark.parametrize("side", [1, -1])
def test_light_from_one_side_stays_on_that_side(
    models: Models,
    mesh_engine: MeshEngine,
    source_man: MeshSource,
    target_astronaut: Portrait,
    side: int,
) -> None:
    x0, _, x1, _ = target_astronaut.face.box
    ramp = np.interp(np.arange(320), [x0, x1], [1.1, 0.5][::side])[None, :, None]
    ratios = []
    for picture in (target_astronaut.picture, _lit(target_astronaut.picture, ramp)):
        [swapped] = swap(models, mesh_engine, source_man, [picture], face=target_astronaut.face)
        left, right = (
            luma(skin(swapped.picture, target_astronaut.face, points)).mean()
            for points in ((50, 117), (280, 346))
        )
        ratios.append((left / right) ** side)
    # The light of the ramp differs by 1.7 between these points.
    assert ratios[1] > 1.2 * ratios[0]


def _with_bar(target: Portrait, place: float, colour: tuple[int, int, int]) -> tuple[Image, slice, slice]:
    """A bar over the whole height; place 0 is the left edge of the face, 1 the right."""
    x0, y0, x1, y1 = target.face.box
    left = x0 + place * (x1 - x0) - 0.08 * (x1 - x0)
    columns = slice(max(0, round(left)), round(left + 0.16 * (x1 - x0)))
    picture = target.picture.copy()
    picture[:, columns] = colour
    return picture, columns, slice(round(y0 + 0.35 * (y1 - y0)), round(y0 + 0.8 * (y1 - y0)))


@pytest.mark.parametrize(("whose", "onto"), [("man", "astronaut"), ("astronaut", "man")])
@pytest.mark.parametrize("colour", [(25, 20, 20), (200, 60, 40)], ids=["dark", "blue"])
def test_a_bar_that_passes_in_front_of_the_face_stays_in_front(
    models: Models,
    mesh_engine: MeshEngine,
    whose: str,
    onto: str,
    colour: tuple[int, int, int],
    request: pytest.FixtureRequest,
) -> None:
    source: MeshSource = request.getfixturevalue(f"source_{whose}")
    target: Portrait = request.getfixturevalue(f"target_{onto}")
    places = np.linspace(-0.2, 1.2, 22)
    frames = [_with_bar(target, place, colour) for place in places]
    swapped = swap(models, mesh_engine, source, [target.picture] * 16 + [frame for frame, _, _ in frames])
    first_free = luma(skin(swapped[15].picture, target.face)).mean()
    for place, (frame, columns, rows), result in zip(places, frames, swapped[16:], strict=True):
        if 0.2 <= place <= 0.8:
            covered = result.picture[rows, columns].astype(int)
            assert np.abs(covered - frame[rows, columns]).mean() < 12, place
            # The rest of the face is still swapped, and in the light it had.
            _, y0, _, _ = result.patch.box
            assert (result.patch.alpha[rows.start - y0 : rows.stop - y0] > 128).mean() > 0.25, place
            free = [
                i for i in (50, 280) if not columns.start - 8 < target.face.points[i, 0] < columns.stop + 8
            ]
            got = luma(skin(result.picture, result.target, free)).mean()
            before = luma(skin(swapped[15].picture, target.face, free)).mean()
            assert abs(got - before) < 0.2 * first_free, place


def test_a_face_is_whole_again_when_the_bar_has_gone(
    models: Models, mesh_engine: MeshEngine, source_man: MeshSource, target_astronaut: Portrait
) -> None:
    bars = [_with_bar(target_astronaut, place, (25, 20, 20))[0] for place in np.linspace(-0.2, 1.2, 12)]
    frames = [target_astronaut.picture] * 16 + bars + [target_astronaut.picture] * 8
    swapped = swap(models, mesh_engine, source_man, frames)
    before, after = (
        frame.picture[swapped[15].patch.box[1] :].astype(int) for frame in (swapped[15], swapped[-1])
    )
    assert swapped[-1].manner.hidden.max() < 0.25
    assert np.abs(before - after).mean() < 2.5


def test_hair_over_the_forehead_stays(
    models: Models, mesh_engine: MeshEngine, source_man: MeshSource, target_astronaut: Portrait
) -> None:
    """The fringe lies within the outline of the face; it is the target's."""
    [swapped] = swap(models, mesh_engine, source_man, [target_astronaut.picture])
    points = target_astronaut.face.points[:, :2]
    x, y = np.round(points[10] + 0.03 * (points[10] - points[152])).astype(int)
    fringe = slice(y, y + 7), slice(x - 15, x + 16)
    before, after = target_astronaut.picture[fringe].astype(int), swapped.picture[fringe].astype(int)
    assert np.abs(before - after).mean() < 14

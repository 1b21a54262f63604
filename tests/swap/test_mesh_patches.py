"""What is laid over a frame: only the face, the same each time, whatever the face's size and place."""

from __future__ import annotations

import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from face_material import Image, Models, Portrait, camera, middle, packed, planar, shown

from facefusion.config import AutomationConfig
from facefusion.faces.landmarks import Face
from facefusion.media.frame import PackedFrame, PlanarFrame
from facefusion.swap.contract import Patch
from facefusion.swap.mesh.engine import Manner, MeshEngine, MeshPainter
from facefusion.swap.mesh.source import MeshSource


@pytest.fixture(scope="module")
def painter(mesh_engine: MeshEngine, source_man: MeshSource) -> MeshPainter:
    return mesh_engine.painter(source_man, AutomationConfig())


def _drawn(
    painter: MeshPainter, frame: PackedFrame | PlanarFrame, face: Face, track: int = 0
) -> Patch | None:
    return painter.draw(frame, face, painter.study(frame, track, face))


def _same(one: Patch | None, other: Patch | None) -> bool:
    assert one is not None
    assert other is not None
    return (
        one.box == other.box
        and np.array_equal(one.colour, other.colour)
        and np.array_equal(one.alpha, other.alpha)
    )


def test_a_patch_is_what_the_contract_says(painter: MeshPainter, target_astronaut: Portrait) -> None:
    patch = _drawn(painter, packed(target_astronaut.picture), target_astronaut.face)
    assert patch is not None
    x0, y0, x1, y1 = patch.box
    assert 0 <= x0 < x1 <= 320
    assert 0 <= y0 < y1 <= 240
    assert patch.colour.shape == (y1 - y0, x1 - x0, 3)
    assert patch.alpha.shape == (y1 - y0, x1 - x0)
    assert patch.colour.dtype == patch.alpha.dtype == np.uint8
    fx0, fy0, fx1, fy1 = target_astronaut.face.box
    assert (x1 - x0) * (y1 - y0) < 1.5 * (fx1 - fx0) * (fy1 - fy0)


def test_looking_and_drawing_leave_the_frame_alone(painter: MeshPainter, target_astronaut: Portrait) -> None:
    for frame, pixels in (
        (photo := packed(target_astronaut.picture), lambda: photo.pixels),
        (
            video := planar(target_astronaut.picture),
            lambda: np.concatenate([p.ravel() for p in video.planes]),
        ),
    ):
        before = pixels().copy()
        assert _drawn(painter, frame, target_astronaut.face) is not None
        assert np.array_equal(pixels(), before)


def test_a_photo_keeps_every_pixel_away_from_the_face(
    painter: MeshPainter, target_astronaut: Portrait
) -> None:
    frame = packed(target_astronaut.picture)
    patch = _drawn(painter, frame, target_astronaut.face)
    assert patch is not None
    frame.blend(patch.box, patch.colour, patch.alpha)
    touched = np.zeros((240, 320), bool)
    x0, y0, x1, y1 = patch.box
    touched[y0:y1, x0:x1] = patch.alpha > 0
    assert np.array_equal(frame.pixels[~touched], target_astronaut.picture[~touched])
    assert (frame.pixels[touched] != target_astronaut.picture[touched]).any(axis=1).mean() > 0.8
    # And the face is where it was: nothing is touched outside its outline.
    oval = cv2.convexHull(np.ascontiguousarray(target_astronaut.face.points[:, :2])).astype(np.int32)
    outline = np.zeros((240, 320), np.uint8)
    cv2.fillConvexPoly(outline, oval, 1)
    assert (touched & (cv2.dilate(outline, np.ones((7, 7), np.uint8)) == 0)).sum() == 0


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "gbrp", "gray"])
def test_a_video_frame_keeps_every_sample_away_from_the_face(
    painter: MeshPainter, target_astronaut: Portrait, pix_fmt: str
) -> None:
    frame = planar(target_astronaut.picture, pix_fmt)
    before = [plane.copy() for plane in frame.planes]
    patch = _drawn(painter, frame, target_astronaut.face)
    assert patch is not None
    frame.blend(patch.box, patch.colour, patch.alpha)
    x0, y0, x1, y1 = patch.box
    touched = np.zeros((240, 320), np.uint8)
    touched[y0:y1, x0:x1] = patch.alpha > 0
    for old, new in zip(before, frame.planes, strict=True):
        width = 320 if old.shape[1] >= 320 else 160
        height = 240 if old.shape[0] >= 240 else 120
        # A sample of colour belongs to up to four pixels.
        covered = cv2.dilate(touched, np.ones((3, 3), np.uint8)) if width < 320 or height < 240 else touched
        covered = covered.reshape(height, 240 // height, width, 320 // width).max(axis=(1, 3)) > 0
        old, new = old[:height, :width], new[:height, :width]
        assert np.array_equal(old[~covered], new[~covered])
    assert not np.array_equal(before[0], frame.planes[0])


def test_a_patch_fades_out_towards_its_edge(painter: MeshPainter, target_astronaut: Portrait) -> None:
    patch = _drawn(painter, packed(target_astronaut.picture), target_astronaut.face)
    assert patch is not None
    edge = np.concatenate([patch.alpha[0], patch.alpha[-1], patch.alpha[:, 0], patch.alpha[:, -1]])
    assert edge.max() == 0
    assert np.percentile(patch.alpha, 60) > 200


def test_drawing_twice_gives_the_same(
    mesh_engine: MeshEngine, source_man: MeshSource, target_astronaut: Portrait
) -> None:
    patches = []
    for _ in range(2):
        fresh = mesh_engine.painter(source_man, AutomationConfig())
        patches.append(_drawn(fresh, packed(target_astronaut.picture), target_astronaut.face))
    assert _same(*patches)


def test_preparing_twice_gives_the_same_source(
    mesh_engine: MeshEngine, man: Portrait, source_man: MeshSource
) -> None:
    again = mesh_engine.prepare([(man.picture, man.face)])
    assert all(
        np.array_equal(a, b)
        for one, other in zip(again.atlas, source_man.atlas, strict=True)
        for a, b in zip(one, other, strict=True)
    )
    assert np.array_equal(again.shape, source_man.shape)
    assert np.array_equal(again.colours, source_man.colours)


def test_several_threads_draw_the_same_as_one(
    mesh_engine: MeshEngine, source_man: MeshSource, target_astronaut: Portrait, target_man: Portrait
) -> None:
    painter = mesh_engine.painter(source_man, AutomationConfig())
    work: list[tuple[Image, Face, Manner]] = []
    for index in range(12):
        target = (target_astronaut, target_man)[index % 2]
        work.append(
            (target.picture, target.face, painter.study(packed(target.picture), index % 2, target.face))
        )
    alone = [painter.draw(packed(picture), face, manner) for picture, face, manner in work]
    together = threading.Barrier(3)

    def draw(item: tuple[Image, Face, Manner]) -> Patch | None:
        if threading.current_thread() is not threading.main_thread():
            together.wait(timeout=20)
        return painter.draw(packed(item[0]), item[1], item[2])

    with ThreadPoolExecutor(3) as pool:
        for one, other in zip(alone, pool.map(draw, work), strict=True):
            assert _same(one, other)


def _placed(models: Models, portrait: Portrait, at: tuple[float, float], zoom: float) -> tuple[Image, Face]:
    """A view in which the face lies partly outside; its landmarks are carried over, not found again."""
    matrix = camera(middle(portrait.face), size=(320, 240), zoom=zoom, at=at)
    points = portrait.face.points.copy()
    points[:, :2] = points[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    points[:, 2] *= zoom
    irises = portrait.face.irises * zoom
    irises[:, :2] = portrait.face.irises[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    face = Face(points.astype(np.float32), irises.astype(np.float32), portrait.face.lids, 1.0)
    return shown(portrait.picture, matrix, (320, 240)), face


@pytest.mark.parametrize("at", [(5, 120), (315, 120), (160, 5), (160, 235), (0, 0), (319, 239)])
@pytest.mark.parametrize("frame", [packed, planar])
def test_a_face_cut_by_the_border_is_swapped_as_far_as_it_is_seen(
    models: Models, painter: MeshPainter, astronaut: Portrait, at: tuple[float, float], frame
) -> None:  # type: ignore[no-untyped-def]
    picture, face = _placed(models, astronaut, at, 1.2)
    canvas = frame(picture)
    patch = _drawn(painter, canvas, face)
    assert patch is not None
    x0, y0, x1, y1 = patch.box
    assert 0 <= x0 < x1 <= 320
    assert 0 <= y0 < y1 <= 240
    canvas.blend(patch.box, patch.colour, patch.alpha)
    # Where the picture ends the face does not fade.
    column = 0 if x0 == 0 else -1
    if x0 == 0 or x1 == 320:
        assert patch.alpha[:, column].max() > 200


@pytest.mark.parametrize("at", [(-80, 120), (400, 120), (160, -90), (160, 330), (-300, -300)])
def test_a_face_outside_the_picture_is_left_out(
    models: Models, painter: MeshPainter, astronaut: Portrait, at: tuple[float, float]
) -> None:
    picture, face = _placed(models, astronaut, at, 1.0)
    assert _drawn(painter, packed(picture), face) is None


@pytest.mark.parametrize("face_pixels", [6, 9, 12, 16, 24, 40])
@pytest.mark.parametrize("frame", [packed, planar])
def test_tiny_faces_are_swapped_or_left_alone(
    models: Models, painter: MeshPainter, astronaut: Portrait, face_pixels: float, frame
) -> None:  # type: ignore[no-untyped-def]
    picture, face = _placed(models, astronaut, (160, 120), face_pixels / astronaut.face.size)
    canvas = frame(picture)
    patch = _drawn(painter, canvas, face)
    if face_pixels >= 12:
        assert patch is not None
        assert patch.alpha.max() > 100
    if patch is not None:
        canvas.blend(patch.box, patch.colour, patch.alpha)


def test_a_face_of_four_megapixels_takes_a_bounded_share_of_memory(
    models: Models, painter: MeshPainter, astronaut: Portrait
) -> None:
    zoom = 2300 / astronaut.face.size
    x0, y0, x1, y1 = astronaut.face.box
    near = astronaut.picture[int(y0) - 20 : int(y1) + 20, int(x0) - 20 : int(x1) + 20]
    picture = np.asarray(cv2.resize(near, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_LINEAR), np.uint8)
    points = astronaut.face.points.copy()
    points[:, :2] = (points[:, :2] - (int(x0) - 20, int(y0) - 20)) * zoom
    points[:, 2] *= zoom
    irises = (astronaut.face.irises - (int(x0) - 20, int(y0) - 20, 0)) * zoom
    face = Face(points, irises.astype(np.float32), astronaut.face.lids, 1.0)
    frame = PackedFrame(picture)
    tracemalloc.start()
    try:
        patch = _drawn(painter, frame, face)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert patch is not None
    pixels = patch.alpha.size
    assert pixels > 4_000_000
    assert peak < 40 * pixels
    centre = patch.alpha[patch.alpha.shape[0] // 3 : -patch.alpha.shape[0] // 3]
    assert np.median(centre) == 255


def test_many_tracks_do_not_fill_the_memory(painter: MeshPainter, target_man: Portrait) -> None:
    for track in range(200):
        painter.study(packed(target_man.picture), track, target_man.face)
    assert len(painter._tracks) <= 64


def test_a_face_in_view_is_remembered_while_others_come_and_go(
    mesh_engine: MeshEngine, source_man: MeshSource, target_man: Portrait, target_astronaut: Portrait
) -> None:
    painter = mesh_engine.painter(source_man, AutomationConfig())
    frame = packed(target_man.picture)
    for _ in range(20):
        painter.study(frame, 0, target_man.face)
    known = painter._tracks[0]
    for passer_by in range(1, 100):
        painter.study(frame, 0, target_man.face)
        painter.study(packed(target_astronaut.picture), passer_by, target_astronaut.face)
    assert painter._tracks[0] is known
    assert known.count == 119

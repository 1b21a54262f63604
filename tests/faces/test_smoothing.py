"""Smoothing calms a resting face, and neither delays the head nor flattens a blink."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from face_material import LOWER_LIDS, UPPER_LIDS, Models, Portrait
from numpy.typing import NDArray
from test_head_pose import rotation

from facefusion.faces.align import Pose, canonicalise
from facefusion.faces.landmarks import Face, lid_opening
from facefusion.faces.smooth import RADIUS, PosedFace, Smoother

Floats = NDArray[np.float32]
Motion = Callable[[int], Pose]
FRAMES = 40


@pytest.fixture(scope="module")
def smoother(models: Models) -> Smoother:
    topology = models.topology
    return Smoother(
        [topology.left_eye, topology.right_eye, topology.lips, topology.left_brow, topology.right_brow]
    )


@pytest.fixture(scope="module")
def shape(models: Models, astronaut: Portrait) -> Floats:
    return canonicalise(astronaut.face.points, models.topology.mirror)[1]


def still(_: int) -> Pose:
    return Pose(70.0, rotation(8, -4, 3), np.array([160, 120, 0], np.float32))


def gliding(frame: int) -> Pose:
    """12 pixels and 1.5 degrees a frame, growing by 1 % a frame."""
    offset = np.array([40 + 12 * frame, 60 + 5 * frame, 0], np.float32)
    return Pose(70.0 * 1.01**frame, rotation(0, 0, -30 + 1.5 * frame), offset)


def thrown(frame: int) -> Pose:
    """Constant acceleration."""
    return Pose(70.0, rotation(0, 0, 0), np.array([0.4 * frame**2, 300 - 0.2 * frame**2, 0], np.float32))


def faces(shape: Floats, motion: Motion, change: Callable[[int], Floats] | None = None) -> list[Face]:
    out = []
    for frame in range(FRAMES):
        points = motion(frame).apply(shape if change is None else change(frame))
        eyes = points[[33, 133, 263, 362], :2].reshape(2, 2, 2).mean(1)
        irises = np.concatenate([eyes, [[4.0], [4.0]]], axis=1).astype(np.float32)
        out.append(Face(points, irises, lid_opening(points), 1.0))
    return out


def smoothed(smoother: Smoother, shape: Floats, track: list[Face]) -> list[Face]:
    """As the pipeline does it: a window of RADIUS frames to both sides."""
    posed = [PosedFace.of(face, shape) for face in track]
    out = []
    for place in range(len(posed)):
        first = max(0, place - RADIUS)
        out.append(smoother.smooth(posed[first : place + RADIUS + 1], place - first))
    return out


def away(one: list[Face], other: list[Face]) -> NDArray[np.float64]:
    """(frames,) largest distance of a landmark in pixels."""
    return np.array(
        [
            np.linalg.norm(a.points[:, :2] - b.points[:, :2], axis=1).max()
            for a, b in zip(one, other, strict=True)
        ]
    )


@pytest.mark.parametrize("motion", [still, gliding, thrown])
def test_constant_motion_and_acceleration_pass_without_lag(
    smoother: Smoother, shape: Floats, motion: Motion
) -> None:
    track = faces(shape, motion)
    calm = smoothed(smoother, shape, track)
    assert away(track, calm).max() < 0.15
    irises = [np.abs(a.irises - b.irises).max() for a, b in zip(track, calm, strict=True)]
    assert max(irises) < 0.15


def _jitter(track: list[Face], truth: list[Face]) -> float:
    """Change from frame to frame that the truth does not have, pixels, root mean square."""
    noise = np.stack([a.points[:, :2] - b.points[:, :2] for a, b in zip(track, truth, strict=True)])
    return float(np.sqrt((np.diff(noise, axis=0) ** 2).mean()))


@pytest.mark.parametrize("motion", [still, gliding])
def test_noise_of_single_landmarks_is_reduced(smoother: Smoother, shape: Floats, motion: Motion) -> None:
    truth = faces(shape, motion)
    random = np.random.default_rng(5)
    scale = [motion(frame).scale for frame in range(FRAMES)]
    noisy = [
        Face(
            (f.points + random.normal(0, 0.005 * s, f.points.shape)).astype(np.float32), f.irises, f.lids, 1.0
        )
        for f, s in zip(truth, scale, strict=True)
    ]
    calm = smoothed(smoother, shape, noisy)
    assert _jitter(calm, truth) < 0.6 * _jitter(noisy, truth)
    worst = away(calm, truth)[RADIUS:-RADIUS].max()
    assert worst < away(noisy, truth).max()


def test_shaking_of_the_whole_face_is_reduced(smoother: Smoother, shape: Floats) -> None:
    truth = faces(shape, gliding)
    random = np.random.default_rng(6)
    shaken = [
        Face((f.points + random.normal(0, 0.6, (1, 3))).astype(np.float32), f.irises, f.lids, 1.0)
        for f in truth
    ]
    calm = smoothed(smoother, shape, shaken)
    assert _jitter(calm[RADIUS:-RADIUS], truth[RADIUS:-RADIUS]) < 0.6 * _jitter(shaken, truth)


def _blinking(shape: Floats, first: int, length: int) -> Callable[[int], Floats]:
    def change(frame: int) -> Floats:
        if not first <= frame < first + length:
            return shape
        shut = shape.copy()
        for upper, lower in zip(UPPER_LIDS, LOWER_LIDS, strict=True):
            shut[list(upper)] = shape[list(lower)] + 0.2 * (shape[list(upper)] - shape[list(lower)])
        return shut

    return change


@pytest.mark.parametrize("motion", [still, gliding])
@pytest.mark.parametrize("length", [2, 3, 6])
def test_a_blink_keeps_its_depth_and_its_moment(
    smoother: Smoother, shape: Floats, motion: Motion, length: int
) -> None:
    track = faces(shape, motion, _blinking(shape, 15, length))
    calm = smoothed(smoother, shape, track)
    before, after = (np.array([face.lids.mean() for face in t]) for t in (track, calm))
    depth = before[0] - before.min()
    assert before[0] - after.min() > 0.8 * depth
    shut = np.flatnonzero(after < before[0] - depth / 2)
    assert shut.tolist() == list(range(15, 15 + length))


def test_a_word_keeps_its_mouth(models: Models, smoother: Smoother, shape: Floats) -> None:
    def talking(frame: int) -> Floats:
        moved = shape.copy()
        moved[[14, 87, 317, 17, 84, 314], 1] += 0.12 * max(0.0, np.sin(2 * np.pi * frame / 7))
        return moved

    track = faces(shape, still, talking)
    gaps = [
        np.array([np.linalg.norm(face.points[13] - face.points[14]) for face in t])
        for t in (track, smoothed(smoother, shape, track))
    ]
    assert np.corrcoef(gaps[0], gaps[1])[0, 1] > 0.95
    assert np.ptp(gaps[1]) > 0.75 * np.ptp(gaps[0])


def test_a_face_seen_for_a_moment_is_left_as_it_is(smoother: Smoother, shape: Floats) -> None:
    track = faces(shape, gliding)[:2]
    assert smoothed(smoother, shape, track) == track


def test_gaze_that_jumps_is_not_dragged(smoother: Smoother, shape: Floats) -> None:
    track = faces(shape, still)
    looking = []
    for frame, face in enumerate(track):
        irises = face.irises.copy()
        irises[:, 0] += 5.0 if frame >= 20 else 0.0
        looking.append(Face(face.points, irises, face.lids, 1.0))
    calm = smoothed(smoother, shape, looking)
    for before, after in zip(looking, calm, strict=True):
        assert np.abs(before.irises - after.irises).max() < 1.0

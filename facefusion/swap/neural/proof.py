"""Whether faces worked on a device come out as on the processor: tried with a made one, before any job."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from facefusion.faces.five_points import Image
from facefusion.faces.landmarks import Face
from facefusion.faces.recognise import EMBEDDING_WIDTH, unit
from facefusion.media.frame import PackedFrame
from facefusion.models.contracts import Template
from facefusion.swap.contract import Patch
from facefusion.swap.frame_enhance import FrameEnhancer
from facefusion.swap.layers import Benches, FaceView, Processor, process
from facefusion.swap.neural.swapper import Conditioning, Swapper
from facefusion.system.networks import NetworkFactory

_SIDE = 480
_PART = 150  # of the made picture, for frame enhancers: several tiles of the usual sizes
_FACE = 200
# What people would see, 0 to 255. Crops differ by one or two; networks that choose among learnt patterns may
# choose another one here and there for that. A device that is wrong is wrong nearly everywhere.
_MEAN_DIFFERENCE = 2.0
_LARGE_DIFFERENCE = 16
_SHARE_OF_LARGE = 0.02


def prove_device(
    networks: NetworkFactory,
    processors: Sequence[Processor],
    frame_enhancer: FrameEnhancer | None,
    template: Template,
    *,
    drawn: bool = False,
) -> None:
    """Let the networks' device work on a made face; where that fails or differs, it is left, and said.

    Args:
        template: gives the made face's landmarks.
        drawn: whether another engine draws before the processors.
    """
    picture, view = _made_face(template)
    if networks.device is not None and processors:
        _prove_faces(networks, processors, picture, view, drawn=drawn)
    if networks.device is not None and frame_enhancer is not None:
        _prove_frames(networks, frame_enhancer, picture)


def _prove_faces(
    networks: NetworkFactory, processors: Sequence[Processor], picture: Image, view: FaceView, *, drawn: bool
) -> None:
    first = _made_patch() if drawn else None
    # The first run of a network goes another way (see `BoundSession.run`), the second one goes as in a job.
    for _ in range(2):
        given = process(PackedFrame(picture), view, processors, first=first, benches=Benches(networks))
    if networks.device is None:
        return
    expected = process(PackedFrame(picture), view, processors, first=first)
    if reason := _difference(picture, expected, given):
        networks.leave_device(reason)


def _prove_frames(networks: NetworkFactory, enhancer: FrameEnhancer, picture: Image) -> None:
    part = np.ascontiguousarray(picture[:_PART, : _PART + 20])
    frames = [PackedFrame(part.copy()) for _ in range(3)]
    for frame, benches in zip(frames, (Benches(networks), Benches(networks), Benches()), strict=True):
        enhancer.refine(frame, benches)
    if networks.device is not None and (off := _visibly_off(frames[1].pixels, frames[2].pixels)):
        networks.leave_device(f"a whole picture came out differently there ({off})")


def nobody(swapper: Swapper) -> Conditioning:
    """A source for trials that shows no one."""
    random = np.random.default_rng(1)
    if swapper.contract.source == "face":
        size = swapper.contract.source_size
        return swapper.from_face(random.integers(0, 256, (size, size, 3), dtype=np.uint8))
    return Conditioning(unit(random.standard_normal((1, EMBEDDING_WIDTH)).astype(np.float32)))


def _difference(picture: Image, expected: Patch | None, given: Patch | None) -> str:
    """What is wrong, as half a sentence; empty if nothing is."""
    if expected is None or given is None:
        return "" if expected is given else "it painted where the processor does not"
    if expected.box != given.box:
        return "it painted in another place than the processor"
    seen = []
    for patch in (expected, given):
        frame = PackedFrame(picture.copy())
        frame.blend(patch.box, patch.colour, patch.alpha)
        x0, y0, x1, y1 = patch.box
        seen.append(frame.pixels[y0:y1, x0:x1])
    off = _visibly_off(*seen)
    return f"a face came out differently there ({off})" if off else ""


def _visibly_off(expected: NDArray[Any], given: NDArray[Any]) -> str:
    """How far two pictures are apart; empty if nobody would see it."""
    off = np.abs(expected.astype(np.int16) - given)
    if off.mean() <= _MEAN_DIFFERENCE and (off > _LARGE_DIFFERENCE).mean() <= _SHARE_OF_LARGE:
        return ""
    return f"by {off.mean():.1f} of 255 on average, {off.max()} at most"


def _made_face(template: Template) -> tuple[Image, FaceView]:
    """Soft noise, and the geometry of an upright face in its middle."""
    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, (_SIDE // 8, _SIDE // 8, 3), dtype=np.uint8)
    picture = np.asarray(cv2.resize(coarse, (_SIDE, _SIDE), interpolation=cv2.INTER_CUBIC), np.uint8)
    corner = (_SIDE - _FACE) / 2
    five = (np.asarray(template, np.float32) * _FACE + corner).astype(np.float32)
    # Points spread evenly over an ellipse.
    number = np.arange(468)
    angle, reach = number * 2.39996, np.sqrt((number + 0.5) / 468) * _FACE * 0.5
    points = np.stack([_SIDE / 2 + 0.8 * reach * np.cos(angle), _SIDE / 2 + reach * np.sin(angle)], axis=1)
    mesh = np.concatenate([points, np.zeros((468, 1))], axis=1).astype(np.float32)
    irises = np.array([[*five[0], 4], [*five[1], 4]], np.float32)
    return picture, FaceView(five, Face(mesh, irises, np.full(2, 0.3, np.float32), 1.0))


def _made_patch() -> Patch:
    """What another engine might have drawn: a soft disc of one colour."""
    low, high = (_SIDE - _FACE) // 2, (_SIDE + _FACE) // 2
    alpha = np.zeros((_FACE, _FACE), np.uint8)
    cv2.circle(alpha, (_FACE // 2, _FACE // 2), _FACE // 3, 255, -1)
    alpha = np.asarray(cv2.GaussianBlur(alpha, (0, 0), 6), np.uint8)
    return Patch((low, low, high, high), np.full((_FACE, _FACE, 3), (90, 120, 180), np.uint8), alpha)

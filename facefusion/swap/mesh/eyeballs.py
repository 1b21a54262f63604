"""Whole eyeballs, made from a photo in which lids cover a part of them.

A drawn eye may be open wider than the photo's, and look elsewhere. So each eye gets a picture of its ball
without lids: what the photo shows of iris and white, the rest filled from there. Both lie in the lower
corners of the atlas, which the face leaves free, and so follow its sizes and variants.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from facefusion.swap.mesh.geometry import Eye
from facefusion.swap.mesh.retouch import as_image, extend

Floats = NDArray[np.float32]
Image = NDArray[np.uint8]

REACH = 2.4
"""Half a side of an eyeball's picture, in radii of the iris."""
_RADIUS = 0.034
"""Largest radius of an iris there, over the side of the atlas."""
_IRIS = 1.06
_UNDER_LIDS = 0.2
"""Of an open eye, the part at both lids that is darkened by them."""


def add_eyeballs(atlas: Image, places: Floats, irises: Floats, eyes: tuple[Eye, Eye]) -> tuple[Image, Floats]:
    """Put pictures of both eyeballs into an atlas.

    Args:
        atlas: (side, side, 3) uint8 BGR.
        places: (468, 2) landmarks in it.
        irises: (2, 3) in it: x, y, radius.
        eyes: of the mesh.

    Returns:
        The atlas, and (2, 3) float32 irises in the pictures; radius 0 where there is none.
    """
    atlas = atlas.copy()
    side = atlas.shape[0]
    balls = np.zeros((2, 3), np.float32)
    for number, (iris, eye) in enumerate(zip(irises, eyes, strict=True)):
        if iris[2] < 1:
            continue
        radius = min(float(iris[2]), _RADIUS * side)
        half = int(REACH * radius)
        ball = _eyeball(atlas, places, iris, eye, radius, half)
        left = 0 if number == 0 else side - len(ball)
        atlas[side - len(ball) :, left : left + len(ball)] = ball
        balls[number] = left + half, side - len(ball) + half, radius
    return atlas, balls


def _eyeball(atlas: Image, places: Floats, iris: Floats, eye: Eye, radius: float, half: int) -> Image:
    """(2 half + 1, 2 half + 1, 3) uint8 BGR, the iris in its middle."""
    y, x = np.mgrid[-half : half + 1, -half : half + 1].astype(np.float32) / np.float32(radius)
    at_x, at_y = iris[0] + x * iris[2], iris[1] + y * iris[2]
    seen = as_image(cv2.remap(atlas, at_x, at_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE))
    known = _between_lids(places, iris, eye, radius, half)
    far = np.hypot(x, y)
    disc = far < _IRIS
    inner, bare = seen.copy(), known & disc
    for turned in (np.s_[::-1], np.s_[::-1, ::-1], np.s_[:, ::-1]):
        fresh = disc & ~bare & (known & disc)[turned]
        inner[fresh] = seen[turned][fresh]
        bare = bare | fresh
    round_iris = _filled(inner, bare, radius / 8)
    luma = seen.astype(np.float32).mean(-1)
    white = known & (far > _IRIS + 0.12)
    if white.sum() < 16:  # hardly anything but the iris shows: its brightest surroundings serve
        white = known if known.any() else ~disc
    # What lies in the shadow of a lid or lashes says nothing of the white.
    outer = _filled(seen, white & (luma >= np.percentile(luma[white], 50)), radius / 4)
    share = np.clip((_IRIS + 0.08 - far) / 0.16, 0.0, 1.0)[..., None]
    return as_image(outer * (1 - share) + round_iris * share)


def _filled(picture: Image, known: NDArray[np.bool_], softness: float) -> Floats:
    """`picture` where it is known, elsewhere what it is like nearby; the border is soft."""
    around = cv2.GaussianBlur(extend(picture, known).astype(np.float32), (0, 0), softness)
    wide = 2 * int(softness) + 1
    share = cv2.GaussianBlur(
        cv2.erode(known.astype(np.float32), np.ones((wide, wide), np.uint8)), (0, 0), softness / 2 + 0.3
    )
    return np.asarray(around + (picture - around) * share[..., None], np.float32)


def _between_lids(places: Floats, iris: Floats, eye: Eye, radius: float, half: int) -> NDArray[np.bool_]:
    """Where an eyeball's picture shows the ball, neither lids nor their shadow."""
    points = places.copy()
    upper, lower = np.array(eye.lids).T
    height = points[lower] - points[upper]
    points[upper] += height * _UNDER_LIDS
    points[lower] -= height * _UNDER_LIDS
    outline = (points[list(eye.contour)] - iris[:2]) / iris[2] * radius + half
    mask: NDArray[Any] = np.zeros((2 * half + 1, 2 * half + 1), np.uint8)
    cv2.fillPoly(mask, [np.round(outline * 16).astype(np.int32)], 1, cv2.LINE_8, 4)
    return mask.astype(bool)

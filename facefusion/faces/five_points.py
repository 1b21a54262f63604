"""Five landmarks and the alignment of faces to templates.

Order everywhere: left eye, right eye, nose tip, left and right corner of the mouth (left as in the picture of
an upright face). An *affine* is (2, 3) float64 and takes picture coordinates to those of the aligned crop.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from facefusion.faces.landmarks import Face, Readable
from facefusion.models.contracts import Pixels, Template

Floats = NDArray[np.float32]
Affine = NDArray[np.float64]
Image = NDArray[np.uint8]

# Mesh landmarks at the places that the five-point models were trained on: those of 68-point annotations.
_EYES = ((33, 160, 158, 133, 153, 144), (362, 385, 387, 263, 373, 380))
_NOSE = (1, 4)
_MOUTH = (61, 291)
_WHITE = np.full(4, 255.0)  # OpenCV takes four numbers for a scalar


def five_from_mesh(face: Face) -> Floats:
    """(5, 2) five landmarks out of the mesh, in pixels."""
    points = face.points[:, :2]
    eyes = [points[list(eye)].mean(0) for eye in _EYES]
    return np.array([*eyes, points[list(_NOSE)].mean(0), *points[list(_MOUTH)]], np.float32)


def similarity(points: NDArray[np.floating], goal: NDArray[np.floating]) -> Affine:
    """(2, 3) rotation, scale and shift that takes `points` (n, 2) to `goal` with least squares.

    Source: Umeyama, "Least-squares estimation of transformation parameters between two point
    patterns" (1991).
    """
    a, b = points.astype(np.float64), goal.astype(np.float64)
    mean_a, mean_b = a.mean(0), b.mean(0)
    a, b = a - mean_a, b - mean_b
    u, values, vt = np.linalg.svd(b.T @ a)
    flip = np.array([1.0, np.sign(np.linalg.det(u @ vt))])
    linear = (u * flip) @ vt * ((values * flip).sum() / max((a**2).sum(), 1e-12))
    return np.concatenate([linear, (mean_b - linear @ mean_a)[:, None]], axis=1)


def align(five: Floats, template: Template, size: int) -> Affine:
    """Affine from the picture to a crop of `size` pixels in which the landmarks lie on the template."""
    return similarity(five, np.asarray(template, np.float64) * size)


def transform(affine: Affine, points: NDArray[np.floating]) -> NDArray[np.float64]:
    """Points (n, 2) through an affine."""
    return np.asarray(points @ affine[:, :2].T + affine[:, 2], np.float64)


def invert(affine: Affine) -> Affine:
    """The way back."""
    return np.asarray(cv2.invertAffineTransform(affine), np.float64)


def crop_corners(affine: Affine, size: int) -> NDArray[np.float64]:
    """(4, 2) corners of the crop in the picture."""
    corners = np.array([[0, 0], [size, 0], [size, size], [0, size]], np.float64) - 0.5
    return transform(invert(affine), corners)


@dataclass(frozen=True)
class Cut:
    """How an aligned crop is cut.

    Attributes:
        box: x0, y0, x1, y1 that is read of the picture.
        shrink: integer factor by which that is averaged down, so that nothing aliases.
        affine: from there to the crop.
    """

    box: tuple[int, int, int, int]
    shrink: int
    affine: Affine


def plan_cut(affine: Affine, size: int, width: int, height: int) -> Cut:
    """How a crop of `size` pixels is cut from a picture of `width` and `height`."""
    shrink = max(1, int(1.0 / np.sqrt(abs(np.linalg.det(affine[:, :2])))))
    corners = crop_corners(affine, size)
    low = np.clip(np.floor(corners.min(0)).astype(int) - 2, 0, (width - 1, height - 1))
    high = np.clip(np.ceil(corners.max(0)).astype(int) + 3, low + 1, (width, height))
    # Pixel i of the reduced region lies at low + shrink * i + (shrink - 1) / 2 of the picture.
    from_region = affine.copy()
    from_region[:, 2] += affine[:, :2] @ (low + (shrink - 1) / 2)
    from_region[:, :2] *= shrink
    return Cut((int(low[0]), int(low[1]), int(high[0]), int(high[1])), shrink, from_region)


def cut_aligned(picture: Readable, affine: Affine, size: int) -> Image:
    """(size, size, 3) uint8 BGR aligned crop; outside of the picture its border is repeated.

    Large faces are averaged down by an integer factor first, so that nothing aliases.
    """
    cut = plan_cut(affine, size, picture.width, picture.height)
    # Four channels are warped in half the time of three.
    four = cv2.cvtColor(picture.read(cut.box, cut.shrink), cv2.COLOR_BGR2BGRA)
    crop = cv2.warpAffine(
        four, cut.affine, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(cv2.cvtColor(crop, cv2.COLOR_BGRA2BGR), np.uint8)


@lru_cache(maxsize=32)
def normalisation(pixels: Pixels) -> tuple[Floats, Floats]:
    """Gain and shift by channel, (3,) float32, always the same: a network takes value * gain - shift."""
    deviation = np.array(pixels.deviation, np.float64)
    return (
        (1.0 / (pixels.scale * deviation)).astype(np.float32),
        (np.array(pixels.mean, np.float64) / deviation).astype(np.float32),
    )


def to_tensor(crops: NDArray[np.uint8], pixels: Pixels) -> Floats:
    """Crops (n, h, w, 3) uint8 BGR as a network's input: float32, normalised, in its order and layout."""
    count, height, width, _ = crops.shape
    tensor = np.empty((count, 3, height, width), np.float32)
    gains, shifts = normalisation(pixels)
    for sample, crop in zip(tensor, crops, strict=True):
        planes = cv2.split(crop)
        for place, channel in enumerate((2, 1, 0) if pixels.order == "rgb" else (0, 1, 2)):
            np.multiply(planes[channel], gains[place], out=sample[place])
            if shifts[place]:
                sample[place] -= shifts[place]
    if pixels.layout == "nhwc":
        return np.ascontiguousarray(tensor.transpose(0, 2, 3, 1))
    return tensor


def to_pictures(tensor: NDArray[np.floating]) -> Image:
    """Tensor (n, 3, h, w) RGB, 0 to 1 (clipped), as (n, h, w, 3) uint8 BGR."""
    values = np.ascontiguousarray(tensor, np.float32)
    pictures = np.empty((len(values), *values.shape[2:], 3), np.uint8)
    for picture, (red, green, blue) in zip(pictures, values, strict=True):
        planes = [cv2.multiply(plane, _WHITE, dtype=cv2.CV_8U) for plane in (blue, green, red)]
        cv2.merge(planes, dst=picture)
    return pictures


def denormalised(tensor: NDArray[np.floating], pixels: Pixels) -> Floats:
    """Tensor (n, 3, h, w) on the scale of a normalised input, back to 0 to 1 in the same order."""
    gain, shift = (values.reshape(3, 1, 1) for values in normalisation(pixels))
    factor = (1.0 / (gain * np.float32(255.0))).astype(np.float32)
    values: Floats = np.multiply(tensor, factor, dtype=np.float32)
    values += shift * factor
    return values

"""Light of a face, told by the colours at its landmarks.

Both faces are reduced to one colour for each landmark. The ratio target over source, smoothed over the face,
is the light to apply. Points on eyes, brows, lips and nostrils have no say: their colour is the person's, not
the light's. What remains is one matrix product per frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from facefusion.faces.landmarks import Readable
from facefusion.faces.topology import LANDMARK_COUNT
from facefusion.swap.mesh.geometry import MeshTables
from facefusion.swap.mesh.kernels import foreign, weighted_means

Floats = NDArray[np.float32]
_EVENNESS = 0.15  # how much of the light's variation over the face is left to the source's own shading
_LUMA = np.array([0.114, 0.587, 0.299], np.float32)
_FACE_PIXELS = 72  # size to which a face is reduced before its colours are read


def read_colours(picture: Readable, points: Floats, size: float) -> Floats:
    """Mean colour round each landmark of a face in a picture.

    Args:
        picture: where to read; only the face's region is read, and reduced while reading.
        points: (468, >=2) positions in it.
        size: longer side of the face in pixels.

    Returns:
        (468, 3) float32 BGR, 0..255. Landmarks outside the picture get the colour of its edge.
    """
    limit = (picture.width, picture.height)
    low = np.clip(np.floor(points[:, :2].min(0)).astype(int) - 2, 0, (limit[0] - 2, limit[1] - 2))
    high = np.clip(np.ceil(points[:, :2].max(0)).astype(int) + 3, low + 2, limit)
    shrink = max(1, int(size / (1.5 * _FACE_PIXELS)))
    region = picture.read((int(low[0]), int(low[1]), int(high[0]), int(high[1])), shrink)
    at = (points[:, :2] - low + 0.5) / shrink - 0.5
    return vertex_colours(region, at.astype(np.float32), size / shrink)


def vertex_colours(image: NDArray[np.uint8], points: Floats, size: float) -> Floats:
    """Mean colour round each landmark: as `read_colours`, of a BGR uint8 image (h, w, 3)."""
    ratio = min(1.0, _FACE_PIXELS / size)
    shape = (max(2, round(image.shape[1] * ratio)), max(2, round(image.shape[0] * ratio)))
    small = cv2.resize(image, shape, interpolation=cv2.INTER_AREA) if ratio < 1 else image
    small = cv2.GaussianBlur(
        small, (0, 0), max(0.8, 1.6 * min(1.0, size / _FACE_PIXELS)), borderType=cv2.BORDER_REPLICATE
    )
    scale = (np.array(shape, np.float32) / (image.shape[1], image.shape[0])).astype(np.float32)
    at = (points[:, :2] + 0.5) * scale - 0.5
    x, y = (np.ascontiguousarray(at[:, k : k + 1], np.float32) for k in range(2))
    colours = cv2.remap(small, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(colours[:, 0], np.float32)


@dataclass(frozen=True)
class Light:
    """The light on a target's face.

    Attributes:
        gain: (468, 3) factor that turns source colours of the target's depth into the target's light.
        depth: factor for the depth of the source's colours, see `colour_depth`.
        tone: (3,) float32, what `colour_tone` says: brightness of the face, factors for dark and for light.
        skin: (468, 3) float32 BGR, the target's bare skin in that light.
    """

    gain: Floats
    skin: Floats
    depth: float
    tone: Floats


class LightTransfer:
    """Smooth colours and light ratios over a face.

    Args:
        shape: (468, 3) canonical shape (outer eye corners 1 apart).
        tables: mesh tables.
        reach: standard deviation of the smoothing, in units of that distance.
    """

    def __init__(self, shape: Floats, tables: MeshTables, *, reach: float = 0.42) -> None:
        distance = ((shape[:, None] - shape[None]) ** 2).sum(-1)
        trusted = ~tables.feature & (tables.outline_rings >= 1)
        # Where hair hardly ever lies: the first look at what skin is like here.
        sure = trusted & (tables.edge_zone < 0.3)
        self._skin = sure.astype(np.float32) + 1e-6
        # Hair lies at the edge; farther inside, what is dark or deep is mostly skin in the shade.
        inner = np.clip((tables.outline_rings - 2) / 2, 0.0, 1.0) * (tables.edge_zone < 0.3)
        self._doubting = (0.995 * (1.0 - 0.7 * inner)).astype(np.float32)
        self.trusted, self._sure = np.flatnonzero(trusted), np.flatnonzero(sure)
        # At the edge the light must meet its surroundings; inside, broad light leaves the face its features.
        reaches = reach * np.interp(tables.outline_rings, (1, 3), (0.4, 1.0))
        kernel = np.exp(-distance / (2 * reaches[:, None] ** 2)).astype(np.float32)
        wide = np.exp(-distance / (2 * (2.2 * reach) ** 2)).astype(np.float32)
        self._kernel = np.ascontiguousarray(kernel[:, self.trusted])
        self._wide = np.ascontiguousarray(wide[:, self._sure])

    def smooth(self, values: Floats, confidence: Floats | None = None) -> Floats:
        """Mean of `values` (468, k) over each point's surroundings, weighted by `confidence` (468,)."""
        weights = np.ones(LANDMARK_COUNT, np.float32) if confidence is None else confidence
        return np.asarray(
            weighted_means(self._kernel, _contiguous(values[self.trusted]), weights[self.trusted]),
            np.float32,
        )

    def bare_skin(self, colours: Floats) -> Floats:
        """(468, 3) what skin is like round each point, told only by places where hair hardly ever lies."""
        known = _contiguous(colours[self._sure])
        return np.asarray(weighted_means(self._wide, known, np.ones(len(known), np.float32)), np.float32)

    def confidence(self, colours: Floats) -> Floats:
        """(468,) how far each point shows bare skin: 0 where hair, a hand or a hat's shadow lies over it."""
        doubt = foreign(_contiguous(colours)[None], self.bare_skin(colours)[None])[0]
        return np.asarray(1.0 - self._doubting * doubt, np.float32)

    def transfer(
        self, source: Floats, source_confidence: Floats, target: Floats, usual: UsualColours
    ) -> Light:
        """Light of a target with colours `target` for a source with colours `source`, both (468, 3) BGR.

        Args:
            usual: what this target has shown so far; told of this moment.
        """
        confidence = self.confidence(target) * source_confidence
        weights = confidence * self._skin
        depth = float(usual.depth.take(colour_depth(source, target, weights))[0])
        deepened = np.maximum(with_depth(source, depth), 0.0)
        ratio = np.log((target + 6.0) / (deepened + 6.0))
        both = self.smooth(np.concatenate([ratio, target], axis=1), confidence)
        gain = both[:, :3]
        gain = gain + _EVENNESS * (gain[self.trusted].mean(axis=0) - gain)
        gain = np.exp(np.clip(gain, -2.0, 1.6))
        brightness, *factors = colour_tone(deepened * gain, target, weights)
        tone = np.array([brightness, *usual.tone.take(np.array(factors))], np.float32)
        return Light(gain, np.ascontiguousarray(both[:, 3:]), depth, tone)


class SlowMean:
    """A mean at first, then a slow average: what must not change from frame to frame.

    Args:
        memory: values that count.
    """

    def __init__(self, memory: int) -> None:
        self._memory = memory
        self._count = 0
        self._mean = np.zeros(1)

    def take(self, value: NDArray[Any]) -> NDArray[Any]:
        """Take in a value, always of the same shape; answers the mean."""
        self._count += 1
        self._mean = self._mean + (value - self._mean) / min(self._count, self._memory)
        return self._mean


class UsualColours:
    """How deep the colours of a target are, on the whole and in its shadows and lights."""

    def __init__(self, memory: int = 30) -> None:
        self.depth = SlowMean(memory)
        self.tone = SlowMean(memory)


def colour_depth(source: Floats, target: Floats, weights: Floats) -> NDArray[Any]:
    """How much deeper the target's skin colour is than the source's: the factor for its distance from grey.

    A lamp's colour lies on skin, but not on highlights, and shadows of a warm photo are redder than its skin.
    So colours are first made as deep as the target's, about their own grey, and light does the rest.

    Args:
        source, target: (468, 3) BGR.
        weights: (468,) how far each point shows skin in both.

    Returns:
        (1,) 0.3 to 1.3; 1 where the source has hardly any colour.
    """
    share = weights / (weights.sum() + 1e-12)
    mean, wanted = share @ source, share @ target
    brightness = float(wanted.mean())
    own = float(mean[2] - mean[0]) * brightness / (float(mean.mean()) + 1e-6)
    if own <= 0.08 * brightness:
        return np.ones(1)
    return np.clip([float(wanted[2] - wanted[0]) / own], 0.3, 1.3)


def colour_tone(drawn: Floats, target: Floats, weights: Floats) -> Floats:
    """How the depth of colour must change between shadows and lights to do so as in the target.

    Films and flashes leave highlights white and shadows deep; other cameras do not. So how deep colours are
    is told as a straight line over brightness for both.

    Args:
        drawn, target: (468, 3) BGR, the source in the target's light, and the target.
        weights: (468,) how far each point shows skin in both.

    Returns:
        (3,) the target's mean brightness; factors for the distance from grey of what is a quarter darker and
        a quarter lighter than that.
    """
    share = weights / (weights.sum() + 1e-12)
    brightness = float(share @ target @ _LUMA) + 1e-3
    ends = []
    for colours in (target, drawn):
        luma = colours @ _LUMA
        depth = (colours[:, 2] - colours[:, 0]) / (luma + 8.0)
        place = luma / brightness - 1.0
        middle, mean = float(share @ place), float(share @ depth)
        off = share * (place - middle)
        slope = float(off @ (depth - mean)) / (float(off @ (place - middle)) + 0.004)
        ends.append([max(mean + slope * (end - middle), 0.0) for end in (-0.25, 0.25)])
    wanted, has = np.array(ends)
    factors = np.clip((wanted + 0.05) / (has + 0.05), 0.75, 1.33)
    return np.array([brightness, *factors], np.float32)


def with_depth(colours: Floats, depth: float) -> Floats:
    """BGR colours (n, 3), their distance from grey times `depth`."""
    grey = colours @ _LUMA
    return np.asarray(grey[:, None] + (colours - grey[:, None]) * np.float32(depth), np.float32)


def _contiguous(values: Floats) -> Floats:
    return np.ascontiguousarray(values, np.float32)

"""Light of a face, told by the colours at its landmarks.

Both faces are reduced to one colour for each landmark. The ratio target over source, smoothed over the face,
is the light to apply. Points on eyes, brows, lips and nostrils have no say: their colour is the person's, not
the light's. What remains is one matrix product per frame.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from facefusion.swap.mesh.geometry import MeshTables
from facefusion.swap.mesh.kernels import foreign

Floats = NDArray[np.float32]
_FACE_PIXELS = 72  # size to which a face is reduced before its colours are read


def vertex_colours(image: NDArray[np.uint8], points: Floats, size: float) -> Floats:
    """Mean colour round each landmark.

    Args:
        image: (h, w, 3) uint8 BGR that holds the face.
        points: (468, >=2) positions in it.
        size: longer side of the face in pixels.

    Returns:
        (468, 3) float32 BGR, 0..255.
    """
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


class LightTransfer:
    """Smooth light ratios over a face.

    Args:
        shape: (468, 3) canonical shape (outer eye corners 1 apart).
        tables: mesh tables.
        reach: standard deviation of the smoothing, in units of that distance.
    """

    def __init__(self, shape: Floats, tables: MeshTables, *, reach: float = 0.42) -> None:
        distance = ((shape[:, None] - shape[None]) ** 2).sum(-1)
        self._kernel = np.exp(-distance / (2 * reach**2)).astype(np.float32)
        near = (tables.outline_rings >= 2) | ((tables.outline_rings == 1) & (tables.edge_zone > 0))
        self._trust = (~tables.feature & near).astype(np.float32)
        # Where hair hardly ever lies: the first look at what skin is like here.
        self._sure = self._trust * (tables.edge_zone < 0.3)
        self._wide = np.exp(-distance / (2 * (2.2 * reach) ** 2)).astype(np.float32)

    def smooth(self, values: Floats, confidence: Floats | None = None) -> Floats:
        """Weighted mean of `values` (468, k) over each point's surroundings."""
        weight = self._trust if confidence is None else self._trust * confidence
        return np.asarray(
            (self._kernel @ (values * weight[:, None])) / (self._kernel @ weight + 1e-6)[:, None], np.float32
        )

    def skin(self, colours: Floats) -> tuple[Floats, Floats]:
        """Colour of the bare skin at every point, and how far each point shows it.

        Hair, hands and shadows of hats differ from what their surroundings lead to expect; in a second look
        they have less say.

        Returns:
            (468, 3) float32 BGR, and (468,) float32 confidence 0..1.
        """
        expected = (self._wide @ (colours * self._sure[:, None])) / (self._wide @ self._sure)[:, None]
        doubt = foreign(colours[None].astype(np.float32), expected[None].astype(np.float32))[0]
        confidence = np.asarray(1.0 - 0.98 * doubt, np.float32)
        return self.smooth(colours, confidence), confidence

    def gain(self, source: Floats, target: Floats, confidence: Floats | None = None) -> Floats:
        """(468, 3) factor that turns source colours into the target's light."""
        ratio = np.log((target + 6.0) / (source + 6.0))
        return np.asarray(np.exp(np.clip(self.smooth(ratio, confidence), -2.0, 1.6)), np.float32)

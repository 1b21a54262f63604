"""Show wide-gamut and HDR pictures as ordinary 8-bit sRGB ones, and bring such pixels back.

Detectors and engines know the colours of ordinary video. A frame in BT.2020, P3, PQ or HLG is therefore read
through a *view*: linear light, change of primaries, highlights rolled off, gamma. Blending goes the same way
back, so that what an engine leaves alone comes back as it was and what it adds has the right brightness.

Sources: SMPTE ST 2084 (PQ), ITU-R BT.2100-2 (HLG, system gamma 1.2), BT.1886 (2.4), BT.2408 (203 cd/m2 is the
white of ordinary pictures inside HDR), H.273 (code points).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
_WHITE = 203.0
_PQ = 16
_HLG = 18
_PEAK = 1000.0 / _WHITE
"""Brightest light a view tells apart, in units of ordinary white."""
_KNEE = 0.6
"""Light up to here is shown as it is; above it is compressed."""
_STEPS = 65535

# Chromaticities of R, G, B; all with white D65. BT.601 differs from BT.709 by less than anybody sees.
_PRIMARIES = {
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    11: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
    12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
}
_BT709 = ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060))
_D65 = (0.3127, 0.3290)


def _xyz_from_rgb(chromaticities: tuple[tuple[float, float], ...]) -> npt.NDArray[np.float64]:
    columns = np.array([[x / y, 1.0, (1 - x - y) / y] for x, y in chromaticities]).T
    white = np.array([_D65[0] / _D65[1], 1.0, (1 - _D65[0] - _D65[1]) / _D65[1]])
    return np.asarray(columns * np.linalg.solve(columns, white))


def _pq_to_light(signal: npt.NDArray[Any]) -> npt.NDArray[Any]:
    m1, m2, c1, c2, c3 = 1305 / 8192, 2523 / 32, 107 / 128, 2413 / 128, 2392 / 128
    power = signal ** (1 / m2)
    return np.asarray(10000.0 / _WHITE * (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1))


def _pq_from_light(light: npt.NDArray[Any]) -> npt.NDArray[Any]:
    m1, m2, c1, c2, c3 = 1305 / 8192, 2523 / 32, 107 / 128, 2413 / 128, 2392 / 128
    power = np.clip(light * _WHITE / 10000.0, 0, 1) ** m1
    return np.asarray(((c1 + c2 * power) / (1 + c3 * power)) ** m2)


_HLG_A, _HLG_B, _HLG_C = 0.17883277, 0.28466892, 0.55991073


def _hlg_to_light(signal: npt.NDArray[Any]) -> npt.NDArray[Any]:
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - _HLG_C) / _HLG_A) + _HLG_B) / 12)
    return np.asarray(_PEAK * scene**1.2)


def _hlg_from_light(light: npt.NDArray[Any]) -> npt.NDArray[Any]:
    scene = np.clip(light / _PEAK, 0, 1) ** (1 / 1.2)
    high = _HLG_A * np.log(np.maximum(12 * scene - _HLG_B, 1e-9)) + _HLG_C
    return np.asarray(np.where(scene <= 1 / 12, np.sqrt(3 * scene), high))


def _knee_constant() -> float:
    """k of the logarithm above the knee that leaves it with slope 1 and reaches 1 at the peak."""
    low, high = 1e-3, 100.0
    span = _PEAK - _KNEE
    for _ in range(60):
        middle = (low + high) / 2
        slope = (1 - _KNEE) * middle / np.log1p(middle * span)
        low, high = (middle, high) if slope < 1 else (low, middle)
    return low


class View:
    """Ordinary 8-bit colours of a frame with given primaries and transfer.

    Args:
        primaries: H.273 code point.
        transfer: H.273 code point.
    """

    def __init__(self, primaries: int, transfer: int) -> None:
        chromaticities = _PRIMARIES.get(primaries, _BT709)
        to_709 = np.linalg.solve(_xyz_from_rgb(_BT709), _xyz_from_rgb(chromaticities))
        # Pixels are B, G, R: both axes of the matrices are reversed.
        self._to_709 = np.ascontiguousarray(to_709[::-1, ::-1], np.float32)
        self._from_709 = np.ascontiguousarray(np.linalg.inv(to_709)[::-1, ::-1], np.float32)
        self._hdr = transfer in (_PQ, _HLG)
        signal = np.arange(_STEPS + 1) / _STEPS
        # Table over the square root of light: fine steps in the dark, where the eye is.
        self._light_top = 10000.0 / _WHITE if transfer == _PQ else _PEAK if self._hdr else 1.0
        light = signal**2 * self._light_top
        if transfer == _PQ:
            to_light, from_light = _pq_to_light(signal), _pq_from_light(light)
        elif transfer == _HLG:
            to_light, from_light = _hlg_to_light(signal), _hlg_from_light(light)
        else:
            to_light, from_light = signal**2.4, light ** (1 / 2.4)
        self._to_light: Floats = to_light.astype(np.float32)
        self._from_light = np.round(np.clip(from_light, 0, 1) * _STEPS).astype(np.uint16)
        self._to_eight = np.round(255 * self._shown(light) ** (1 / 2.4)).astype(np.uint8)
        self._from_eight = self._meant((np.arange(256) / 255) ** 2.4).astype(np.float32)

    def _shown(self, light: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Light in units of ordinary white, highlights rolled off, 0 to 1."""
        if not self._hdr:
            return np.asarray(np.clip(light, 0, 1))
        k = _knee_constant()
        above = _KNEE + (1 - _KNEE) * np.log1p(k * np.maximum(light - _KNEE, 0)) / np.log1p(
            k * (_PEAK - _KNEE)
        )
        return np.clip(np.where(light <= _KNEE, light, above), 0, 1)

    def _meant(self, shown: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Inverse of `_shown`."""
        if not self._hdr:
            return shown
        k = _knee_constant()
        above = np.expm1((shown - _KNEE) / (1 - _KNEE) * np.log1p(k * (_PEAK - _KNEE))) / k + _KNEE
        return np.where(shown <= _KNEE, shown, above)

    def show(self, signal: npt.NDArray[np.uint16]) -> npt.NDArray[np.uint8]:
        """(h, w, 3) uint16 B'G'R' in the frame's own colours, full scale, to uint8 sRGB-like BGR."""
        light = cv2.transform(self._to_light[signal], self._to_709)
        return np.asarray(self._to_eight[self._index(light)])

    def bring_back(self, shown: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint16]:
        """Inverse of `show`."""
        light = cv2.transform(self._from_eight[shown], self._from_709)
        return np.asarray(self._from_light[self._index(light)])

    def _index(self, light: npt.NDArray[Any]) -> npt.NDArray[np.uint16]:
        scaled = np.sqrt(np.clip(light * np.float32(1 / self._light_top), 0, 1))
        return np.asarray(scaled * np.float32(_STEPS) + np.float32(0.5)).astype(np.uint16)


@lru_cache(maxsize=8)
def view_for(primaries: int, transfer: int) -> View | None:
    """The view of a frame with these tags; None for ordinary video, which is shown as it is."""
    if primaries in _PRIMARIES or transfer in (_PQ, _HLG):
        return View(primaries, transfer)
    return None

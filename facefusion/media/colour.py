"""How the samples of a frame stand for colours: matrix, range, depth.

Sources: ITU-R BT.601-7, BT.709-6, BT.2020-2 (matrices), ITU-T H.273 (the code points and the formulas for
limited and full range).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from facefusion.errors import MediaFormatError


class Matrix(IntEnum):
    """Matrix coefficients, by their H.273 code points."""

    RGB = 0
    BT709 = 1
    UNSPECIFIED = 2
    FCC = 4
    BT470BG = 5
    SMPTE170M = 6
    SMPTE240M = 7
    YCGCO = 8
    BT2020_NCL = 9
    BT2020_CL = 10
    ICTCP = 14


_KR_KB = {
    Matrix.BT709: (0.2126, 0.0722),
    Matrix.FCC: (0.30, 0.11),
    Matrix.BT470BG: (0.299, 0.114),
    Matrix.SMPTE170M: (0.299, 0.114),
    Matrix.SMPTE240M: (0.212, 0.087),
    Matrix.BT2020_NCL: (0.2627, 0.0593),
    # Constant luminance and ICtCp are not linear in R'G'B'. They are all but unknown outside studios; the
    # non-constant matrix is a fair view for analysis and, being inverted exactly, for blending.
    Matrix.BT2020_CL: (0.2627, 0.0593),
    Matrix.ICTCP: (0.2627, 0.0593),
}


def guess_matrix(tagged: int, width: int, height: int) -> Matrix:
    """The matrix a frame uses: its tag, or by size where untagged (the rule of players: HD is BT.709).

    Raises:
        MediaFormatError: a matrix this program does not know.
    """
    if tagged == Matrix.UNSPECIFIED:
        return Matrix.BT709 if width >= 1280 or height > 576 else Matrix.SMPTE170M
    try:
        return Matrix(tagged)
    except ValueError as error:
        raise MediaFormatError(
            f"The video uses colour matrix number {tagged}, which is not known."
        ) from error


@dataclass(frozen=True)
class ColourModel:
    """How YUV samples map to B'G'R' and back.

    Attributes:
        matrix: never UNSPECIFIED (see `guess_matrix`).
        full_range: samples use 0..max instead of 16..235 (scaled to the depth).
        depth: bits per sample.
    """

    matrix: Matrix
    full_range: bool
    depth: int

    def _forward(self) -> npt.NDArray[Any]:
        """3x3: R'G'B' in 0..1 to Y in 0..1 and two colour differences in -0.5..0.5."""
        if self.matrix is Matrix.YCGCO:
            return np.array([[0.25, 0.5, 0.25], [-0.25, 0.5, -0.25], [0.5, 0.0, -0.5]])
        kr, kb = _KR_KB[self.matrix]
        kg = 1.0 - kr - kb
        luma = np.array([kr, kg, kb])
        blue = (np.array([0.0, 0.0, 1.0]) - luma) / (2 * (1 - kb))
        red = (np.array([1.0, 0.0, 0.0]) - luma) / (2 * (1 - kr))
        return np.stack([luma, blue, red])

    def _quantisation(self) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Scale and offset from normalised YUV to samples."""
        unit = 1 << (self.depth - 8)
        middle = 1 << (self.depth - 1)
        if self.full_range:
            top = (1 << self.depth) - 1
            return np.array([top, top, top], float), np.array([0, middle, middle], float)
        return np.array([219, 224, 224], float) * unit, np.array([16 * unit, middle, middle], float)

    @lru_cache(maxsize=64)  # noqa: B019 - frozen and few; the key is the value, not the instance
    def to_bgr(self, top: int = 255) -> npt.NDArray[np.float32]:
        """Coefficients for `kernels.yuv_to_bgr`, rounding included.

        Args:
            top: value of full intensity in the result (255 for 8 bit).

        Returns:
            float32[11]: luma factor; for B, G, R the factors of both chroma samples and the constant; `top`.
        """
        scale, offset = self._quantisation()
        inverse = np.linalg.inv(self._forward()) / scale * top
        constant = -inverse @ offset + 0.5
        k = np.zeros(11, np.float32)
        k[0] = inverse[0, 0]
        for place, channel in enumerate((2, 1, 0)):
            k[1 + 3 * place : 4 + 3 * place] = inverse[channel, 1], inverse[channel, 2], constant[channel]
        k[10] = top
        return k

    @lru_cache(maxsize=64)  # noqa: B019
    def from_bgr(self, top: int = 255) -> npt.NDArray[np.float32]:
        """Coefficients for `kernels.blend_yuv`.

        Args:
            top: value of full intensity in the colours (255 for 8 bit).

        Returns:
            float32[13]: for Y, U, V the factors of B, G, R and the constant; the largest sample value.
        """
        scale, offset = self._quantisation()
        forward = self._forward() * scale[:, None] / top
        k = np.zeros(13, np.float32)
        for row in range(3):
            k[4 * row : 4 * row + 4] = *forward[row, ::-1], offset[row]
        k[12] = (1 << self.depth) - 1
        return k

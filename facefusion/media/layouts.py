"""Pixel layouts: which the loops work on as they are, and which are unpacked into one of those first."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from facefusion.errors import MediaFormatError


@dataclass(frozen=True)
class Layout:
    """How a planar frame is stored.

    Attributes:
        name: libav's name of the pixel format.
        depth: bits per sample (8 in uint8; 9 to 16 in uint16, in the low bits).
        sx: horizontal chroma shift (1 = half the width).
        sy: vertical chroma shift.
        gray: luma only.
        rgb: planes are green, blue, red.
        alpha: a last plane holds transparency (never touched).
        full_range: the name itself says full range (yuvj).
    """

    name: str
    depth: int
    sx: int = 0
    sy: int = 0
    gray: bool = False
    rgb: bool = False
    alpha: bool = False
    full_range: bool = False

    @property
    def turned_name(self) -> str:
        """Name of the layout in which this one lies after a turn by 90 degrees (shifts change places)."""
        if self.gray or self.rgb or self.sx == self.sy:
            return self.name
        turned = {"422": "440", "440": "422"}
        for old, new in turned.items():
            if old in self.name:
                return self.name.replace(old, new)
        raise MediaFormatError(f"A video in {self.name} cannot be turned.")

    def plane_size(self, plane: int, width: int, height: int) -> tuple[int, int]:
        """Width and height of one plane of a picture of the given size."""
        if plane in (1, 2) and not self.rgb:
            return -(-width >> self.sx), -(-height >> self.sy)
        return width, height


_SUBSAMPLING = {
    "444": (0, 0),
    "440": (0, 1),
    "422": (1, 0),
    "420": (1, 1),
    "411": (2, 0),
    "410": (2, 2),
}
_PLANAR = re.compile(r"(yuvj?|yuva)(444|440|422|420|411|410)p(9|10|12|14|16)?(le)?")
_GRAY = re.compile(r"gray(8|9|10|12|14|16)?(le)?")
_RGB = re.compile(r"gbr(a?)p(9|10|12|14|16)?(le)?")

# Interleaved layouts and the planar one with the same samples: nothing but the order in memory changes.
_UNPACKED = {
    "nv12": "yuv420p",
    "nv21": "yuv420p",
    "nv16": "yuv422p",
    "nv24": "yuv444p",
    "nv42": "yuv444p",
    "yuyv422": "yuv422p",
    "yvyu422": "yuv422p",
    "uyvy422": "yuv422p",
    "uyyvyy411": "yuv411p",
    "nv20le": "yuv422p10le",
    "p010le": "yuv420p10le",
    "p012le": "yuv420p12le",
    "p016le": "yuv420p16le",
    "p210le": "yuv422p10le",
    "p212le": "yuv422p12le",
    "p216le": "yuv422p16le",
    "p410le": "yuv444p10le",
    "p412le": "yuv444p12le",
    "p416le": "yuv444p16le",
    "y210le": "yuv422p10le",
    "rgb24": "gbrp",
    "bgr24": "gbrp",
    "rgb0": "gbrp",
    "bgr0": "gbrp",
    "0rgb": "gbrp",
    "0bgr": "gbrp",
    "pal8": "gbrap",
    "rgba": "gbrap",
    "bgra": "gbrap",
    "argb": "gbrap",
    "abgr": "gbrap",
    "rgb48le": "gbrp16le",
    "rgb48be": "gbrp16le",
    "bgr48le": "gbrp16le",
    "bgr48be": "gbrp16le",
    "rgba64le": "gbrap16le",
    "rgba64be": "gbrap16le",
    "bgra64le": "gbrap16le",
    "bgra64be": "gbrap16le",
}


@lru_cache(maxsize=256)
def layout_of(name: str) -> Layout:
    """The layout of a planar pixel format.

    Raises:
        MediaFormatError: not planar in memory order of this machine; see `planar_equivalent`.
    """
    if found := _PLANAR.fullmatch(name):
        family, sampling, depth, _ = found.groups()
        sx, sy = _SUBSAMPLING[sampling]
        bits = int(depth or 8)
        return Layout(name, bits, sx, sy, alpha=family == "yuva", full_range=family == "yuvj")
    if found := _GRAY.fullmatch(name):
        return Layout(name, int(found[1] or 8), gray=True)
    if found := _RGB.fullmatch(name):
        return Layout(name, int(found[2] or 8), rgb=True, alpha=bool(found[1]))
    raise MediaFormatError(f"The pixel format {name} is not supported.")


@lru_cache(maxsize=256)
def planar_equivalent(name: str) -> str | None:
    """The planar format with the same samples as `name`; `name` itself where it is planar already.

    None when there is none, so that reading it would lose something.
    """
    if name in _UNPACKED:
        return _UNPACKED[name]
    native = name[:-2] + "le" if name.endswith("be") else name
    if native in _UNPACKED:
        return _UNPACKED[native]
    try:
        layout_of(native)
    except MediaFormatError:
        return None
    return native

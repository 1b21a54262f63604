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
        """Name of the layout in which this one lies after a turn by 90 degrees.

        The shifts change places (4:2:2 becomes 4:4:0); where libav has no such layout it is 4:4:4.
        """
        if self.gray or self.rgb or self.sx == self.sy:
            return self.name
        if "440" in self.name:
            return self.name.replace("440", "422")
        if "422" in self.name and not self.alpha and self.depth in (8, 10, 12):
            return self.name.replace("422", "440")
        return re.sub("4[0-4][0-4]", "444", self.name, count=1)

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
# (Few-bit RGB is spread over 8 bits, black and white over 0 and 255.)
_UNPACKED = {
    name: planar
    for planar, names in {
        "yuv420p": "nv12 nv21",
        "yuv422p": "nv16 yuyv422 yvyu422 uyvy422",
        "yuv444p": "nv24 nv42 vyu444 vuyx",
        "yuva444p": "ayuv vuya uyva",
        "yuv420p10le": "p010le",
        "yuv420p12le": "p012le",
        "yuv420p16le": "p016le",
        "yuv422p10le": "nv20le p210le y210le",
        "yuv422p12le": "p212le y212le",
        "yuv422p16le": "p216le y216le",
        "yuv444p10le": "p410le xv30le",
        "yuv444p12le": "p412le xv36le",
        "yuv444p16le": "p416le xv48le",
        "yuva444p16le": "ayuv64le",
        "gbrp": "rgb24 bgr24 rgb0 bgr0 0rgb 0bgr rgb565le bgr565le rgb555le bgr555le rgb444le bgr444le "
        "rgb8 bgr8 rgb4_byte bgr4_byte",
        "gbrap": "pal8 rgba bgra argb abgr ya8",
        "gbrp10le": "x2rgb10le x2bgr10le",
        "gbrp16le": "rgb48le bgr48le",
        "gbrap16le": "rgba64le bgra64le",
        "gray": "monow monob",
    }.items()
    for name in names.split()
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

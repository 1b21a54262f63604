"""Pictures as the engine sees them: regions in BGR, whatever the frame is made of underneath.

`PlanarFrame` is one decoded video frame in its own planes, `PackedFrame` is a photo. Reading converts the
region that is asked for and nothing else; blending writes only the samples under a non-zero alpha.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import astuple
from fractions import Fraction
from typing import Any, Protocol

import av
import cv2
import numpy as np
import numpy.typing as npt

from facefusion.errors import MediaFormatError
from facefusion.media import kernels
from facefusion.media.colour import ColourModel, Matrix, guess_matrix
from facefusion.media.imprint import Strength, add_cells, amplitudes
from facefusion.media.layouts import Layout, layout_of
from facefusion.media.view import view_for

Image = npt.NDArray[np.uint8]
Samples = npt.NDArray[Any]
Box = tuple[int, int, int, int]

# SMPTE ST 2084 spends its steps evenly over what the eye can tell apart, so a step is worth twice as much.
_PQ, _PQ_SHARE = 16, 0.5


class Frame(Protocol):
    """One upright picture, read and changed by region.

    Coordinates are pixels of the displayed picture, (0, 0) the upper left pixel; a box is (x0, y0, x1, y1)
    with exclusive right and lower edges and lies inside the frame (ValueError otherwise).
    """

    @property
    def width(self) -> int:
        """Displayed width in pixels."""

    @property
    def height(self) -> int:
        """Displayed height in pixels."""

    @property
    def nbytes(self) -> int:
        """Memory the picture occupies, for queues bounded in bytes."""

    def read(self, box: Box, shrink: int = 1) -> Image:
        """Copy a region as BGR.

        Args:
            box: the region.
            shrink: integer factor >= 1 by which the region is area-averaged down. The result has
                ceil(size / shrink) pixels; pixels at a cut edge average what is there.

        Returns:
            (h, w, 3) uint8 BGR, newly allocated.
        """

    def thumbnail(self, max_side: int) -> tuple[Image, float]:
        """The whole frame, no side longer than `max_side` (never enlarged).

        Returns:
            (h, w, 3) uint8 BGR, and the scale: thumbnail coordinate = frame coordinate * scale.
        """

    def luma_samples(self, step: int) -> npt.NDArray[np.float32]:
        """Every `step`-th luma sample in both directions, 0 to 1: a glance that costs nothing."""

    def blend(self, box: Box, colour: Image, alpha: Image) -> None:
        """Mix pixels into a region, in place; samples whose alpha is 0 stay bit-identical.

        Args:
            box: the region.
            colour: (h, w, 3) uint8 BGR, exactly the size of the box.
            alpha: (h, w) uint8; 0 keeps the frame's pixel, 255 takes the new one.
        """

    def imprint(self, signs: npt.NDArray[np.int8], strength: Strength) -> None:
        """Add a faint pattern to the brightness of the whole picture, in place.

        Transparency, what is fully transparent, black and white stay as they are.

        Args:
            signs: (rows, columns) of -1 and 1, laid over the whole picture.
            strength: of the pattern, see `facefusion.media.imprint`.
        """


def check_box(box: Box, width: int, height: int) -> Box:
    """Return `box` as plain integers.

    Raises:
        ValueError: empty, or not inside the frame.
    """
    x0, y0, x1, y1 = (int(edge) for edge in box)
    if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
        raise ValueError(f"box {box} is empty or not inside {width}x{height}")
    return x0, y0, x1, y1


def plane_samples(plane: Any, dtype: npt.DTypeLike) -> Samples:
    """View on one plane of a libav frame: (rows, line) with the line's padding. Valid while the frame is."""
    line = plane.line_size // np.dtype(dtype).itemsize
    return np.frombuffer(plane, dtype).reshape(-1, line)


def _check_pixels(box: Box, colour: Image, alpha: Image) -> tuple[Image, Image]:
    x0, y0, x1, y1 = box
    size = (y1 - y0, x1 - x0)
    if colour.shape != (*size, 3) or alpha.shape != size:
        raise ValueError(
            f"colour {colour.shape} and alpha {alpha.shape} do not have the size {size} of the box"
        )
    if colour.dtype != np.uint8 or alpha.dtype != np.uint8:
        raise ValueError(f"colour ({colour.dtype}) and alpha ({alpha.dtype}) must be uint8")
    return np.ascontiguousarray(colour), np.ascontiguousarray(alpha)


class PlanarFrame:
    """A decoded video frame in its own planes: planar YUV of any depth and subsampling, grey, or planar RGB.

    The decoder may still need the picture as a reference, so the first `blend` makes the frame writable
    (libav copies it where it is shared); a frame that is never blended is never copied.

    Args:
        frame: the decoded frame, upright, in a layout that `layouts.layout_of` knows.
        index: place in presentation order, from 0.
    """

    def __init__(self, frame: av.VideoFrame, index: int = 0) -> None:
        self.av_frame = frame
        self.index = index
        self.layout: Layout = layout_of(frame.format.name)
        self.width: int = frame.width
        self.height: int = frame.height
        self._writable = False
        self._planes: list[Samples] | None = None
        self._model: ColourModel | None = None
        self._view = view_for(frame.color_primaries, frame.color_trc)

    @property
    def pts(self) -> int | None:
        """Presentation time stamp in units of `time_base`."""
        return self.av_frame.pts

    @property
    def time_base(self) -> Fraction:
        """Seconds per tick."""
        return self.av_frame.time_base or Fraction(1, 1)

    @property
    def seconds(self) -> float:
        """Presentation time; 0.0 where the frame carries none."""
        return float((self.pts or 0) * self.time_base)

    @property
    def nbytes(self) -> int:
        """Bytes of all planes."""
        return sum(plane.buffer_size for plane in self.av_frame.planes)

    @property
    def planes(self) -> list[Samples]:
        """Views on the planes: (rows, line) uint8 or uint16, line padding included.

        They are valid until the next `blend`, which may move the frame to other memory.
        """
        if self._planes is None:
            dtype = np.dtype(np.uint8 if self.layout.depth == 8 else np.uint16)
            self._planes = [plane_samples(plane, dtype) for plane in self.av_frame.planes]
        return self._planes

    @property
    def model(self) -> ColourModel:
        """How the samples stand for colours: from the frame's tags, by convention where untagged."""
        if self._model is None:
            frame, layout = self.av_frame, self.layout
            matrix = Matrix.RGB if layout.rgb else guess_matrix(frame.colorspace, self.width, self.height)
            if matrix is Matrix.RGB and not layout.rgb:
                # Tagged as RGB, stored as YUV: a known fault of screen recorders. Size decides.
                matrix = guess_matrix(Matrix.UNSPECIFIED, self.width, self.height)
            full = layout.full_range or layout.rgb or frame.color_range == 2
            self._model = ColourModel(matrix, full, layout.depth)
        return self._model

    def _chroma(self) -> tuple[Samples, Samples, int, int]:
        """Chroma planes and shifts; grey frames get one neutral row that serves all lines."""
        if self.layout.gray:
            neutral = np.full((1, self.width), 1 << (self.layout.depth - 1), self.planes[0].dtype)
            return neutral, neutral.copy(), 0, 31
        return self.planes[1], self.planes[2], self.layout.sx, self.layout.sy

    def read(self, box: Box, shrink: int = 1) -> Image:
        """See `Frame.read`."""
        x0, y0, x1, y1 = check_box(box, self.width, self.height)
        if shrink < 1:
            raise ValueError(f"shrink is {shrink}; it must be at least 1")
        if self.layout.rgb:
            return self._read_rgb((x0, y0, x1, y1), shrink)
        u, v, sx, sy = self._chroma()
        k, dtype = self._read_as()
        out = np.empty((-(-(y1 - y0) // shrink), -(-(x1 - x0) // shrink), 3), dtype)
        if shrink == 1:
            kernels.yuv_to_bgr(self.planes[0], u, v, sx, sy, x0, y0, k, out)
        else:
            kernels.yuv_to_bgr_shrunk(self.planes[0], u, v, sx, sy, (x0, y0, x1, y1), shrink, k, out)
        return out if self._view is None else self._view.show(out)

    def _read_as(self) -> tuple[npt.NDArray[np.float32], npt.DTypeLike]:
        """Coefficients and sample type of what the kernels put out."""
        if self._view is None:
            return self.model.to_bgr(), np.uint8
        return self.model.to_bgr(65535), np.uint16

    def _read_rgb(self, box: Box, shrink: int) -> Image:
        x0, y0, x1, y1 = box
        green, blue, red = (plane[y0:y1, x0:x1] for plane in self.planes[:3])
        return shrink_packed(_merge(blue, green, red, self.layout.depth), shrink)

    def thumbnail(self, max_side: int) -> tuple[Image, float]:
        """See `Frame.thumbnail`. Only the small picture is converted."""
        return _thumbnail(self, max_side)

    def luma_samples(self, step: int) -> npt.NDArray[np.float32]:
        """See `Frame.luma_samples` (the green plane of RGB frames)."""
        samples = self.planes[0][step // 2 : self.height : step, step // 2 : self.width : step]
        return samples.astype(np.float32) / float((1 << self.layout.depth) - 1)

    def blend(self, box: Box, colour: Image, alpha: Image) -> None:
        """See `Frame.blend`; mixing happens in the frame's own depth, matrix, range and subsampling."""
        x0, y0, x1, y1 = check_box(box, self.width, self.height)
        colour, alpha = _check_pixels((x0, y0, x1, y1), colour, alpha)
        self._make_writable()
        if self.layout.rgb:
            scale = ((1 << self.layout.depth) - 1) / 255
            for plane, channel in zip(self.planes[:3], (1, 0, 2), strict=True):
                target = plane[y0:y1, x0:x1, None]
                kernels.blend_samples(target, colour[..., channel : channel + 1], alpha, scale)
            return
        u, v, sx, sy = self._chroma()
        size = (self.width, self.height)
        pixels: Samples = colour
        k = self.model.from_bgr()
        if self._view is not None:
            pixels, k = self._view.bring_back(colour), self.model.from_bgr(65535)
        kernels.blend_yuv(self.planes[0], u, v, size, sx, sy, x0, y0, pixels, alpha, k)

    def imprint(self, signs: npt.NDArray[np.int8], strength: Strength) -> None:
        """See `Frame.imprint`. RGB frames get it in all three colours, all others in luma."""
        self._make_writable()
        size = (self.width, self.height)
        unit, top = 1 << (self.layout.depth - 8), (1 << self.layout.depth) - 1
        full = self.layout.rgb or self.model.full_range
        black, white = (0, top) if full else (16 * unit, 235 * unit)
        planes = self.planes[: 3 if self.layout.rgb else 1]
        scale = unit * (_PQ_SHARE if self.av_frame.color_trc == _PQ else 1.0)
        cells = amplitudes(planes[0], size, signs, astuple(strength), float(black), float(white), scale)
        hidden = self.planes[-1][: self.height, : self.width] == 0 if self.layout.alpha else None
        for plane in planes:
            with _kept(plane[: self.height, : self.width], hidden):
                add_cells(plane, size, cells, 1, 1, black, white)

    def _make_writable(self) -> None:
        if self._writable:
            return
        self._planes = None
        self.av_frame.make_writable()
        self._writable = True


class PackedFrame:
    """A photo: interleaved BGR, BGRA or grey pixels of 8 or 16 bit.

    Args:
        pixels: (h, w, 3) BGR or (h, w, 4) BGRA, uint8 or uint16, C-contiguous; changed in place by `blend`.
        gray: the photo has no colour (its three channels are equal); what is blended loses its colour too.
    """

    def __init__(self, pixels: Samples, *, gray: bool = False) -> None:
        if pixels.ndim != 3 or pixels.shape[2] not in (3, 4) or pixels.dtype not in (np.uint8, np.uint16):
            raise MediaFormatError(
                f"Pictures of shape {pixels.shape} and type {pixels.dtype} are not supported."
            )
        self.pixels = np.ascontiguousarray(pixels)
        self.gray = gray
        self.index = 0

    @property
    def width(self) -> int:
        """Displayed width in pixels."""
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        """Displayed height in pixels."""
        return int(self.pixels.shape[0])

    @property
    def nbytes(self) -> int:
        """Bytes of the pixels."""
        return self.pixels.nbytes

    @property
    def depth(self) -> int:
        """Bits per sample: 8 or 16."""
        return 8 * self.pixels.dtype.itemsize

    def read(self, box: Box, shrink: int = 1) -> Image:
        """See `Frame.read`. Transparency is ignored: the colours under it are returned."""
        x0, y0, x1, y1 = check_box(box, self.width, self.height)
        if shrink < 1:
            raise ValueError(f"shrink is {shrink}; it must be at least 1")
        region = _to_eight_bits(self.pixels[y0:y1, x0:x1, :3], self.depth)
        return shrink_packed(np.ascontiguousarray(region), shrink) if shrink > 1 else region.copy()

    def thumbnail(self, max_side: int) -> tuple[Image, float]:
        """See `Frame.thumbnail`."""
        return _thumbnail(self, max_side)

    def luma_samples(self, step: int) -> npt.NDArray[np.float32]:
        """See `Frame.luma_samples` (the green channel)."""
        samples = self.pixels[step // 2 :: step, step // 2 :: step, 1]
        return samples.astype(np.float32) / float(np.iinfo(self.pixels.dtype).max)

    def blend(self, box: Box, colour: Image, alpha: Image) -> None:
        """See `Frame.blend`. The transparency of the picture is left as it is."""
        x0, y0, x1, y1 = check_box(box, self.width, self.height)
        colour, alpha = _check_pixels((x0, y0, x1, y1), colour, alpha)
        if self.gray:
            luma = cv2.cvtColor(colour, cv2.COLOR_BGR2GRAY)
            colour = np.asarray(cv2.cvtColor(luma, cv2.COLOR_GRAY2BGR), np.uint8)
        scale = 257.0 if self.depth == 16 else 1.0
        kernels.blend_samples(self.pixels[y0:y1, x0:x1], colour, alpha, scale)

    def imprint(self, signs: npt.NDArray[np.int8], strength: Strength) -> None:
        """See `Frame.imprint`; all three colours get the same."""
        size, channels = (self.width, self.height), self.pixels.shape[2]
        unit, white = (257.0, 65535) if self.depth == 16 else (1.0, 255)
        cells = amplitudes(self.pixels[..., 1], size, signs, astuple(strength), 0.0, float(white), unit)
        hidden = self.pixels[..., 3] == 0 if channels == 4 else None
        with _kept(self.pixels, hidden):
            add_cells(self.pixels.reshape(self.height, -1), size, cells, channels, 3, 0, white)


@contextlib.contextmanager
def _kept(samples: Samples, hidden: npt.NDArray[np.bool_] | None) -> Iterator[None]:
    """Leave what is fully transparent as it was."""
    if hidden is None or not hidden.any():
        yield
        return
    before = samples[hidden]
    yield
    samples[hidden] = before


def _merge(blue: Samples, green: Samples, red: Samples, depth: int) -> Image:
    return np.asarray(cv2.merge([_to_eight_bits(part, depth) for part in (blue, green, red)]), np.uint8)


def _to_eight_bits(samples: Samples, depth: int) -> Image:
    """Full-range samples of any depth, rounded to 8 bit."""
    if depth == 8:
        return samples
    top = (1 << depth) - 1
    scaled = samples.astype(np.float32) * np.float32(255.0 / top) + np.float32(0.5)
    return np.asarray(np.minimum(scaled, 255), np.float32).astype(np.uint8)


def _thumbnail(frame: Frame, max_side: int) -> tuple[Image, float]:
    """Shrink by the largest integer factor while reading, then by the rest."""
    scale = min(1.0, max_side / max(frame.width, frame.height))
    size = max(1, round(frame.width * scale)), max(1, round(frame.height * scale))
    small = frame.read((0, 0, frame.width, frame.height), max(1, int(1 / scale)))
    if (small.shape[1], small.shape[0]) != size:
        small = np.asarray(cv2.resize(small, size, interpolation=cv2.INTER_AREA), np.uint8)
    return small, scale


def shrink_packed(pixels: Image, shrink: int) -> Image:
    """Area-average interleaved pixels by an integer factor; see `Frame.read` for cut edges."""
    if shrink == 1:
        return pixels
    h, w = pixels.shape[:2]
    high, wide = h // shrink, w // shrink
    out = np.empty((-(-h // shrink), -(-w // shrink), 3), np.uint8)
    if high and wide:
        whole = pixels[: high * shrink, : wide * shrink]
        out[:high, :wide] = cv2.resize(whole, (wide, high), interpolation=cv2.INTER_AREA)
    # What is left over at the right and at the bottom makes blocks of its own, averaged over fewer pixels.
    if wide < out.shape[1] and high:
        blocks = pixels[: high * shrink, wide * shrink :].reshape(high, shrink, -1, 3)
        out[:high, wide] = _means(blocks, (1, 2))
    if high < out.shape[0] and wide:
        blocks = pixels[high * shrink :, : wide * shrink].reshape(-1, wide, shrink, 3)
        out[high, :wide] = _means(blocks, (0, 2))
    if wide < out.shape[1] and high < out.shape[0]:
        out[high, wide] = _means(pixels[high * shrink :, wide * shrink :], (0, 1))
    return out


def _means(pixels: Image, axes: tuple[int, int]) -> npt.NDArray[np.float64]:
    """Rounded means of uint8 pixels."""
    return np.asarray(np.rint(pixels.mean(axes)))

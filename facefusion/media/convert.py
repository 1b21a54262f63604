"""Bring a processed frame into the form the encoder takes, losing nothing that need not be lost."""

from __future__ import annotations

from typing import Any

import av
import numpy as np
import numpy.typing as npt
from av.video.reformatter import VideoReformatter

from facefusion.media.frame import plane_samples
from facefusion.media.layouts import Layout, layout_of, planar_equivalent
from facefusion.media.plan import OutputPlan
from facefusion.media.probe import ColourTags, MediaInfo

Samples = npt.NDArray[Any]
_RGB = 0
_BT709 = 1
_LIMITED = 1
_FULL = 2


class FrameConverter:
    """Converts frames of one video for its encoder.

    Usually nothing is done and the very frame is returned. Where the encoder wants even sizes the edge is
    repeated; where it lacks the pixel format, planes that exist in both are copied, and only a change of
    depth, of chroma resolution, or from RGB goes through libswscale.

    Attributes:
        colour: tags the result carries.
    """

    def __init__(self, info: MediaInfo, plan: OutputPlan) -> None:
        assert plan.encode is not None
        self._stored = plan.encode.pix_fmt
        # Encoders of graphics processors take interleaved chroma.
        self._name = planar_equivalent(self._stored) or self._stored
        self._layout = layout_of(self._name)
        self._size = (plan.width, plan.height)
        self._reformatter = VideoReformatter()
        self.colour = self._result_colour(info)

    def _result_colour(self, info: MediaInfo) -> ColourTags:
        source = layout_of(planar_equivalent(info.pix_fmt) or info.pix_fmt)
        tags = info.colour
        if source.rgb and not self._layout.rgb:
            return ColourTags(_BT709, tags.primaries, tags.transfer, _LIMITED)
        if source.rgb:
            return ColourTags(_RGB, tags.primaries, tags.transfer, _FULL)
        if source.full_range:
            return ColourTags(tags.matrix, tags.primaries, tags.transfer, _FULL)
        return tags

    def convert(self, frame: Any) -> Any:
        """Return the frame as the encoder wants it (the same object where it fits already)."""
        if frame.format.name != self._name:
            frame = self._change_format(frame)
        if (frame.width, frame.height) != self._size:
            frame = pad(frame, *self._size)
        if self._stored != self._name:
            duration = frame.duration
            frame = self._reformatter.reformat(frame, format=self._stored, threads=1)
            frame.duration = duration
        return frame

    def _change_format(self, frame: Any) -> Any:
        source = layout_of(frame.format.name)
        target = self._layout
        if source.depth == target.depth and not source.rgb and not target.rgb:
            if source.gray and not target.gray:
                return _copy_planes(frame, self._name, 1)
            if (source.sx, source.sy) == (target.sx, target.sy) and not target.gray:
                return _copy_planes(frame, self._name, 4 if target.alpha and source.alpha else 3)
        options: dict[str, int] = {}
        if source.rgb and not target.rgb:
            options = {"dst_colorspace": _BT709, "dst_color_range": _LIMITED}
        result = self._reformatter.reformat(frame, format=self._name, threads=1, **options)
        result.duration = frame.duration
        return result


def _views(frame: Any, layout: Layout) -> list[Samples]:
    dtype = np.dtype(np.uint8 if layout.depth == 8 else np.uint16)
    views = []
    for index, plane in enumerate(frame.planes):
        w, h = layout.plane_size(index, frame.width, frame.height)
        views.append(plane_samples(plane, dtype)[:h, :w])
    return views


def _like(frame: Any, width: int, height: int, name: str) -> Any:
    result = av.VideoFrame(width, height, name)
    result.colorspace, result.color_range = frame.colorspace, frame.color_range
    result.color_primaries, result.color_trc = frame.color_primaries, frame.color_trc
    result.pts, result.time_base, result.duration = frame.pts, frame.time_base, frame.duration
    return result


def _copy_planes(frame: Any, name: str, count: int) -> Any:
    """The same samples under another name; planes the source lacks are neutral (chroma) or opaque (alpha)."""
    layout = layout_of(name)
    result = _like(frame, frame.width, frame.height, name)
    source = _views(frame, layout_of(frame.format.name))
    for index, view in enumerate(_views(result, layout)):
        if index < min(count, len(source)):
            view[:] = source[index]
        else:
            opaque = layout.alpha and index == 3
            view[:] = (1 << layout.depth) - 1 if opaque else 1 << (layout.depth - 1)
    return result


def pad(frame: Any, width: int, height: int) -> Any:
    """A copy enlarged to the right and below by repeating the edge."""
    layout = layout_of(frame.format.name)
    result = _like(frame, width, height, layout.name)
    for old, new in zip(_views(frame, layout), _views(result, layout), strict=True):
        h, w = old.shape
        new[:h, :w] = old
        new[:h, w:] = old[:, -1:]
        new[h:] = new[h - 1]
    return result

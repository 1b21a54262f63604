"""Bring decoded frames into the form everything else works on: planar, upright, all alike."""

from __future__ import annotations

from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from facefusion.errors import MediaFormatError
from facefusion.media.frame import plane_samples
from facefusion.media.layouts import layout_of, planar_equivalent
from facefusion.media.orientation import Orientation
from facefusion.media.probe import MediaInfo

_LIMITED_BY_DEFAULT = frozenset(
    {"h264", "hevc", "vp8", "vp9", "av1", "mpeg1video", "mpeg2video", "mpeg4", "vc1"}
)


class Normaliser:
    """Makes the decoded frames of one video planar, upright and all of one kind.

    Planes are only copied where they must be: the frame itself is returned where nothing has to be done.

    Args:
        info: of the video the frames come from.
    """

    def __init__(self, info: MediaInfo) -> None:
        self._orientation: Orientation = info.orientation
        self._stored: tuple[int, int, str] | None = None
        self._changed = False
        self._reformatter = VideoReformatter()
        # Video codecs mean limited range unless they say otherwise; for everything else grey is full range.
        self._untagged_gray_is_full = info.codec not in _LIMITED_BY_DEFAULT

    @property
    def warnings(self) -> list[str]:
        """What had to be adapted, in sentences."""
        if not self._changed:
            return []
        assert self._stored is not None
        width, height, name = self._stored
        return [
            "The size or pixel format of the picture changes inside the video; "
            f"everything was brought to {width}x{height} {name}."
        ]

    def apply(self, frame: Any) -> Any:
        """Return the frame as the rest of the program wants it.

        Raises:
            MediaFormatError: its pixel format has no planar form.
        """
        name = planar_equivalent(frame.format.name)
        if name is None:
            raise MediaFormatError(
                f"The pixel format {frame.format.name} is not supported.",
                remedy="Convert the video to H.264 in mp4 and drop it again.",
            )
        if self._stored is None:
            self._stored = (frame.width, frame.height, name)
        if self._stored != (frame.width, frame.height, name):
            self._changed = True
        if self._stored != (frame.width, frame.height, frame.format.name):
            frame = self._reformat(frame, *self._stored)
        if self._untagged_gray_is_full and layout_of(name).gray and frame.color_range == 0:
            frame.color_range = 2
        return frame if self._orientation.is_upright else turn(frame, self._orientation)

    def _reformat(self, frame: Any, width: int, height: int, name: str) -> Any:
        """Convert through libswscale without touching range or matrix."""
        kept = frame.colorspace, frame.color_range, frame.color_primaries, frame.color_trc
        converted = self._reformatter.reformat(frame, width=width, height=height, format=name, threads=1)
        converted.colorspace, converted.color_range, converted.color_primaries, converted.color_trc = kept
        converted.duration = frame.duration
        return converted


def turn(frame: Any, orientation: Orientation) -> Any:
    """A copy of a planar frame, turned upright.

    4:2:2 lying on its side becomes 4:4:0, sample for sample, or 4:4:4 with its colour samples repeated.
    """
    layout = layout_of(frame.format.name)
    name = layout.name
    if orientation.swaps_sides:
        name = layout.turned_name
    width, height = orientation.displayed(frame.width, frame.height)
    turned = av.VideoFrame(width, height, name)
    dtype = np.dtype(np.uint8 if layout.depth == 8 else np.uint16)
    target = layout_of(name)
    for index, (source, result) in enumerate(zip(frame.planes, turned.planes, strict=True)):
        w, h = layout.plane_size(index, frame.width, frame.height)
        tw, th = target.plane_size(index, width, height)
        samples = plane_samples(source, dtype)[:h, :w]
        if {w, h} != {tw, th}:
            samples = samples.repeat(1 << layout.sx, 1).repeat(1 << layout.sy, 0)
            samples = np.ascontiguousarray(samples[: frame.height, : frame.width])
        orientation.apply(samples, plane_samples(result, dtype)[:th, :tw])
    turned.colorspace, turned.color_range = frame.colorspace, frame.color_range
    turned.color_primaries, turned.color_trc = frame.color_primaries, frame.color_trc
    turned.duration = frame.duration
    return turned

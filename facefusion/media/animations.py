"""Moving GIF, WebP and PNG files as targets: read picture by picture, written as the same kind."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO, Self

import av
import cv2
import numpy as np

from facefusion.errors import MediaFormatError, StorageError
from facefusion.media.frame import PlanarFrame, plane_samples
from facefusion.media.labels import labelled
from facefusion.media.photo_reader import open_picture
from facefusion.media.plan import OutputPlan
from facefusion.media.probe import MediaInfo
from facefusion.media.sniff import webp_is_lossless
from facefusion.media.stills import RGBA, GifPacker, Packer, PngPacker, WebpPacker
from facefusion.media.verify import ExpectedAnimation

_TICK = Fraction(1, 1000)
_LEAST_SHOWN, _SHOWN_INSTEAD = 20, 100  # milliseconds, as browsers do
_RGB = 0
_FULL = 2


class AnimationReader:
    """Iterates over the pictures of an animation; used like `reader.VideoReader`.

    Frames are planar RGB (with transparency where the file has it), composed as a viewer shows them. Time
    stamps count milliseconds as viewers show them: to a picture with hardly any delay they give a tenth of a
    second. The delay itself stands in `av_frame.duration`.

    Args:
        path: the animation.
        info: what `probe` said about it.
        threads: not used.

    Attributes:
        warnings: always empty.
    """

    def __init__(self, path: Path, info: MediaInfo, *, threads: int = 1) -> None:
        self.path = path
        self.info = info
        self.warnings: list[str] = []
        self._frames: Iterator[PlanarFrame] | None = None

    def __enter__(self) -> Self:
        self._frames = self._decode()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the file."""
        self._frames = None

    def __iter__(self) -> Iterator[PlanarFrame]:
        return self

    def __next__(self) -> PlanarFrame:
        """Return the next picture.

        Raises:
            StopIteration: after the last one.
            MediaFormatError: the file is damaged.
        """
        if self._frames is None:
            raise StopIteration
        return next(self._frames)

    def glimpses(self, places: int, count: int) -> Iterator[PlanarFrame]:
        """The first `places * count` pictures; see `VideoReader.glimpses`."""
        return itertools.islice(self._decode(), places * count)

    def _decode(self) -> Iterator[PlanarFrame]:
        with open_picture(self.path) as image:
            time = 0
            # An APNG may begin with a still for old viewers that is no part of the animation.
            first = 1 if getattr(image, "default_image", False) else 0
            for number in range(first, image.n_frames):
                image.seek(number)
                frame = _frame(np.asarray(image.convert("RGBA" if self.info.alpha else "RGB")))
                # WebP tells the delay only when the picture has been unpacked.
                duration = round(float(image.info.get("duration") or 0))
                frame.pts, frame.time_base, frame.duration = time, _TICK, duration
                yield PlanarFrame(frame, number - first)
                time += duration if duration >= _LEAST_SHOWN else _SHOWN_INSTEAD


class AnimationWriter:
    """Writes an animation of the source's kind; used like `writer.VideoWriter`.

    Args:
        path: file to write.
        info: the source, as probed.
        plan: how to write it.
        threads: not used.

    Attributes:
        frames: pictures written so far.
        warnings: always empty.

    Raises:
        StorageError: disk full, folder not writable.
    """

    def __init__(self, path: Path, info: MediaInfo, plan: OutputPlan, *, threads: int = 1) -> None:
        self.path = path
        self.info = info
        self.plan = plan
        self.frames = 0
        self.warnings: list[str] = []
        self._milliseconds = 0
        self._committed = False
        self._before: RGBA | None = None
        self._packer: Packer
        self._out: BinaryIO | None = None

    def __enter__(self) -> Self:
        with open_picture(self.info.path) as image:
            loops = image.info.get("loop")
            icc: bytes = image.info.get("icc_profile") or b""
            lossless = self.info.container != "webp" or webp_is_lossless(self.info.path.read_bytes())
        self._packer = self._suitable_packer(lossless)
        xmp = b"" if self.plan.label is None else labelled(b"", self.plan.label).packet
        try:
            with self._storage():
                self._out = self.path.open("wb")
                self._packer.begin(self._out, (self.plan.width, self.plan.height), loops, icc, xmp)
        except BaseException:
            self.close()
            raise
        return self

    def _suitable_packer(self, lossless: bool) -> Packer:
        if self.plan.container == "gif":
            return GifPacker(alpha=self.info.alpha)
        if self.plan.container == "png":
            return PngPacker()
        return WebpPacker(alpha=self.info.alpha, lossless=lossless, quality=self.plan.quality)

    def __exit__(self, *_: object) -> None:
        self.close()

    def write(self, frame: PlanarFrame) -> None:
        """Add the next picture, cut down to what changed.

        Raises:
            StorageError: see the class.
        """
        pixels = _pixels(frame)
        x0, y0, x1, y1 = self._changed(pixels)
        duration = int(frame.av_frame.duration)
        with self._storage():
            self._packer.add(np.ascontiguousarray(pixels[y0:y1, x0:x1]), (x0, y0), duration)
        self._before = pixels
        self._milliseconds += duration
        self.frames += 1

    def _changed(self, pixels: RGBA) -> tuple[int, int, int, int]:
        height, width = pixels.shape[:2]
        whole = (0, 0, width, height)
        # A GIF with transparency cannot make a place transparent again without clearing everything.
        if self._before is None or (self.plan.container == "gif" and self.info.alpha):
            return whole
        different = (pixels != self._before).any(2)
        rows, columns = np.flatnonzero(different.any(1)), np.flatnonzero(different.any(0))
        if len(rows) == 0:
            return 0, 0, min(2, width), min(2, height)
        align = self._packer.align
        x0, y0 = int(columns[0]) // align * align, int(rows[0]) // align * align
        return x0, y0, int(columns[-1]) + 1, int(rows[-1]) + 1

    def commit(self, memory: object = None) -> None:
        """Finish the file. After this it stays.

        Args:
            memory: not used; see `VideoWriter.commit`.

        Raises:
            StorageError: see the class.
            MediaFormatError: no picture was written.
        """
        if self.frames == 0:
            raise MediaFormatError(f"{self.info.path.name}: there was no picture to write.")
        assert self._out is not None
        with self._storage():
            self._packer.end()
            self._out.close()
        self._committed = True

    def expected(self) -> ExpectedAnimation:
        """What `verify.verify_video` is to find in the committed file."""
        return ExpectedAnimation(self.frames, self.plan.width, self.plan.height, self._milliseconds)

    def close(self) -> None:
        """Release everything; an uncommitted file is removed."""
        if self._committed or self._out is None:
            return
        with contextlib.suppress(OSError):
            self._out.close()
        self._out = None
        self.path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _storage(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StorageError(f"{self.path.name} cannot be written ({error.strerror or error}).") from error


def _frame(pixels: RGBA) -> Any:
    """RGB or RGBA pixels as a planar libav frame."""
    height, width, channels = pixels.shape
    frame = av.VideoFrame(width, height, "gbrap" if channels == 4 else "gbrp")
    frame.colorspace, frame.color_range = _RGB, _FULL
    for plane, channel in zip(frame.planes, (1, 2, 0, 3), strict=False):
        plane_samples(plane, np.uint8)[:height, :width] = pixels[..., channel]
    return frame


def _pixels(frame: PlanarFrame) -> RGBA:
    """Planar frame to RGB or RGBA pixels."""
    green, blue, red, *alpha = (plane[: frame.height, : frame.width] for plane in frame.planes)
    return np.asarray(cv2.merge([red, green, blue, *alpha]), np.uint8)

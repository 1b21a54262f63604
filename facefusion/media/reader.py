"""Decode a video into upright frames, in presentation order, each with its own time stamp."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av
import av.error

from facefusion.errors import MediaFormatError
from facefusion.media.frame import PlanarFrame
from facefusion.media.hardware_decode import DECODERS, Promises, in_software, refused
from facefusion.media.normalise import Normaliser
from facefusion.media.probe import MediaInfo
from facefusion.media.source import open_decoder, open_input, read_packets, translated
from facefusion.wording import count

# A file that ends before this share of its announced frames counts as cut off, not as "a bit damaged".
_ENOUGH = 0.9
_DAMAGE = (av.error.InvalidDataError, av.error.EOFError, av.error.PatchWelcomeError)


class VideoReader:
    """Iterates over the frames of a video.

    Frames come upright (the display matrix is applied to the planes), in the planar form of the stored
    pixel format, with the source's time stamps and time base. `next` blocks and releases the GIL while it
    decodes; one thread at a time may call it.

    Args:
        path: the video.
        info: what `probe` said about it.
        threads: decoder threads.

    Attributes:
        warnings: sentences on what was damaged or had to be adapted, complete after the last frame.
    """

    def __init__(self, path: Path, info: MediaInfo, *, threads: int = 1) -> None:
        self.path = path
        self.info = info
        self.warnings: list[str] = []
        self._threads = max(1, threads)
        self._stack = contextlib.ExitStack()
        self._frames: Iterator[PlanarFrame] | None = None
        self._count = 0
        self._damaged = 0
        self._corrupt = 0
        self._normaliser = Normaliser(info)
        self._clock = _Clock(info)

    def __enter__(self) -> Self:
        opened = open_stream(self._stack, self.path, self.info, self._threads)
        self._container, self._stream, self._decoder = opened
        self._frames = self._decode()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the decoder and the file."""
        self._frames = None
        self._stack.close()

    def __iter__(self) -> Iterator[PlanarFrame]:
        return self

    def __next__(self) -> PlanarFrame:
        """Return the next frame.

        Raises:
            StopIteration: after the last one.
            MediaFormatError: nothing could be decoded, or the file ends long before its announced end.
        """
        if self._frames is None:
            raise StopIteration
        return next(self._frames)

    def _decode(self) -> Iterator[PlanarFrame]:
        promises = Promises() if self.info.decoder in DECODERS.values() else None
        with translated(self.path.name):
            for packet in self._packets():
                if promises is not None:
                    promises.packet(packet)
                try:
                    decoded = self._decoder.decode(packet)
                except av.error.FFmpegError as error:
                    if promises is not None:
                        raise refused(self.info, error) from error
                    if not isinstance(error, _DAMAGE):
                        raise
                    self._damaged += 1
                    continue
                for frame in decoded:
                    if promises is not None and (wrong := promises.picture(frame.pts)):
                        raise refused(self.info, wrong)
                    yield self._finish(frame)
            if promises is not None and (wrong := promises.end()):
                raise refused(self.info, wrong)
        self._check_end()

    def _packets(self) -> Iterator[Any]:
        """Packets, and at the end None, which makes the decoder give what it holds."""
        try:
            yield from read_packets(self._container, self._stream)
        except av.error.InvalidDataError:
            # What was read so far is worth something; `_check_end` judges whether it is enough.
            self._damaged += 1
        yield None

    def _finish(self, frame: Any) -> PlanarFrame:
        self._corrupt += frame.is_corrupt
        stamp = self._clock.stamp(frame)
        upright = self._normaliser.apply(frame)
        upright.pts = stamp
        upright.time_base = self._clock.time_base
        result = PlanarFrame(upright, self._count)
        self._count += 1
        return result

    def _check_end(self) -> None:
        announced = self.info.frames
        if self._count == 0:
            raise MediaFormatError(f"No picture of {self.path.name} can be decoded.")
        if announced and self._damaged and self._count < _ENOUGH * announced:
            raise MediaFormatError(
                f"{self.path.name} is damaged or cut off: "
                f"{self._count} of about {announced} pictures could be read.",
                remedy="Copy the file again; if it does not play to the end either, export it again.",
            )
        if self._damaged:
            self.warnings.append(
                f"{count(self._damaged, 'damaged part')} of the video could not be decoded; "
                "the pictures in there are missing."
            )
        if self._corrupt:
            self.warnings.append(f"Damaged pictures: {self._corrupt:,}, shown as far as they could be read.")
        self.warnings += self._normaliser.warnings + self._clock.warnings

    def glimpses(self, places: int, count: int) -> Iterator[PlanarFrame]:
        """Up to `count` neighbouring frames at each of `places` places spread over the video.

        Every run begins with a key frame. Works on a file handle of its own and does not disturb the
        iteration. Frames come in order of time; `index` counts the frames returned, not the video's.

        Raises:
            MediaFormatError: the file cannot be opened. Damaged places are passed over.
        """
        with contextlib.ExitStack() as stack, translated(self.path.name):
            container, stream, decoder = open_stream(stack, self.path, in_software(self.info), 1)
            normaliser = Normaliser(self.info)
            last = None
            found = 0
            for frame in _spread(container, stream, decoder, self.info, places, count):
                if frame.pts is not None and last is not None and frame.pts <= last:
                    continue
                last = frame.pts if frame.pts is not None else last
                stamp = frame.pts
                upright = normaliser.apply(frame)
                upright.pts = stamp
                upright.time_base = stream.time_base
                yield PlanarFrame(upright, found)
                found += 1


class _Clock:
    """Time stamps of the frames: the source's own; strictly increasing, because muxers insist on it."""

    def __init__(self, info: MediaInfo) -> None:
        self.time_base = info.time_base or Fraction(1, 90000)
        self._step = max(1, round(1 / (info.rate * self.time_base))) if info.rate else 1
        self._last: int | None = None
        self._guessed = 0
        self._moved = 0

    @property
    def warnings(self) -> list[str]:
        sentences = []
        if self._guessed:
            sentences.append(
                f"{count(self._guessed, 'picture')} had no time stamp; such follow at the average rate."
            )
        if self._moved:
            sentences.append(
                f"{count(self._moved, 'picture')} had a time stamp not after the one before; "
                "such were moved behind it."
            )
        return sentences

    def stamp(self, frame: Any) -> int:
        stamp: int | None = frame.pts if frame.pts is not None else frame.dts
        if stamp is None:
            stamp = 0 if self._last is None else self._last + self._step
            self._guessed += 1
        elif self._last is not None and stamp <= self._last:
            stamp = self._last + 1
            self._moved += 1
        self._last = stamp
        return stamp


def open_stream(
    stack: contextlib.ExitStack, path: Path, info: MediaInfo, threads: int
) -> tuple[Any, Any, Any]:
    """Container, main stream and decoder of a video; the stack closes the file."""
    container = stack.enter_context(open_input(path))
    if info.stream_index >= len(container.streams):
        raise MediaFormatError(f"{path.name} changed while it was being read.")
    stream = container.streams[info.stream_index]
    for other in container.streams:
        if other.index != stream.index:
            other.discard = av.stream.Discard.all
    return container, stream, open_decoder(stream, info.decoder, threads)


def _spread(
    container: Any, stream: Any, decoder: Any, info: MediaInfo, places: int, count: int
) -> Iterator[Any]:
    """Runs of frames at about equal distances where the file can seek, else the first ones."""
    if not info.duration or places <= 1 or stream.time_base is None:
        yield from _next_frames(container, stream, decoder, places * count)
        return
    start = stream.start_time or 0
    length = info.duration / float(stream.time_base)
    for place in range(places):
        try:
            container.seek(int(start + length * place / places), stream=stream, backward=True)
        except av.error.FFmpegError:
            continue
        decoder.flush_buffers()
        yield from _next_frames(container, stream, decoder, count)


def _next_frames(container: Any, stream: Any, decoder: Any, count: int) -> Iterator[Any]:
    found = 0
    for packet in itertools.chain(read_packets(container, stream), [None]):
        try:
            frames = decoder.decode(packet)
        except av.error.FFmpegError:
            continue
        for frame in frames:
            yield frame
            found += 1
            if found >= count:
                return

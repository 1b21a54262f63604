"""Open a finished file again and check that it is what it should be, before anybody gets it.

Always checked, from the packets alone (demuxing only, a few milliseconds a minute of video): number of
pictures, time stamps (strictly increasing, first and last where they belong), size, and for every kept sound
track its offset to the video and its end. Decoded are the first key frames and the tail; everything where the
file is short or where the caller asks for it. A decoder that accepts beginning and end, together with a count
of packets that fits, catches broken headers, lost frames and a cut tail; damage inside a single packet would
have to be made by the disk, which is not what this looks for.
"""

from __future__ import annotations

import contextlib
import itertools
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np

from facefusion.errors import FaceFusionError, VerificationError
from facefusion.media.photo_reader import open_picture, read_photo
from facefusion.media.sniff import identify
from facefusion.media.source import main_video, open_input, read_packets

_DECODE_ALL_BELOW = 60
"""Videos of at most this many pictures are decoded completely."""
_TAIL = 3.0
"""Seconds at the end that are always decoded."""


@dataclass(frozen=True)
class ExpectedTrack:
    """A sound track that must be in the result.

    Attributes:
        offset: seconds from the first picture to the first sound in the source; None where unknown.
        duration: seconds of sound in the source; None where unknown.
    """

    offset: float | None
    duration: float | None


@dataclass(frozen=True)
class ExpectedMedia:
    """What a finished video must be.

    Attributes:
        frames: number of pictures written.
        width: in pixels.
        height: in pixels.
        first: time of the first picture in seconds.
        last: time of the last picture in seconds.
        length: of the video in seconds, to the end of the last picture (checked where the file says it).
        frame_seconds: length of one picture; how far sound may be off.
        audio: the kept sound tracks.
        subtitles: number of kept subtitle tracks.
        free_clock: the container's clock starts anywhere and may be moved as a whole, by up to a second (in
            a video that starts at 0 decoding starts before that, and MPEG-TS has no time before 0).
    """

    frames: int
    width: int
    height: int
    first: float
    last: float
    length: float
    frame_seconds: float
    audio: tuple[ExpectedTrack, ...] = ()
    subtitles: int = 0
    free_clock: bool = False


@dataclass(frozen=True)
class ExpectedAnimation:
    """What a finished animation must be.

    Attributes:
        frames: number of pictures written.
        width: in pixels.
        height: in pixels.
        milliseconds: sum of all delays.
    """

    frames: int
    width: int
    height: int
    milliseconds: int


def verify_video(
    path: Path, expected: ExpectedMedia | ExpectedAnimation, *, decode_all: bool = False
) -> None:
    """Check a finished video or animation.

    Args:
        path: the file.
        expected: what it must be, as the writer's `expected()` says.
        decode_all: decode every picture of a video instead of the beginning and the tail.

    Raises:
        VerificationError: naming the first thing that is wrong.
    """
    if isinstance(expected, ExpectedAnimation):
        _verify_animation(path, expected)
        return
    try:
        with open_input(path) as container:
            _check(path.name, container, expected, decode_all or expected.frames <= _DECODE_ALL_BELOW)
    except VerificationError:
        raise
    except FaceFusionError as error:
        raise VerificationError(f"{path.name} cannot be opened again: {error.message}") from error


def _verify_animation(path: Path, expected: ExpectedAnimation) -> None:
    try:
        with open_picture(path) as image:
            frames, size, milliseconds = image.n_frames, image.size, 0
            for number in range(frames):
                image.seek(number)
                image.load()
                milliseconds += round(float(image.info.get("duration") or 0))
    except FaceFusionError as error:
        raise VerificationError(f"{path.name} cannot be opened again: {error.message}") from error
    if frames != expected.frames:
        raise VerificationError(f"{path.name} holds {frames} pictures instead of {expected.frames}.")
    if size != (expected.width, expected.height):
        raise VerificationError(
            f"{path.name} is {size[0]}x{size[1]} instead of {expected.width}x{expected.height}."
        )
    # GIF counts in hundredths of a second.
    if abs(milliseconds - expected.milliseconds) > 5 * frames + 1:
        raise VerificationError(
            f"{path.name} lasts {milliseconds / 1000} s instead of {expected.milliseconds / 1000} s."
        )


def verify_photo(path: Path, width: int, height: int) -> None:
    """Check a finished photo: it can be read, and has the size it should have.

    Raises:
        VerificationError: it cannot, or has not.
    """
    try:
        photo = read_photo(path)
    except FaceFusionError as error:
        raise VerificationError(f"{path.name} cannot be opened again: {error.message}") from error
    if (photo.frame.width, photo.frame.height) != (width, height):
        raise VerificationError(
            f"{path.name} is {photo.frame.width}x{photo.frame.height} instead of {width}x{height}."
        )


def verify_same(before: Path, after: Path) -> None:
    """Check that two files hold the same pictures, sound, times, chapters and tags.

    Videos are compared packet by packet without decoding, pictures by their pixels.

    Raises:
        VerificationError: they do not.
    """
    try:
        old, new = identify(before), identify(after)
        if old != new:
            raise VerificationError(f"{before.name} is {new.family} instead of {old.family}.")
        content = _pictures_of if old.picture else _packets_of
        with content(before) as first, content(after) as second:
            for one, other in itertools.zip_longest(first, second):
                if one != other:
                    raise VerificationError(f"{before.name} is no longer what it was before it was signed.")
    except VerificationError:
        raise
    except FaceFusionError as error:
        raise VerificationError(f"{before.name} cannot be opened again: {error.message}") from error


@contextlib.contextmanager
def _packets_of(path: Path) -> Iterator[Iterator[object]]:
    with open_input(path) as container:
        streams = [
            (s.type, s.codec_context.name if s.codec_context else "", s.time_base) for s in container.streams
        ]
        described = (container.metadata, container.chapters())
        packets = ((p.stream_index, p.pts, p.dts, bytes(p)) for p in read_packets(container))
        yield itertools.chain([described], streams, packets)


@contextlib.contextmanager
def _pictures_of(path: Path) -> Iterator[Iterator[object]]:
    def pictures(image: Any) -> Iterator[object]:
        for number in range(getattr(image, "n_frames", 1)):
            image.seek(number)
            image.load()
            yield image.mode, image.size, image.info.get("duration"), image.tobytes()

    with open_picture(path) as image:
        yield pictures(image)


def _check(name: str, container: Any, expected: ExpectedMedia, everything: bool) -> None:
    stream = main_video(container)
    if stream is None:
        raise VerificationError(f"{name} has no video.")
    context = stream.codec_context
    if (context.width, context.height) != (expected.width, expected.height):
        raise VerificationError(
            f"{name} is {context.width}x{context.height} instead of {expected.width}x{expected.height}."
        )
    times = _Times(stream.index)
    decoder = _Decoder(name, stream, expected, everything)
    for packet in read_packets(container):
        times.add(packet)
        if packet.stream_index == stream.index:
            decoder.feed(packet)
    decoder.feed(None)
    _check_pictures(name, stream, times, expected)
    if times.disorder:
        raise VerificationError(f"Packets of {name} are not in the order in which they are decoded.")
    # Empty tracks count as absent: some containers drop them, some do not.
    sounds = [s for s in container.streams.audio if s.index in times.first]
    titles = [s for s in container.streams.subtitles if s.index in times.first]
    _check_count(name, "sound", len(sounds), len(expected.audio))
    _check_count(name, "subtitle", len(titles), expected.subtitles)
    _check_sound(name, sounds, times, expected)
    decoder.check()


def _check_count(name: str, what: str, got: int, wanted: int) -> None:
    if got != wanted:
        raise VerificationError(f"{name} has {got} {what} tracks instead of {wanted}.")


class _Times:
    """First and last time of every stream, and all of the video's."""

    def __init__(self, video: int) -> None:
        self.pictures = array("q")  # in ticks; eight bytes for each picture of hours
        self.tick = Fraction(0)
        self.disorder = False
        self.first: dict[int, float] = {}
        self.end: dict[int, float] = {}
        self._video = video
        self._decoding: dict[int, int] = {}

    def add(self, packet: Any) -> None:
        index = packet.stream_index
        if packet.dts is not None:
            self.disorder |= packet.dts < self._decoding.get(index, packet.dts)
            self._decoding[index] = packet.dts
        if packet.pts is None:
            return
        time = packet.pts * packet.time_base
        if index == self._video and not packet.is_discard:
            self.pictures.append(packet.pts)
            self.tick = packet.time_base
        end = float(time + (packet.duration or 0) * packet.time_base)
        self.first[index] = min(self.first.get(index, float(time)), float(time))
        self.end[index] = max(self.end.get(index, end), end)


def _check_pictures(name: str, stream: Any, times: _Times, expected: ExpectedMedia) -> None:
    stamps = np.sort(np.asarray(times.pictures))
    if len(stamps) != expected.frames:
        raise VerificationError(f"{name} holds {len(stamps)} pictures instead of {expected.frames}.")
    shown_first, shown_last = (float(int(stamps[place]) * times.tick) for place in (0, -1))
    if not np.diff(stamps).all():
        raise VerificationError(f"{name} has two pictures with the same time stamp.")
    # A start before zero is moved to zero by some containers, together with everything else.
    moved = max(0.0, -expected.first)
    if expected.free_clock and 0 <= shown_first - expected.first < 1:
        moved = shown_first - expected.first
    # Matroska rounds to milliseconds.
    tolerance = 0.0015
    for what, got, wanted in (
        ("first", shown_first, expected.first + moved),
        ("last", shown_last, expected.last + moved),
    ):
        if abs(got - wanted) > tolerance:
            raise VerificationError(
                f"The {what} picture of {name} is shown at {got:.3f} s instead of {wanted:.3f} s."
            )
    # Only these say how long the track itself is.
    if stream.container.format.name.startswith("mov,") and stream.duration:
        length = float(stream.duration * stream.time_base)
        if abs(length - expected.length) > expected.frame_seconds + 0.01:
            raise VerificationError(f"{name} lasts {length:.3f} s instead of {expected.length:.3f} s.")


def _check_sound(name: str, sounds: list[Any], times: _Times, expected: ExpectedMedia) -> None:
    picture = float(min(times.pictures) * times.tick)
    tolerance = max(expected.frame_seconds, 0.05)
    for number, (stream, track) in enumerate(zip(sounds, expected.audio, strict=True), 1):
        offset = times.first[stream.index] - picture
        if track.offset is not None and abs(offset - track.offset) > tolerance:
            raise VerificationError(
                f"Sound track {number} of {name} starts {offset:+.3f} s from the picture instead of "
                f"{track.offset:+.3f} s."
            )
        length = times.end[stream.index] - times.first[stream.index]
        if track.duration is not None and abs(length - track.duration) > max(tolerance, 0.25):
            raise VerificationError(
                f"Sound track {number} of {name} lasts {length:.3f} s instead of {track.duration:.3f} s."
            )


class _Decoder:
    """Decodes the chosen parts of the video and counts."""

    def __init__(self, name: str, stream: Any, expected: ExpectedMedia, everything: bool) -> None:
        self._name = name
        self._stream = stream
        self._everything = everything
        self._expected = expected
        self._tail_from = expected.last - _TAIL
        self._fed = 0
        self._decoded = 0
        self._in_tail = False
        stream.codec_context.thread_count = 1
        # Decoders would conceal damage otherwise.
        stream.codec_context.options = {"err_detect": "explode"}

    def feed(self, packet: Any) -> None:
        if packet is not None:
            if not self._wanted(packet):
                return
            self._fed += 1
        try:
            pictures = self._stream.decode(packet)
        except av.error.FFmpegError as error:
            raise VerificationError(f"{self._name} cannot be decoded ({error.strerror}).") from error
        if any(picture.is_corrupt for picture in pictures):
            raise VerificationError(f"{self._name} holds damaged pictures.")
        self._decoded += len(pictures)

    def _wanted(self, packet: Any) -> bool:
        if self._everything or self._in_tail:
            return True
        if packet.is_keyframe and packet.pts is not None:
            time = float(packet.pts * packet.time_base)
            # From the last key frame before the tail on, everything is decoded.
            if time >= self._tail_from:
                self._in_tail = True
            return True
        return False

    def check(self) -> None:
        if self._decoded == 0 or (self._everything and self._decoded != self._expected.frames):
            raise VerificationError(
                f"{self._decoded} pictures of {self._name} can be decoded instead of {self._expected.frames}."
            )
        if self._decoded != self._fed:
            raise VerificationError(
                f"{self._fed - self._decoded} pictures of {self._name} cannot be decoded."
            )

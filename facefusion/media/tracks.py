"""Carry the other streams of the source (sound, subtitles, covers, attachments) into the result."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error

from facefusion.errors import MediaFormatError
from facefusion.media.plan import OutputPlan, TrackPlan
from facefusion.media.reading import unreadable
from facefusion.media.source import read_packets

# libav keeps these for itself; copying them would contradict the new file.
_OWN_STREAM_TAGS = ("encoder", "vendor_id", "DURATION", "BPS", "NUMBER_OF_FRAMES", "NUMBER_OF_BYTES")
_AUDIO_ENCODERS = {"aac": "aac", "opus": "libopus"}
_AAC_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)
_LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
_BITS_PER_CHANNEL = 128_000
_AUDIBLE_GAP = 0.05
"""Seconds without sound in the source that are filled with silence when it is encoded anew."""
_PAST_THE_VIDEO = 1.0
"""Seconds after the last picture up to which such gaps are filled; a damaged time stamp may name any day."""


class TrackCopier:
    """Moves packets of the kept streams from the source to the result, in step with the video.

    Reads the source through a container of its own, so that the video's reader and this can be in different
    threads. `pump` is called with the time the video has reached: packets up to there are muxed, which keeps
    the file interleaved and memory flat.

    Args:
        source: opened container of the source (owned by the caller).
        target: output container, header not yet written.
        plan: which streams are kept.
        shift: seconds subtracted from all time stamps.
    """

    def __init__(self, source: Any, target: Any, plan: OutputPlan, shift: Fraction) -> None:
        self._target = target
        self._name = Path(source.name).name
        self._shift = shift
        self.warnings: list[str] = []
        self._routes: dict[int, _Route] = {}
        for track in plan.tracks:
            if track.action != "drop":
                self._routes[track.stream.index] = self._route(source, track)
        for stream in source.streams:
            wanted = stream.index in self._routes and stream.type != "attachment"
            stream.discard = av.stream.Discard.default if wanted else av.stream.Discard.all
        moving = [source.streams[index] for index, route in self._routes.items() if route.moves]
        self._packets: Iterator[Any] = read_packets(source, *moving) if moving else iter(())
        self._waiting: Any | None = None
        self._reached = 0.0
        self._done = not moving

    def _route(self, source: Any, track: TrackPlan) -> _Route:
        stream = source.streams[track.stream.index]
        try:
            if track.action == "encode":
                return _Reencoded(self._target, stream, track.codec, self._shift)
            return _Copied(self._target, stream, self._shift)
        except (ValueError, av.error.FFmpegError) as error:
            raise MediaFormatError(
                f"Track {stream.index} ({track.stream.codec}) cannot be carried over: {error}."
            ) from error

    def pump(self, until: float | None) -> None:
        """Mux packets up to a time in seconds of the source's clock (None: all that are left)."""
        self._reached = self._reached if until is None else max(self._reached, until)
        for route in self._routes.values():
            route.reached = self._reached
        while not self._done:
            packet = self._waiting if self._waiting is not None else self._next()
            self._waiting = None
            if packet is None:
                return
            stamp = packet.dts if packet.dts is not None else packet.pts
            if until is not None and stamp is not None and float(stamp * packet.time_base) > until:
                self._waiting = packet
                return
            route = self._routes[packet.stream.index]
            self._mux(route, route.convert(packet))

    def finish(self) -> None:
        """Mux what is left, and what the audio encoders hold."""
        self.pump(None)
        for route in self._routes.values():
            self._mux(route, route.flush())
            if route.warning:
                self.warnings.append(route.warning)
        for index, route in self._routes.items():
            if route.moves and route.first is None:
                self.warnings.append(f"Track {index} of the source is empty.")

    def seconds(self, index: int) -> float | None:
        """Length of what was muxed of the source's stream `index`; None where it was left out or empty."""
        route = self._routes.get(index)
        return None if route is None or route.first is None else float(route.end - route.first)

    def begins(self, index: int) -> float | None:
        """When the sound of a stream that was encoded anew begins, on the source's clock; else None."""
        start = self._routes[index].begins
        return None if start is None else float(start)

    def _mux(self, route: _Route, packets: Iterator[Any]) -> None:
        for packet in packets:
            route.measure(packet)
            self._target.mux_one(packet)

    def _next(self) -> Any | None:
        try:
            return next(self._packets)
        except StopIteration:
            pass
        except av.error.InvalidDataError:
            self.warnings.append("The source is damaged; sound and subtitles end early.")
        except (OSError, av.error.FFmpegError) as error:
            # Said here, because around this errors are taken for those of writing.
            raise unreadable(self._name, error) from error
        self._done = True
        return None


class _Route:
    """One stream on its way."""

    moves = True
    warning = ""
    reached = 0.0
    """Seconds of the source's clock that the video has reached."""
    begins: Fraction | None = None
    first: Fraction | None = None
    end = Fraction(0)

    def measure(self, packet: Any) -> None:
        """Keep the first and the last time of what goes into the result."""
        if packet.pts is None:
            return
        start = packet.pts * packet.time_base
        end = start + (packet.duration or 0) * packet.time_base
        self.first = start if self.first is None else min(self.first, start)
        self.end = max(self.end, end)

    def convert(self, packet: Any) -> Iterator[Any]:
        raise NotImplementedError

    def flush(self) -> Iterator[Any]:
        return iter(())


class _Copied(_Route):
    """Packets as they are."""

    def __init__(self, target: Any, stream: Any, shift: Fraction) -> None:
        self.moves = stream.type != "attachment"
        self._stream = target.add_stream_from_template(stream, opaque=True)
        self._stream.disposition = stream.disposition
        _copy_tags(stream, self._stream)
        self._shift = int(shift / stream.time_base) if stream.time_base else 0
        self._last: int | None = None
        self._moved = 0

    def convert(self, packet: Any) -> Iterator[Any]:
        if packet.dts is None and packet.pts is None:
            self._moved += 1
            packet.pts = packet.dts = self._last if self._last is not None else 0
        if packet.dts is None:
            packet.dts = packet.pts
        packet.dts -= self._shift
        if packet.pts is not None:
            packet.pts -= self._shift
        if self._last is not None and packet.dts < self._last:
            # Muxers refuse packets that go back in time; a jump of a few ticks is inaudible.
            packet.dts = self._last
            if packet.pts is not None:
                packet.pts = max(packet.pts, packet.dts)
            self._moved += 1
        self._last = packet.dts
        packet.stream = self._stream
        yield packet

    @property
    def warning(self) -> str:  # type: ignore[override]
        if not self._moved:
            return ""
        return (
            f"{self._moved} packets of track {self._stream.index} had no usable time stamp; they were moved."
        )


class _Reencoded(_Route):
    """Sound decoded and encoded again, because the container cannot carry its codec."""

    def __init__(self, target: Any, stream: Any, codec: str, shift: Fraction) -> None:
        self._source = stream
        self._shift = shift
        context = stream.codec_context
        rate = 48000 if codec == "opus" or context.sample_rate not in _AAC_RATES else context.sample_rate
        self._stream = target.add_stream(_AUDIO_ENCODERS[codec], rate=rate)
        # Raw sound often says only how many channels it has, and encoders want to know which.
        layout = _LAYOUTS.get(context.layout.nb_channels, "stereo")
        self._stream.codec_context.layout = layout
        self._stream.codec_context.bit_rate = _BITS_PER_CHANNEL * av.AudioLayout(layout).nb_channels
        self._stream.codec_context.time_base = Fraction(1, rate)
        self._resampler = av.AudioResampler(
            format=self._stream.codec_context.format.name, layout=layout, rate=rate
        )
        self._rate = rate
        self._damaged = 0
        self._unfilled = False
        self._next: int | None = None
        _copy_tags(stream, self._stream)

    def convert(self, packet: Any) -> Iterator[Any]:
        try:
            frames = packet.decode()
        except av.error.FFmpegError:
            self._damaged += 1
            return
        for frame in frames:
            yield from self._encode(frame)

    def _encode(self, frame: Any | None) -> Iterator[Any]:
        """Encode on a clock that counts samples; the source's ticks may be as coarse as milliseconds."""
        if frame is not None and frame.pts is not None:
            # Frames that come out at the end do not know their time base.
            time = frame.pts * (frame.time_base or self._source.time_base)
            self.begins = time if self.begins is None else self.begins
            due = round((time - self._shift) * self._rate)
            if self._next is None:
                self._next = due
            gap = due - self._next
            if gap > _AUDIBLE_GAP * self._rate:
                if time <= self.reached + _PAST_THE_VIDEO:
                    yield from self._silence(gap)
                else:
                    self._unfilled = True
        for part in self._resampler.resample(frame):
            yield from self._give(part)

    def _silence(self, samples: int) -> Iterator[Any]:
        context = self._stream.codec_context
        while samples > 0:
            count = min(samples, self._rate)
            frame = av.AudioFrame(context.format.name, context.layout.name, count)
            for plane in frame.planes:
                plane.update(bytes(plane.buffer_size))
            frame.sample_rate = self._rate
            yield from self._give(frame)
            samples -= count

    def _give(self, frame: Any) -> Iterator[Any]:
        self._next = self._next or 0
        frame.pts, frame.time_base = self._next, Fraction(1, self._rate)
        self._next += frame.samples
        yield from self._stream.encode(frame)

    def flush(self) -> Iterator[Any]:
        with contextlib.suppress(av.error.FFmpegError):
            for frame in self._source.decode(None):
                yield from self._encode(frame)
        yield from self._encode(None)
        yield from self._stream.encode(None)

    @property
    def warning(self) -> str:  # type: ignore[override]
        said = [f"{self._damaged} damaged packets of sound were left out."] if self._damaged else []
        if self._unfilled:
            said.append(
                f"The time stamps of track {self._source.index} jump past the end of the video; what follows "
                "the jump is heard at once."
            )
        return " ".join(said)


def _copy_tags(source: Any, target: Any) -> None:
    for key, value in source.metadata.items():
        if not key.startswith(_OWN_STREAM_TAGS):
            target.metadata[key] = value

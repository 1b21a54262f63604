"""Carry the other streams of the source (sound, subtitles, covers, attachments) into the result."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
import av.error

from facefusion.errors import MediaFormatError
from facefusion.media.plan import OutputPlan, TrackPlan

# libav keeps these for itself; copying them would contradict the new file.
_OWN_STREAM_TAGS = ("encoder", "vendor_id", "DURATION", "BPS", "NUMBER_OF_FRAMES", "NUMBER_OF_BYTES")
_AUDIO_ENCODERS = {"aac": "aac", "opus": "libopus"}
_AAC_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)
_LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
_BITS_PER_CHANNEL = 128_000


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
        self._packets: Iterator[Any] = iter(source.demux(moving)) if moving else iter(())
        self._waiting: Any | None = None
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
        while not self._done:
            packet = self._waiting if self._waiting is not None else self._next()
            self._waiting = None
            if packet is None:
                return
            stamp = packet.dts if packet.dts is not None else packet.pts
            if until is not None and stamp is not None and float(stamp * packet.time_base) > until:
                self._waiting = packet
                return
            for result in self._routes[packet.stream.index].convert(packet):
                self._target.mux_one(result)

    def finish(self) -> None:
        """Mux what is left, and what the audio encoders hold."""
        self.pump(None)
        for route in self._routes.values():
            for result in route.flush():
                self._target.mux_one(result)
            if route.warning:
                self.warnings.append(route.warning)

    def _next(self) -> Any | None:
        while True:
            try:
                packet = next(self._packets)
            except StopIteration:
                self._done = True
                return None
            except av.error.InvalidDataError:
                self._done = True
                self.warnings.append("The source is damaged; sound and subtitles end early.")
                return None
            # The demuxer's empty packets mean "flush the decoders".
            if packet.size > 0:
                return packet


class _Route:
    """One stream on its way."""

    moves = True
    warning = ""

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
        self._damaged = 0
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
        for part in self._resampler.resample(frame):
            if part.pts is not None and part.time_base:
                part.pts -= int(self._shift / part.time_base)
            yield from self._stream.encode(part)

    def flush(self) -> Iterator[Any]:
        for frame in self._source.decode(None):
            yield from self._encode(frame)
        yield from self._encode(None)
        yield from self._stream.encode(None)

    @property
    def warning(self) -> str:  # type: ignore[override]
        return f"{self._damaged} damaged packets of sound were left out." if self._damaged else ""


def _copy_tags(source: Any, target: Any) -> None:
    for key, value in source.metadata.items():
        if not key.startswith(_OWN_STREAM_TAGS):
            target.metadata[key] = value

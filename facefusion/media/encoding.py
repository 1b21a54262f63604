"""The encoder of one video: fed with pictures, opened anew where a part of the video ends."""

from __future__ import annotations

import io
import itertools
from collections import deque
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av

from facefusion.errors import EngineError
from facefusion.media.encoders import EncodeSettings
from facefusion.media.plan import OutputPlan
from facefusion.media.probe import ColourTags, MediaInfo

_DEEPEST = 64
"""No encoder holds a picture back for longer than this."""


@dataclass(frozen=True)
class Wanted:
    """What the encoder is to write: planned, and tagged with these colours and this clock."""

    info: MediaInfo
    plan: OutputPlan
    colour: ColourTags
    time_base: Fraction
    threads: int

    @property
    def settings(self) -> EncodeSettings:
        """How pictures are compressed."""
        assert self.plan.encode is not None
        return self.plan.encode

    @property
    def rate(self) -> Fraction:
        """Pictures a second, on average."""
        return self.info.rate or Fraction(25)

    def set_up(self, context: Any) -> None:
        """Prepare an encoder that is not open."""
        settings, info = self.settings, self.info
        context.width, context.height = self.plan.width, self.plan.height
        context.pix_fmt = settings.pix_fmt
        context.gop_size = settings.gop
        context.thread_count = self.threads
        context.sample_aspect_ratio = info.sample_aspect
        context.colorspace, context.color_range = self.colour.matrix, self.colour.range
        context.color_primaries, context.color_trc = self.colour.primaries, self.colour.transfer
        context.options = settings.options(self.threads, self.plan.width * self.plan.height)
        if info.interlaced and settings.encoder == "libx264" and info.orientation.is_upright:
            context.flags |= av.codec.context.Flags.interlaced_dct
        self.describe(context)

    def describe(self, context: Any) -> None:
        """Say what a container has to know beyond what the encoder says."""
        context.framerate = self.rate
        context.time_base = self.time_base
        if self.plan.muxer in ("mp4", "mov") and self.settings.encoder == "libx265":
            # Apple's players want the parameter sets outside the pictures.
            context.codec_tag = "hvc1"


class PictureEncoder:
    """Turns pictures into packets whose decoding times run through, however often it is opened anew.

    Encoders begin with decoding times before the first picture, by the length of as many pictures as they
    reorder. At the beginning of a further part these would collide with the end of the part before where
    pictures last differently long; so its first packets get the times of the pictures that many places
    earlier, as inside a part.

    Args:
        target: output container whose header is not written.
        wanted: what is to be written.
        parts: it will be opened anew, if it can be. Then the container's stream only describes what the
            encoder writes: a stream's own encoder keeps its memory as long as the container is open.

    Attributes:
        stream: of the container.
        alike: it begins each time with the same description, so that parts fit behind one another; only
            found out where there are to be parts.
        depth: how many pictures are held back for reordering; known after the first part.
    """

    def __init__(self, target: Any, wanted: Wanted, *, parts: bool = False) -> None:
        self._wanted = wanted
        first = self._fresh(target).extradata if parts else None
        self._context: Any
        if parts:
            with av.open(io.BytesIO(), "w", format=target.format.name) as draft:
                drawn = self._add_to(draft)
                draft.start_encoding()
                self._context = drawn.codec_context
                self.stream = target.add_stream_from_template(drawn, opaque=True)
            wanted.describe(self.stream.codec_context)
        else:
            self.stream = self._add_to(target)
            self._context = self.stream.codec_context
        self.alike = parts and self._context.extradata == first
        self._target = target
        self._durations: dict[int, int] = {}
        self._shown: deque[int] = deque(maxlen=_DEEPEST)
        self._begin: int | None = None  # time of the first picture since it was opened
        self._given = 0  # packets since then
        self._before: list[int] | None = None  # times for the first packets of a further part
        self._last: int | None = None  # decoding time of the last packet
        self.depth = 0

    @property
    def extradata(self) -> bytes:
        """What the container's header says for the decoder; complete once that is written."""
        return self._context.extradata or b""

    def encode(self, picture: Any, duration: int) -> list[Any]:
        """Give it the next picture; the packets that are ready."""
        self._durations[picture.pts] = duration
        self._shown.append(picture.pts)
        if self._begin is None:
            self._begin = picture.pts
        return self._finished(self._context.encode(picture))

    def flush(self) -> list[Any]:
        """The packets that are left; after that it must be opened anew."""
        if self._begin is None:
            return []
        packets = self._context.encode(None)
        if not self._given:
            give_decoding_times(packets)
        return self._finished(packets)

    def reopen(self) -> None:
        """Begin a further part of the same video.

        Raises:
            EngineError: the encoder begins it as another kind of stream.
        """
        known = self.extradata
        self._context = None  # its memory is free before the next one takes as much
        self._context = self._fresh(self._target)
        if self.extradata != known:
            raise EngineError(f"{self._wanted.settings.encoder} does not begin alike each time.")
        self._go_on()

    def passed(self, stamp: int, packets: list[Any]) -> None:
        """A picture was encoded by an earlier attempt, and these packets are muxed meanwhile."""
        self._shown.append(stamp)
        for packet in packets:
            packet.stream, packet.time_base = self.stream, self._wanted.time_base
            self._last = packet.dts

    def resume(self, depth: int) -> None:
        """What comes next is a further part behind the pictures that have passed."""
        self.depth = depth
        self._go_on()

    def _go_on(self) -> None:
        self._before = list(self._shown)[len(self._shown) - self.depth :]
        self._begin, self._given = None, 0

    def _add_to(self, container: Any) -> Any:
        stream = container.add_stream(self._wanted.settings.encoder, rate=self._wanted.rate)
        self._wanted.set_up(stream.codec_context)
        return stream

    def _fresh(self, target: Any) -> Any:
        context: Any = av.CodecContext.create(self._wanted.settings.encoder, "w")
        context.bit_rate, context.bit_rate_tolerance = 0, 128_000  # as those of streams
        if target.format.flags & av.format.Flags.global_header.value:
            context.flags |= av.codec.context.Flags.global_header
        self._wanted.set_up(context)
        context.open()
        return context

    def _finished(self, packets: list[Any]) -> list[Any]:
        for packet in packets:
            packet.stream = self.stream
            if self._before is None:
                assert self._begin is not None
                self.depth += packet.dts is not None and packet.dts < self._begin
            elif self._given < len(self._before):
                packet.dts = self._before[self._given]
            elif packet.dts is not None and self._last is not None:
                packet.dts = max(packet.dts, self._last + 1)
            self._last = packet.dts
            self._given += 1
            duration = self._durations.pop(packet.pts, 0)
            if duration:
                packet.duration = duration
        return packets


def give_decoding_times(packets: list[Any]) -> None:
    """Give the packets of a whole part decoding times where the encoder left them undefined.

    x265 does that in videos that are shorter than its reordering; such a video comes out of the encoder in
    one go at the end. A packet's decoding time is the presentation time of the picture as many places
    earlier as pictures are reordered by.
    """
    stamps = [packet.pts for packet in packets]
    if not packets or _in_order([packet.dts for packet in packets], stamps):
        return
    shown = sorted(stamps)
    place = {stamp: index for index, stamp in enumerate(shown)}
    depth = max((index - place[stamp] for index, stamp in enumerate(stamps)), default=0)
    step = shown[1] - shown[0] if len(shown) > 1 else 1
    for index, packet in enumerate(packets):
        early = index - depth
        packet.dts = shown[early] if early >= 0 else shown[0] + early * step


def _in_order(decoded: list[int | None], shown: list[int]) -> bool:
    """Whether decoding times exist, increase, and lie before the pictures are shown (and not ages before)."""
    known = [dts for dts in decoded if dts is not None]
    ages = 32 * (max(shown) - min(shown) + 1)
    return (
        len(known) == len(shown)
        and all(0 <= pts - dts < ages for dts, pts in zip(known, shown, strict=True))
        and all(a < b for a, b in itertools.pairwise(known))
    )

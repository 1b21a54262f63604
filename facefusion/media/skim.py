"""Skimming a video: single frames spread over all of it, without decoding more than it takes to get them.

Key frames stand for themselves and cost one decoded picture each. Where they lie too far apart, the decoder
starts at the key frame before and runs on to the moment wanted, past pictures no other one refers to.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np

from facefusion.media.frame import PlanarFrame
from facefusion.media.normalise import Normaliser
from facefusion.media.open import open_reader
from facefusion.media.probe import MediaInfo
from facefusion.media.reader import open_stream
from facefusion.media.source import read_packets, translated

STILL_SECONDS = 1.0
_SAME_MOMENT = 1e-3
_PACKETS_PER_BREATH = 1000
_KEYS_BACK = (0, 1, 8)
"""From how many key frames further back it is tried where nothing comes from the one before a moment."""


@dataclass(frozen=True)
class Glance:
    """One frame.

    Attributes:
        seconds: its time stamp, as the target counts.
        frame: the frame.
        lasts: for how many seconds it is shown, as far as that is known.
    """

    seconds: float
    frame: PlanarFrame
    lasts: float = 0.0


@dataclass(frozen=True)
class _Map:
    """What packets tell, in seconds.

    Attributes:
        keys: time stamps of the key frames, ascending.
        stamps: time stamps of all pictures, ascending.
        seeks: for each key frame, the time to seek it by.
        stills: pictures that stand still for `STILL_SECONDS` or more -> for how long.
    """

    keys: Sequence[float]
    stamps: Sequence[float]
    seeks: Sequence[float]
    stills: Mapping[float, float]

    def stands_still(self, moment: float) -> float:
        """For how long the picture of a time stamp stands still; 0.0 where it does not."""
        return self.stills.get(_rounded(moment), 0.0)


class VideoSkimmer:
    """Looks into a video or an animation here and there.

    Args:
        path: the file.
        info: what `probe` said about it.
        alive: called now and then while much is read for one frame; may raise to stop.
    """

    def __init__(self, path: Path, info: MediaInfo, alive: Callable[[], object] = lambda: None) -> None:
        self._path = path
        self._alive = alive
        self._info = info
        self._map: _Map | None = None

    def spread(self, *, closest: float, farthest: float) -> Iterator[Glance]:
        """Key frames at least `closest` seconds apart; gaps longer than `farthest` are filled.

        Pictures that stand still for a second or more are all among them.

        Damaged places are passed over.

        Raises:
            MediaFormatError: the file cannot be opened.
        """
        found = self._mapped()
        if found is None:
            yield from _thinned(self._straight_through(), closest)
        else:
            yield from self._at(found, _moments(found, closest, farthest))

    def at(self, moments: Iterable[float]) -> Iterator[Glance]:
        """The frames shown at some moments (seconds); each frame once, in order.

        Where a picture no other one refers to is shown, it may be the one before that.
        """
        wanted = sorted(moments)
        found = self._mapped()
        if found is not None:
            yield from self._at(found, wanted)
        else:
            yield from _chosen(self._straight_through(), wanted)

    def _straight_through(self) -> Iterator[Glance]:
        """Every frame, for files without a usable index of key frames, and for animations."""
        with open_reader(self._path, self._info) as reader:
            for frame in reader:
                self._alive()
                yield Glance(frame.seconds, frame, _duration(frame.av_frame, frame.time_base))

    def _mapped(self) -> _Map | None:
        """Where the key frames are, found by reading packets alone; None where that says nothing."""
        if self._map is None and self._info.kind != "animation":
            with contextlib.ExitStack() as stack, translated(self._path.name):
                container, stream, _ = open_stream(stack, self._path, self._info, 1)
                keys, seeks, stamps = array("d"), array("d"), array("d")
                # Streams without an index are searched by the times of decoding.
                by_decoding = self._info.container in ("ts", "mpeg")
                with contextlib.suppress(av.error.InvalidDataError):
                    for packet in read_packets(container, stream):
                        moment = _seconds(packet, stream)
                        if moment is None:
                            return None
                        stamps.append(moment)
                        if len(stamps) % _PACKETS_PER_BREATH == 0:
                            self._alive()
                        if packet.is_keyframe:
                            decoded = packet.dts if by_decoding else None
                            keys.append(moment)
                            seeks.append(moment if decoded is None else float(decoded * stream.time_base))
            if keys:
                order = np.argsort(keys, kind="stable")
                keys, seeks, ordered = (
                    _compact(keys, order),
                    _compact(seeks, order),
                    _compact(np.sort(stamps)),
                )
                gaps = ((early, late - early) for early, late in itertools.pairwise(ordered))
                stills = {_rounded(moment): gap for moment, gap in gaps if gap >= STILL_SECONDS}
                self._map = _Map(keys, ordered, seeks, stills)
        return self._map

    def _at(self, found: _Map, moments: Sequence[float]) -> Iterator[Glance]:
        """The frames shown at the moments; where seeking finds none, the rest by decoding everything."""
        with contextlib.ExitStack() as stack, translated(self._path.name):
            opened = open_stream(stack, self._path, self._info, 1)
            normaliser = Normaliser(self._info)
            done = 0
            for key, group in itertools.groupby(moments, lambda moment: _key_before(found, moment)):
                wanted = list(group)
                for back in _KEYS_BACK:
                    glances = self._from_key(opened, normaliser, found, max(key - back, 0), wanted)
                    first = next(glances, None)
                    if first is not None:
                        yield first
                        yield from glances
                        break
                else:
                    yield from _chosen(self._straight_through(), moments[done:])
                    return
                done += len(wanted)

    def _from_key(
        self, opened: Any, normaliser: Normaliser, found: _Map, key: int, wanted: Sequence[float]
    ) -> Iterator[Glance]:
        """The frames shown at the moments, decoding from a key frame on; none where that cannot be done."""
        container, stream, decoder = opened
        try:
            place = math.floor(found.seeks[key] / float(stream.time_base))
            container.seek(place, stream=stream, backward=True)
        except av.error.FFmpegError:
            return
        decoder.flush_buffers()
        still = any(map(found.stands_still, wanted))
        decoder.skip_frame = "DEFAULT" if still else "NONREF"
        for moment, lasts, frame in _decode_up_to(container, stream, decoder, wanted, found.stands_still):
            stamp = frame.pts
            upright = normaliser.apply(frame)
            upright.pts, upright.time_base = stamp, stream.time_base
            yield Glance(moment, PlanarFrame(upright), lasts)
        decoder.flush_buffers()


def _decode_up_to(
    container: Any,
    stream: Any,
    decoder: Any,
    wanted: Sequence[float],
    stands_still: Callable[[float], float],
) -> Iterator[tuple[float, float, Any]]:
    """The frames shown at the moments: time stamp, for how long at least, frame.

    Stops as soon as the last one is there. A moment before the first frame is answered by that one.
    """
    left = list(wanted)
    shown: tuple[float, Any] | None = None

    def answer(until: float) -> Iterator[tuple[float, float, Any]]:
        answered = [moment for moment in left if moment < until - _SAME_MOMENT]
        if shown is not None and answered:
            began, frame = shown
            yield began, max(stands_still(began), answered[-1] - began), frame
            del left[: len(answered)]

    for packet in itertools.chain(read_packets(container, stream), [None]):
        # A decoder holds frames back until it knows their order; once the packet of the last moment is in,
        # the frame wanted is among them, and it is made to give them away.
        sent = math.inf if packet is None else _seconds(packet, stream)
        complete = sent is not None and sent >= left[-1] - _SAME_MOMENT
        for frame in _frames(decoder, packet, drain=complete):
            moment = _seconds(frame, stream)
            if moment is None:
                continue
            yield from answer(moment)
            shown = (moment, frame)
            if not left:
                return
        if complete:
            yield from answer(math.inf)
            return


def _frames(decoder: Any, packet: Any, *, drain: bool) -> Iterator[Any]:
    for part in (packet, None) if drain and packet is not None else (packet,):
        with contextlib.suppress(av.error.FFmpegError):
            yield from decoder.decode(part)


def _moments(found: _Map, closest: float, farthest: float) -> list[float]:
    moments: list[float] = []
    for key in found.keys:
        if moments and key - moments[-1] < closest:
            continue
        if moments:
            moments += _between(found, moments[-1], key, farthest)
        moments.append(key)
    moments += _between(found, moments[-1], found.stamps[-1] + _SAME_MOMENT, farthest)
    return sorted({*moments, *found.stills})


def _between(found: _Map, start: float, end: float, farthest: float) -> list[float]:
    """Moments strictly between two others, so that none is farther from the next than `farthest`.

    Where there are fewer pictures than that, as where time stamps jump, their own moments.
    """
    parts = math.ceil((end - start) / farthest)
    first, last = bisect_right(found.stamps, start), bisect_left(found.stamps, end)
    if last - first < parts:
        return list(found.stamps[first:last])
    return [start + (end - start) * part / parts for part in range(1, parts)]


def _key_before(found: _Map, moment: float) -> int:
    return max(bisect_right(found.keys, moment + _SAME_MOMENT) - 1, 0)


def _compact(values: Any, order: Any = slice(None)) -> array[float]:
    return array("d", np.asarray(values)[order].tobytes())


def _seconds(timed: Any, stream: Any) -> float | None:
    stamp = timed.pts if timed.pts is not None else timed.dts
    return None if stamp is None or stream.time_base is None else float(stamp * stream.time_base)


def _duration(frame: Any, time_base: Any) -> float:
    return float((frame.duration or 0) * time_base) if time_base is not None else 0.0


def _rounded(moment: float) -> float:
    return round(moment, 3)


def _thinned(glances: Iterable[Glance], closest: float) -> Iterator[Glance]:
    """Glances at least that far apart, and every frame that is shown for as long."""
    last = -math.inf
    for glance in glances:
        if glance.seconds - last >= closest or glance.lasts >= closest:
            last = glance.seconds
            yield glance


def _chosen(glances: Iterable[Glance], moments: Sequence[float]) -> Iterator[Glance]:
    """The glances that are shown at the moments."""
    left = list(moments)
    shown: Glance | None = None
    for glance in itertools.chain(glances, [None]):
        until = math.inf if glance is None else glance.seconds
        answered = [moment for moment in left if moment < until - _SAME_MOMENT]
        if shown is not None and answered:
            yield shown
            left = left[len(answered) :]
        if not left:
            return
        shown = glance

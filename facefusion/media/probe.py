"""Look into a media file and describe it, without decoding more than the first picture."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import av
import av.error

from facefusion.errors import MediaFormatError
from facefusion.media.hdr import MasteringDisplay, dynamic_metadata, light_level, mastering_display
from facefusion.media.orientation import UPRIGHT, Orientation, orientation_of
from facefusion.media.sniff import FileKind, check_name, ends_inside_a_packet, identify
from facefusion.media.source import (
    is_cover,
    main_video,
    open_decoder,
    open_input,
    read_packets,
    special_decoder,
)

MediaKind = Literal["video", "photo", "animation"]
StreamKind = Literal["audio", "subtitle", "data", "attachment", "cover", "video"]

MAX_PIXELS = 16384 * 16384
_PQ = 16
_HLG = 18


@dataclass(frozen=True)
class StreamInfo:
    """One stream beside the main video.

    Attributes:
        index: place in the container.
        kind: `cover` is a picture stored as a video stream; `video` a further video track.
        codec: libav's name, empty where unknown.
        language: as stored, or empty.
        title: as stored, or empty.
        start: first time stamp in seconds, None where unknown.
        duration: seconds, None where unknown.
        channels: of audio, else 0.
        sample_rate: of audio in Hz, else 0.
    """

    index: int
    kind: StreamKind
    codec: str
    language: str = ""
    title: str = ""
    start: float | None = None
    duration: float | None = None
    channels: int = 0
    sample_rate: int = 0


@dataclass(frozen=True)
class ColourTags:
    """Colour description as H.273 code points, 2 = unspecified; `range`: 0 unspecified, 1 limited, 2 full."""

    matrix: int = 2
    primaries: int = 2
    transfer: int = 2
    range: int = 0


@dataclass(frozen=True)
class Chapter:
    """A chapter mark, in seconds."""

    start: Fraction
    end: Fraction
    title: str


@dataclass(frozen=True)
class MediaInfo:
    """What a file holds.

    Attributes:
        path: the file.
        kind: `animation` is a GIF, animated WebP or animated PNG.
        container: family by content, see `sniff.FileKind`.
        size_bytes: of the file.
        width: displayed width in pixels, rotation applied.
        height: displayed height in pixels, rotation applied.
        orientation: what makes the stored picture upright.
        duration: seconds; 0.0 for photos, None where unknown.
        frames: number of pictures, as stored or estimated; None where unknown.
        rate: frames per second (the average where it varies); None for photos.
        time_base: seconds per tick of the video's time stamps.
        start: first video time stamp in seconds.
        codec: of the video.
        pix_fmt: libav's pixel format of the stored pictures (photos: Pillow's mode).
        depth: bits per sample.
        alpha: has transparency.
        interlaced: the first picture is made of two fields.
        sample_aspect: width of a stored pixel over its height.
        colour: tags of the video.
        hdr: `pq` (HDR10), `hlg`, or empty.
        mastering: display the video was mastered on, where it says so.
        light_level: largest light level and largest frame average in cd/m2, where it says so.
        decoder: libav's decoder to use instead of its first choice; may be empty.
        stream_index: place of the main video stream.
        streams: everything beside the main video.
        chapters: chapter marks.
        metadata: of the container.
        warnings: what is unusual and will be treated specially.
    """

    path: Path
    kind: MediaKind
    container: str
    size_bytes: int
    width: int
    height: int
    orientation: Orientation = UPRIGHT
    duration: float | None = None
    frames: int | None = None
    rate: Fraction | None = None
    time_base: Fraction | None = None
    start: float | None = None
    codec: str = ""
    pix_fmt: str = ""
    depth: int = 8
    alpha: bool = False
    interlaced: bool = False
    sample_aspect: Fraction = Fraction(1)
    colour: ColourTags = ColourTags()
    hdr: Literal["", "pq", "hlg"] = ""
    mastering: MasteringDisplay | None = None
    light_level: tuple[int, int] | None = None
    decoder: str = ""
    stream_index: int = 0
    streams: tuple[StreamInfo, ...] = ()
    chapters: tuple[Chapter, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    warnings: tuple[str, ...] = ()

    @property
    def rotation(self) -> int:
        """Degrees clockwise by which the stored picture is turned to be upright."""
        return self.orientation.quarter_turns * 90

    def of_kind(self, kind: StreamKind) -> tuple[StreamInfo, ...]:
        """The streams of one kind."""
        return tuple(stream for stream in self.streams if stream.kind == kind)


def probe(path: Path) -> MediaInfo:
    """Describe a media file. Opens it, reads the headers, decodes one picture.

    Raises:
        MediaFormatError: empty, cut off, damaged, no media (by content, whatever the name says), or a picture
            that calls itself a video.
        VanishedError: the file is gone.
        InputFileError: the file cannot be read.
    """
    kind = identify(path)
    check_name(path, kind)
    if kind.picture:
        from facefusion.media.photos import probe_picture

        return probe_picture(path, kind.family)
    return _probe_video(path, kind)


def _probe_video(path: Path, kind: FileKind) -> MediaInfo:
    with open_input(path, kind) as container:
        stream = main_video(container)
        if stream is None:
            what = "only sound" if container.streams.audio else "no pictures"
            if container.streams.video and not any(is_cover(s) for s in container.streams.video):
                what = "a video codec that is not supported"
            raise MediaFormatError(
                f"{path.name} holds {what}.", remedy="Drop a file with a video track that plays in a player."
            )
        context = stream.codec_context
        if context.width * context.height > MAX_PIXELS:
            raise MediaFormatError(f"{path.name} is {context.width}x{context.height}; that is too large.")
        frame = _first_frame(container, stream, path.name, "")
        info = _describe(path, kind, container, stream, frame)
        special = special_decoder(stream)
    if kind.family == "ts" and ends_inside_a_packet(path):
        note = f"{path.name} ends in the middle of a packet; the end of the recording may be missing."
        info = replace(info, warnings=(*info.warnings, note))
    return _see_alpha(info, special) if special else info


def _see_alpha(info: MediaInfo, decoder: str) -> MediaInfo:
    """The description with the pixel format that another decoder gives (which knows no display matrix)."""
    with open_input(info.path) as container:
        frame = _first_frame(container, container.streams[info.stream_index], info.path.name, decoder)
        alpha = any(component.is_alpha for component in frame.format.components)
        return replace(info, decoder=decoder, pix_fmt=frame.format.name, alpha=alpha)


def _first_frame(container: Any, stream: Any, name: str, special: str) -> Any:
    """Decode until the first picture appears, within reason."""
    decoder = open_decoder(stream, special, 1)
    failures = 0
    for count, packet in enumerate(itertools.chain(read_packets(container, stream), [None])):
        try:
            frames = decoder.decode(packet)
        except (av.error.InvalidDataError, av.error.EOFError):
            failures += 1
            frames = []
        if frames:
            return frames[0]
        if count > 600:
            break
    detail = f" ({failures} damaged packets)" if failures else ""
    raise MediaFormatError(f"No picture of {name} can be decoded{detail}.")


def _describe(path: Path, kind: FileKind, container: Any, stream: Any, frame: Any) -> MediaInfo:
    warnings: list[str] = []
    orientation, problem = orientation_of(frame)
    if problem:
        warnings.append(problem)
    width, height = orientation.displayed(frame.width, frame.height)
    duration = _duration(container, stream)
    rate = stream.average_rate or stream.guessed_rate or stream.base_rate
    if rate is not None and not Fraction(1, 3600) <= rate <= 1000:
        rate = stream.guessed_rate if stream.guessed_rate and stream.guessed_rate <= 1000 else None
    frames = stream.frames or None
    if frames is None and duration and rate:
        frames = max(1, round(duration * rate))
    components = frame.format.components
    for name in dynamic_metadata(frame):
        warnings.append(f"The {name} data of the video cannot be written; its basic HDR picture is kept.")
    start = None if stream.start_time is None else float(stream.start_time * stream.time_base)
    return MediaInfo(
        path=path,
        kind="video",
        container=kind.family,
        size_bytes=container.size,
        width=width,
        height=height,
        orientation=orientation,
        duration=duration,
        frames=frames,
        rate=rate,
        time_base=stream.time_base,
        start=start,
        codec=stream.codec_context.codec.canonical_name,
        pix_fmt=frame.format.name,
        depth=max(component.bits for component in components),
        alpha=any(component.is_alpha for component in components),
        interlaced=frame.interlaced_frame,
        sample_aspect=_sample_aspect(stream, orientation),
        colour=ColourTags(frame.colorspace, frame.color_primaries, frame.color_trc, frame.color_range),
        hdr="pq" if frame.color_trc == _PQ else "hlg" if frame.color_trc == _HLG else "",
        mastering=mastering_display(frame),
        light_level=light_level(frame),
        stream_index=stream.index,
        streams=tuple(_other_streams(container, stream)),
        chapters=tuple(_chapters(container)),
        metadata=MappingProxyType(dict(container.metadata)),
        warnings=tuple(warnings),
    )


def _duration(container: Any, stream: Any) -> float | None:
    if stream.duration is not None and stream.duration > 0:
        return float(stream.duration * stream.time_base)
    if container.duration is not None and container.duration > 0:
        return float(container.duration / av.time_base)
    return None


def _sample_aspect(stream: Any, orientation: Orientation) -> Fraction:
    aspect = stream.sample_aspect_ratio
    if not aspect or aspect <= 0:
        return Fraction(1)
    return Fraction(1) / aspect if orientation.swaps_sides else Fraction(aspect)


def _other_streams(container: Any, main: Any) -> Iterator[StreamInfo]:
    for stream in container.streams:
        # Discarded by default: QuickTime's chapter tracks, which are read as chapters.
        if stream.index == main.index or stream.discard == av.stream.Discard.all:
            continue
        context = stream.codec_context
        kind: StreamKind = stream.type if stream.type in ("audio", "subtitle", "attachment") else "data"
        if stream.type == "video":
            kind = "cover" if is_cover(stream) else "video"
        start, duration, base = stream.start_time, stream.duration, stream.time_base
        sound = context is not None and stream.type == "audio"
        yield StreamInfo(
            index=stream.index,
            kind=kind,
            codec=context.codec.canonical_name if context is not None else "",
            language=stream.metadata.get("language", ""),
            title=stream.metadata.get("title", ""),
            start=None if start is None or not base else float(start * base),
            duration=None if not duration or not base else float(duration * base),
            channels=context.channels if sound else 0,
            sample_rate=context.sample_rate if sound else 0,
        )


def _chapters(container: Any) -> Iterator[Chapter]:
    for chapter in container.chapters():
        base = chapter["time_base"] or Fraction(1)
        title = chapter["metadata"].get("title", "")
        yield Chapter(Fraction(chapter["start"]) * base, Fraction(chapter["end"]) * base, title)

"""Make real media files for the tests: known pictures, known time stamps, every container and codec."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

# x265 leaves decoding times undefined in videos shorter than its reordering: no reordering, then.
ORDINARY = {
    "libx264": {"preset": "ultrafast", "crf": "18"},
    "libx265": {"preset": "ultrafast", "x265-params": "log-level=error:bframes=0"},
}


@dataclass
class Clip:
    """What to make; every field has an ordinary default."""

    width: int = 96
    height: int = 64
    frames: int = 12
    rate: Fraction = Fraction(25)
    codec: str = "libx264"
    pix_fmt: str = "yuv420p"
    options: dict[str, str] = field(default_factory=dict)
    time_base: Fraction | None = None
    stamps: Sequence[int] | None = None
    rotation: int | None = None
    matrix: Sequence[int] | None = None
    audio: Sequence[Audio] = ()
    subtitles: Sequence[str] = ()
    chapters: Sequence[tuple[float, float, str]] = ()
    metadata: dict[str, str] = field(default_factory=dict)
    attachments: Sequence[tuple[str, str, bytes]] = ()
    colour: tuple[int, int, int, int] | None = None
    bframes: int | None = None
    gop: int | None = None
    sample_aspect: Fraction | None = None
    flags: int = 0
    pictures: Sequence[Any] | None = None
    muxer_options: dict[str, str] = field(default_factory=dict)


@dataclass
class Audio:
    """One sound track: a tone."""

    codec: str = "aac"
    seconds: float = 0.5
    start: float = 0.0
    channels: str = "stereo"
    rate: int = 48000
    language: str = ""
    hertz: float = 440.0


def pattern(index: int, width: int, height: int, name: str = "yuv420p") -> Any:
    """A frame whose content tells its index, its orientation and any shear: gradients and a corner mark."""
    bits = max(c.bits for c in av.VideoFormat(name).components)
    frame = av.VideoFrame(width, height, name)
    top = (1 << bits) - 1
    dtype = np.uint8 if bits == 8 else np.uint16
    for number, plane in enumerate(frame.planes):
        view = np.frombuffer(plane, dtype).reshape(-1, plane.line_size // np.dtype(dtype).itemsize)
        rows, columns = np.mgrid[0 : view.shape[0], 0 : view.shape[1]]
        wave = (rows * (3 + number) + columns * (2 + number) + index * 7) % 160 + 40
        view[:] = (wave * top // 255).astype(dtype)
    # A bright block in the upper left quarter: orientation.
    luma = frame.planes[0]
    view = np.frombuffer(luma, dtype).reshape(-1, luma.line_size // np.dtype(dtype).itemsize)
    if not av.VideoFormat(name).is_rgb or name.startswith("gbr"):
        view[: max(1, height // 4), : max(1, width // 4)] = top * 230 // 255
    return frame


def make_clip(path: Path, clip: Clip | None = None, *, muxer: str | None = None) -> Path:
    """Write a clip; the container follows from the suffix unless `muxer` is given."""
    clip = clip or Clip()
    with av.open(str(path), "w", format=muxer, container_options=dict(clip.muxer_options)) as out:
        out.metadata.update(clip.metadata)
        video = _add_video(out, clip)
        sounds = [_add_audio(out, sound) for sound in clip.audio]
        titles = [_add_subtitles(out, codec) for codec in clip.subtitles]
        for name, mime, data in clip.attachments:
            out.add_attachment(name, mime, data)
        if clip.chapters:
            out.set_chapters(
                [
                    {
                        "id": n,
                        "start": round(start * 1000),
                        "end": round(end * 1000),
                        "time_base": Fraction(1, 1000),
                        "metadata": {"title": title},
                    }
                    for n, (start, end, title) in enumerate(clip.chapters)
                ]
            )
        for stream, sound in zip(sounds, clip.audio, strict=True):
            for packet in _tone(stream, sound):
                out.mux(packet)
        for stream in titles:
            _say(out, stream)
        stamps = clip.stamps if clip.stamps is not None else range(clip.frames)
        base = clip.time_base or 1 / clip.rate
        for number, stamp in enumerate(stamps):
            if clip.pictures is not None:
                frame = clip.pictures[number]
            else:
                frame = pattern(number, clip.width, clip.height, clip.pix_fmt)
            frame.pts, frame.time_base = stamp, base
            if clip.colour:
                frame.colorspace, frame.color_primaries, frame.color_trc, frame.color_range = clip.colour
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
    return path


def _add_video(out: Any, clip: Clip) -> Any:
    options = {**ORDINARY.get(clip.codec, {}), **clip.options}
    video = out.add_stream(clip.codec, rate=clip.rate, options=options)
    context = video.codec_context
    context.width, context.height, context.pix_fmt = clip.width, clip.height, clip.pix_fmt
    context.time_base = clip.time_base or 1 / clip.rate
    context.thread_count = 1
    if clip.flags:
        context.flags |= clip.flags
    if clip.bframes is not None:
        context.max_b_frames = clip.bframes
    if clip.gop is not None:
        context.gop_size = clip.gop
    if clip.sample_aspect is not None:
        context.sample_aspect_ratio = clip.sample_aspect
    if clip.colour:
        matrix, primaries, transfer, span = clip.colour
        context.colorspace, context.color_primaries = matrix, primaries
        context.color_trc, context.color_range = transfer, span
    if clip.rotation is not None:
        # A clip that is shown turned clockwise by this much.
        video.set_display_rotation(-clip.rotation)
    if clip.matrix is not None:
        video.set_display_matrix(clip.matrix)
    return video


def _add_audio(out: Any, sound: Audio) -> Any:
    stream = out.add_stream(sound.codec, rate=sound.rate)
    stream.codec_context.layout = sound.channels
    stream.codec_context.bit_rate = 128_000
    if sound.language:
        stream.metadata["language"] = sound.language
    return stream


def _tone(stream: Any, sound: Audio) -> Iterable[Any]:
    context = stream.codec_context
    total = int(sound.seconds * sound.rate)
    start = round(sound.start * sound.rate)
    size = context.frame_size or 1024
    channels = av.AudioLayout(sound.channels).nb_channels
    resampler = av.AudioResampler(format=context.format.name, layout=sound.channels, rate=sound.rate)
    for first in range(0, total, size):
        count = min(size, total - first)
        wave = np.sin(2 * np.pi * sound.hertz * (np.arange(first, first + count)) / sound.rate) * 0.3
        frame = av.AudioFrame.from_ndarray(
            np.tile(wave.astype(np.float32), (channels, 1)), format="fltp", layout=sound.channels
        )
        frame.sample_rate, frame.pts, frame.time_base = sound.rate, start + first, Fraction(1, sound.rate)
        for part in resampler.resample(frame):
            yield stream.encode(part)
    yield stream.encode(None)


def _add_subtitles(out: Any, codec: str) -> Any:
    stream = out.add_stream(codec)
    stream.codec_context.subtitle_header = (
        b"[Script Info]\nScriptType: v4.00+\n\n[V4+ Styles]\nFormat: Name, Fontname, Fontsize\n"
        b"Style: Default,Arial,16\n\n[Events]\n"
        b"Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n"
    )
    return stream


def _say(out: Any, stream: Any) -> None:
    from av.subtitles.subtitle import SubtitleSet

    line = SubtitleSet.create(text=b"0,0,Default,,0,0,0,,Hello", start=0, end=300, pts=0)
    packet = stream.codec_context.encode_subtitle(line)
    packet.stream = stream
    packet.pts = packet.dts = 0
    packet.duration = 300
    packet.time_base = Fraction(1, 1000)
    out.mux(packet)


def times(path: Path) -> list[Fraction]:
    """Presentation times of all pictures, in seconds, by decoding."""
    with av.open(str(path)) as container:
        stream = next(s for s in container.streams.video if not s.disposition & 1024)
        return [frame.pts * frame.time_base for frame in container.decode(stream)]


def pictures(path: Path) -> list[Any]:
    """All decoded pictures, as libav frames."""
    with av.open(str(path)) as container:
        stream = next(s for s in container.streams.video if not s.disposition & 1024)
        return list(container.decode(stream))


def packets(path: Path, kind: str, number: int = 0) -> list[bytes]:
    """Payloads of one stream, to see that it was copied."""
    with av.open(str(path)) as container:
        stream = getattr(container.streams, kind)[number]
        return [bytes(packet) for packet in container.demux(stream) if packet.size]

"""Decide how a result is written: container, encoder, pixel format, quality; and say what will differ.

Nothing is opened here. A plan is a pure function of what `probe` found and of the settings, so the name of a
result is known before work starts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from typing import Literal

import av

from facefusion.config import AutomationConfig
from facefusion.errors import MediaFormatError
from facefusion.media.layouts import Layout, layout_of, planar_equivalent
from facefusion.media.probe import MediaInfo, StreamInfo

PLAYS_EVERYWHERE = "libx264"

_SUFFIXES = {
    "mp4": (".mp4", ".m4v"),
    "mov": (".mov",),
    "mkv": (".mkv",),
    "webm": (".webm",),
    "ts": (".ts", ".m2ts", ".mts"),
    "avi": (".avi",),
}
_MUXERS = {"mp4": "mp4", "mov": "mov", "mkv": "matroska", "webm": "webm", "ts": "mpegts", "avi": "avi"}
_ENCODERS = {
    "mp4": ("libx264", "libx265", "libvpx-vp9", "libsvtav1"),
    "mov": ("libx264", "libx265", "prores_ks"),
    "mkv": ("libx264", "libx265", "libvpx-vp9", "libsvtav1", "prores_ks"),
    "webm": ("libvpx-vp9", "libsvtav1"),
    "ts": ("libx264", "libx265"),
    "avi": ("libx264",),
}
_FAMILY = {"h264": "libx264", "hevc": "libx265", "vp9": "libvpx-vp9", "vp8": "libvpx-vp9", "av1": "libsvtav1"}

_PCM = ("pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_u8", "pcm_s16be", "pcm_s24be", "pcm_f32le", "pcm_f64le")
# What players of the container really play, which is less than what the muxers would take.
_AUDIO = {
    "mp4": ("aac", "mp3", "ac3", "eac3", "alac", "opus", "flac", "mp2", "dts"),
    "mov": ("aac", "mp3", "ac3", "eac3", "alac", "mp2", "adpcm_ima_qt", "pcm_alaw", "pcm_mulaw", *_PCM),
    "mkv": (
        *(
            "aac",
            "mp3",
            "ac3",
            "eac3",
            "alac",
            "opus",
            "flac",
            "mp2",
            "dts",
            "vorbis",
            "truehd",
            "tta",
            "wavpack",
        ),
        *("wmav1", "wmav2", "wmapro", "pcm_alaw", "pcm_mulaw", "amr_nb", "amr_wb", "mlp", *_PCM),
    ),
    "webm": ("opus", "vorbis"),
    "ts": ("aac", "mp3", "ac3", "eac3", "mp2", "dts", "opus"),
    "avi": ("mp3", "ac3", "mp2", "pcm_s16le", "pcm_u8", "wmav2", "dts", "adpcm_ms", "adpcm_ima_wav"),
}
_SUBTITLES = {
    "mp4": ("mov_text", "dvd_subtitle"),
    "mov": ("mov_text",),
    "mkv": ("subrip", "ass", "webvtt", "dvd_subtitle", "hdmv_pgs_subtitle", "dvb_subtitle", "text"),
    "webm": ("webvtt",),
    "ts": ("dvb_subtitle", "dvb_teletext", "hdmv_pgs_subtitle"),
    "avi": (),
}
_COVERS = {
    "mp4": ("mjpeg", "png", "bmp"),
    "mov": (),
    "mkv": ("mjpeg", "png"),
    "webm": (),
    "ts": (),
    "avi": (),
}

_SLOWNESS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow")
_VP9_SPEED = (8, 7, 6, 5, 4, 3, 2, 1, 0)
_AV1_PRESET = (12, 11, 10, 9, 8, 7, 5, 4, 3)


@dataclass(frozen=True)
class EncodeSettings:
    """How pictures are compressed.

    Attributes:
        encoder: libav's encoder name.
        pix_fmt: pixel format the encoder is given.
        crf: constant quality on the encoder's own scale, lower is better (ProRes: quantiser scale).
        preset: one of x264's preset names; other encoders take their nearest equivalent.
        gop: largest distance between key frames, in pictures.
    """

    encoder: str
    pix_fmt: str
    crf: float
    preset: str
    gop: int

    def options(self, threads: int) -> dict[str, str]:
        """Options for libav's encoder."""
        step = _SLOWNESS.index(self.preset)
        if self.encoder == "libx264":
            return {"preset": self.preset, "crf": f"{self.crf:g}"}
        if self.encoder == "libx265":
            # The library writes a banner per encode otherwise.
            return {
                "preset": self.preset,
                "crf": f"{self.crf:g}",
                "x265-params": f"log-level=error:pools={threads}",
            }
        if self.encoder == "libvpx-vp9":
            speed = _VP9_SPEED[step]
            deadline = "realtime" if speed > 5 else "good"
            return {
                "crf": f"{round(self.crf)}",
                "b": "0",
                "deadline": deadline,
                "cpu-used": str(speed),
                "row-mt": "1",
                "auto-alt-ref": "0" if layout_of(self.pix_fmt).alpha else "1",
            }
        if self.encoder == "libsvtav1":
            return {
                "crf": f"{round(self.crf)}",
                "preset": str(_AV1_PRESET[step]),
                "svtav1-params": f"lp={threads}",
            }
        return {"profile": "4444" if "444" in self.pix_fmt else "hq", "vendor": "apl0"}


@dataclass(frozen=True)
class TrackPlan:
    """What happens to one stream beside the main video.

    Attributes:
        stream: the stream.
        action: `copy` packet by packet, `encode` anew, or `drop`.
        codec: codec in the result.
    """

    stream: StreamInfo
    action: Literal["copy", "encode", "drop"]
    codec: str = ""


@dataclass(frozen=True)
class OutputPlan:
    """How a result is written.

    Attributes:
        kind: as of the target.
        container: family, see `sniff.FileKind`.
        suffix: of the result file, with dot.
        muxer: libav's muxer; empty for pictures.
        encode: settings of the video encoder; None for pictures.
        width: of the written picture: displayed, plus at most one column where the encoder needs even sizes.
        height: likewise.
        tracks: what happens to the other streams.
        quality: 1 to 100, of lossy pictures.
        warnings: what will differ from the source or from the settings, in sentences.
    """

    kind: str
    container: str
    suffix: str
    muxer: str = ""
    encode: EncodeSettings | None = None
    width: int = 0
    height: int = 0
    tracks: tuple[TrackPlan, ...] = ()
    quality: int = 95
    warnings: tuple[str, ...] = ()


def plan_output(info: MediaInfo, config: AutomationConfig) -> OutputPlan:
    """Decide how the result of one target is written.

    Raises:
        MediaFormatError: the target cannot be written faithfully by any encoder here.
    """
    if info.kind != "video":
        from facefusion.media.photos import plan_picture

        return plan_picture(info, config)
    notes: list[str] = list(info.warnings)
    container = _container(info, config, notes)
    encoder = _encoder(info, config, container, notes)
    pix_fmt = _pixel_format(info, encoder, notes)
    layout = layout_of(pix_fmt)
    width, height = _even(info, encoder, layout, notes)
    rate = info.rate or Fraction(25)
    settings = EncodeSettings(
        encoder=encoder,
        pix_fmt=pix_fmt,
        crf=quality_to_crf(config.profile.video_quality, encoder),
        preset=config.profile.encoder_preset,
        gop=max(12, min(300, round(rate * 10))),
    )
    tracks = tuple(_track(stream, container, notes) for stream in info.streams)
    family = _SUFFIXES[container]
    suffix = info.path.suffix.lower()
    return OutputPlan(
        kind=info.kind,
        container=container,
        suffix=suffix if suffix in family else family[0],
        muxer=_MUXERS[container],
        encode=settings,
        width=width,
        height=height,
        tracks=tracks,
        quality=config.output.photo_quality,
        warnings=tuple(notes),
    )


def quality_to_crf(quality: int, encoder: str) -> float:
    """Quality 0 to 100 on the scale of an encoder.

    x264: 51 - 0.4 q up to 70, then 23 - (q - 70) / 3, so that 70 is x264's default. x265 looks the same two
    steps higher. VP9 and AV1 use a scale to 63 on which 31 to 32 is like x264's 23.
    """
    x264 = 51 - 0.4 * quality if quality <= 70 else 23 - (quality - 70) / 3
    if encoder == "libx265":
        return round(min(51.0, x264 + 2), 2)
    if encoder in ("libvpx-vp9", "libsvtav1"):
        return round(min(63.0, x264 * 1.37))
    if encoder == "prores_ks":
        return round(max(1.0, x264 / 3))
    return round(x264, 2)


def _container(info: MediaInfo, config: AutomationConfig, notes: list[str]) -> str:
    wanted = config.output.container
    if wanted != "same":
        return wanted
    if info.container == "avi" and (info.vfr or info.depth > 8):
        notes.append("AVI cannot hold this video as it is; the result is an mp4.")
        return "mp4"
    if info.container in _MUXERS:
        return info.container
    notes.append(f"Results cannot be written as {info.container}; the result is an mp4.")
    return "mp4"


def _encoder(info: MediaInfo, config: AutomationConfig, container: str, notes: list[str]) -> str:
    possible = _ENCODERS[container]
    wanted = config.output.video_encoder
    if wanted != "auto":
        if wanted in possible:
            return wanted
        notes.append(f"{container} does not carry what {wanted} writes; {possible[0]} is used instead.")
    for candidate in _candidates(info):
        if candidate in possible and can_encode(candidate, _planar(info)):
            return candidate
    return possible[0]


def _candidates(info: MediaInfo) -> tuple[str, ...]:
    """Encoders for `auto`, best first."""
    own = _FAMILY.get(info.codec)
    if info.alpha and info.codec in ("prores", "qtrle", "png"):
        return ("prores_ks", "libvpx-vp9")
    if info.alpha:
        return ("libvpx-vp9", "prores_ks")
    if own is not None:
        return (own, "libx265", "libsvtav1", "libx264") if info.depth > 8 else (own, "libx264")
    return ("libx265", "libsvtav1", "libx264") if info.depth > 8 else ("libx264",)


@lru_cache(maxsize=16)
def encoder_formats(encoder: str) -> tuple[str, ...]:
    """Planar pixel formats an encoder of this build takes."""
    formats = av.Codec(encoder, "w").video_formats or ()
    return tuple(f.name for f in formats if planar_equivalent(f.name) == f.name)


def can_encode(encoder: str, pix_fmt: str) -> bool:
    """Whether an encoder takes samples of this format without losing depth, chroma or transparency."""
    return not _loss(layout_of(pix_fmt), layout_of(best_format(encoder, pix_fmt)))


def best_format(encoder: str, pix_fmt: str) -> str:
    """The pixel format of `encoder` that keeps most of `pix_fmt`."""
    source = layout_of(pix_fmt)

    def badness(name: str) -> tuple[object, ...]:
        target = layout_of(name)
        waste = (target.depth - source.depth, source.sx - target.sx, source.sy - target.sy)
        return (
            len(_loss(source, target)),
            source.rgb != target.rgb,
            source.gray != target.gray,
            source.alpha != target.alpha,
            source.full_range != target.full_range,
            tuple(abs(value) for value in waste),
        )

    return min(encoder_formats(encoder), key=badness)


def _loss(source: Layout, target: Layout) -> tuple[str, ...]:
    """What a conversion loses, in words."""
    lost = []
    if source.depth > target.depth:
        lost.append(f"{source.depth} bit become {target.depth}")
    if not source.gray and (target.sx > source.sx or target.sy > source.sy or target.gray):
        lost.append("colour is stored at a lower resolution")
    if source.alpha and not target.alpha:
        lost.append("transparency is dropped")
    if source.rgb and not target.rgb:
        lost.append("RGB is stored as YUV")
    return tuple(lost)


def _planar(info: MediaInfo) -> str:
    """The format in which frames reach the writer."""
    name = planar_equivalent(info.pix_fmt)
    if name is None:
        raise MediaFormatError(
            f"{info.path.name} uses the pixel format {info.pix_fmt}, which is not supported.",
            remedy="Convert the video to H.264 in mp4 and drop it again.",
        )
    layout = layout_of(name)
    return layout.turned_name if info.orientation.swaps_sides else name


def _pixel_format(info: MediaInfo, encoder: str, notes: list[str]) -> str:
    source = _planar(info)
    target = best_format(encoder, source)
    lost = _loss(layout_of(source), layout_of(target))
    if info.hdr and layout_of(target).depth < 10:
        raise MediaFormatError(
            f"{info.path.name} is HDR ({info.hdr.upper()}); {encoder} writes only 8 bit here, "
            "which would wash it out.",
            remedy='Set `output.video_encoder` to "auto" or "libx265" and `output.container` to "mp4".',
        )
    if lost:
        notes.append(f"{encoder} has no {source}; the video is written as {target}: {', '.join(lost)}.")
    elif layout_of(source).sx > layout_of(target).sx or layout_of(source).sy > layout_of(target).sy:
        notes.append(f"{encoder} has no {source}; the video is written as {target}, which loses nothing.")
    return target


def _even(info: MediaInfo, encoder: str, layout: Layout, notes: list[str]) -> tuple[int, int]:
    """The size to encode: H.264 and HEVC need whole chroma blocks."""
    width, height = info.width, info.height
    if encoder in ("libx264", "libx265"):
        width += -width % (1 << layout.sx)
        height += -height % (1 << layout.sy)
    if encoder == "libx265":
        width, height = max(width, 16), max(height, 16)
    if encoder == "libsvtav1":
        width, height = max(width + width % 2, 64), max(height + height % 2, 64)
    if (width, height) != (info.width, info.height):
        notes.append(
            f"{encoder} cannot write {info.width}x{info.height}; "
            f"the pixels at the edge are repeated to make {width}x{height}."
        )
    return width, height


def _track(stream: StreamInfo, container: str, notes: list[str]) -> TrackPlan:
    name = stream.codec or "an unknown codec"
    if stream.kind == "audio":
        if stream.codec in _AUDIO[container]:
            return TrackPlan(stream, "copy", stream.codec)
        codec = {"webm": "opus", "avi": "mp3"}.get(container, "aac")
        if not stream.codec:
            notes.append(f"Audio track {stream.index} uses an unknown codec and is left out.")
            return TrackPlan(stream, "drop")
        notes.append(
            f"{container} does not carry {name} sound; track {stream.index} is converted to {codec}."
        )
        return TrackPlan(stream, "encode", codec)
    if stream.kind == "subtitle":
        if stream.codec in _SUBTITLES[container]:
            return TrackPlan(stream, "copy", stream.codec)
        notes.append(f"{container} does not carry {name} subtitles; track {stream.index} is left out.")
        return TrackPlan(stream, "drop")
    if stream.kind == "attachment" and container == "mkv":
        return TrackPlan(stream, "copy", stream.codec)
    if stream.kind == "cover" and stream.codec in _COVERS[container]:
        return TrackPlan(stream, "copy", stream.codec)
    if stream.kind == "video":
        notes.append(f"The further video track {stream.index} is left out.")
    elif stream.kind == "cover":
        notes.append("The cover picture is left out.")
    elif stream.kind == "attachment":
        notes.append(f"{container} does not carry attachments; attachment {stream.index} is left out.")
    else:
        notes.append(f"Data track {stream.index} (telemetry, time code) is left out.")
    return TrackPlan(stream, "drop")


def without_tracks(plan: OutputPlan) -> OutputPlan:
    """The same plan with video only (previews, tests)."""
    return replace(plan, tracks=tuple(TrackPlan(track.stream, "drop") for track in plan.tracks))

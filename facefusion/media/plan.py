"""Decide how a result is written: container, encoder, pixel format, quality; and say what will differ.

Nothing is opened here. A plan is a pure function of what `probe` found and of the settings, so the name of a
result is known before work starts.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from facefusion.config import AutomationConfig
from facefusion.errors import MediaFormatError
from facefusion.media.containers import CONTAINERS, Container
from facefusion.media.encoders import (
    EncodeSettings,
    best_format,
    encoded_size,
    fits,
    loss,
    quality_to_crf,
)
from facefusion.media.labels import Label
from facefusion.media.layouts import layout_of, planar_equivalent
from facefusion.media.probe import MediaInfo, StreamInfo

_FAMILY = {"h264": "libx264", "hevc": "libx265", "vp9": "libvpx-vp9", "av1": "libsvtav1"}
_FOR_DEEP = ("libx265", "libsvtav1", "libx264", "libvpx-vp9", "prores_ks")
_FOR_PLAIN = ("libx264", "libvpx-vp9", "libx265", "libsvtav1", "prores_ks")


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
        kind: `video`, `photo` or `animation`, as the target.
        container: family, see `sniff.FileKind`.
        suffix: of the result file, with dot.
        muxer: libav's muxer; empty for pictures.
        encode: settings of the video encoder; None for pictures.
        width: of the written picture: displayed, plus at most one column where the encoder needs even sizes.
        height: likewise.
        tracks: what happens to the other streams.
        quality: 1 to 100, of lossy pictures.
        warnings: what will differ from the source or from the settings, in sentences.
        label: what the file is to say about how it came about, where its kind has a place for that.
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
    label: Label | None = None


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
    source = _planar(info)
    encoder = _encoder(info, source, config, container, notes)
    pix_fmt = _pixel_format(info, source, encoder, notes)
    width, height = encoded_size(encoder, pix_fmt, info.width, info.height)
    if (width, height) != (info.width, info.height):
        notes.append(
            f"{encoder} cannot write {info.width}x{info.height}; "
            f"the pixels at the edge are repeated to make {width}x{height}."
        )
    if info.interlaced and not (encoder == "libx264" and info.orientation.is_upright):
        notes.append(
            "The video is interlaced; the result says it is not, so players will not deinterlace it."
        )
    settings = EncodeSettings(
        encoder=encoder,
        pix_fmt=pix_fmt,
        crf=quality_to_crf(config.profile.video_quality, encoder),
        preset=config.profile.encoder_preset,
        # Ten seconds: seeking stays quick, and a still scene does not pay for many key frames.
        gop=max(12, min(300, round((info.rate or Fraction(25)) * 10))),
        hdr=_static_hdr(info, encoder, notes),
    )
    suffix = info.path.suffix.lower()
    return OutputPlan(
        kind=info.kind,
        container=container.name,
        suffix=suffix if suffix in container.suffixes else container.suffixes[0],
        muxer=container.muxer,
        encode=settings,
        width=width,
        height=height,
        tracks=_tracks(info, container, notes),
        quality=config.output.photo_quality,
        warnings=tuple(notes),
    )


def _container(info: MediaInfo, config: AutomationConfig, notes: list[str]) -> Container:
    wanted = config.output.container
    if wanted != "same":
        return CONTAINERS[wanted]
    if info.container in CONTAINERS:
        return CONTAINERS[info.container]
    if info.container == "avi":
        # Its frames have no time stamps; with H.264 inside, readers disagree by one on where sound belongs.
        notes.append("AVI cannot hold H.264 with exact timing; the result is an mp4.")
    else:
        notes.append(f"Results cannot be written as {info.container}; the result is an mp4.")
    return CONTAINERS["mp4"]


def _planar(info: MediaInfo) -> str:
    """The format in which frames reach the writer."""
    name = planar_equivalent(info.pix_fmt)
    if name is None:
        raise MediaFormatError(
            f"{info.path.name} uses the pixel format {info.pix_fmt}, which is not supported.",
            remedy="Convert the video to H.264 in mp4 and drop it again.",
        )
    return layout_of(name).turned_name if info.orientation.swaps_sides else name


def _encoder(
    info: MediaInfo, source: str, config: AutomationConfig, container: Container, notes: list[str]
) -> str:
    wanted = config.output.video_encoder
    if wanted != "auto":
        small = not fits(wanted, info.width, info.height)
        if wanted in container.encoders and not small:
            return wanted
        if small:
            notes.append(
                f"{wanted} cannot write pictures of {info.width}x{info.height}; another encoder is used."
            )
        else:
            notes.append(f"{container.name} cannot hold what {wanted} writes; another encoder is used.")
    layout = layout_of(source)
    candidates = [
        name
        for name in _preferred(info)
        if name in container.encoders and fits(name, info.width, info.height)
    ]
    return min(candidates, key=lambda name: sum(loss(layout, layout_of(best_format(name, source))).values()))


def _preferred(info: MediaInfo) -> tuple[str, ...]:
    """Encoders for `auto`, best first; of these the first one that loses least is taken."""
    own = _FAMILY.get(info.codec)
    others = _FOR_DEEP if info.depth > 8 else _FOR_PLAIN
    return others if own is None else (own, *others)


def _pixel_format(info: MediaInfo, source: str, encoder: str, notes: list[str]) -> str:
    target = best_format(encoder, source)
    old, new = layout_of(source), layout_of(target)
    if info.hdr and new.depth < 10:
        raise MediaFormatError(
            f"{info.path.name} is HDR ({info.hdr.upper()}); {encoder} writes only 8 bit here, "
            "which would wash it out.",
            remedy='Set `output.video_encoder` to "auto" or "libx265" and `output.container` to "mp4".',
        )
    lost = loss(old, new)
    if lost:
        notes.append(f"{encoder} has no {source}; the video is written as {target}: {', '.join(lost)}.")
    elif not old.gray and (old.sx > new.sx or old.sy > new.sy):
        notes.append(f"{encoder} has no {source}; the video is written as {target}, which loses nothing.")
    return target


def _static_hdr(info: MediaInfo, encoder: str, notes: list[str]) -> tuple[str, ...]:
    """The mastering display and light level of HDR10 in the words of the encoder."""
    if info.mastering is None and info.light_level is None:
        return ()
    parameters: list[str] = []
    if encoder in ("libx264", "libx265"):
        display, light = (
            ("mastering-display", "cll") if encoder == "libx264" else ("master-display", "max-cll")
        )
        if info.mastering is not None:
            parameters.append(f"{display}={info.mastering.in_units()}")
        if info.light_level is not None:
            parameters.append(f"{light}={info.light_level[0]},{info.light_level[1]}")
    elif encoder == "libsvtav1":
        if info.mastering is not None:
            parameters.append(f"mastering-display={info.mastering.in_decimals()}")
        if info.light_level is not None:
            parameters.append(f"content-light={info.light_level[0]},{info.light_level[1]}")
    else:
        notes.append(f"{encoder} cannot store the HDR mastering data; the colour tags are kept.")
    return tuple(parameters)


def _tracks(info: MediaInfo, container: Container, notes: list[str]) -> tuple[TrackPlan, ...]:
    data = [stream.index for stream in info.streams if stream.kind == "data"]
    if data:
        # Telephones store up to half a dozen; one sentence is enough.
        listed = ", ".join(str(index) for index in data)
        notes.append(f"Data tracks (telemetry, time code) are left out: {listed}.")
    return tuple(_track(stream, container, notes) for stream in info.streams)


def _track(stream: StreamInfo, container: Container, notes: list[str]) -> TrackPlan:
    codec = stream.codec
    named = codec or "unknown"
    if stream.kind == "audio":
        if codec in container.audio:
            return TrackPlan(stream, "copy", codec)
        if not codec:
            notes.append(f"Sound track {stream.index} uses an unknown codec and is left out.")
            return TrackPlan(stream, "drop")
        new = container.sound_encoder
        notes.append(f"{container.name} does not carry {codec} sound; track {stream.index} becomes {new}.")
        return TrackPlan(stream, "encode", new)
    kept = {
        "subtitle": codec in container.subtitles,
        "attachment": container.attachments,
        "cover": codec in container.covers,
    }
    if kept.get(stream.kind, False):
        return TrackPlan(stream, "copy", codec)
    if stream.kind == "data":
        return TrackPlan(stream, "drop")
    what = {
        "subtitle": f"{container.name} does not carry {named} subtitles; track {stream.index}",
        "attachment": f"{container.name} does not carry attached files; attachment {stream.index}",
        "cover": "The cover picture",
        "video": f"The further video track {stream.index}",
    }[stream.kind]
    notes.append(f"{what} is left out.")
    return TrackPlan(stream, "drop")

"""The video encoders of this build: what they accept, and how quality and speed are said to them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import av

from facefusion.media.layouts import Layout, layout_of, planar_equivalent

# Formats that a library lists and then refuses to open (libvpx 1.15, x265 4.1).
_REFUSED = {
    "libvpx-vp9": ("yuva422p", "yuva444p", "gbrap"),
    "libx265": ("yuva420p", "yuva420p10le"),
}
# Smallest side of a picture. SVT-AV1 4.1 hangs for ever on some narrow ones (66x20); x265 4.1 writes past its
# buffers on others (48x64), which ends the process.
_SMALLEST = {"libx265": 64, "libsvtav1": 64}
# Encoders whose streams can only be cropped by whole chroma blocks.
_EVEN = frozenset({"libx264", "libx265"})

_PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow")
_VP9_SPEED = (8, 7, 6, 5, 4, 3, 2, 1, 0)
_AV1_PRESET = (10, 10, 9, 9, 8, 7, 5, 4, 3)
_LARGE = 1_500_000
"""Pixels above which x264 and x265 look ahead over fewer pictures, or memory would grow with the picture."""
_NEAR_SIGHTED = frozenset({"ultrafast", "superfast", "veryfast"})
"""Presets that do so by themselves."""


@dataclass(frozen=True)
class Device:
    """Encoders of one kind of graphics processor.

    Attributes:
        name: as the settings say it.
        title: as people know it.
        encoders: software encoder -> libav's encoder that takes its place.
        traces: files that tell that there may be such a device; none: it is always tried.
        platforms: of `sys.platform` that have it.
    """

    name: str
    title: str
    encoders: Mapping[str, str]
    traces: tuple[str, ...] = ()
    platforms: tuple[str, ...] = ("linux", "win32")

    def present(self) -> bool:
        """Whether it is worth trying: the machine may have it, and this build knows one of its encoders."""
        if sys.platform not in self.platforms:
            return False
        if self.traces and not any(Path(trace).exists() for trace in self.traces):
            return False
        return any(name in av.codecs_available for name in self.encoders.values())


def _family(suffix: str, *codecs: str) -> dict[str, str]:
    software = {"h264": "libx264", "hevc": "libx265", "av1": "libsvtav1"}
    return {software[codec]: f"{codec}_{suffix}" for codec in codecs}


HARDWARE = {
    device.name: device
    for device in (
        Device(
            "nvenc",
            "NVIDIA NVENC",
            _family("nvenc", "h264", "hevc", "av1"),
            ("/dev/nvidiactl", "/dev/dxg", "C:/Windows/System32/nvEncodeAPI64.dll"),
        ),
        Device(
            "videotoolbox", "VideoToolbox", _family("videotoolbox", "h264", "hevc"), platforms=("darwin",)
        ),
        Device(
            "qsv",
            "Intel Quick Sync",
            _family("qsv", "h264", "hevc", "av1"),
            ("/dev/dri/renderD128", "C:/Windows/System32/libvpl.dll", "C:/Windows/System32/libmfxhw64.dll"),
        ),
        Device("amf", "AMD AMF", _family("amf", "h264", "hevc", "av1"), ("C:/Windows/System32/amfrt64.dll",)),
    )
}
"""Encoders of graphics processors, in the order in which `auto` tries them."""


@dataclass(frozen=True)
class EncodeSettings:
    """How pictures are compressed.

    Attributes:
        encoder: libav's encoder name.
        pix_fmt: pixel format the encoder is given.
        crf: constant quality on the encoder's own scale, lower is better (ProRes: quantiser scale).
        preset: one of x264's preset names; other encoders take their nearest equivalent.
        gop: largest distance between key frames, in pictures.
        hdr: static HDR metadata as parameters of x264, x265 or SVT-AV1, may be empty.
    """

    encoder: str
    pix_fmt: str
    crf: float
    preset: str
    gop: int
    hdr: tuple[str, ...] = ()

    @property
    def on_device(self) -> bool:
        """It is an encoder of a graphics processor."""
        return any(self.encoder in device.encoders.values() for device in HARDWARE.values())

    def options(self, threads: int, pixels: int) -> dict[str, str]:
        """Options for libav's encoder.

        Args:
            threads: that the encoder may use.
            pixels: of one picture.
        """
        step = _PRESETS.index(self.preset)
        if self.encoder in ("libx264", "libx265"):
            parameters = list(self.hdr)
            if pixels > _LARGE and self.preset not in _NEAR_SIGHTED:
                parameters.append("rc-lookahead=8")
            if self.encoder == "libx265":
                # Its banner would go to standard error with every job.
                parameters += ["log-level=error", f"pools={threads}"]
            options = {"preset": self.preset, "crf": f"{self.crf:g}"}
            if parameters:
                options[self.encoder.removeprefix("lib") + "-params"] = ":".join(parameters)
            return options
        if self.encoder == "libvpx-vp9":
            speed = _VP9_SPEED[step]
            return {
                "crf": f"{round(self.crf)}",
                "b": "0",
                "deadline": "realtime" if speed > 5 else "good",
                "cpu-used": str(speed),
                "row-mt": "1",
                # Alternate reference frames would leave the transparency of the hidden pictures undefined.
                "auto-alt-ref": "0" if layout_of(self.pix_fmt).alpha else "1",
            }
        if self.encoder == "libsvtav1":
            return {
                "crf": f"{round(self.crf)}",
                "preset": str(_AV1_PRESET[step]),
                "svtav1-params": ":".join([f"lp={threads}", *self.hdr]),
            }
        if self.encoder == "prores_ks":
            return {"profile": "4444" if "444" in self.pix_fmt else "hq", "vendor": "apl0"}
        return _hardware_options(self.encoder, self.crf, step)


def _hardware_options(encoder: str, crf: float, step: int) -> dict[str, str]:
    """Constant quality and speed in the words of a graphics processor's encoder.

    Their scales follow the software encoder's of the same codec.

    Args:
        encoder: libav's name.
        crf: quality on the scale of the software encoder.
        step: place of the preset among x264's, 0 the fastest.
    """
    quality = round(crf)
    if encoder.endswith("_nvenc"):
        # Seven presets, p1 the fastest.
        return {"rc": "vbr", "cq": str(quality), "b": "0", "preset": f"p{1 + round(step * 6 / 8)}"}
    if encoder.endswith("_videotoolbox"):
        # Quality 1 to 100, best last, in libav's units of 118.
        share = max(1, min(100, round(100 - 1.6 * crf)))
        return {"flags": "+qscale", "global_quality": str(118 * share), "allow_sw": "0"}
    if encoder.endswith("_qsv"):
        return {"global_quality": str(max(1, min(51, quality))), "preset": _PRESETS[min(max(step, 2), 8)]}
    if encoder.endswith("_amf"):
        speed = "speed" if step < 4 else "balanced" if step < 7 else "quality"
        return {"rc": "cqp", "qp_i": str(quality), "qp_p": str(quality), "quality": speed}
    return {"crf": f"{crf:g}"}


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


def fits(encoder: str, width: int, height: int) -> bool:
    """Whether an encoder takes pictures this small."""
    return min(width, height) >= _SMALLEST.get(encoder, 1)


def encoded_size(encoder: str, pix_fmt: str, width: int, height: int) -> tuple[int, int]:
    """The size to encode: H.264 and HEVC need whole chroma blocks."""
    if encoder not in _EVEN:
        return width, height
    layout = layout_of(pix_fmt)
    return width + -width % (1 << layout.sx), height + -height % (1 << layout.sy)


@lru_cache(maxsize=16)
def encoder_formats(encoder: str) -> tuple[str, ...]:
    """Planar pixel formats an encoder of this build takes."""
    formats = av.Codec(encoder, "w").video_formats or ()
    refused = _REFUSED.get(encoder, ())
    return tuple(f.name for f in formats if f.name not in refused and planar_equivalent(f.name) == f.name)


def best_format(encoder: str, pix_fmt: str) -> str:
    """The pixel format of `encoder` that keeps most of `pix_fmt`.

    Grey goes into 4:2:0 with neutral colour (the same picture, and players know it), RGB into 4:4:4.
    """
    source = layout_of(pix_fmt)

    def badness(name: str) -> tuple[float, ...]:
        target = layout_of(name)
        sx, sy = (1, 1) if source.gray else (source.sx, source.sy)
        return (
            sum(loss(source, target).values()),
            target.rgb,
            target.gray,
            source.alpha != target.alpha,
            source.full_range != target.full_range,
            abs(target.depth - source.depth),
            abs(sx - target.sx) + abs(sy - target.sy),
        )

    return min(encoder_formats(encoder), key=badness)


def loss(source: Layout, target: Layout) -> dict[str, float]:
    """What a change of format loses, in words, each with its weight."""
    lost: dict[str, float] = {}
    if source.alpha and not target.alpha:
        lost["transparency is dropped"] = 8
    if source.depth > target.depth:
        lost[f"{source.depth} bit become {target.depth}"] = 4 if target.depth == 8 else 0.5
    if not source.gray and (target.sx > source.sx or target.sy > source.sy or target.gray):
        lost["colour is stored at a lower resolution"] = 2
    if source.rgb and not target.rgb:
        lost["RGB is stored as YUV"] = 0
    return lost

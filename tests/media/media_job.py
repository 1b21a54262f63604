"""Take a clip through reader and writer as the pipeline does, without faces."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facefusion.config import AutomationConfig
from facefusion.media.frame import PlanarFrame
from facefusion.media.layouts import layout_of
from facefusion.media.plan import OutputPlan, plan_output
from facefusion.media.probe import MediaInfo, probe
from facefusion.media.reader import VideoReader
from facefusion.media.verify import verify_video
from facefusion.media.writer import VideoWriter

FAST = AutomationConfig(quality_preset="fast")


def settings(container: str = "same", encoder: str = "auto", **more: Any) -> AutomationConfig:
    output = {"container": container, "video_encoder": encoder, "encoder_preset": "ultrafast", **more}
    return AutomationConfig.model_validate({"quality_preset": "fast", "output": output})


@dataclass
class Outcome:
    source: MediaInfo
    plan: OutputPlan
    path: Path
    info: MediaInfo
    warnings: list[str]


def process(
    source: Path,
    config: AutomationConfig = FAST,
    change: Callable[[PlanarFrame], None] | None = None,
    *,
    decode_all: bool = False,
) -> Outcome:
    """Read, write and verify; the result lies beside the source."""
    info = probe(source)
    plan = plan_output(info, config)
    out = source.with_name(f"{source.stem}__result{plan.suffix}")
    with VideoReader(source, info) as reader, VideoWriter(out, info, plan) as writer:
        for frame in reader:
            if change is not None:
                change(frame)
            writer.write(frame)
        writer.commit()
        expected = writer.expected()
    verify_video(out, expected, decode_all=decode_all)
    return Outcome(info, plan, out, probe(out), [*plan.warnings, *reader.warnings, *writer.warnings])


def planes(frame: Any) -> list[Any]:
    """Copies of the visible part of every plane of a libav or PlanarFrame."""
    frame = getattr(frame, "av_frame", frame)
    layout = layout_of(frame.format.name)
    dtype = np.dtype(np.uint8 if layout.depth == 8 else np.uint16)
    result = []
    for index, plane in enumerate(frame.planes):
        w, h = layout.plane_size(index, frame.width, frame.height)
        rows = np.frombuffer(plane, dtype).reshape(-1, plane.line_size // dtype.itemsize)
        result.append(rows[:h, :w].copy())
    return result


def psnr(a: Any, b: Any) -> float:
    """Peak signal to noise ratio in dB of two arrays of 8-bit samples."""
    error = np.mean((np.asarray(a, float) - np.asarray(b, float)) ** 2)
    return 99.0 if error == 0 else float(10 * np.log10(255**2 / error))

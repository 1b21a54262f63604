"""Readers and writers by what a target is, so that one loop serves videos and animations."""

from __future__ import annotations

from pathlib import Path

from facefusion.media.animations import AnimationReader, AnimationWriter
from facefusion.media.plan import OutputPlan
from facefusion.media.probe import MediaInfo
from facefusion.media.reader import VideoReader
from facefusion.media.segments import Segments
from facefusion.media.writer import VideoWriter


def open_reader(path: Path, info: MediaInfo, *, threads: int = 1) -> VideoReader | AnimationReader:
    """The reader for a video or an animation, to be entered with `with`."""
    kind = AnimationReader if info.kind == "animation" else VideoReader
    return kind(path, info, threads=threads)


def open_writer(
    path: Path, info: MediaInfo, plan: OutputPlan, *, threads: int = 1, segments: Segments | None = None
) -> VideoWriter | AnimationWriter:
    """The writer for the result of a video or an animation, to be entered with `with`."""
    if info.kind == "animation":
        return AnimationWriter(path, info, plan, threads=threads)
    return VideoWriter(path, info, plan, threads=threads, segments=segments)

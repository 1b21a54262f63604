"""Encode frames and mux them with the source's other streams into a new file."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av
import av.error

from facefusion.errors import MediaFormatError, StorageError
from facefusion.media.containers import CONTAINERS
from facefusion.media.convert import FrameConverter
from facefusion.media.encoders import EncodeSettings
from facefusion.media.frame import PlanarFrame
from facefusion.media.hardware import refused
from facefusion.media.labels import add_box
from facefusion.media.plan import OutputPlan
from facefusion.media.probe import MediaInfo
from facefusion.media.source import open_input, translated
from facefusion.media.tracks import TrackCopier
from facefusion.media.verify import ExpectedMedia, ExpectedTrack

# Tags that belong to the old file's container, not to its content.
_CONTAINER_TAGS = frozenset({"major_brand", "minor_version", "compatible_brands", "encoder", "duration"})
_STORAGE_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO, errno.ENOENT})
# Containers whose clock starts anywhere: players subtract its start, other containers do not expect one.
_FREE_CLOCKS = frozenset({"ts", "mpeg"})


class VideoWriter:
    """Writes a video: encoded frames, and everything else copied from the source.

    Time stamps are the source's, tick for tick. The file appears under `path` while it is written; it stays
    only if `commit` was called, otherwise leaving the `with` block removes it.

    Args:
        path: file to write; the parent exists, the file does not.
        info: the source, as probed.
        plan: how to write it, see `plan.plan_output`.
        threads: encoder threads.

    Attributes:
        warnings: what happened differently while writing, complete after `commit`.
        frames: frames written so far.

    Raises:
        StorageError: disk full, folder not writable.
        MediaFormatError: the source's other streams cannot be read.
    """

    def __init__(self, path: Path, info: MediaInfo, plan: OutputPlan, *, threads: int = 1) -> None:
        if plan.encode is None:
            raise ValueError("this plan is for a picture, not for a video")
        self.path = path
        self.info = info
        self.plan = plan
        self.frames = 0
        self.warnings: list[str] = []
        self._first_pts = 0
        self._last_pts = 0
        self._last_duration = 0
        self._settings: EncodeSettings = plan.encode
        self._threads = max(1, threads)
        self._stack = contextlib.ExitStack()
        self._committed = False
        self._durations: dict[int, int] = {}
        self._first_dts: int | None = None
        self._converter = FrameConverter(info, plan)
        self._time_base = info.time_base or Fraction(1, 90000)
        self._rate = info.rate or Fraction(25)

    def __enter__(self) -> Self:
        try:
            self._open()
        except BaseException:
            self.close()
            raise
        return self

    def _open(self) -> None:
        with self._storage():
            self._target = av.open(
                str(self.path.absolute()),
                "w",
                format=self.plan.muxer,
                container_options=self._muxer_options(),
            )
            self._source = self._stack.enter_context(open_input(self.info.path))
            self._shift = self._clock_shift()
            self._stream = self._add_video()
            self._copier = TrackCopier(self._source, self._target, self.plan, self._shift)
            self._copy_description()
            self._start()

    def _start(self) -> None:
        """Open the encoder and write the header."""
        try:
            self._target.start_encoding()
        except av.error.FFmpegError as error:
            if self._settings.on_device and error.errno not in _STORAGE_ERRORS:
                raise refused(self._settings, self.plan.width, self.plan.height, error) from error
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def write(self, frame: PlanarFrame) -> None:
        """Encode the next frame and mux what is ready. The frame must not be used afterwards.

        Raises:
            StorageError: see the class.
            MediaFormatError: the encoder refused the frame.
        """
        with self._storage():
            picture = self._converter.convert(frame.av_frame)
            # The decoder's choice of I, P and B would be forced on the encoder.
            picture.pict_type = 0
            stamp = frame.pts
            if stamp is None:
                raise ValueError("a frame without a time stamp cannot be written")
            picture.pts = stamp - self._ticks(self._shift)
            picture.time_base = self._time_base
            self._first_pts = picture.pts if self.frames == 0 else self._first_pts
            self._last_pts = picture.pts
            self._last_duration = picture.duration or round(1 / (self._rate * self._time_base))
            self._durations[picture.pts] = self._last_duration
            self.frames += 1
            self._mux(self._stream.encode(picture))
            self._copier.pump(float(stamp * self._time_base))

    def commit(self) -> None:
        """Finish the file. After this it stays.

        Raises:
            StorageError: see the class.
            MediaFormatError: no frame was written, or the encoder failed at the end.
        """
        if self.frames == 0:
            raise MediaFormatError(f"{self.info.path.name}: there was no picture to write.")
        with self._storage():
            last = self._stream.encode(None)
            if self._first_dts is None:
                give_decoding_times(last)
            self._set_length(last)
            self._mux(last)
            self._copier.finish()
            self._target.close()
            if self.plan.label is not None and self.plan.muxer in ("mp4", "mov"):
                add_box(self.path, self.plan.label)
            self.warnings += self._copier.warnings
        self._committed = True
        self._stack.close()

    def expected(self) -> ExpectedMedia:
        """What `verify.verify_video` is to find in the committed file.

        Sound offsets come from the source as it was probed, everything else from what was written.
        """
        audio = []
        for track in self.plan.tracks:
            if track.stream.kind == "audio" and self._copier.seconds(track.stream.index) is not None:
                start = self._copier.begins(track.stream.index) or track.stream.start
                first = float(self._first_pts * self._time_base + self._shift)
                offset = None if start is None else start - first
                audio.append(ExpectedTrack(offset, self._copier.seconds(track.stream.index)))
        filled = [t for t in self.plan.tracks if self._copier.seconds(t.stream.index) is not None]
        return ExpectedMedia(
            frames=self.frames,
            width=self.plan.width,
            height=self.plan.height,
            first=float(self._first_pts * self._time_base),
            last=float(self._last_pts * self._time_base),
            length=float((self._last_pts + self._last_duration - self._first_pts) * self._time_base),
            frame_seconds=float(1 / self._rate),
            audio=tuple(audio),
            subtitles=sum(t.stream.kind == "subtitle" for t in filled),
            free_clock=CONTAINERS[self.plan.container].free_clock,
        )

    def close(self) -> None:
        """Release everything; an uncommitted file is removed."""
        if self._committed:
            return
        with contextlib.suppress(FileNotFoundError):
            # Removed before it is closed, so that nothing is finished that nobody wants.
            self.path.unlink()
        target = self.__dict__.pop("_target", None)
        if target is not None:
            with contextlib.suppress(av.error.FFmpegError, OSError):
                target.close()
        self._stack.close()
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()

    def _mux(self, packets: list[Any]) -> None:
        for packet in packets:
            duration = self._durations.pop(packet.pts, 0)
            if duration:
                packet.duration = duration
            if self._first_dts is None:
                self._first_dts = packet.dts
            self._target.mux_one(packet)

    def _set_length(self, last: list[Any]) -> None:
        """Make the track as long as the source's.

        mp4 adds the duration of the last packet in decoding order, which need not be the last picture.
        """
        if last:
            first = last[0].dts if self._first_dts is None else self._first_dts
            length = self._last_pts + self._last_duration - self._first_pts
            self._durations[last[-1].pts] = max(1, length - (last[-1].dts - first))

    def _ticks(self, seconds: Fraction) -> int:
        return int(seconds / self._time_base)

    def _clock_shift(self) -> Fraction:
        """What is subtracted from every time stamp: nothing, but for clocks that start anywhere."""
        if self.info.container not in _FREE_CLOCKS or CONTAINERS[self.plan.container].free_clock:
            return Fraction(0)
        starts = [
            s.start_time * s.time_base
            for s in self._source.streams
            if s.type in ("video", "audio") and s.start_time is not None and s.time_base
        ]
        return Fraction(min(starts)) if starts else Fraction(0)

    def _muxer_options(self) -> dict[str, str]:
        if self.plan.muxer in ("mp4", "mov"):
            flags = "+faststart"
            if any(key.startswith("com.") for key in self.info.metadata):
                # Apple's own keys survive only in the newer kind of metadata table.
                flags += "+use_metadata_tags"
            # The start of a track is stored in this unit; in the usual milliseconds it would be rounded.
            scale = self._time_base.denominator
            scale *= -(-1000 // scale)
            return {"movflags": flags, "movie_timescale": str(min(scale, 2**31 - 1))}
        if self.plan.muxer == "mpegts":
            # Keep the source's clock instead of adding the muxer's own delay to it.
            return {"mpegts_copyts": "1"}
        return {}

    def _add_video(self) -> Any:
        settings, info = self._settings, self.info
        if settings.encoder == "libsvtav1":
            # It prints its whole configuration to standard error otherwise, and has no option against it.
            os.environ.setdefault("SVT_LOG", "1")
        stream = self._target.add_stream(
            settings.encoder,
            rate=self._rate,
            options=settings.options(self._threads, self.plan.width * self.plan.height),
        )
        context: Any = stream.codec_context
        context.width, context.height = self.plan.width, self.plan.height
        context.pix_fmt = settings.pix_fmt
        context.time_base = self._time_base
        context.gop_size = settings.gop
        context.thread_count = self._threads
        context.sample_aspect_ratio = info.sample_aspect
        colour = self._converter.colour
        context.colorspace, context.color_range = colour.matrix, colour.range
        context.color_primaries, context.color_trc = colour.primaries, colour.transfer
        if info.interlaced and settings.encoder == "libx264" and info.orientation.is_upright:
            context.flags |= av.codec.context.Flags.interlaced_dct
        if self.plan.muxer in ("mp4", "mov") and settings.encoder == "libx265":
            # Apple's players want the parameter sets outside the pictures.
            context.codec_tag = "hvc1"
        source = self._source.streams[info.stream_index]
        for key in ("language", "title", "handler_name", "timecode", "creation_time"):
            if key in source.metadata:
                stream.metadata[key] = source.metadata[key]
        return stream

    def _copy_description(self) -> None:
        for key, value in self.info.metadata.items():
            if key not in _CONTAINER_TAGS:
                self._target.metadata[key] = value
        if self.plan.label is not None and self.plan.muxer in ("matroska", "webm"):
            for key, value in self.plan.label.tags.items():
                self._target.metadata[key] = value
        chapters: list[Any] = []
        for number, chapter in enumerate(self.info.chapters):
            start, end = chapter.start - self._shift, chapter.end - self._shift
            if end > 0:
                # Milliseconds would lose ticks; this base holds all the usual ones.
                base = Fraction(1, 1_000_000)
                chapters.append(
                    {
                        "id": number,
                        "start": round(max(start, Fraction(0)) / base),
                        "end": round(end / base),
                        "time_base": base,
                        "metadata": {"title": chapter.title} if chapter.title else {},
                    }
                )
        self._target.set_chapters(chapters)

    @contextlib.contextmanager
    def _storage(self) -> Iterator[None]:
        """Tell errors of the disk that is written to from errors of the media."""
        with translated(self.path.name):
            try:
                yield
            except OSError as error:
                if error.errno == errno.EFBIG:  # no want of room: waiting would not help
                    raise too_large(self.path.name) from error
                if isinstance(error, av.error.FFmpegError) and error.errno not in _STORAGE_ERRORS:
                    raise
                reason = error.strerror or error
                raise StorageError(f"{self.path.name} cannot be written ({reason}).") from error


def too_large(name: str) -> MediaFormatError:
    """The error of a file that the file system of the outbox cannot hold, however much room there is."""
    return MediaFormatError(
        f"{name} grows larger than a file on the disk of the outbox may be.",
        remedy="FAT32 ends at 4 GB: use an outbox on another disk, or format it as exFAT.",
    )


def give_decoding_times(packets: list[Any]) -> None:
    """Give the packets of a whole video decoding times where the encoder left them undefined.

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

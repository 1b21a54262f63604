"""Encode frames and mux them with the source's other streams into a new file."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av
import av.error

from facefusion.errors import MediaFormatError, StorageError, VerificationError
from facefusion.media.containers import CONTAINERS
from facefusion.media.convert import FrameConverter
from facefusion.media.encoders import EncodeSettings
from facefusion.media.encoding import PictureEncoder, Wanted
from facefusion.media.frame import PlanarFrame
from facefusion.media.hardware import refused
from facefusion.media.labels import add_box
from facefusion.media.plan import OutputPlan
from facefusion.media.probe import MediaInfo
from facefusion.media.segments import Segments
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
        segments: keeps finished parts, and has those of an earlier attempt; None to keep nothing.

    Attributes:
        warnings: what happened differently while writing, complete after `commit`.
        frames: frames written so far.
        kept: how many frames at the beginning are finished already: give them to `skip`, the rest to `write`.

    Raises:
        StorageError: disk full, folder not writable.
        MediaFormatError: the source's other streams cannot be read.
        EngineError: a device's encoder failed; the next attempt is the software's.
    """

    def __init__(
        self,
        path: Path,
        info: MediaInfo,
        plan: OutputPlan,
        *,
        threads: int = 1,
        segments: Segments | None = None,
    ) -> None:
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
        self._segments = segments
        self.kept = 0
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
            self._encoder = self._add_video()
            self._copier = TrackCopier(self._source, self._target, self.plan, self._shift)
            self._copy_description()
            with self._encoding():
                self._target.start_encoding()
            if self._segments is not None:
                self._take_up(self._segments)

    @contextlib.contextmanager
    def _encoding(self) -> Iterator[None]:
        """Tell a device's encoder that fails from everything else."""
        try:
            yield
        except av.error.FFmpegError as error:
            if self._settings.on_device and error.errno not in _STORAGE_ERRORS:
                raise refused(self._settings, self.plan.width, self.plan.height, error) from error
            raise

    def _take_up(self, segments: Segments) -> None:
        """Go on behind what an earlier attempt has finished, where the encoder begins alike each time."""
        if not self._encoder.alike:
            segments.forget(f"{self._settings.encoder} cannot be stopped and begun again.")
            return
        segments.open(self._encoder.extradata)
        self.kept = segments.frames
        self._replay = segments.replay()

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
            picture.pts, picture.time_base = self._next(frame), self._time_base
            self._last_duration = picture.duration or self._last_duration
            if self._segments is not None:
                self._segments.picture(picture.pts)
            with self._encoding():
                packets = self._encoder.encode(picture, self._last_duration)
            self._mux(packets)
            self._copier.pump(float(stamp_of(frame) * self._time_base))

    def skip(self, frame: PlanarFrame) -> None:
        """Mux what an earlier attempt has made of the next frame.

        Raises:
            StorageError: see the class.
            VerificationError: it was made of another frame, or is refused; what was kept is gone.
        """
        assert self._segments is not None
        with self._storage():
            stamp, packets = next(self._replay)
            self._encoder.passed(stamp, packets)
            try:
                if stamp != self._next(frame):
                    raise av.error.InvalidDataError(errno.EINVAL, "it is read otherwise than before")
                for packet in packets:
                    self._mux_one(packet)
            except av.error.FFmpegError as error:
                if error.errno in _STORAGE_ERRORS:
                    raise
                self._segments.forget("What was finished does not fit.")
                name, why = self.info.path.name, error.strerror
                raise VerificationError(f"What was finished of {name} does not fit ({why}).") from error
            self._last_duration = frame.av_frame.duration or self._last_duration
            self._copier.pump(float(stamp_of(frame) * self._time_base))
            if self.frames == self.kept:
                self._encoder.resume(self._segments.memory["depth"])

    def due(self) -> bool:
        """Whether `cut` is to be called before the next frame is written."""
        return self._segments is not None and self._segments.due()

    def cut(self, memory: Mapping[str, Any]) -> None:
        """Finish a part, so that a later attempt can go on behind it.

        Args:
            memory: what it has to know then; JSON-able.

        Raises:
            StorageError: see the class.
            EngineError: the encoder cannot go on.
        """
        assert self._segments is not None
        with self._storage():
            with self._encoding():
                packets = self._encoder.flush()
            self._mux(packets)
            self._segments.finish({**memory, "depth": self._encoder.depth})
            with self._encoding():
                self._encoder.reopen()

    def _next(self, frame: PlanarFrame) -> int:
        """Count a frame; its time in the result."""
        pts = stamp_of(frame) - self._ticks(self._shift)
        self._first_pts = pts if self.frames == 0 else self._first_pts
        self._last_pts = pts
        self._last_duration = round(1 / (self._rate * self._time_base))
        self.frames += 1
        return pts

    def commit(self, memory: Mapping[str, Any] | None = None) -> None:
        """Finish the file. After this it stays.

        Args:
            memory: see `cut`, for an attempt that comes to the end again.

        Raises:
            StorageError: see the class.
            MediaFormatError: no frame was written, or the encoder failed at the end.
        """
        if self.frames == 0:
            raise MediaFormatError(f"{self.info.path.name}: there was no picture to write.")
        with self._storage():
            with self._encoding():
                last = self._encoder.flush()
            self._set_length(last)
            self._mux(last)
            if self._segments is not None and self.frames > self.kept:
                self._segments.finish({**(memory or {}), "depth": self._encoder.depth})
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
        """Release everything; an uncommitted file is removed, finished parts stay."""
        if self._segments is not None:
            self._segments.close()
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
            if self._segments is not None:
                self._segments.packet(packet)
            self._mux_one(packet)

    def _mux_one(self, packet: Any) -> None:
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
            last[-1].duration = max(1, length - (last[-1].dts - first))

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

    def _add_video(self) -> PictureEncoder:
        if self._settings.encoder == "libsvtav1":
            # It prints its whole configuration to standard error otherwise, and has no option against it.
            os.environ.setdefault("SVT_LOG", "1")
        wanted = Wanted(self.info, self.plan, self._converter.colour, self._time_base, self._threads)
        with self._encoding():
            encoder = PictureEncoder(self._target, wanted, parts=self._segments is not None)
        source = self._source.streams[self.info.stream_index]
        for key in ("language", "title", "handler_name", "timecode", "creation_time"):
            if key in source.metadata:
                encoder.stream.metadata[key] = source.metadata[key]
        return encoder

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


def stamp_of(frame: PlanarFrame) -> int:
    """Time stamp of a frame that is to be written."""
    if frame.pts is None:
        raise ValueError("a frame without a time stamp cannot be written")
    return frame.pts

"""Open media files with libav: safely, with the right demuxer and decoder, errors in this program's terms."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import av.error

from facefusion.errors import FaceFusionError, MediaFormatError, OutOfMemoryError
from facefusion.media.reading import unreadable
from facefusion.media.sniff import FileKind, identify

_OPEN_SECONDS = 20.0
_READ_SECONDS = 60.0


@contextlib.contextmanager
def open_input(path: Path, kind: FileKind | None = None) -> Iterator[Any]:
    """Open a media file for demuxing; only local files, only with the demuxer of its content.

    Yields:
        `av.container.InputContainer`.

    Raises:
        MediaFormatError: it cannot be opened, or libav fails while it is used inside the block.
        InputFileError: its disk or card has a fault.
        OutOfMemoryError: memory ran out.
    """
    kind = kind or identify(path)
    if not kind.demuxer:
        raise MediaFormatError(f"{path.name} is a picture ({kind.family}), not a video.")
    with translated(path.name):
        container = av.open(
            # An absolute path cannot be taken for a URL, whatever the name looks like.
            str(path.absolute()),
            "r",
            format=kind.demuxer,
            container_options={"protocol_whitelist": "file", "format_whitelist": kind.demuxer},
            metadata_errors="replace",
            timeout=(_OPEN_SECONDS, _READ_SECONDS),
        )
        try:
            yield container
        finally:
            container.close()


def read_packets(container: Any, *streams: Any) -> Iterator[Any]:
    """Packets of some streams of an input container (of all where none are named), in the order of the file.

    Empty packets are left out: some demuxers give them for repeated pictures, and decoders take them for the
    end. So whoever decodes calls `decode(None)` after the last one.
    """
    found = container.demux(*streams)
    while True:
        try:
            packet = next(found)
        except StopIteration:
            return
        except IndexError:
            # PyAV 18 trips over streams that appeared while it read (MPEG-TS, FLV) once all has been read.
            return
        if packet.size:
            yield packet


@contextlib.contextmanager
def translated(name: str) -> Iterator[None]:
    """Turn libav's errors into this program's."""
    try:
        yield
    except FaceFusionError:
        raise
    except (MemoryError, av.error.MemoryError) as error:
        raise OutOfMemoryError(f"Memory ran out while {name} was being read or written.") from error
    except (av.error.ExitError, av.error.TimeoutError) as error:
        raise MediaFormatError(f"{name} could not be read in reasonable time.") from error
    except av.error.FFmpegError as error:
        if error.errno == errno.EIO:
            raise unreadable(name, error) from error
        raise MediaFormatError(f"{name} is damaged or not supported ({error.strerror or error}).") from error


def main_video(container: Any) -> Any | None:
    """The video stream to process: the best one that is not a cover picture; None if there is none."""
    candidates = [s for s in container.streams.video if not is_cover(s) and s.codec_context is not None]
    if not candidates:
        return None
    default = [s for s in candidates if s.disposition & av.stream.Disposition.default]
    return max(
        default or candidates, key=lambda s: (s.codec_context.width * s.codec_context.height, -s.index)
    )


def is_cover(stream: Any) -> bool:
    """Whether a video stream is a cover picture or a thumbnail track."""
    flags = av.stream.Disposition.attached_pic | av.stream.Disposition.timed_thumbnails
    return bool(stream.disposition & flags)


def special_decoder(stream: Any) -> str:
    """Name of a better decoder than libav's own: only libvpx decodes the transparency of VP8 and VP9."""
    name = stream.codec_context.codec.canonical_name
    if stream.metadata.get("alpha_mode") == "1" and name in ("vp8", "vp9"):
        return "libvpx-vp9" if name == "vp9" else "libvpx"
    return ""


def open_decoder(stream: Any, name: str, threads: int) -> Any:
    """The codec context that decodes a stream.

    Args:
        stream: of an input container.
        name: a special decoder, or empty.
        threads: decoder threads. Frame threads are what makes several cores decode H.264 and HEVC; their
            latency does not matter here.
    """
    context = stream.codec_context
    if name:
        context = av.CodecContext.create(name, "r")
        context.extradata = stream.codec_context.extradata
    context.thread_count = threads
    context.thread_type = "AUTO" if threads > 1 else "SLICE"
    return context

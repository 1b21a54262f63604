"""Media for benchmarks: clips made from a picture, and the plain transcode to compare with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from facefusion.errors import MediaFormatError

RATE = 25
_SOUND_RATE = 48000


def make_clip(
    picture: Path, clip: Path, *, width: int = 1280, height: int = 720, frames: int = 250, seed: int = 0
) -> None:
    """Write a clip with sound in which a camera moves over a picture; the grain makes it cost like film.

    Args:
        picture: what is shown, at least a few hundred pixels.
        clip: mp4 file to write (H.264, AAC).
        width: of the clip.
        height: of the clip.
        frames: length, at `RATE` frames per second.
        seed: another one makes another clip of the same kind.

    Raises:
        MediaFormatError: the picture cannot be read.
    """
    pixels = cv2.imread(str(picture), cv2.IMREAD_COLOR)
    if pixels is None:
        raise MediaFormatError(f"{picture} cannot be read as a picture.")
    with av.open(str(clip), mode="w", format="mp4") as container:
        video = container.add_stream("libx264", rate=RATE)
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        video.time_base = Fraction(1, RATE)
        video.options = {"crf": "20", "preset": "veryfast"}
        sound = container.add_stream("aac", rate=_SOUND_RATE, layout="mono")
        sounds = _sound(frames / RATE)
        for index, image in enumerate(_camera(pixels.astype(np.uint8), width, height, frames, seed)):
            frame = av.VideoFrame.from_ndarray(image, format="bgr24")
            frame.pts = index
            container.mux(video.encode(frame))
            if index % RATE == 0 and (second := next(sounds, None)) is not None:
                container.mux(sound.encode(second))
        for rest in sounds:
            container.mux(sound.encode(rest))
        container.mux(video.encode(None))
        container.mux(sound.encode(None))


def lengthen(clip: Path, longer: Path, times: int) -> None:
    """Write a clip several times over, packet by packet, as one file (its sound is left out)."""
    with av.open(str(longer), mode="w", format="mp4") as output:
        stream = None
        offset = 0
        for _ in range(times):
            with av.open(str(clip), mode="r") as source:
                video = source.streams.video[0]
                if stream is None:
                    stream = output.add_stream_from_template(video)
                end = 0
                for packet in source.demux(video):
                    if packet.dts is None or packet.pts is None:
                        continue
                    end = max(end, packet.pts + int(packet.duration or 0))
                    packet.pts += offset
                    packet.dts += offset
                    packet.stream = stream
                    output.mux(packet)
                offset += end


def transcode(
    source: Path, result: Path, *, encoder: str, pix_fmt: str, gop: int, options: Mapping[str, str]
) -> int:
    """Decode and encode a video and copy its sound: what any program must do at the very least.

    The codecs take as many threads as they like.

    Returns:
        Number of frames written.
    """
    count = 0
    with av.open(str(source), mode="r") as reader, av.open(str(result), mode="w") as writer:
        video = reader.streams.video[0]
        video.thread_type = "AUTO"
        encoded = writer.add_stream(encoder, rate=video.average_rate or RATE, options=dict(options))
        if not isinstance(encoded, av.VideoStream):
            raise ValueError(f"{encoder} is no video encoder")
        encoded.width, encoded.height, encoded.pix_fmt = video.width, video.height, pix_fmt
        encoded.codec_context.time_base = video.time_base or Fraction(1, 90000)
        encoded.codec_context.gop_size = gop
        copies = {sound.index: writer.add_stream_from_template(sound) for sound in reader.streams.audio}
        for packet in reader.demux([video, *reader.streams.audio]):
            if packet.stream.index in copies:
                if packet.dts is not None:
                    packet.stream = copies[packet.stream.index]
                    writer.mux(packet)
                continue
            for frame in packet.decode():
                if isinstance(frame, av.VideoFrame):
                    frame.pict_type = 0  # otherwise the encoder repeats the decoder's choice of key frames
                    writer.mux(encoded.encode(frame))
                    count += 1
        writer.mux(encoded.encode(None))
    return count


def _camera(
    picture: NDArray[np.uint8], width: int, height: int, frames: int, seed: int
) -> Iterator[NDArray[np.uint8]]:
    """Frames (height, width, 3) BGR of a slow, swaying camera."""
    random = np.random.default_rng(seed)
    phase = random.uniform(0, 2 * np.pi, 3)
    rows, columns = picture.shape[:2]
    base = 1.15 * max(width / columns, height / rows)
    grain = [random.normal(0, 2.0, (height, width, 3)).astype(np.int8) for _ in range(4)]
    for index in range(frames):
        time = index / RATE
        scale = base * (1 + 0.08 * np.sin(0.9 * time + phase[0]))
        angle = 4.0 * np.sin(0.7 * time + phase[1])
        move = cv2.getRotationMatrix2D((columns / 2, rows / 2), angle, scale)
        move[:, 2] += (width / 2 - columns / 2, height / 2 - rows / 2)
        move[0, 2] += 0.04 * width * np.sin(0.5 * time + phase[2])
        image = cv2.warpAffine(
            picture, move, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
        )
        yield cv2.add(image, grain[index % len(grain)], dtype=cv2.CV_8U).astype(np.uint8)


def _sound(seconds: float) -> Iterator[av.AudioFrame]:
    """A quiet tone, a second at a time."""
    start = 0
    total = int(seconds * _SOUND_RATE)
    while start < total:
        count = min(_SOUND_RATE, total - start)
        time = (start + np.arange(count)) / _SOUND_RATE
        samples = (0.05 * np.sin(2 * np.pi * 220 * time)).astype(np.float32)[np.newaxis]
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
        frame.sample_rate = _SOUND_RATE
        frame.pts = start
        yield frame
        start += count

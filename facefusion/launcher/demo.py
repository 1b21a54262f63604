"""The demonstration's own media: a face, a short clip and a photo, made once from the sample pictures.

They are kept beside the samples, so that a second demonstration drops the very same bytes and the queue can
answer with the result that exists.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from facefusion.errors import MediaFormatError, StorageError
from facefusion.models.samples import Samples

WIDTH, HEIGHT = 1280, 720
FRAME_RATE = 25
SECONDS = 5
SAMPLE_RATE = 48000

CLIP_FILE = "demo_group.mp4"

# Centre and width of the camera's window at both ends, as shares of the picture's width and height.
_FIRST_WINDOW = (0.44, 0.36, 0.88)
_LAST_WINDOW = (0.66, 0.34, 0.62)


@dataclass(frozen=True)
class DemoMedia:
    """What the demonstration drops into the inbox.

    Attributes:
        face: the source face.
        clip: five seconds of video with sound.
        photo: the group picture itself.
    """

    face: Path
    clip: Path
    photo: Path


def make_demo_media(samples: Samples) -> DemoMedia:
    """Make the clip if it is not there yet; it lies beside the samples.

    Raises:
        MediaFormatError: the group picture cannot be read.
        StorageError: the clip cannot be written.
    """
    clip = samples.group.with_name(CLIP_FILE)
    if not clip.exists():
        picture = cv2.imread(str(samples.group), cv2.IMREAD_COLOR)
        if picture is None:
            raise MediaFormatError(f"{samples.group} cannot be read as a picture.")
        unfinished = clip.with_name(f".{os.getpid()}.{clip.name}")
        try:
            _encode(picture.astype(np.uint8), unfinished)
            unfinished.replace(clip)
        except (OSError, av.error.FFmpegError) as error:
            raise StorageError(f"{clip} cannot be written ({error}).") from error
        finally:
            unfinished.unlink(missing_ok=True)
    return DemoMedia(face=samples.astronaut, clip=clip, photo=samples.group)


def camera_move(picture: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    """Frames of a slow pan and zoom over a picture.

    Args:
        picture: (height, width, 3) BGR, 0 to 255.

    Yields:
        (720, 1280, 3) BGR, 0 to 255.
    """
    height, width = picture.shape[:2]
    frames = FRAME_RATE * SECONDS
    for index in range(frames):
        along = index / (frames - 1)
        eased = along * along * (3.0 - 2.0 * along)
        x, y, share = (
            (1.0 - eased) * first + eased * last
            for first, last in zip(_FIRST_WINDOW, _LAST_WINDOW, strict=True)
        )
        scale = WIDTH / (share * width)
        move = np.array(
            [
                [scale, 0.0, WIDTH / 2 - scale * x * width],
                [0.0, scale, HEIGHT / 2 - scale * y * height],
            ]
        )
        yield cv2.warpAffine(picture, move, (WIDTH, HEIGHT), flags=cv2.INTER_CUBIC).astype(np.uint8)


def tone() -> NDArray[np.float32]:
    """A soft chord, fading in and out: (1, samples), -1 to 1, mono."""
    time = np.arange(SECONDS * SAMPLE_RATE) / SAMPLE_RATE
    chord = sum(np.sin(2 * np.pi * pitch * time) for pitch in (220.0, 277.18, 329.63))
    loudness = np.clip(np.minimum(time, SECONDS - time) / 0.5, 0.0, 1.0)
    return (0.05 * loudness * chord).astype(np.float32)[np.newaxis]


def _encode(picture: NDArray[np.uint8], path: Path) -> None:
    with av.open(str(path), "w", format="mp4") as container:
        video = container.add_stream("libx264", rate=FRAME_RATE)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        video.time_base = Fraction(1, FRAME_RATE)
        video.options = {"crf": "18", "preset": "veryfast"}
        audio = container.add_stream("aac", rate=SAMPLE_RATE, layout="mono")
        for index, pixels in enumerate(camera_move(picture)):
            frame = av.VideoFrame.from_ndarray(pixels, format="bgr24")
            frame.pts = index
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        sound = av.AudioFrame.from_ndarray(tone(), format="fltp", layout="mono")
        sound.sample_rate, sound.pts = SAMPLE_RATE, 0
        container.mux(audio.encode(sound))
        container.mux(audio.encode(None))

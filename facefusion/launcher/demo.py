"""The demonstration's own media: a face, a short clip and a photo, made once from the sample pictures.

They are kept beside the samples, so that a second demonstration drops the very same bytes and the queue can
answer with the result that exists.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
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

CLIP_FILE = "demo_portrait.mp4"
FACE_FILE = "demo_face.png"

# Centre and width of the camera's window at both ends, as shares of the portrait's width and height.
_FIRST_WINDOW = (0.50, 0.34, 0.98)
_LAST_WINDOW = (0.45, 0.26, 0.62)
# Left, top, right and lower edge of one man who faces the camera, as shares of the group picture.
_MAN = (0.30, 0.22, 0.51, 0.55)


@dataclass(frozen=True)
class DemoMedia:
    """What the demonstration drops into the inbox.

    Attributes:
        face: the source face: one of the group.
        clip: five seconds of the portrait with sound.
        photo: the portrait itself.
    """

    face: Path
    clip: Path
    photo: Path


def make_demo_media(samples: Samples) -> DemoMedia:
    """Make face and clip if they are not there yet; they lie beside the samples.

    Raises:
        MediaFormatError: a sample picture cannot be read.
        StorageError: something cannot be written.
    """
    face, clip = samples.group.with_name(FACE_FILE), samples.group.with_name(CLIP_FILE)
    if not face.exists():
        group = _read(samples.group)
        height, width = group.shape[:2]
        left, top, right, lower = (
            round(share * side) for share, side in zip(_MAN, (width, height) * 2, strict=True)
        )
        _place(face, lambda path: _write_picture(group[top:lower, left:right], path))
    if not clip.exists():
        portrait = _read(samples.astronaut)
        _place(clip, lambda path: _encode(portrait, path))
    return DemoMedia(face=face, clip=clip, photo=samples.astronaut)


def _read(path: Path) -> NDArray[np.uint8]:
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise MediaFormatError(f"{path} cannot be read as a picture.")
    return picture.astype(np.uint8)


def _write_picture(picture: NDArray[np.uint8], path: Path) -> None:
    if not cv2.imwrite(str(path), picture):
        raise OSError(f"{path.name} could not be written")


def _place(path: Path, make: Callable[[Path], None]) -> None:
    """Have a file made under another name, and give it its own when it is whole."""
    unfinished = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        make(unfinished)
        unfinished.replace(path)
    except (OSError, av.error.FFmpegError) as error:
        raise StorageError(f"{path} cannot be written ({error}).") from error
    finally:
        unfinished.unlink(missing_ok=True)


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

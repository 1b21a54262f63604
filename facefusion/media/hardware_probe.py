"""Tries a video encoder in a process of its own: encode, read back, compare, measure.

Used by `facefusion.media.hardware`; takes one JSON argument and prints one line of JSON.
"""

from __future__ import annotations

import io
import json
import sys
import time
from fractions import Fraction
from typing import Any

import av
import numpy as np

from facefusion.system.processes import die_with_the_parent

RESULT_MARK = "encoder-probe:"

_PICTURES = 12
_WARM = 2  # the first pictures pay for the start
_LEAST_PSNR = 24.0


def main() -> None:
    """Answer the question of the command line."""
    die_with_the_parent()
    question = json.loads(sys.argv[1])
    answer = {"works": False, "reason": "", "seconds": 0.0, "software_seconds": 0.0}
    pictures = _made(question["width"], question["height"])
    try:
        answer["seconds"] = _try(question["hardware"], pictures, question["threads"])
        answer["software_seconds"] = _try(question["software"], pictures, question["threads"])
        answer["works"], answer["reason"] = True, "works"
    except (av.error.FFmpegError, ValueError, RuntimeError, MemoryError) as error:
        answer["reason"] = f"does not work here: {getattr(error, 'strerror', None) or error}"
    print(RESULT_MARK + json.dumps(answer), flush=True)


def _made(width: int, height: int) -> list[Any]:
    """Moving gradients with some grain, as yuv420p frames."""
    rng = np.random.default_rng(0)
    grain = rng.integers(0, 12, (height, width), dtype=np.int16)
    y, x = np.mgrid[0:height, 0:width]
    frames = []
    for index in range(_PICTURES):
        wave = (
            90 + 60 * np.sin((x + 5 * index) / 37) * np.cos((y - 3 * index) / 29) + np.roll(grain, index, 1)
        )
        picture = np.repeat(wave.astype(np.uint8)[..., None], 3, 2)
        frames.append(av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p"))
    return frames


def _try(question: dict[str, Any], pictures: list[Any], threads: int) -> float:
    """Seconds per picture.

    Raises:
        ValueError: pictures are missing or look different.
        av.error.FFmpegError: the encoder failed.
    """
    buffer = io.BytesIO()
    started = 0.0
    with av.open(buffer, "w", format="matroska") as out:
        stream = out.add_stream(question["encoder"], rate=25, options=question["options"])
        context: Any = stream.codec_context
        context.width, context.height = pictures[0].width, pictures[0].height
        context.pix_fmt, context.time_base = question["pix_fmt"], Fraction(1, 25)
        context.thread_count = threads
        for index, picture in enumerate(pictures):
            frame = picture.reformat(format=question["pix_fmt"])
            frame.pts, frame.time_base, frame.pict_type = index, Fraction(1, 25), 0
            if index == _WARM:
                started = time.perf_counter()
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
        seconds = (time.perf_counter() - started) / (len(pictures) - _WARM)
    buffer.seek(0)
    with av.open(buffer, "r") as written:
        back = [frame.to_ndarray(format="gray8") for frame in written.decode(video=0)]
    if len(back) != len(pictures):
        raise ValueError(f"of {len(pictures)} pictures {len(back)} came back")
    for before, after in zip(pictures, back, strict=True):
        error = np.mean((before.to_ndarray(format="gray8").astype(float) - after) ** 2)
        if 10 * np.log10(255**2 / max(error, 1e-9)) < _LEAST_PSNR:
            raise ValueError("what came back looks different")
    return seconds


if __name__ == "__main__":
    main()

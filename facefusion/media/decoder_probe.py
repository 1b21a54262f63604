"""Tries a graphics processor's decoder on the beginning of a video, beside the software's: same, and faster?

Used by `facefusion.media.hardware_decode`; takes one JSON argument and prints one line of JSON.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import av.error
import numpy as np

from facefusion.errors import FaceFusionError
from facefusion.media.frame import PlanarFrame
from facefusion.media.hardware_decode import RESULT_MARK
from facefusion.media.probe import MediaInfo, probe
from facefusion.media.reader import VideoReader
from facefusion.system.processes import die_with_the_parent

_PICTURES = 48
_WARM = 8  # the first pictures pay for the start


def main() -> None:
    """Answer the question of the command line."""
    die_with_the_parent()
    question = json.loads(sys.argv[1])
    info = probe(Path(question["path"]))
    answer = {"works": False, "reason": "", "seconds": 0.0, "software_seconds": 0.0}
    try:
        with contextlib.ExitStack() as stack:
            readers = [
                stack.enter_context(VideoReader(info.path, asked, threads=question["threads"]))
                for asked in (replace(info, decoder=question["decoder"]), info)
            ]
            compare(*readers)
        answer["seconds"] = _seconds(replace(info, decoder=question["decoder"]), question["threads"])
        answer["software_seconds"] = _seconds(info, question["threads"])
        answer["works"], answer["reason"] = True, "works"
    except (FaceFusionError, av.error.FFmpegError, ValueError, RuntimeError, MemoryError) as error:
        said = getattr(error, "message", None) or getattr(error, "strerror", None) or error
        answer["reason"] = f"does not work here: {said}"
    print(RESULT_MARK + json.dumps(answer), flush=True)


def compare(device: VideoReader, software: VideoReader) -> None:
    """Read the beginning with both.

    Raises:
        ValueError: pictures, their times or what they say of their colours differ.
    """
    pairs = itertools.zip_longest(*(itertools.islice(reader, _PICTURES) for reader in (device, software)))
    for index, (one, other) in enumerate(pairs):
        if one is None or other is None:
            raise ValueError(f"it gives {'fewer' if one is None else 'more'} pictures than the software")
        if _facts(one) != _facts(other):
            raise ValueError(f"picture {index} has another time, size or kind of colours")
        for number, planes in enumerate(zip(one.planes, other.planes, strict=True)):
            width, height = one.layout.plane_size(number, one.width, one.height)
            if not np.array_equal(*(plane[:height, :width] for plane in planes)):
                raise ValueError(f"picture {index} is not the software's")


def _facts(picture: PlanarFrame) -> tuple[Any, ...]:
    frame = picture.av_frame
    colours = frame.colorspace, frame.color_range, frame.color_primaries, frame.color_trc
    return frame.pts, frame.width, frame.height, frame.format.name, *colours


def _seconds(info: MediaInfo, threads: int) -> float:
    """Per picture."""
    with VideoReader(info.path, info, threads=threads) as reader:
        count = sum(1 for _ in itertools.islice(reader, _WARM))
        began = time.perf_counter()
        count = sum(1 for _ in itertools.islice(reader, _PICTURES - _WARM)) or count
        return (time.perf_counter() - began) / max(count, 1)


if __name__ == "__main__":
    main()

"""How many threads each part of a worker may start.

Decoding, swapping and encoding overlap. Left to themselves each of the libraries takes every core, and the
threads then take turns instead of working; so each part gets its number on purpose.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ThreadPlan:
    """Threads by part, for one worker process.

    Attributes:
        decode: of the video decoder.
        encode: of the video encoder.
        opencv: of OpenCV (`cv2.setNumThreads`).
        inference: inside one call of a neural network.
        swap: frames being swapped at the same time.
    """

    decode: int
    encode: int
    opencv: int
    inference: int
    swap: int


def plan_threads(
    cores: int, workers: int = 1, *, heavy_inference: bool = False, device_inference: bool = False
) -> ThreadPlan:
    """Share out the cores of this machine.

    Encoding is the largest part of a job with the embedded engine, so it gets half of the cores; decoding
    and swapping share the rest. With four cores and more the sum stays within a worker's share; below that
    every part still needs its one thread, and the encoder keeps two where there are two cores, because it
    is what everything else waits for.

    Args:
        cores: that may be used, see `HardwareReport.usable_cores`.
        workers: worker processes among which they are shared.
        heavy_inference: a neural swapper on the CPU. Two frames at a time then share all the cores, since
            a network of hundreds of GFLOP is what everything else waits for: parts of it run on one core
            whatever it is given, and more frames would take more memory.
        device_inference: a neural swapper on a graphics processor. Several frames are then under way, so
            that it has work while others are cropped and pasted.
    """
    share = max(1, cores // max(1, workers))
    encode = max(min(share, 2), share // 2)
    if heavy_inference:
        swap = min(share, 2)
        return ThreadPlan(decode=1, encode=encode, opencv=1, inference=-(-share // swap), swap=swap)
    quarter = max(1, share // 4)
    if device_inference:
        return ThreadPlan(quarter, encode, opencv=1, inference=1, swap=max(3, quarter))
    return ThreadPlan(decode=quarter, encode=encode, opencv=1, inference=1, swap=quarter)

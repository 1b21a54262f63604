"""What a swapped face costs outside the network: crop, tensors, paste and the way back into the frame.

    python benchmarks/outside_inference.py
    python benchmarks/outside_inference.py --input clip.mp4 --face alice.jpg --frames 100

Frames of 1080p with one face, processor time of the thread that paints. The swapper answers a constant; what
that answer itself costs is measured beside it and taken off.
"""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from common import SIZES, parser
from neural_constants import write_models

SWAPPERS = (128, 256, 512)


def main() -> None:
    options = parser("Cost of a swapped face outside the network.", sizes=["1080p"], seconds=3.0)
    options.add_argument("--frames", type=int, default=60, help="frames that are measured")
    given = options.parse_args()
    import cv2

    from facefusion.checkup.benchmark_media import RATE, make_clip
    from facefusion.models import ensure_samples
    from facefusion.system.measure import machine_line, table

    cv2.setNumThreads(1)
    samples = ensure_samples(given.models)
    print(machine_line())
    rows = []
    with TemporaryDirectory(prefix="benchmark-") as name:
        clip = next(iter(given.input or []), None)
        if clip is None:
            clip = Path(name) / "made.mp4"
            width, height = SIZES[given.size[0]]
            frames = round(given.seconds * RATE)
            make_clip(samples.astronaut, clip, width=width, height=height, frames=frames)
        for pixels in SWAPPERS:
            models = Path(name) / str(pixels)
            models.mkdir()
            write_models(models, given.models, enhancer=False, swapper=pixels)
            face, network, outside = measure(models, clip, given.face or samples.astronaut, given.frames)
            best, middle = (f"{1e3 * value:.2f}" for value in (outside.min(), np.median(outside)))
            rows.append((str(pixels), f"{face:.0f}", f"{1e3 * np.median(network):.2f}", best, middle))
    print(table(["swapper", "face, pixels", "constant network, ms", "outside, best ms", "median ms"], rows))


def measure(models: Path, clip: Path, face: Path, frames: int) -> tuple[float, np.ndarray, np.ndarray]:
    """Size of the face in pixels; seconds of the network and of all else, by frame."""
    from facefusion.config import AutomationConfig
    from facefusion.faces.portrait import read_portraits
    from facefusion.faces.track import FaceTracker
    from facefusion.media.open import open_reader
    from facefusion.media.probe import probe
    from facefusion.pipeline import SwapSession
    from facefusion.system import networks

    config = AutomationConfig(quality_preset="fast", engine="neural", execution_providers=["cpu"])
    session = SwapSession(models, threads=1)
    spent = 0.0
    run = networks.Network.run

    def timed(self: networks.Network, *inputs: object, **named: object) -> object:
        nonlocal spent
        began = time.thread_time()
        try:
            return run(self, *inputs, **named)
        finally:
            spent += time.thread_time() - began

    networks.Network.run = timed
    try:
        toolbox, engine = session.toolbox(), session.engine(config)
        portraits = read_portraits([face], toolbox.detector, toolbox.landmarker)
        painter = engine.painter(engine.prepare(portraits.usable), config)
        tracker = FaceTracker(toolbox.detector, toolbox.landmarker, mode="largest")
        sizes, inside, outside = [], [], []
        with open_reader(clip, probe(clip), threads=1) as reader:
            for frame in reader:
                for seen in tracker.observe(frame):
                    manner = painter.study(frame, seen.track, seen.face)
                    spent, began = 0.0, time.thread_time()
                    patch = painter.draw(frame, seen.face, manner)
                    if patch is not None:
                        frame.blend(patch.box, patch.colour, patch.alpha)
                    whole = time.thread_time() - began
                    sizes.append(seen.face.size)
                    inside.append(spent)
                    outside.append(whole - spent)
                if len(outside) >= frames + 5:
                    break
    finally:
        networks.Network.run = run
        session.close()
    return float(np.median(sizes)), np.array(inside[5:]), np.array(outside[5:])


if __name__ == "__main__":
    main()

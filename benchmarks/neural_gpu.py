"""Whole jobs of the neural engine on a graphics processor: frames per second, and how busy it was.

    python benchmarks/neural_gpu.py                    inswapper-sized network (554 MB), 1080p
    python benchmarks/neural_gpu.py --channels 16      a tiny network, to try the program without a device

The same job three ways, in turns: crops, masks and pasting in the device's memory with CUDA graphs where they
were measured to pay, the same without graphs, and the plain way with NumPy and OpenCV. Weights are random:
only sizes matter for speed. Without a graphics processor the same code runs on torch's device `cpu`, which
shows that it works and says nothing about speed. Where torch is missing only the plain way is measured.
"""

from __future__ import annotations

import contextlib
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import numpy as np
from common import SIZES, parser, tell
from neural_constants import constant_model
from neural_cpu import Generator
from own_models import add_own_model, copy_models

WAYS = ("device, graphs", "device", "plain")


def write_models(folder: Path, embedded: Path, *, channels: int) -> float:
    """A models folder with a swapper of inswapper's kind; returns the swapper's size in MB."""
    from onnx import numpy_helper

    from facefusion.models import load_registry

    folder.mkdir()
    copy_models(embedded, folder)
    random = np.random.default_rng(0)
    model = Generator(channels).model()
    model.graph.initializer.append(numpy_helper.from_array(np.eye(512, dtype=np.float32), "emap"))
    embedding = random.standard_normal((1, 512)).astype(np.float32)
    contents = {
        "inswapper_128": bytes(model.SerializeToString()),
        "arcface_w600k_r50": constant_model({"input": (1, 3, 112, 112)}, embedding),
    }
    contracts = {
        "inswapper_128": 'template = "arcface_128", size = 128, pixels = "rgb_unit", '
        'source = "projected", denormalise = false',
        "arcface_w600k_r50": 'template = "arcface_112_v2", size = 112, pixels = "rgb_arcface"',
    }
    for name, content in contents.items():
        entry = load_registry().find(name)
        (folder / entry.file).write_bytes(content)
        add_own_model(folder, name, entry.kind, entry.file, content, contracts[name])
    return len(contents["inswapper_128"]) / 1e6


@contextlib.contextmanager
def opened_as(way: str, *, on_cpu: bool) -> Iterator[dict[str, float]]:
    """Engines that are built within work in one of the `WAYS`; what recording graphs gained is noted."""
    from facefusion.swap.neural import build, workshop
    from facefusion.system.device import Device, device_for

    gains: dict[str, float] = {}
    record = build.record_graphs

    def device(provider: str) -> tuple[Device | None, str]:
        if way == "plain":
            return None, ""
        return (Device("cpu"), "") if on_cpu else device_for(provider)

    def graphs(networks: Any, network: Any) -> float:
        gains[network.title] = record(networks, network) if way == WAYS[0] else 0.0
        return gains[network.title]

    with patch.object(workshop, "device_for", device), patch.object(build, "record_graphs", graphs):
        yield gains


@dataclass
class BusyWatch:
    """Asks `nvidia-smi` how busy the graphics processor is while a block runs."""

    values: list[float] = field(default_factory=list)

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        asked = ["--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "-lms", "200", "-i", "0"]
        try:
            process = subprocess.Popen(
                ["nvidia-smi", *asked], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            )
        except OSError:
            process = None
        if process is None:
            yield
            return
        lines = process.stdout
        assert lines is not None

        def read() -> None:
            for line in lines:
                with contextlib.suppress(ValueError):
                    self.values.append(float(line))

        thread = threading.Thread(target=read, daemon=True)
        thread.start()
        try:
            yield
        finally:
            process.terminate()
            process.wait()
            thread.join(2)

    def __str__(self) -> str:
        return f"{np.mean(self.values):.0f} %" if self.values else "not known"


def main() -> None:
    options = parser("Whole jobs of the neural engine on a graphics processor.", sizes=["1080p"], seconds=20)
    options.add_argument("--channels", type=int, default=1024, help="1024 is inswapper's size")
    options.add_argument("--repeats", type=int, default=3)
    given = options.parse_args()
    from facefusion.checkup.benchmark_media import RATE, make_clip
    from facefusion.config import AutomationConfig
    from facefusion.jobspec import SwapRequest
    from facefusion.models import ensure_samples
    from facefusion.pipeline import SwapSession
    from facefusion.swap.neural.workshop import NeuralWorkshop
    from facefusion.system.hardware import detect_cores
    from facefusion.system.measure import alternate, machine_line, table

    samples = ensure_samples(given.models)
    face = given.face or samples.astronaut
    config = AutomationConfig(quality_preset="fast", engine="neural")
    threads = given.threads or detect_cores().usable
    print(machine_line())
    with TemporaryDirectory(prefix="benchmark-") as name:
        work_dir = Path(name)
        megabytes = write_models(work_dir / "models", given.models, channels=given.channels)
        clips = list(given.input or [])
        for size in [] if clips else given.size:
            width, height = SIZES[size]
            clip = work_dir / f"made-{size}.mp4"
            make_clip(samples.astronaut, clip, width=width, height=height, frames=round(given.seconds * RATE))
            clips.append(clip)
        on_cpu = not NeuralWorkshop(work_dir / "models", threads=1).on_device(config)
        ways = [way for way in WAYS if way == "plain" or has_torch()]
        if len(ways) == 1:
            print("torch is not installed here (it comes with requirements-cuda.txt): the plain way alone.")
        kind = "no graphics processor" if on_cpu else "graphics processor"
        print(f"network of {megabytes:.1f} MB, {threads} threads, {kind}")
        sessions = {way: SwapSession(work_dir / "models", threads=threads) for way in ways}
        busy = {way: BusyWatch() for way in ways}
        frames: dict[str, int] = {}
        notes: dict[str, set[str]] = {way: set() for way in ways}

        def job(way: str, clip: Path) -> Callable[[], None]:
            def run() -> None:
                request = SwapRequest(clip, (face,), "face", work_dir / "result.mp4", config)
                with busy[way].watching():
                    result = sessions[way].swap(request, lambda _: None, lambda: False)
                frames[way] = result.frames
                notes[way] |= set(result.warnings) | {f"ran on {result.provider}"}

            return run

        for clip in clips:
            for way in ways:  # the first job builds the engine
                with opened_as(way, on_cpu=on_cpu) as gains:
                    job(way, clip)()
                if any(gains.values()):
                    notes[way] |= {f"{title}: {gain:.2f} times as fast" for title, gain in gains.items()}
                busy[way].values.clear()
            tell(f"{clip.name}: {given.repeats} jobs of each kind")
            series = alternate(
                {way: job(way, clip) for way in ways},
                repeats=given.repeats,
                warmups=0,
                on_run=lambda way, run: tell(f"{way}: {run.wall:.2f} s"),
            )
            rows = [
                [
                    way,
                    f"{frames[way] / series[way].wall:.1f}",
                    f"{series['plain'].wall / series[way].wall:.2f}",
                    f"{1e3 * series[way].cpu / frames[way]:.1f} ms",
                    str(busy[way]),
                ]
                for way in ways
            ]
            print(f"\n{clip.name}, {frames['plain']} frames")
            print(table(["way", "frames/s", "over plain", "processor a frame", "device busy"], rows))
        for way in ways:
            for note in sorted(notes[way]):
                print(f"{way}: {note}")
            sessions[way].close()


def has_torch() -> bool:
    """Whether torch can be imported."""
    try:
        import torch  # type: ignore[import-not-found]  # noqa: F401
    except ImportError:
        return False
    return True


if __name__ == "__main__":
    main()

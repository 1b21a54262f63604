"""A whole job of the neural engine in which every network answers a constant, over a plain transcode.

    python benchmarks/neural_constants.py
    python benchmarks/neural_constants.py --input clip.mp4 --face alice.jpg --enhancer

What remains is decoding, following faces, cropping, pasting and encoding. The encoder is x264 veryfast with
crf 23, as in the figures that other programs are compared with.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from common import SIZES, parser, tell
from own_models import add_own_model, copy_models


def write_models(folder: Path, embedded: Path, *, enhancer: bool, swapper: int = 256) -> None:
    """A models folder whose neural models give constants, the swapper of so many pixels."""
    from facefusion.models import load_registry

    copy_models(embedded, folder)
    random = np.random.default_rng(0)
    wanted: dict[str, tuple[dict[str, tuple[int, ...]], Any]] = {
        "hyperswap_1a_256": (
            {"target": (1, 3, swapper, swapper), "source": (1, 512)},
            random.random((1, 3, swapper, swapper)),
        ),
        "arcface_w600k_r50": ({"input": (1, 3, 112, 112)}, random.standard_normal((1, 512))),
    }
    if enhancer:
        wanted["gfpgan_1.4"] = ({"input": (1, 3, 512, 512)}, random.random((1, 3, 512, 512)))
    for name, (inputs, output) in wanted.items():
        model = load_registry().find(name)
        content = constant_model(inputs, np.asarray(output, np.float32))
        (folder / model.file).write_bytes(content)
        pixels, size = ("rgb_arcface", 112) if model.kind == "recogniser" else ("rgb_signed", 0)
        size = size or inputs[next(iter(inputs))][-1]
        template = {"swapper": "arcface_128", "recogniser": "arcface_112_v2", "enhancer": "ffhq_512"}[
            model.kind
        ]
        more = 'source = "normalised", denormalise = true' if model.kind == "swapper" else ""
        contract = f'template = "{template}", size = {size}, pixels = "{pixels}"{", " + more if more else ""}'
        add_own_model(folder, name, model.kind, model.file, content, contract)


def constant_model(inputs: dict[str, tuple[int, ...]], output: Any) -> bytes:
    """An ONNX file that answers the same whatever it is given."""
    from onnx import TensorProto, helper, numpy_helper

    nodes, last = [], "constant"
    for name in inputs:
        nodes += [
            helper.make_node("ReduceMax", [name], [f"{name}.m"], keepdims=0),
            helper.make_node("Mul", [f"{name}.m", "zero"], [f"{name}.z"]),
            helper.make_node("Add", [last, f"{name}.z"], [f"{name}.a"]),
        ]
        last = f"{name}.a"
    nodes.append(helper.make_node("Identity", [last], ["output"]))
    graph = helper.make_graph(
        nodes,
        "constant",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, output.shape)],
        [numpy_helper.from_array(output, "constant"), numpy_helper.from_array(np.float32(0), "zero")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return bytes(model.SerializeToString())


def main() -> None:
    options = parser(
        "Neural engine with constant networks over plain transcode.", sizes=["1080p"], seconds=11.5
    )
    options.add_argument("--repeats", type=int, default=3)
    options.add_argument("--enhancer", action="store_true", help="with a face enhancer (512 pixels)")
    given = options.parse_args()
    from facefusion.checkup.benchmark import PerformanceBenchmark
    from facefusion.checkup.benchmark_media import RATE, make_clip
    from facefusion.checkup.benchmark_report import job_table
    from facefusion.config import AutomationConfig, OutputSettings
    from facefusion.models import ensure_samples
    from facefusion.pipeline import SwapSession
    from facefusion.system.hardware import detect_cores
    from facefusion.system.measure import machine_line

    samples = ensure_samples(given.models)
    config = AutomationConfig(
        quality_preset="balanced" if given.enhancer else "fast",
        engine="neural",
        execution_providers=["cpu"],
        output=OutputSettings(video_encoder="libx264", video_quality=70, encoder_preset="veryfast"),
    )
    threads = given.threads or detect_cores().usable
    print(machine_line())
    with TemporaryDirectory(prefix="benchmark-") as name:
        work_dir, models = Path(name), Path(name) / "models"
        models.mkdir()
        write_models(models, given.models, enhancer=given.enhancer)
        clips = list(given.input or [])
        if not clips:
            clips = [work_dir / f"made-{size}.mp4" for size in given.size]
            for size, clip in zip(given.size, clips, strict=True):
                width, height = SIZES[size]
                make_clip(
                    samples.astronaut, clip, width=width, height=height, frames=round(given.seconds * RATE)
                )
        benchmark = PerformanceBenchmark(
            lambda: SwapSession(models, threads=threads),
            [given.face or samples.astronaut],
            config,
            work_dir,
            say=tell,
        )
        jobs = [benchmark.job_over_transcode(clip, repeats=given.repeats, warmups=1) for clip in clips]
        print(job_table(jobs))
    peak = max(series.peak_rss for job in jobs for series in (job.job, job.transcode))
    print(f"peak memory of this process, transcodes included: {peak / 1e6:.0f} MB")


if __name__ == "__main__":
    main()

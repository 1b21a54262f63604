"""Faces worked on with torch tensors and bound networks come out as with OpenCV and NumPy."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import synthetic
from device_parts import engine_on, off, view_of
from devices import Devices
from onnx import TensorProto

from facefusion.config import AutomationConfig
from facefusion.faces.five_points import align
from facefusion.media.frame import PackedFrame
from facefusion.models import ModelManager
from facefusion.models.registry import Registry
from facefusion.swap.age import AgeModifier, FairFace
from facefusion.swap.contract import Patch
from facefusion.swap.cpu_bench import CPU
from facefusion.swap.device_bench import DeviceBench
from facefusion.swap.enhance import FaceEnhancer
from facefusion.swap.frame_enhance import FrameEnhancer
from facefusion.swap.layers import Benches, process
from facefusion.swap.neural.build import EngineBuilder
from facefusion.swap.neural.masks import OcclusionMask, OutlineMask, RegionMask
from facefusion.swap.neural.tuning import ConvolutionTuner
from facefusion.swap.processed import FurtherParts
from facefusion.system.device import BoundSession, Device
from facefusion.system.networks import NetworkFactory
from facefusion.system.providers import ProviderReport

if TYPE_CHECKING:
    from face_material import Portrait


pytest.importorskip("torch", reason="torch comes with requirements-cuda.txt")


def test_a_network_works_on_tensors_where_they_lie(
    tmp_path: Path, networks: NetworkFactory, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = networks.open(synthetic.swapper(tmp_path / "m.onnx", size=32, batch="n"))
    source = synthetic.rng(6).standard_normal((1, 512)).astype(np.float32)
    pictures = synthetic.rng(5).random((3, 3, 32, 32)).astype(np.float32)
    expected = network.run_batch({"target": pictures}, {"source": source})
    with device.work():
        first = network.run_batch({"target": device.array(pictures)}, {"source": source})
        assert network.bound is not None
        monkeypatch.setattr(BoundSession, "_learn", None)  # the way through NumPy is gone
        second = network.run_batch({"target": device.array(pictures)}, {"source": source})
        for given in (first, second):
            np.testing.assert_allclose(device.host(given), expected, atol=1e-6)


def test_a_network_that_does_not_work_there_is_fed_through_memory(
    tmp_path: Path, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Device, "serves", lambda self, provider: provider != "cpu")
    factory = Devices(("cuda", "cpu"), {"cuda": 0}, device=device)
    network = factory.open(synthetic.shift_picture(tmp_path / "m.onnx", size=32, offset=0.5))
    assert network.bound is not None
    pictures = synthetic.rng(5).random((1, 3, 32, 32)).astype(np.float32)
    with device.work():
        given = network.run_batch({"input": device.array(pictures)})
        np.testing.assert_allclose(device.host(given), pictures + 0.5, atol=1e-6)
    assert network.provider == "cpu" and network.bound is None
    assert "its memory ran out" in factory.warnings[0]


def test_recorded_runs_fill_up_smaller_batches(
    tmp_path: Path, networks: NetworkFactory, device: Device
) -> None:
    """What CUDA graphs need: fixed buffers, for some sizes of batch. Here the runtime repeats them itself."""
    network = networks.open(synthetic.swapper(tmp_path / "m.onnx", size=32, batch="n", source=("n", 512)))
    random = synthetic.rng(8)
    assert network.bound is not None
    recorded = BoundSession(device, network.bound.session, capture=True)

    def feeds(size: int) -> dict[str, Any]:
        return {
            "target": device.array(random.random((size, 3, 32, 32)).astype(np.float32)),
            "source": device.array(random.standard_normal((size, 512)).astype(np.float32)),
        }

    with device.work():
        for size in (2, 4):
            recorded.capture(feeds(size))
        assert recorded.graphs == (2, 4)
        for size in (1, 2, 3, 4, 5):
            given = feeds(size)
            first = recorded.run(given)[0]
            expected = device.host(network.bound.run(given)[0])
            recorded.run(feeds(size))  # must not change what was given out before
            np.testing.assert_allclose(device.host(first), expected, atol=1e-6)


def all_processors(folder: Path, networks: NetworkFactory, registry: Registry) -> dict[str, Any]:
    """Enhancer and age, on synthetic networks."""
    contracts: Any = {name: registry.find(name).contract for name in ("gpen_bfr_256", "codeformer", "fran")}
    looks: Any = registry.find("fairface").contract
    ages = [np.zeros(7), np.zeros(2), np.eye(9)[6]]
    names = ["race_id", "gender_id", "age_id"]
    files = {
        "gpen_bfr_256": synthetic.shift_picture(folder / "g.onnx", size=256, offset=0.2),
        "codeformer": synthetic.shift_picture(
            folder / "c.onnx", size=512, offset=-0.1, extra={"weight": ((1,), TensorProto.DOUBLE)}
        ),
        "fran": synthetic.shift_picture(
            folder / "f.onnx", size=1024, name="target", offset=0.0, extra={"direction": ((2,), 1)}
        ),
        "fairface": synthetic.constant_outputs(folder / "a.onnx", ages, size=224, names=names),
    }
    template = {name: registry.templates[contract.template] for name, contract in contracts.items()}
    opened = {name: networks.open(file) for name, file in files.items()}
    guess = FairFace(opened["fairface"], looks, registry.templates["arcface_112_v2"])
    return {
        name: FaceEnhancer(opened[name], contracts[name], template[name], blend=0.8)
        for name in ("gpen_bfr_256", "codeformer")
    } | {
        "fran": AgeModifier(opened["fran"], contracts["fran"], template["fran"], None, wanted=80, guess=guess)
    }


@pytest.mark.parametrize(
    "names", [("gpen_bfr_256",), ("codeformer",), ("fran", "codeformer", "gpen_bfr_256")]
)
def test_processors_do_the_same_on_both_benches(
    tmp_path: Path,
    networks: NetworkFactory,
    registry: Registry,
    astronaut: Portrait,
    names: tuple[str, ...],
) -> None:
    made = all_processors(tmp_path, networks, registry)
    processors = [made[name] for name in names]
    frame = PackedFrame(astronaut.picture)
    expected = process(frame, view_of(astronaut), processors)
    for _ in range(2):
        given = process(frame, view_of(astronaut), processors, benches=Benches(networks))
        assert expected is not None and given is not None
        assert networks.warnings == () and networks.device is not None
        assert expected.box == given.box and off(expected.alpha, given.alpha).max() <= 2
        seen = off(expected.colour, given.colour)[np.minimum(expected.alpha, given.alpha) > 8]
        assert seen.max() <= 2 + len(names) and seen.mean() < 0.3


def test_masks_do_the_same_on_both_benches(
    tmp_path: Path, networks: NetworkFactory, registry: Registry, bench: DeviceBench, astronaut: Portrait
) -> None:
    contracts: Any = [registry.find(name).contract for name in ("xseg_1", "bisenet_resnet_34")]
    masks = [
        OcclusionMask(networks.open(synthetic.occluder(tmp_path / "x.onnx")), contracts[0]),
        RegionMask(networks.open(synthetic.parser(tmp_path / "b.onnx")), contracts[1]),
        OutlineMask(),
    ]
    affine = align(view_of(astronaut).five, registry.templates["ffhq_512"], 256)
    crop = CPU.region(astronaut.picture).cut(affine, 256)
    for mask in masks:
        expected = mask.mask(CPU, crop, crop, view_of(astronaut), affine)
        for _ in range(2):
            there = bench.put(crop)
            given = bench.fetch(mask.mask(bench, there, there, view_of(astronaut), affine))
            assert 0 < expected.mean() < 255 and off(expected, given).max() <= 2


@pytest.mark.parametrize("name", ["real_esrgan_x2", "span_kendata_x4"])
def test_whole_frames_are_refined_the_same_on_both_benches(
    tmp_path: Path, networks: NetworkFactory, registry: Registry, astronaut: Portrait, name: str
) -> None:
    contract: Any = registry.find(name).contract
    side = contract.tile * contract.scale
    file = synthetic.shift_picture(
        tmp_path / "f.onnx", size=contract.tile, offset=0.1, batch="n", output_size=side
    )
    enhancer = FrameEnhancer(networks.open(file), contract)
    frames = [PackedFrame(astronaut.picture[:301, :397].copy()) for _ in range(3)]
    for frame, benches in zip(frames, (Benches(networks), Benches(networks), Benches()), strict=True):
        enhancer.refine(frame, benches)
    assert networks.device is not None
    for frame in frames[:2]:
        assert off(frame.pixels, frames[2].pixels).max() <= 1
    assert off(frames[2].pixels, astronaut.picture[:301, :397]).mean() > 5


@pytest.mark.parametrize("swapper", ["inswapper_128", "hyperswap_1a_256"])
def test_an_engine_on_a_device_swaps_as_the_processor_does(
    install: Callable[..., Path],
    processor: ProviderReport,
    device: Device,
    astronaut: Portrait,
    tmp_path: Path,
    swapper: str,
) -> None:
    names = (swapper, "arcface_w600k_r50", "gpen_bfr_256", "xseg_1", "bisenet_resnet_34")
    folder = install(*names, changes={})
    wishes: dict[str, Any] = {"masks": ["box", "occlusion", "region", "outline"], "pixel_boost": 256}

    def painted(networks: NetworkFactory, threads: int) -> list[Patch | None]:
        engine, config = engine_on(networks, folder, tmp_path, **wishes)
        source = engine.prepare([(astronaut.picture, astronaut.face)])
        painter, frame = engine.painter(source, config), PackedFrame(astronaut.picture)
        manner = painter.study(frame, 0, astronaut.face)
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(lambda _: painter.draw(frame, astronaut.face, manner), range(6)))

    expected = painted(NetworkFactory(processor, threads=1), 1)[0]
    devices = Devices(("cuda", "cpu"), {}, device=device)
    results = painted(devices, 3)
    assert devices.warnings == () and devices.device is device  # it was proved, and stayed
    for given in results:
        assert expected is not None and given is not None and given.box == expected.box
        np.testing.assert_array_equal(expected.alpha, given.alpha)
        seen = off(expected.colour, given.colour)[given.alpha > 0]
        assert np.percentile(seen, 99.5) <= 3 and seen.mean() < 0.5


def test_further_parts_of_another_engine_are_proved_too(
    install: Callable[..., Path], device: Device, tmp_path: Path
) -> None:
    folder = install("gpen_bfr_256")
    manager, config = ModelManager(folder), AutomationConfig(quality_preset="balanced")
    from facefusion.swap.neural.choice import installed_further

    devices = Devices(("cuda", "cpu"), {}, device=device)
    builder = EngineBuilder(manager, devices, ConvolutionTuner(tmp_path, devices, threads=1))
    parts = builder.further(installed_further(manager, config), config)
    assert isinstance(parts, FurtherParts) and len(parts.processors) == 1
    assert devices.device is device and devices.warnings == ()

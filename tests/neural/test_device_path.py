"""Faces worked on with torch tensors and bound networks come out as with OpenCV and NumPy.

The very code that drives a graphics processor, on torch's device `cpu` and ONNX Runtime's CPU provider.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import synthetic
from devices import Devices
from onnx import TensorProto

from facefusion.config import AutomationConfig
from facefusion.errors import EngineError, OutOfMemoryError
from facefusion.faces.five_points import align, five_from_mesh
from facefusion.media.frame import PackedFrame
from facefusion.models import ModelManager
from facefusion.models.contracts import Pixels
from facefusion.models.registry import Registry
from facefusion.swap.age import AgeModifier, FairFace
from facefusion.swap.contract import Patch
from facefusion.swap.cpu_bench import CPU
from facefusion.swap.device_bench import DeviceBench
from facefusion.swap.enhance import FaceEnhancer
from facefusion.swap.frame_enhance import FrameEnhancer
from facefusion.swap.layers import Benches, FaceView, process
from facefusion.swap.neural.build import EngineBuilder
from facefusion.swap.neural.choice import choose_models
from facefusion.swap.neural.masks import OcclusionMask, OutlineMask, RegionMask, box_mask
from facefusion.swap.neural.proof import prove_device
from facefusion.swap.neural.swapper import interleaved, woven
from facefusion.swap.neural.tuning import ConvolutionTuner
from facefusion.swap.processed import FurtherParts
from facefusion.system.device import BoundSession, Device
from facefusion.system.networks import NetworkFactory
from facefusion.system.providers import ProviderReport

if TYPE_CHECKING:
    from face_material import Portrait

pytest.importorskip("torch", reason="torch comes with requirements-cuda.txt")

RGB = Pixels("rgb", 255.0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
BGR = Pixels("bgr", 127.5, (1, 1, 1), (1, 1, 1), "nhwc")


@pytest.fixture
def device() -> Device:
    return Device("cpu")


@pytest.fixture
def bench(device: Device) -> Any:
    with device.work():
        yield DeviceBench(device)


@pytest.fixture
def networks(device: Device, processor: ProviderReport) -> NetworkFactory:
    return NetworkFactory(processor, threads=2, device=device)


def view_of(portrait: Portrait) -> FaceView:
    return FaceView(five_from_mesh(portrait.face), portrait.face)


def off(one: Any, other: Any) -> Any:
    return np.abs(np.asarray(one).astype(int) - np.asarray(other).astype(int))


AFFINES = {
    "turned": np.array([[0.8, 0.3, -40.3], [-0.3, 0.8, 10.7]]),
    "enlarged": np.array([[2.6, 0.4, -300.0], [-0.4, 2.6, -200.0]]),
    "reduced": np.array([[0.21, 0.02, 3.0], [-0.02, 0.21, 8.0]]),
    "beyond the edge": np.array([[1.0, 0.1, 60.0], [-0.1, 1.0, 80.0]]),
}


@pytest.mark.parametrize("place", AFFINES)
def test_crops_are_the_same(bench: DeviceBench, astronaut: Portrait, place: str) -> None:
    pixels = np.ascontiguousarray(astronaut.picture[:301, :397])
    affine = AFFINES[place]
    for size in (128, 256):
        expected = CPU.region(pixels).cut(affine, size)
        given = bench.fetch(bench.region(pixels).cut(affine, size))
        assert given.shape == expected.shape and given.dtype == np.uint8
        assert off(expected, given).max() <= 2 and off(expected, given).mean() < 0.1


@pytest.mark.parametrize("place", AFFINES)
def test_stamps_are_the_same(bench: DeviceBench, astronaut: Portrait, place: str) -> None:
    pixels = np.ascontiguousarray(astronaut.picture[:301, :397])
    for size in (128, 250, 512):
        factor = size / 128
        affine = AFFINES[place] * factor
        crop = np.ascontiguousarray(astronaut.picture[40 : 40 + size, 10 : 10 + size])[:size, :size]
        crop = np.resize(crop, (size, size, 3))
        expected = CPU.region(pixels).stamp(crop, box_mask(size), affine)
        region = bench.region(pixels)
        layer = region.stamp(bench.put(crop), bench.put(box_mask(size), constant=True), affine)
        assert expected is not None and layer is not None
        given = bench.patch(layer)
        assert given.box == expected.box
        assert off(expected.alpha, given.alpha).max() <= 2
        seen = off(expected.colour, given.colour)[np.minimum(expected.alpha, given.alpha) > 8]
        assert not seen.size or (seen.max() <= 3 and seen.mean() < 0.15)
    far = AFFINES[place].copy()
    far[:, 2] = 5000
    assert bench.region(pixels).stamp(bench.put(crop), bench.put(box_mask(size)), far) is None


@pytest.mark.parametrize("pixels", [RGB, BGR])
def test_tensors_and_pictures_are_the_same(bench: DeviceBench, astronaut: Portrait, pixels: Pixels) -> None:
    crops = np.stack([astronaut.picture[:64, :64], astronaut.picture[100:164, 100:164]])
    expected = CPU.tensor(crops, pixels)
    given = bench.tensor(bench.put(crops), pixels)
    assert given.is_contiguous()
    np.testing.assert_allclose(bench.fetch(given), expected, atol=2e-6)
    plain = CPU.tensor(crops, replace(pixels, layout="nchw", order="rgb"))
    back = bench.denormalised(bench.device.array(plain), pixels)
    np.testing.assert_allclose(bench.fetch(back), CPU.denormalised(plain, pixels), atol=2e-6)
    values = synthetic.rng(3).uniform(-0.2, 1.2, (2, 3, 16, 16)).astype(np.float32)
    np.testing.assert_array_equal(
        bench.fetch(bench.pictures(bench.device.array(values))), CPU.pictures(values)
    )


def test_masks_and_mixtures_are_the_same(bench: DeviceBench, astronaut: Portrait) -> None:
    one, two = astronaut.picture[:200, :200], astronaut.picture[60:260, 60:260]
    there = bench.put(one), bench.put(two)
    assert off(bench.fetch(bench.mixed(*there, 0.3)), CPU.mixed(one, two, 0.3)).max() <= 1
    assert bench.mixed(*there, 1.0) is there[1]
    for size in (64, 256, 512):
        assert off(bench.fetch(bench.resized(there[0], size)), CPU.resized(one, size)).max() <= 1
    seen = (synthetic.rng(2).random((256, 256)) > 0.4).astype(np.float32)
    seen[:100] = 1
    for size in (128, 256, 512):
        expected = CPU.settled(seen, size, 5.0)
        assert off(bench.fetch(bench.settled(bench.device.array(seen), size, 5.0)), expected).max() <= 1
    scores = synthetic.rng(4).random((5, 32, 32)).astype(np.float32)
    given = bench.fetch(bench.members(bench.device.array(scores), [1, 4]))
    np.testing.assert_array_equal(given, CPU.members(scores, [1, 4]))
    masks = [np.full((8, 8), 9, np.uint8), np.arange(64, dtype=np.uint8).reshape(8, 8)]
    least = bench.fetch(bench.strictest([bench.put(mask) for mask in masks]))
    np.testing.assert_array_equal(least, CPU.strictest(masks))


def test_layers_mix_exactly_as_in_a_frame(bench: DeviceBench, astronaut: Portrait) -> None:
    pixels = np.ascontiguousarray(astronaut.picture[:80, :90])
    random = synthetic.rng(7)
    colour = random.integers(0, 256, (40, 50, 3), dtype=np.uint8)
    patch = Patch((20, 30, 70, 70), colour, random.integers(0, 256, (40, 50), dtype=np.uint8))
    patch.alpha[:10] = 0
    regions = CPU.region(pixels.copy()), bench.region(pixels)
    for region in regions:
        region.lay(region.bench.layer(patch))
    expected, given = (region.bench.patch(region.changed()) for region in regions)
    np.testing.assert_array_equal(expected.alpha, given.alpha)
    assert off(expected.colour, given.colour).max() <= 1
    untouched = given.alpha == 0
    np.testing.assert_array_equal(given.colour[untouched], pixels[untouched])


def test_pixel_boost_takes_pictures_of_either_kind(bench: DeviceBench) -> None:
    crops = synthetic.rng(1).integers(0, 256, (2, 12, 12, 3), dtype=np.uint8)
    there = bench.put(crops)
    np.testing.assert_array_equal(bench.fetch(interleaved(there, 3)), interleaved(crops, 3))
    np.testing.assert_array_equal(bench.fetch(woven(interleaved(there, 3), 3)), crops)


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


def test_a_device_that_enlarges_wrongly_is_left_and_it_is_said(
    tmp_path: Path, networks: NetworkFactory, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    contract: Any = registry.find("real_esrgan_x2").contract
    file = synthetic.shift_picture(
        tmp_path / "f.onnx", size=contract.tile, offset=0.0, output_size=contract.tile * contract.scale
    )
    enhancer = FrameEnhancer(networks.open(file), contract)
    template = registry.templates["arcface_128"]
    prove_device(networks, [], enhancer, template)
    assert networks.device is not None and networks.warnings == ()
    monkeypatch.setattr(DeviceBench, "pictures", swapped_colours)
    prove_device(networks, [], enhancer, template)
    assert networks.device is None and "a whole picture came out differently" in networks.warnings[0]


def engine_on(
    networks: NetworkFactory, folder: Path, tmp_path: Path, **neural: Any
) -> tuple[Any, AutomationConfig]:
    manager = ModelManager(folder)
    config = AutomationConfig.model_validate({"quality_preset": "balanced", "neural": neural})
    models = choose_models(manager, config)
    assert models.swapper is not None
    builder = EngineBuilder(manager, networks, ConvolutionTuner(tmp_path, networks, threads=1))
    return builder.build(models.swapper, models, config), config


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


def enhancer_on(networks: NetworkFactory, registry: Registry, folder: Path, offset: float = 0.2) -> Any:
    contract: Any = registry.find("gpen_bfr_256").contract
    file = synthetic.shift_picture(folder / "e.onnx", size=256, offset=offset)
    return FaceEnhancer(networks.open(file), contract, registry.templates[contract.template])


def test_a_device_that_computes_something_else_is_left_and_it_is_said(
    tmp_path: Path, networks: NetworkFactory, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    enhancer = enhancer_on(networks, registry, tmp_path)
    template = registry.templates["arcface_128"]
    for drawn in (False, True):
        prove_device(networks, [enhancer], None, template, drawn=drawn)
        assert networks.device is not None and networks.warnings == ()
    monkeypatch.setattr(DeviceBench, "pictures", swapped_colours)
    prove_device(networks, [enhancer], None, template)
    assert networks.device is None
    assert "a face came out differently there" in networks.warnings[0]
    assert networks.warnings[0].endswith("the processor did them instead.")


def swapped_colours(bench: DeviceBench, tensor: Any) -> Any:
    """Pictures with red and blue exchanged."""
    return (tensor * 255).round().clamp(0, 255).byte().permute(0, 2, 3, 1)


@pytest.mark.parametrize(
    "error", [RuntimeError("CUDA error: an illegal memory access"), EngineError("x"), OutOfMemoryError("y")]
)
def test_a_device_that_fails_in_a_job_is_left_and_the_face_is_done(
    tmp_path: Path,
    networks: NetworkFactory,
    registry: Registry,
    astronaut: Portrait,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:
    enhancer = enhancer_on(networks, registry, tmp_path)
    frame, view = PackedFrame(astronaut.picture), view_of(astronaut)
    expected = process(frame, view, [enhancer])

    def broken(self: Any, layer: Any) -> Any:
        raise error

    monkeypatch.setattr(DeviceBench, "patch", broken)
    barrier = threading.Barrier(3)

    def one(_: int) -> Patch | None:
        barrier.wait(10)
        return process(frame, view, [enhancer], benches=Benches(networks))

    with ThreadPoolExecutor(3) as pool:
        results = list(pool.map(one, range(3)))
    for given in results:
        assert expected is not None and given is not None
        np.testing.assert_array_equal(expected.colour, given.colour)
    assert networks.device is None
    (warning,) = networks.warnings  # once, though three threads met it
    assert f"it failed ({error})" in warning


def test_numbers_that_are_none_fail_on_both_benches(
    tmp_path: Path, device: Device, registry: Registry, install: Callable[..., Path], astronaut: Portrait
) -> None:
    folder = install("inswapper_128", "arcface_w600k_r50", changes={"offset": float("nan")})
    devices = Devices(("cuda", "cpu"), {}, device=device)
    with pytest.raises(EngineError, match="not finite"):
        engine_on(devices, folder, tmp_path)
    assert devices.device is None and "not finite" in devices.warnings[0]


def test_an_enhancer_whose_numbers_are_none_paints_nothing(
    tmp_path: Path, networks: NetworkFactory, registry: Registry, astronaut: Portrait
) -> None:
    enhancer = enhancer_on(networks, registry, tmp_path, offset=float("nan"))
    frame, view = PackedFrame(astronaut.picture), view_of(astronaut)
    for benches in (Benches(networks), Benches()):
        with pytest.raises(EngineError, match=r"e\.onnx computed numbers that are not finite"):
            process(frame, view, [enhancer], benches=benches)


def test_a_frame_enhancer_whose_numbers_are_none_leaves_the_frame(
    tmp_path: Path, networks: NetworkFactory, registry: Registry
) -> None:
    entry: Any = registry.find("real_esrgan_x2_fp16").contract
    contract = replace(entry, tile=32, inner_border=4, outer_border=4, half_precision=False)
    path = tmp_path / "f.onnx"
    synthetic.shift_picture(path, size=32, offset=float("nan"), output_size=32 * contract.scale)
    enhancer = FrameEnhancer(networks.open(path), contract)
    picture = synthetic.rng(1).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    frame = PackedFrame(picture.copy())
    for benches in (Benches(networks), Benches()):
        with pytest.raises(EngineError, match=r"f\.onnx computed numbers that are not finite"):
            enhancer.refine(frame, benches)
    np.testing.assert_array_equal(frame.pixels, picture)


def test_doubts_are_settled_where_something_is_fetched(device: Device) -> None:
    bench = DeviceBench(device)
    values = device.array(np.zeros(3, np.float32))
    bench.require_finite(values, "good.onnx")
    np.testing.assert_array_equal(bench.fetch(values), np.zeros(3))
    bench.require_finite(values / 0, "bad.onnx")
    with pytest.raises(EngineError, match=r"bad\.onnx"):
        bench.fetch(values)


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

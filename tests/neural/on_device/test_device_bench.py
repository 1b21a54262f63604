"""Each step with torch tensors comes out as with OpenCV and NumPy."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import synthetic
from device_parts import off

from facefusion.errors import EngineError
from facefusion.models.contracts import Pixels
from facefusion.swap.contract import Patch
from facefusion.swap.cpu_bench import CPU
from facefusion.swap.device_bench import DeviceBench
from facefusion.swap.neural.masks import box_mask
from facefusion.swap.neural.swapper import interleaved, woven
from facefusion.system.device import Device

if TYPE_CHECKING:
    from face_material import Portrait

pytest.importorskip("torch", reason="torch comes with requirements-cuda.txt")


RGB = Pixels("rgb", 255.0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))

BGR = Pixels("bgr", 127.5, (1, 1, 1), (1, 1, 1), "nhwc")

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


def test_doubts_are_settled_where_something_is_fetched(device: Device) -> None:
    bench = DeviceBench(device)
    values = device.array(np.zeros(3, np.float32))
    bench.require_finite(values, "good.onnx")
    np.testing.assert_array_equal(bench.fetch(values), np.zeros(3))
    bench.require_finite(values / 0, "bad.onnx")
    with pytest.raises(EngineError, match=r"bad\.onnx"):
        bench.fetch(values)

"""A device that computes something else, fails or gives no numbers is left, and it is said."""

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
from device_parts import engine_on, view_of
from devices import Devices

from facefusion.errors import EngineError, OutOfMemoryError
from facefusion.media.frame import PackedFrame
from facefusion.models.registry import Registry
from facefusion.swap.contract import Patch
from facefusion.swap.device_bench import DeviceBench
from facefusion.swap.enhance import FaceEnhancer
from facefusion.swap.frame_enhance import FrameEnhancer
from facefusion.swap.layers import Benches, process
from facefusion.swap.neural.proof import prove_device
from facefusion.system.device import Device
from facefusion.system.networks import NetworkFactory

if TYPE_CHECKING:
    from face_material import Portrait

pytest.importorskip("torch", reason="torch comes with requirements-cuda.txt")


def enhancer_on(networks: NetworkFactory, registry: Registry, folder: Path, offset: float = 0.2) -> Any:
    contract: Any = registry.find("gpen_bfr_256").contract
    file = synthetic.shift_picture(folder / "e.onnx", size=256, offset=offset)
    return FaceEnhancer(networks.open(file), contract, registry.templates[contract.template])


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

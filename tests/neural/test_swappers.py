"""Every swapper of the model table: templates, normalisations, source vectors, pasting."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import synthetic

from facefusion.errors import EngineError, ModelMissingError
from facefusion.faces.five_points import align, cut_aligned
from facefusion.faces.recognise import unit
from facefusion.media.frame import PackedFrame
from facefusion.models.contracts import SwapperContract
from facefusion.models.registry import Registry, load_registry
from facefusion.swap.cpu_bench import CPU
from facefusion.swap.neural.masks import box_mask
from facefusion.swap.neural.matrix import embedding_matrix
from facefusion.swap.neural.swapper import Swapper, boosted_size, interleaved, woven
from facefusion.system.networks import NetworkFactory

FIVE = np.array([[240, 190], [300, 187], [271, 228], [246, 262], [298, 260]], np.float32)
MATRIX = np.linalg.qr(synthetic.rng(4).standard_normal((512, 512)))[0] * 3
SWAPPERS = [model.name for model in load_registry().of_kind("swapper")]

# Normalisation by contract, written down a second time: (x/255 - mean) / deviation per RGB channel.
NORMS = {
    "inswapper": ((0, 0, 0), (1, 1, 1)),
    "hyperswap": ((0.5,) * 3, (0.5,) * 3),
    "simswap_256": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "simswap_unofficial": ((0, 0, 0), (1, 1, 1)),
    "ghost": ((0.5,) * 3, (0.5,) * 3),
    "hififace": ((0.5,) * 3, (0.5,) * 3),
    "uniface": ((0.5,) * 3, (0.5,) * 3),
    "blendswap": ((0, 0, 0), (1, 1, 1)),
}
TEMPLATES = {
    "inswapper": "arcface_128",
    "hyperswap": "arcface_128",
    "simswap": "arcface_112_v1",
    "ghost": "arcface_112_v1",
    "hififace": "mtcnn_512",
    "uniface": "ffhq_512",
    "blendswap": "ffhq_512",
}


def embedding(seed: int = 6) -> Any:
    return (synthetic.rng(seed).standard_normal((1, 512)) * 1.5).astype(np.float32)


def picture(seed: int = 3) -> Any:
    small = synthetic.rng(seed).integers(0, 256, (40, 60, 3)).astype(np.uint8)
    return cv2.resize(small, (600, 400), interpolation=cv2.INTER_CUBIC)


def by_name(table: dict[str, Any], name: str) -> Any:
    return next(value for key, value in table.items() if name.startswith(key))


def make(
    name: str, folder: Path, networks: NetworkFactory, registry: Registry, **changes: Any
) -> tuple[Swapper, SwapperContract]:
    contract = registry.find(name).contract
    assert isinstance(contract, SwapperContract)
    matrix = MATRIX if contract.source == "projected" else None
    source: tuple[int, ...] = (1, 512)
    if contract.source == "face":
        source = (1, 3, contract.source_size, contract.source_size)
    file = synthetic.swapper(
        folder / f"{name}.onnx", size=contract.size, source=source, matrix=matrix, **changes
    )
    converter = None
    if contract.converter:
        converter = networks.open(synthetic.converter(folder / f"{contract.converter}.onnx", MATRIX.T))
    swapper = Swapper(
        networks.open(file),
        contract,
        registry.templates[contract.template],
        matrix=embedding_matrix(file) if matrix is not None else None,
        converter=converter,
    )
    return swapper, contract


@pytest.mark.parametrize("name", SWAPPERS)
def test_a_network_that_changes_nothing_gives_the_face_back(
    tmp_path: Path, networks: NetworkFactory, registry: Registry, name: str
) -> None:
    """What goes in normalised and comes out on the contract's scale is the same picture, tinted."""
    swapper, contract = make(name, tmp_path, networks, registry)
    assert contract.template == by_name(TEMPLATES, name)
    mean, deviation = (np.array(v, np.float32) for v in by_name(NORMS, name))
    crop = cut_aligned(PackedFrame(picture()), align(FIVE, swapper.template, contract.size), contract.size)
    if contract.source == "face":
        small = cv2.resize(picture(8), (contract.source_size, contract.source_size))
        source = swapper.from_face(small)
        expected_source = small[None, :, :, ::-1].transpose(0, 3, 1, 2).astype(np.float32) / 255
        np.testing.assert_allclose(source.values, expected_source, atol=1e-6)
    else:
        source = swapper.from_embedding(embedding())
    tint = synthetic.tint_of(source.values)[0]
    result = swapper.swap(crop[None], source)[0].astype(np.float32)
    rgb = cv2.blur(crop.astype(np.float32), (3, 3))[..., ::-1] / 255
    normalised = (rgb - mean) / deviation + tint
    expected = normalised * deviation + mean if contract.denormalise else normalised
    expected = np.clip(expected, 0, 1)[..., ::-1] * 255
    inner = np.s_[2:-2, 2:-2]  # convolution pads normalised zeros
    assert np.abs(result - expected)[inner].max() <= 2.0


@pytest.mark.parametrize(
    ("name", "arithmetic"),
    [
        ("inswapper_128", lambda e: unit(unit(e) @ MATRIX.astype(np.float32))),
        ("hyperswap_1a_256", unit),
        ("simswap_256", lambda e: unit(e @ MATRIX.T)),
        ("simswap_unofficial_512", lambda e: unit(e @ MATRIX.T)),
        ("ghost_2_256", lambda e: e @ MATRIX.T),
        ("hififace_unofficial_256", lambda e: unit(e @ MATRIX.T)),
    ],
)
def test_the_source_vector_is_that_of_the_contract(
    tmp_path: Path, networks: NetworkFactory, registry: Registry, name: str, arithmetic: Any
) -> None:
    swapper, _ = make(name, tmp_path, networks, registry)
    np.testing.assert_allclose(
        swapper.from_embedding(embedding()).values, arithmetic(embedding()), rtol=1e-3, atol=1e-5
    )


def test_inswapper_gives_what_insightfaces_class_gives(
    tmp_path: Path, networks: NetworkFactory, registry: Registry
) -> None:
    from insightface.app.common import Face
    from insightface.model_zoo.inswapper import INSwapper

    swapper, contract = make("inswapper_128", tmp_path, networks, registry)
    reference = INSwapper(str(tmp_path / "inswapper_128.onnx"))
    source = Face(embedding=embedding()[0])
    theirs, affine = reference.get(picture(), Face(kps=FIVE), source, paste_back=False)
    ours_affine = align(FIVE, swapper.template, contract.size)
    np.testing.assert_allclose(ours_affine, affine, atol=1e-3)
    crop = cut_aligned(PackedFrame(picture()), ours_affine, contract.size)
    ours = swapper.swap(crop[None], swapper.from_embedding(embedding()))[0]
    difference = np.abs(ours.astype(int) - theirs)
    assert difference.mean() < 0.75 and np.percentile(difference, 99) <= 2  # it cuts off, we round
    # On the very same crop nothing but the rounding is left.
    aimg = cv2.warpAffine(picture(), affine, (128, 128), borderValue=0.0)
    same = swapper.swap(aimg[None], swapper.from_embedding(embedding()))[0]
    assert np.abs(same.astype(int) - theirs).max() <= 1


@pytest.mark.parametrize("last", [True, False])
def test_the_matrix_is_found_wherever_it_lies(tmp_path: Path, last: bool) -> None:
    file = synthetic.swapper(tmp_path / "s.onnx", size=128, matrix=MATRIX, matrix_last=last)
    np.testing.assert_array_equal(embedding_matrix(file), MATRIX.astype(np.float32))


def test_a_swapper_without_its_matrix_is_named(tmp_path: Path) -> None:
    file = synthetic.swapper(tmp_path / "bare.onnx", size=128)
    with pytest.raises(ModelMissingError, match=r"bare\.onnx holds 0 matrices"):
        embedding_matrix(file)


def test_a_swapper_of_another_size_is_named(
    tmp_path: Path, networks: NetworkFactory, registry: Registry
) -> None:
    file = synthetic.swapper(tmp_path / "odd.onnx", size=64)
    contract = registry.find("hyperswap_1a_256").contract
    assert isinstance(contract, SwapperContract)
    with pytest.raises(ModelMissingError, match=r"odd\.onnx"):
        Swapper(networks.open(file), contract, registry.templates[contract.template])


@pytest.mark.parametrize("batch", [1, "n"])
def test_pixel_boost_swaps_every_part_as_a_face(
    tmp_path: Path, networks: NetworkFactory, registry: Registry, batch: Any
) -> None:
    swapper, _ = make("inswapper_128", tmp_path, networks, registry, batch=batch)
    source = swapper.from_embedding(embedding())
    crop = cut_aligned(PackedFrame(picture()), align(FIVE, swapper.template, 384), 384)
    boosted = swapper.swap(crop[None], source)[0]
    for row in range(3):
        for column in range(3):
            part = np.ascontiguousarray(crop[row::3, column::3])
            alone = swapper.swap(part[None], source)[0]
            assert np.abs(boosted[row::3, column::3].astype(int) - alone).max() <= 1


def test_a_graph_that_only_promises_batches_is_run_one_by_one(
    tmp_path: Path, networks: NetworkFactory
) -> None:
    graph = synthetic.Graph()
    shape = graph.constant("s", np.array([1, 12], np.int64))
    graph.add("Reshape", ["x", shape], "y")
    file = graph.save(tmp_path / "liar.onnx", {"x": ("n", 3, 2, 2)}, {"y": ("n", 12)})
    values = np.arange(60, dtype=np.float32).reshape(5, 3, 2, 2)
    np.testing.assert_array_equal(networks.open(file).run_batch({"x": values}), values.reshape(5, 12))


def test_interleaving_comes_back() -> None:
    crops = synthetic.rng(1).integers(0, 256, (2, 12, 12, 3)).astype(np.uint8)
    parts = interleaved(crops, 3)
    assert parts.shape == (18, 4, 4, 3)
    np.testing.assert_array_equal(parts[5], crops[0, 1::3, 2::3])
    np.testing.assert_array_equal(woven(parts, 3), crops)


def test_a_wish_in_pixels_becomes_a_multiple() -> None:
    assert [boosted_size(128, wish) for wish in (0, 128, 129, 512, 9999)] == [128, 128, 256, 512, 1024]


def test_numbers_that_are_none_fail_the_face(
    tmp_path: Path, networks: NetworkFactory, registry: Registry
) -> None:
    swapper, contract = make("hyperswap_1a_256", tmp_path, networks, registry, offset=float("nan"))
    crop = np.zeros((1, contract.size, contract.size, 3), np.uint8)
    with pytest.raises(EngineError, match="not finite"):
        swapper.swap(crop, swapper.from_embedding(embedding()))


def test_a_crop_goes_back_where_it_came_from() -> None:
    """An unchanged crop, stamped back, is the picture; nothing outside of the box is touched."""
    frame = PackedFrame(cv2.GaussianBlur(picture(), (0, 0), 4))
    region = CPU.region(frame.pixels)
    template = load_registry().templates["arcface_128"]
    for size in (128, 256, 512):
        affine = align(FIVE, template, size)
        patch = region.stamp(region.cut(affine, size), box_mask(size), affine)
        assert patch is not None
        x0, y0, x1, y1 = patch.box
        assert x1 - x0 < 300 and y1 - y0 < 300
        difference = np.abs(frame.pixels[y0:y1, x0:x1].astype(int) - patch.colour).max(axis=2)
        assert (difference * (patch.alpha / 255.0)).max() <= 4
        assert patch.alpha.max() == 255
        assert not patch.alpha[[0, -1]].any() and not patch.alpha[:, [0, -1]].any()


def test_a_face_at_the_border_of_the_picture_is_cut_there() -> None:
    template = load_registry().templates["arcface_128"]
    affine = align(FIVE - (255, 200), template, 128)
    region, black = CPU.region(picture()), np.zeros((128, 128, 3), np.uint8)
    patch = region.stamp(black, box_mask(128), affine)
    assert patch is not None and patch.box[:2] == (0, 0)
    far = align(FIVE + 2000, template, 128)
    assert region.stamp(black, box_mask(128), far) is None


def test_masks_of_a_size_are_made_once() -> None:
    assert box_mask(128) is box_mask(128)
    mask = box_mask(256)
    assert mask[128, 128] == 255 and not mask[0].any() and not mask[:, -1].any()
    np.testing.assert_array_equal(mask, mask.T)

"""Masks, enhancers, age and frame enhancers do to a face what their contracts say, and nothing elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
import synthetic
from onnx import TensorProto

from facefusion.errors import ModelMissingError
from facefusion.faces.five_points import align, crop_corners, cut_aligned, five_from_mesh
from facefusion.media.frame import PackedFrame
from facefusion.models.contracts import AgerContract, FrameEnhancerContract, Pixels
from facefusion.models.registry import Registry, load_registry
from facefusion.swap.age import AgeModifier, AssumedAge, FairFace
from facefusion.swap.cpu_bench import CPU
from facefusion.swap.enhance import FaceEnhancer
from facefusion.swap.frame_enhance import FrameEnhancer
from facefusion.swap.layers import FaceView, process
from facefusion.swap.neural.masks import OcclusionMask, OutlineMask, RegionMask
from facefusion.system.networks import NetworkFactory

if TYPE_CHECKING:
    from face_material import Portrait

ENHANCERS = [model.name for model in load_registry().of_kind("enhancer") if model.contract.size <= 512]  # type: ignore[union-attr]
FRAME_ENHANCERS = [model.name for model in load_registry().of_kind("frame_enhancer")]
PIXELS = Pixels("rgb", 255.0, (0, 0, 0), (1, 1, 1))


def view_of(portrait: Portrait) -> FaceView:
    return FaceView(five_from_mesh(portrait.face), portrait.face)


def painted(portrait: Portrait, processors: list[Any]) -> Any:
    """The picture with the processors' patch on it."""
    frame = PackedFrame(portrait.picture.copy())
    patch = process(frame, view_of(portrait), processors)
    assert patch is not None
    frame.blend(patch.box, patch.colour, patch.alpha)
    return frame.pixels


def inside(portrait: Portrait) -> Any:
    """A small region in the middle of the face."""
    x, y = (int(v) for v in five_from_mesh(portrait.face)[2])
    return np.s_[y - 4 : y + 5, x - 4 : x + 5]


@pytest.mark.parametrize("name", ENHANCERS)
def test_an_enhancer_changes_the_face_by_its_share(
    tmp_path: Path, networks: NetworkFactory, registry: Registry, astronaut: Portrait, name: str
) -> None:
    contract: Any = registry.find(name).contract
    extra = {"weight": ((1,), TensorProto.DOUBLE)} if contract.weight else None
    # The network adds 0.2 on its scale of -1 to 1: that is a tenth of the range; a weight adds 0.1 of itself.
    path = synthetic.shift_picture(tmp_path / f"{name}.onnx", size=contract.size, offset=0.2, extra=extra)
    template = registry.templates[contract.template]
    plain = astronaut.picture[inside(astronaut)].astype(float)
    for blend in (1.0, 0.5, 0.0):
        enhancer = FaceEnhancer(networks.open(path), contract, template, blend=blend, weight=0.4)
        difference = painted(astronaut, [enhancer])[inside(astronaut)] - plain
        rise = (0.2 + (0.04 if contract.weight else 0.0)) / 2 * 255 * blend
        assert np.median(difference) == pytest.approx(rise, abs=2.5)


def test_an_enhancer_of_another_size_is_named(
    tmp_path: Path, networks: NetworkFactory, registry: Registry
) -> None:
    path = synthetic.shift_picture(tmp_path / "small.onnx", size=64)
    contract: Any = registry.find("gfpgan_1.4").contract
    with pytest.raises(ModelMissingError, match=r"small\.onnx"):
        FaceEnhancer(networks.open(path), contract, registry.templates["ffhq_512"])


def test_processors_see_what_the_one_before_painted(
    tmp_path: Path, networks: NetworkFactory, registry: Registry, astronaut: Portrait
) -> None:
    contract: Any = registry.find("gpen_bfr_256").contract
    template = registry.templates[contract.template]
    path = synthetic.shift_picture(tmp_path / "e.onnx", size=256, offset=0.1)
    enhancer = FaceEnhancer(networks.open(path), contract, template)
    result = painted(astronaut, [enhancer, enhancer])
    difference = result[inside(astronaut)].astype(float) - astronaut.picture[inside(astronaut)]
    assert np.median(difference) == pytest.approx(0.1 * 255, abs=2.5)  # half of 0.1, twice
    corners = crop_corners(align(view_of(astronaut).five, template, 256), 256)
    low, high = corners.min(0).astype(int) - 1, corners.max(0).astype(int) + 2
    outside = np.ones(result.shape[:2], bool)
    outside[max(low[1], 0) : high[1], max(low[0], 0) : high[0]] = False
    assert (result == astronaut.picture)[outside].all()


def test_what_is_in_front_of_the_face_stays(
    tmp_path: Path, networks: NetworkFactory, registry: Registry, astronaut: Portrait
) -> None:
    contract: Any = registry.find("xseg_1").contract
    mask = OcclusionMask(networks.open(synthetic.occluder(tmp_path / "xseg.onnx")), contract)
    crop = np.zeros((128, 128, 3), np.uint8)
    crop[:, 64:] = (0, 255, 0)
    seen = mask.mask(CPU, crop, crop, view_of(astronaut), np.eye(2, 3))
    assert seen.shape == (128, 128)
    assert not seen[:, :56].any() and (seen[:, 80:] == 255).all()


def test_only_parts_of_the_face_are_painted(
    tmp_path: Path, networks: NetworkFactory, registry: Registry, astronaut: Portrait
) -> None:
    contract: Any = registry.find("bisenet_resnet_34").contract
    mask = RegionMask(networks.open(synthetic.parser(tmp_path / "bisenet.onnx")), contract)
    crop = np.zeros((256, 256, 3), np.uint8)
    seen = mask.mask(CPU, crop, crop, view_of(astronaut), np.eye(2, 3))
    assert (seen[:, :110] == 255).all() and not seen[:, 136:].any()


def test_the_outline_keeps_off_what_is_beside_the_face(registry: Registry, astronaut: Portrait) -> None:
    affine = align(view_of(astronaut).five, registry.templates["ffhq_512"], 256)
    crop = cut_aligned(PackedFrame(astronaut.picture), affine, 256)
    seen = OutlineMask().mask(CPU, crop, crop, view_of(astronaut), affine)
    assert seen[160, 128] > 250 and not seen[:10].any() and not seen[:, :10].any()
    assert (CPU.strictest([seen, np.full_like(seen, 100)]) <= 100).all()


@pytest.mark.parametrize("wanted", [0, 50, 100])
def test_fran_is_told_age_now_and_age_wanted(
    tmp_path: Path, networks: NetworkFactory, registry: Registry, astronaut: Portrait, wanted: int
) -> None:
    contract: Any = registry.find("fran").contract
    ages = np.zeros(9, np.float32)
    ages[6] = 1  # 50 to 59
    names = ["race_id", "gender_id", "age_id"]
    looks = synthetic.constant_outputs(
        tmp_path / "fairface.onnx", [np.zeros(7), np.zeros(2), ages], size=224, names=names
    )
    classifier: Any = registry.find("fairface").contract
    guess = FairFace(networks.open(looks), classifier, registry.templates["arcface_112_v2"])
    path = synthetic.shift_picture(
        tmp_path / "fran.onnx",
        size=1024,
        name="target",
        offset=0.0,
        extra={"direction": ((2,), TensorProto.FLOAT)},
    )
    ager = AgeModifier(
        networks.open(path), contract, registry.templates["ffhq_512"], None, wanted=wanted, guess=guess
    )
    difference = painted(astronaut, [ager])[inside(astronaut)].astype(float)
    difference -= astronaut.picture[inside(astronaut)]
    # The network adds a tenth of both shares.
    assert np.median(difference) == pytest.approx(0.1 * (0.55 + wanted / 100) * 255, abs=2.5)


def test_styleganex_goes_from_young_to_old_and_covers_the_wide_crop(
    tmp_path: Path, networks: NetworkFactory, registry: Registry, astronaut: Portrait
) -> None:
    contract = registry.find("styleganex_age").contract
    assert isinstance(contract, AgerContract)
    path = synthetic.shift_picture(
        tmp_path / "styleganex.onnx",
        size=256,
        name="target",
        offset=0.0,
        gain=0.0,  # what comes out is the direction alone: grey
        extra={
            "target_with_background": ((1, 3, 384, 384), TensorProto.FLOAT),
            "direction": ((1,), TensorProto.FLOAT),
        },
        output_size=512,
    )
    templates = registry.templates
    levels = []
    for wanted in (0, 35, 100):
        ager = AgeModifier(
            networks.open(path),
            contract,
            templates["ffhq_512"],
            templates["styleganex_384"],
            wanted=wanted,
            guess=AssumedAge(),
        )
        levels.append(float(np.median(painted(astronaut, [ager])[inside(astronaut)])))
    # Direction 2.5 * -(wanted - 35) / 100, of which the network puts out a tenth, on a scale of -1 to 1.
    expected = [(0.1 * 2.5 * (35 - wanted) / 100 + 1) / 2 * 255 for wanted in (0, 35, 100)]
    assert levels == pytest.approx(expected, abs=1.5)


@pytest.mark.parametrize("name", FRAME_ENHANCERS)
def test_tiles_fit_together_without_seams(
    tmp_path: Path, networks: NetworkFactory, registry: Registry, name: str
) -> None:
    contract = registry.find(name).contract
    assert isinstance(contract, FrameEnhancerContract)
    assert contract.pixels.order == "rgb" and contract.pixels.scale == 255.0
    # The real numbers at a quarter of the size where a tile is large.
    share = 4 if contract.tile >= 256 else 1
    if contract.tile > 512:
        share = 8
    small = FrameEnhancerContract(
        contract.scale, contract.tile // share, contract.outer_border // share,
        contract.inner_border // share, contract.pixels,
    )  # fmt: skip
    path = synthetic.shift_picture(
        tmp_path / "up.onnx",
        size=small.tile,
        offset=0.0,
        batch="n",
        output_size=small.tile * small.scale,
    )
    picture = synthetic.rng(1).integers(0, 256, (171, 233, 3)).astype(np.uint8)
    frame = PackedFrame(picture.copy())
    FrameEnhancer(networks.open(path), small).refine(frame)
    np.testing.assert_array_equal(frame.pixels, picture)


def test_a_picture_smaller_than_a_tile_is_refined_too(tmp_path: Path, networks: NetworkFactory) -> None:
    contract = FrameEnhancerContract(2, 64, 8, 4, PIXELS)
    path = synthetic.shift_picture(tmp_path / "up.onnx", size=64, offset=0.0, output_size=128)
    picture = synthetic.rng(1).integers(0, 256, (9, 20, 3)).astype(np.uint8)
    frame = PackedFrame(picture.copy())
    FrameEnhancer(networks.open(path), contract).refine(frame)
    np.testing.assert_array_equal(frame.pixels, picture)


def test_a_frame_keeps_its_size(tmp_path: Path, networks: NetworkFactory) -> None:
    contract = FrameEnhancerContract(2, 64, 8, 4, PIXELS)
    path = synthetic.shift_picture(tmp_path / "up.onnx", size=64, offset=0.1, output_size=128)
    picture = cv2.GaussianBlur(synthetic.rng(1).integers(0, 200, (90, 120, 3)).astype(np.uint8), (0, 0), 3)
    frame = PackedFrame(picture.copy())
    FrameEnhancer(networks.open(path), contract).refine(frame)
    assert frame.pixels.shape == picture.shape
    difference = frame.pixels.astype(float) - picture
    assert np.median(difference) == pytest.approx(25.5, abs=1.0)

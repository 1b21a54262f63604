"""The tables of models are sound, carry the contracts loaders need, and a mistake in them is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from facefusion.config import AutomationConfig
from facefusion.errors import ConfigError
from facefusion.faces.attention import ATTENTION_MESH
from facefusion.models.commands import list_all_models, list_models
from facefusion.models.contracts import (
    AgerContract,
    DetectorContract,
    EnhancerContract,
    FrameEnhancerContract,
    OccluderContract,
    ParserContract,
    RecogniserContract,
    SwapperContract,
)
from facefusion.models.manager import ModelManager
from facefusion.models.registry import (
    OWN_TABLE,
    TABLES,
    ArchiveMember,
    Download,
    Model,
    Wheel,
    load_registry,
    parse_registry,
    registry_for,
)

EMBEDDED, NEURAL = (table.read_text(encoding="utf-8") for table in TABLES)
REGISTRY = load_registry()
ONNX = [model for model in REGISTRY.models.values() if model.contract is not None]


def named(model: Model) -> str:
    return model.name


@pytest.mark.parametrize("model", REGISTRY.models.values(), ids=named)
def test_every_model_has_terms_a_purpose_and_a_place(model: Model) -> None:
    assert model.licence.title and model.licence.url.startswith("https://")
    assert model.purpose
    if isinstance(model.source, Download):
        assert all(url.startswith("https://") and url.endswith(f"/{model.file}") for url in model.source.urls)
        assert model.accepted or model.source.checksum_urls, "there must be something to prove it by"
        assert model.asks_for_licence
    elif isinstance(model.source.archive, Wheel):
        assert model.accepted and not model.asks_for_licence


@pytest.mark.parametrize("model", ONNX, ids=named)
def test_every_neural_model_names_alignments_that_exist(model: Model) -> None:
    for attribute in ("template", "source_template", "background_template"):
        name = getattr(model.contract, attribute, "")
        assert not name or len(REGISTRY.templates[name]) == 5


def test_the_embedded_engine_needs_only_what_the_wheel_carries() -> None:
    for model in REGISTRY.expand(["mesh", "demo"]):
        assert isinstance(model.source, ArchiveMember) and isinstance(model.source.archive, Wheel)
        assert "mesh" in model.needed_by or "demo" in model.needed_by


def test_asset_hosts_and_their_checksums_are_spelled_out() -> None:
    source = REGISTRY.find("simswap_256").source
    assert isinstance(source, Download)
    assert source.urls == (
        "https://github.com/facefusion/facefusion-assets/releases/download/models-3.0.0/simswap_256.onnx",
        "https://huggingface.co/facefusion/models-3.0.0/resolve/main/simswap_256.onnx",
    )
    assert [url.rsplit("/", 1)[1] for url in source.checksum_urls] == ["simswap_256.hash"] * 2
    dotted = REGISTRY.find("gfpgan_1.4").source
    assert isinstance(dotted, Download) and dotted.checksum_urls[0].endswith("/gfpgan_1.4.hash")


def test_one_network_may_be_published_in_two_files() -> None:
    known = {facts.size: facts.sha256[:8] for facts in REGISTRY.find("inswapper_128").accepted}
    assert known == {554253681: "e4a3f08c", 555303150: "a290273e"}


def test_a_swapper_brings_its_converter() -> None:
    assert [model.name for model in REGISTRY.expand(["ghost_2_256"])] == ["ghost_2_256", "crossface_ghost"]
    assert [model.name for model in REGISTRY.expand(["inswapper_128"])] == ["inswapper_128"]


@pytest.mark.parametrize(
    ("name", "template", "size", "mean", "deviation", "source", "denormalise", "converter", "normalised"),
    [
        ("inswapper_128", "arcface_128", 128, 0.0, 1.0, "projected", False, "", False),
        ("inswapper_128_fp16", "arcface_128", 128, 0.0, 1.0, "projected", False, "", False),
        ("hyperswap_1a_256", "arcface_128", 256, 0.5, 0.5, "normalised", True, "", False),
        ("hyperswap_1b_256", "arcface_128", 256, 0.5, 0.5, "normalised", True, "", False),
        ("hyperswap_1c_256", "arcface_128", 256, 0.5, 0.5, "normalised", True, "", False),
        ("simswap_256", "arcface_112_v1", 256, 0.485, 0.229, "converted", False, "crossface_simswap", True),
        ("simswap_unofficial_512", "arcface_112_v1", 512, 0.0, 1.0, "converted", False, "crossface_simswap", True),  # noqa: E501
        ("ghost_1_256", "arcface_112_v1", 256, 0.5, 0.5, "converted", True, "crossface_ghost", False),
        ("ghost_3_256", "arcface_112_v1", 256, 0.5, 0.5, "converted", True, "crossface_ghost", False),
        ("hififace_unofficial_256", "mtcnn_512", 256, 0.5, 0.5, "converted", True, "crossface_hififace", True),  # noqa: E501
        ("uniface_256", "ffhq_512", 256, 0.5, 0.5, "face", True, "", False),
        ("blendswap_256", "ffhq_512", 256, 0.0, 1.0, "face", False, "", False),
    ],
)  # fmt: skip
def test_swappers_have_the_published_numbers(
    name: str, template: str, size: int, mean: float, deviation: float, source: str, denormalise: bool,
    converter: str, normalised: bool,
) -> None:  # fmt: skip
    contract = REGISTRY.find(name).contract
    assert isinstance(contract, SwapperContract)
    assert (contract.template, contract.size) == (template, size)
    assert (contract.pixels.order, contract.pixels.scale) == ("rgb", 255.0)
    assert (contract.pixels.mean[0], contract.pixels.deviation[0]) == (mean, deviation)
    assert (contract.source, contract.denormalise) == (source, denormalise)
    assert (contract.converter, contract.converter_normalised) == (converter, normalised)
    assert contract.half_precision == name.endswith("fp16")


def test_swappers_from_pictures_say_which_picture() -> None:
    found = {}
    for name in ("uniface_256", "blendswap_256"):
        contract = REGISTRY.find(name).contract
        assert isinstance(contract, SwapperContract) and contract.source_pixels is not None
        found[name] = (contract.source_template, contract.source_size, contract.source_pixels.mean)
    assert found["uniface_256"] == ("ffhq_512", 256, (0.0, 0.0, 0.0))
    assert found["blendswap_256"] == ("arcface_112_v2", 112, (0.0, 0.0, 0.0))


def test_detectors_and_recognisers_have_the_published_numbers() -> None:
    found = {}
    for model in REGISTRY.of_kind("detector"):
        contract = model.contract
        assert isinstance(contract, DetectorContract) and contract.size == 640
        pixels = contract.pixels
        found[model.name] = (contract.family, pixels.order, pixels.scale, pixels.mean[0], pixels.deviation[0])
    assert found == {
        "scrfd_10g": ("scrfd", "rgb", 1.0, 127.5, 128.0),
        "scrfd_500m": ("scrfd", "rgb", 1.0, 127.5, 128.0),
        "retinaface_10g": ("scrfd", "bgr", 1.0, 127.5, 128.0),
        "scrfd_2.5g": ("scrfd", "bgr", 1.0, 127.5, 128.0),
        "yoloface_8n": ("yoloface", "bgr", 255.0, 0.0, 1.0),
        "yunet_2023_mar": ("yunet", "bgr", 1.0, 0.0, 1.0),
    }
    for model in REGISTRY.of_kind("recogniser"):
        assert isinstance(model.contract, RecogniserContract)
        assert (model.contract.template, model.contract.size) == ("arcface_112_v2", 112)
        pixels = model.contract.pixels
        assert (255 / pixels.scale - pixels.mean[0]) / pixels.deviation[0] == 1.0
        assert (0 / pixels.scale - pixels.mean[0]) / pixels.deviation[0] == -1.0


def test_the_other_processors_have_the_published_numbers() -> None:
    enhancers = {
        model.name: (model.contract.template, model.contract.size)
        for model in REGISTRY.of_kind("enhancer")
        if isinstance(model.contract, EnhancerContract)
    }
    assert enhancers["gpen_bfr_256"] == ("arcface_128", 256)
    assert all(template == "ffhq_512" for name, (template, _) in enhancers.items() if name != "gpen_bfr_256")
    assert enhancers["gpen_bfr_2048"][1] == 2048 and enhancers["gfpgan_1.4"][1] == 512
    weighted = [m.name for m in REGISTRY.of_kind("enhancer") if getattr(m.contract, "weight", False)]
    assert weighted == ["codeformer"]
    tiles = {
        model.name: (c.scale, c.tile, c.outer_border, c.inner_border)
        for model in REGISTRY.of_kind("frame_enhancer")
        if isinstance(c := model.contract, FrameEnhancerContract)
    }
    assert tiles["span_kendata_x4"] == (4, 128, 8, 4)
    assert tiles["real_esrgan_x2"] == (2, 256, 16, 8) and tiles["real_esrgan_x8_fp16"] == (8, 256, 16, 8)
    assert tiles["ultra_sharp_2_x4"] == (4, 1024, 64, 32)
    fran, styleganex = (model.contract for model in REGISTRY.of_kind("ager"))
    assert isinstance(fran, AgerContract) and (fran.size, fran.pixels.mean[0]) == (1024, 0.0)
    assert isinstance(styleganex, AgerContract)
    assert (styleganex.background_size, styleganex.background_scale) == (384, 0.875)
    for model in REGISTRY.of_kind("occluder"):
        assert isinstance(model.contract, OccluderContract)
        assert (model.contract.pixels.layout, model.contract.pixels.order) == ("nhwc", "bgr")
    for model in REGISTRY.of_kind("parser"):
        assert isinstance(model.contract, ParserContract)
        assert model.contract.parts["skin"] == 1 and model.contract.parts["lower_lip"] == 13


def test_templates_are_faces() -> None:
    for name, (left_eye, right_eye, nose, left_mouth, right_mouth) in REGISTRY.templates.items():
        assert left_eye[0] < nose[0] < right_eye[0], name
        assert left_mouth[0] < nose[0] < right_mouth[0], name
        assert left_eye[1] < nose[1] < left_mouth[1], name


def test_names_and_file_names_both_find_a_model() -> None:
    assert REGISTRY.find("face_landmark_with_attention") is REGISTRY.find(ATTENTION_MESH)
    assert REGISTRY.find("det_10g.onnx").name == "scrfd_10g"


def test_engines_and_names_can_be_mixed_and_count_once() -> None:
    names = [model.name for model in REGISTRY.expand(["face_landmark_with_attention", "mesh"])]
    assert names[0] == "face_landmark_with_attention"
    assert len(names) == len(set(names)) >= 4


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (('licence = "apache-2"', 'licence = "unheard-of"'), "unknown licence 'unheard-of'"),
        ((f'file = "{ATTENTION_MESH}"', f'file = "../{ATTENTION_MESH}"'), "leaves the models folder"),
        ((f'file = "{ATTENTION_MESH}"', f"file = '..\\{ATTENTION_MESH}'"), "leaves the models folder"),
        ((f'file = "{ATTENTION_MESH}"', f'file = "C:{ATTENTION_MESH}"'), "leaves the models folder"),
        ((f'file = "{ATTENTION_MESH}"', 'file = "FACE_mesh_connections.py"'), "shares one file name with"),
        (("size = 676746", "size = 0"), "size or sha256"),
        (("2c3728e6", "2C3728E6"), "size or sha256"),
        (('    "face_landmark_with_attention",', '    "iris",'), "unknown model 'iris'"),
        (("[licences.apache-2]", "[licences.apache-2"), "damaged"),
        (("commercial_use = true", "commercial = true"), "damaged"),
        (('template = "arcface_128"', 'template = "arcface_1"'), "unknown template 'arcface_1'"),
        (('pixels = "rgb_unit"', 'pixels = "rgb"'), "at 'inswapper_128': KeyError: 'rgb'"),
        (('converter = "crossface_ghost"', 'converter = "crossface_"'), "unknown converter 'crossface_'"),
        (('kind = "swapper"', 'kind = "swap"'), "unknown kind 'swap'"),
        (('source = "projected", ', ""), "missing 1 required"),
        (("[[0.36167656, 0.40387734]", "[[1.36167656, 0.40387734]"), "five points between 0 and 1"),
        (('release = "models-3.3.0"', 'relaese = "models-3.3.0"'), "unknown keys ['relaese']"),
    ],
)
def test_a_mistake_in_the_table_is_named(change: tuple[str, str], says: str) -> None:
    texts = [text.replace(*change, 1) for text in (EMBEDDED, NEURAL)]
    assert texts != [EMBEDDED, NEURAL]
    with pytest.raises(ConfigError) as raised:
        parse_registry(*texts)
    assert says in raised.value.message


def test_a_person_can_add_and_replace_models(tmp_path: Path) -> None:
    assert registry_for(tmp_path) is REGISTRY
    (tmp_path / OWN_TABLE).write_text(
        """
        [models.inswapper_128]
        kind = "swapper"
        file = "inswapper_128.onnx"
        purpose = "My own training"
        licence = "mit"
        urls = ["https://example.org/inswapper_128.onnx"]
        accepted = [{ size = 5, sha256 = "%s" }]
        contract = { template = "arcface_128", size = 128, pixels = "rgb_unit", source = "projected", \
denormalise = false }
        """
        % ("ab" * 32)
    )
    registry = registry_for(tmp_path)
    assert registry.find("inswapper_128").size == 5
    assert len(registry.models) == len(REGISTRY.models)
    assert registry.of_kind("swapper")[0].name == "inswapper_128", "its place in the order stays"


def test_a_mistake_in_a_persons_own_table_names_the_file(tmp_path: Path) -> None:
    (tmp_path / OWN_TABLE).write_text("[models.mine]\nfile = 'x.onnx'\n")
    with pytest.raises(ConfigError, match=r"own_models\.toml: .*'mine'") as raised:
        registry_for(tmp_path)
    assert OWN_TABLE in raised.value.remedy


def test_an_unknown_name_gets_the_nearest_three_and_no_flood() -> None:
    with pytest.raises(ConfigError) as caught:
        REGISTRY.find("inswaper_128")
    assert "inswapper_128" in caught.value.message
    [_, meant] = caught.value.message.split("do you mean ")
    assert 1 <= len(meant.replace(" or ", ", ").split(", ")) <= 3
    assert "models list --all" in caught.value.remedy


def test_pictures_of_the_demonstration_are_not_listed_as_models(tmp_path: Path) -> None:
    manager = ModelManager(tmp_path)
    pictures = [model.name for model in REGISTRY.of_kind("sample")]
    shown = list_all_models(manager) + list_models(manager, AutomationConfig())
    assert pictures
    assert not [name for name in pictures if f" {name} " in shown]

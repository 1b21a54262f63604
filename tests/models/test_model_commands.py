"""The commands that list, install, check and remove models, and which ones settings ask for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from model_site import PATIENCE, SWAP, again
from own_models import add_own_model

from facefusion.config import AutomationConfig
from facefusion.errors import ConfigError, ModelMissingError
from facefusion.models import Licence, Model, ModelManager
from facefusion.models.commands import (
    check_models,
    install_models,
    list_all_models,
    list_models,
    remove_models,
    wanted_names,
)
from facefusion.models.registry import Registry, load_registry


def test_a_swapper_of_ones_own_counts_as_installed(tmp_path: Path) -> None:
    """With a table of their own, a person may use a file that nobody else knows."""
    own = b"trained at home"
    contract = (
        'template = "arcface_128", size = 128, pixels = "rgb_unit", source = "projected", denormalise = false'
    )
    add_own_model(tmp_path, "inswapper_128", "swapper", "inswapper_128.onnx", own, contract)
    assert ModelManager(tmp_path).installed("swapper") == ()
    (tmp_path / "inswapper_128.onnx").write_bytes(own)
    assert [model.name for model in ModelManager(tmp_path).installed("swapper")] == ["inswapper_128"]


def test_the_commands_list_install_and_check(folder: Path, registry: Registry) -> None:
    manager = ModelManager(folder, registry=registry, patience=PATIENCE)
    said: list[str] = []
    install_models(manager, ["known"], said.append, accept_licences=True)
    assert any("For research only (not for commercial use)" in line for line in said)
    assert said[-1] == "Ready: known, helper."
    table = list_all_models(again(manager))
    assert "known" in table and "installed" in table and "research: For research only" in table
    assert "packed" in table
    assert check_models(again(manager), said.append) == 0
    (folder / "known.onnx").write_bytes(SWAP[:-1])
    said.clear()
    assert check_models(again(manager), said.append) == 1
    assert any(line.startswith("DAMAGED: known.onnx") for line in said)
    assert "1 of 2 files are damaged" in said[-1]


def test_nothing_is_removed_where_one_name_is_none(manager: ModelManager) -> None:
    manager.ensure_models_available(["helper"])
    for names, said in ((["helper", "hepler"], "no model called 'hepler'"), ([], "needs the names")):
        with pytest.raises(ConfigError, match=said):
            remove_models(manager, names, lambda line: None)
    assert manager.path("helper").is_file()


def test_a_command_without_a_person_does_not_accept_for_them(folder: Path, registry: Registry) -> None:
    manager = ModelManager(folder, registry=registry, patience=PATIENCE)
    with pytest.raises(ModelMissingError, match="licence has not been accepted"):
        install_models(manager, ["known"], lambda line: None)


def test_the_list_says_first_what_is_there_what_is_lacking_and_what_there_is(
    folder: Path, registry: Registry
) -> None:
    manager = ModelManager(folder, registry=load_registry(), patience=PATIENCE)
    text = list_models(manager, AutomationConfig())
    assert "nothing yet" in text
    assert "mesh is not installed: `python3 simple_auto_processor.py models install mesh`" in text
    assert "face_enhancer is not installed" in text and "frame_enhancer is not" not in text
    assert "inswapper_128 " in text and "non-commercial research" in text
    assert "xseg_1" not in text and len(text.splitlines()) < 30
    assert "xseg_1" in list_all_models(manager)


def test_what_a_processor_needs_is_served_by_any_installed_model_of_its_kind(folder: Path) -> None:
    folder.mkdir()
    content = b"an enhancer of one's own"
    (folder / "own.onnx").write_bytes(content)
    contract = 'template = "ffhq_512", size = 512, pixels = "rgb_signed"'
    add_own_model(folder, "own", "enhancer", "own.onnx", content, contract)
    text = list_models(ModelManager(folder), AutomationConfig())
    assert "face_enhancer is not installed" not in text and "own " in text


def test_settings_ask_for_no_more_than_they_use() -> None:
    fast = AutomationConfig(quality_preset="fast")
    assert wanted_names(fast) == ("mesh",)
    much = AutomationConfig.model_validate(
        {
            "quality_preset": "best",
            "engine": "neural",
            "face_selector_mode": "reference",
            "face_detector_model": "yunet_2023_mar",
            "neural": {"enhancer": "codeformer", "age": 30},
        }
    )
    names = wanted_names(much)
    assert set(names) == {
        *("mesh", "neural", "codeformer", "frame_enhancer", "age_modifier", "reference", "yunet_2023_mar")
    }
    installed = {model.name for model in load_registry().expand(names)}
    assert {"inswapper_128", "arcface_w600k_r50", "codeformer", "fran"} <= installed
    assert "gfpgan_1.4" not in installed and "hyperswap_1a_256" not in installed


@pytest.mark.parametrize("processor", ["face_swapper", "face_enhancer", "frame_enhancer", "age_modifier"])
def test_every_processor_of_the_profiles_knows_what_it_needs(processor: str) -> None:
    assert load_registry().expand([processor])


def test_a_licence_accepted_on_the_command_line_is_noted_and_not_asked_again(
    folder: Path, registry: Registry
) -> None:
    said: list[str] = []
    install_models(
        ModelManager(folder, registry=registry, patience=PATIENCE),
        ["known"],
        said.append,
        accept_licences=True,
    )
    assert sum("For research only" in line for line in said) == 1
    (folder / "known.onnx").unlink()
    later: list[str] = []
    install_models(ModelManager(folder, registry=registry, patience=PATIENCE), ["known"], later.append)
    assert not any("icence" in line for line in later) and later[-1] == "Ready: known, helper."


def test_a_swapper_brings_a_recogniser_where_none_is_installed(folder: Path) -> None:
    manager = ModelManager(folder, patience=PATIENCE)
    asked: list[str] = []

    def ask(licence: Licence, models: Sequence[Model]) -> bool:
        asked.extend(model.name for model in models)
        return False

    for name in ("inswapper_128", "blendswap_256"):
        with pytest.raises(ModelMissingError):
            install_models(manager, [name], lambda line: None, ask=ask)
    assert asked == ["inswapper_128", "arcface_w600k_r50", "blendswap_256"]

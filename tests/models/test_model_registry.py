"""The table of models is sound, and a mistake in it is named."""

from __future__ import annotations

import pytest

from facefusion.errors import ConfigError
from facefusion.models.registry import REGISTRY_FILE, load_registry, parse_registry

TABLE = REGISTRY_FILE.read_text(encoding="utf-8")


def test_every_model_has_a_licence_and_is_needed_by_something() -> None:
    for model in load_registry().models.values():
        assert model.licence.title and model.licence.url.startswith("https://"), model.name
        assert model.needed_by, model.name
        assert model.size > 0 and len(model.sha256) == 64, model.name


def test_names_and_file_names_both_find_a_model() -> None:
    registry = load_registry()
    assert registry.find("face_landmark") is registry.find("face_landmark.tflite")


def test_engines_and_names_can_be_mixed_and_count_once() -> None:
    names = [model.name for model in load_registry().expand(["face_landmark", "mesh"])]
    assert names[0] == "face_landmark"
    assert len(names) == len(set(names)) >= 4


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (('licence = "apache-2"', 'licence = "unheard-of"'), "unknown licence 'unheard-of'"),
        (('file = "iris_landmark.tflite"', 'file = "../iris_landmark.tflite"'), "leaves the models folder"),
        (('file = "iris_landmark.tflite"', 'file = "FACE_landmark.tflite"'), "share one file name"),
        (("size = 1242398", "size = 0"), "size or sha256"),
        (("1055cb9d", "1055CB9D"), "size or sha256"),
        (('"iris_landmark",', '"iris",'), "unknown model 'iris'"),
        (("[licences.apache-2]", "[licences.apache-2"), "damaged"),
        (("commercial_use = true", "commercial = true"), "damaged"),
    ],
)
def test_a_mistake_in_the_table_is_named(change: tuple[str, str], named: str) -> None:
    assert change[0] in TABLE
    with pytest.raises(ConfigError, match=named.replace("'", ".")):
        parse_registry(TABLE.replace(*change, 1))

"""A mistake in the settings file is named with line, key, value and what is allowed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from facefusion.config import AutomationConfig, load_config, parse_config, save_config
from facefusion.errors import ConfigError


def told(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_config(text, name="settings.json")
    assert caught.value.message.startswith("settings.json")
    assert caught.value.message.endswith((".", "?"))
    return caught.value.message.removeprefix("settings.json")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{\n"watch_interval": 0}', ", line 2: `watch_interval` is 0; allowed: 1 to 60."),
        ('{"watch_interval": "5"}', ', line 1: `watch_interval` is "5"; allowed: 1 to 60.'),
        ('{"max_retries": true}', ", line 1: `max_retries` is true; allowed: 0 to 10."),
        (
            '{"group_videos_by_face": "yes"}',
            ', line 1: `group_videos_by_face` is "yes"; allowed: `true`, `false`.',
        ),
        (
            '{"limits": {"job_minutes": "7"}}',
            ', line 1: `limits.job_minutes` is "7"; allowed: 0 to 10080.',
        ),
        ('{"max_retries": 2.5}', ", line 1: `max_retries` is 2.5; allowed: whole numbers 0 to 10."),
        (
            '{"quality_preset": "god"}',
            ', line 1: `quality_preset` is "god"; allowed: `fast`, `balanced`, `best`.',
        ),
        ('{"mesh": {\n"shape_strength": 2}}', ", line 2: `mesh.shape_strength` is 2; allowed: 0 to 1."),
        ('{"output": "mp4"}', ', line 1: `output` is "mp4"; allowed: an object in braces.'),
        ('{"inbox": 5}', ", line 1: `inbox` is 5; allowed: text."),
        ('{"accept_use_policy": -1}', ", line 1: `accept_use_policy` is -1; allowed: 0 or more."),
        (
            '{"neural": {"masks": ["box",\n"bx"]}}',
            ', line 2: `neural.masks` holds "bx"; allowed there: `box`, `occlusion`, `region`, `outline`.',
        ),
        (
            '{"watch_intervall": 3}',
            ", line 1: `watch_intervall` is not a setting; did you mean `watch_interval`?",
        ),
        (
            '{"video_quality": 80}',
            ", line 1: `video_quality` is not a setting; did you mean `output.video_quality`?",
        ),
        (
            '{"frobnicate": 1}',
            ", line 1: `frobnicate` is not a setting; README.md and `config schema` list them all.",
        ),
        (
            '{"engine":\n"mesh",\n"engine": "auto"}',
            ", line 3: `engine` stands there twice, first in line 1.",
        ),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(text: str, sentence: str) -> None:
    assert told(text) == sentence


@pytest.mark.parametrize("text", ['{"max_retries": ' + "9" * 5000 + "}", "[" * 200_000])
def test_what_no_person_writes_is_refused_as_well(text: str) -> None:
    assert told(text) == ": a number in it is too long, or its brackets are nested too deep."


def test_all_mistakes_are_told_at_once_in_the_order_of_the_lines() -> None:
    text = '{"mesh": {"shape_strength": 9},\n"watch_interval": 99,\n"engine": "x"}'
    assert [part.split("`")[1] for part in told(text).split("ine ")[1:]] == [
        "mesh.shape_strength",
        "watch_interval",
        "engine",
    ]


def test_a_key_is_found_in_its_own_section_and_not_in_a_text() -> None:
    text = '{"outbox": "age",\n"inbox": "{[\\"age\\": ",\n"neural": {\n"age": 101}}'
    assert told(text) == ", line 4: `neural.age` is 101; allowed: 0 to 100 or `null`."


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "the file is empty"),
        ('{"engine": "mesh",\n}', "one comma too many"),
        ('{"engine": "mesh"\n"inbox": "x"}', "a comma is missing"),
        ('{"engine" "mesh"}', "a colon is missing"),
        ('{"engine": "mesh"', "a closing brace is missing"),
        ('{"inbox": "in\n}', 'a closing " is missing'),
        ('{"inbox": "C:\\Users"}', "a backslash must be written twice"),
        ("{'inbox': 'x'}", "double quotes"),
        ('{"group_videos_by_face": True}', "write true instead of True"),
        ('{"engine": mesh}', 'write "mesh" instead of mesh'),
        ("// hello\n{}", "comments are not possible"),
        ("{} {}", "after the closing brace"),
        ("[]", "in braces"),
    ],
)
def test_text_that_is_no_json_is_explained_in_words(text: str, what: str) -> None:
    assert what in told(text)


def test_the_file_that_comes_with_the_program_holds_every_setting_with_its_default() -> None:
    shipped = json.loads((Path(__file__).parents[2] / "automation_config.json").read_text(encoding="utf-8"))
    assert shipped == AutomationConfig().model_dump(mode="json", by_alias=True)


def test_another_encoding_is_said(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    path.write_bytes('{"inbox": "ü"}'.encode("utf-16"))
    with pytest.raises(ConfigError, match="save it as UTF-8"):
        load_config(path)


def test_settings_that_cannot_be_written_leave_nothing_beside_them(tmp_path: Path) -> None:
    folder = tmp_path / "automation_config.json"
    folder.mkdir()
    with pytest.raises(OSError):
        save_config(AutomationConfig(), folder)
    assert list(tmp_path.iterdir()) == [folder]

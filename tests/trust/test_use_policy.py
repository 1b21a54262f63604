"""The use policy is accepted once, for this installation, in this version, and nameless."""

from __future__ import annotations

import hashlib
import json
import stat
import sys
from pathlib import Path

import pytest

from facefusion.config import AutomationConfig
from facefusion.errors import ConfigError, ErrorCategory, PolicyNotAcceptedError, StorageError
from facefusion.trust import policy

NOTHING_SET = AutomationConfig()


def test_nothing_is_accepted_before_somebody_accepts(tmp_path: Path) -> None:
    assert not policy.is_accepted(tmp_path / ".automation", NOTHING_SET)
    with pytest.raises(PolicyNotAcceptedError) as raised:
        policy.require_accepted(tmp_path / ".automation", NOTHING_SET)
    assert raised.value.category is ErrorCategory.POLICY
    assert "--accept-use-policy" in raised.value.remedy


def test_an_acceptance_holds_for_the_next_start(tmp_path: Path) -> None:
    state = tmp_path / ".automation"
    policy.accept(state, policy.CURRENT_VERSION, "launcher")
    assert policy.is_accepted(state, NOTHING_SET)
    policy.require_accepted(state, NOTHING_SET)


def test_the_settings_accept_as_well(tmp_path: Path) -> None:
    assert policy.is_accepted(tmp_path, AutomationConfig(accept_use_policy=policy.CURRENT_VERSION))
    assert not policy.is_accepted(tmp_path, AutomationConfig(accept_use_policy=policy.CURRENT_VERSION + 1))


def test_the_record_says_what_when_where_and_not_who(tmp_path: Path) -> None:
    state = tmp_path / ".automation"
    policy.accept(state, policy.CURRENT_VERSION, "command line")
    record = json.loads((state / policy.POLICY_FILE).read_text())
    assert record.keys() == {"version", "text_sha256", "accepted_at", "interface"}
    assert record["text_sha256"] == hashlib.sha256("\n".join(policy.POLICY_TEXT).encode()).hexdigest()
    assert record["interface"] == "command line"
    assert record["accepted_at"].endswith("+00:00")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no mode bits")
def test_the_record_is_private_even_in_a_folder_that_was_open(tmp_path: Path) -> None:
    state = tmp_path / ".automation"
    state.mkdir(mode=0o755)
    policy.accept(state, policy.CURRENT_VERSION, "launcher")
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert stat.S_IMODE((state / policy.POLICY_FILE).stat().st_mode) == 0o600
    assert [entry.name for entry in state.iterdir()] == [policy.POLICY_FILE]


def test_another_version_cannot_be_accepted(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"version {policy.CURRENT_VERSION}, not 99"):
        policy.accept(tmp_path, 99, "launcher")
    assert not policy.is_accepted(tmp_path, NOTHING_SET)


@pytest.mark.parametrize("change", [{"version": 0}, {"text_sha256": "0" * 64}])
def test_an_acceptance_of_an_earlier_text_does_not_count(tmp_path: Path, change: dict[str, object]) -> None:
    policy.accept(tmp_path, policy.CURRENT_VERSION, "launcher")
    path = tmp_path / policy.POLICY_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert not policy.is_accepted(tmp_path, NOTHING_SET)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"version": 1}', "\x00\x01"])
def test_a_damaged_record_is_no_acceptance_and_no_crash(tmp_path: Path, content: str) -> None:
    (tmp_path / policy.POLICY_FILE).write_text(content)
    assert not policy.is_accepted(tmp_path, NOTHING_SET)
    policy.accept(tmp_path, policy.CURRENT_VERSION, "launcher")
    assert policy.is_accepted(tmp_path, NOTHING_SET)


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError):
        policy.accept(tmp_path / "file" / ".automation", policy.CURRENT_VERSION, "launcher")


def test_a_changed_text_needs_a_new_version() -> None:
    assert len(policy.POLICY_TEXT) == 5
    known = {1: "7a2e680c566f79478152d7e85f03dbe247766e6e9864926c99865965660ff4bb"}
    assert known[policy.CURRENT_VERSION] == policy.text_sha256()

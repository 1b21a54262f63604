"""The scripted session of these tests keeps to the contract of the real one."""

from __future__ import annotations

import dataclasses
import inspect
import json
import sys

import pytest
import scripted_session

from facefusion import pipeline
from facefusion.automation.worker import DEFAULT_FACTORY
from facefusion.automation.worker_process import load_factory, oversight_of
from facefusion.config import json_schema
from facefusion.errors import SealingError
from facefusion.trust.oversight import Oversight


def test_the_stand_in_for_what_is_kept_has_the_fields_of_the_real_one() -> None:
    real = [field.name for field in dataclasses.fields(pipeline.Keeping)]
    assert [field.name for field in dataclasses.fields(scripted_session.Keeping)] == real


def test_the_scripted_session_is_made_and_used_like_the_real_one() -> None:
    for method in ("__init__", "swap", "warm_up"):
        real = inspect.signature(getattr(pipeline.SwapSession, method)).parameters
        assert list(inspect.signature(getattr(scripted_session.ScriptedSession, method)).parameters) == list(
            real
        )
    assert list(inspect.signature(scripted_session.planned_suffix).parameters) == ["target", "config"]
    assert list(inspect.signature(pipeline.planned_suffix).parameters) == ["target", "config"]


def test_the_program_s_own_session_runs_under_the_program_s_own_oversight() -> None:
    assert not hasattr(pipeline.SwapSession, "make_oversight")
    assert oversight_of(load_factory(DEFAULT_FACTORY)) is Oversight


def test_no_setting_and_no_command_names_another_session() -> None:
    assert "factory" not in json.dumps(json_schema()).lower()
    assert "oversight" not in json.dumps(json_schema()).lower()


def test_the_stand_in_for_the_oversight_is_made_and_used_like_the_real_one() -> None:
    for method in ("open", "close"):
        assert hasattr(scripted_session.NoOversight, method)
    made = inspect.signature(scripted_session.NoOversight.__init__).parameters
    assert list(made) == list(inspect.signature(Oversight.__init__).parameters)[: len(made)]


def test_without_what_signs_nothing_runs_and_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "facefusion.trust.oversight", None)
    with pytest.raises(SealingError, match="cannot be loaded") as raised:
        oversight_of(load_factory(DEFAULT_FACTORY))
    assert "launch_automation.py" in raised.value.remedy

"""The scripted session of these tests keeps to the contract of the real one."""

from __future__ import annotations

import dataclasses
import inspect

import pytest
import scripted_session

from facefusion import pipeline


@pytest.mark.parametrize("name", ["SwapRequest", "SwapProgress", "SwapResult"])
def test_the_stand_ins_have_the_fields_of_the_real_ones(name: str) -> None:
    real = [field.name for field in dataclasses.fields(getattr(pipeline, name))]
    assert [field.name for field in dataclasses.fields(getattr(scripted_session, name))] == real


def test_the_scripted_session_is_made_and_used_like_the_real_one() -> None:
    for method in ("__init__", "swap", "warm_up"):
        real = inspect.signature(getattr(pipeline.SwapSession, method)).parameters
        assert list(inspect.signature(getattr(scripted_session.ScriptedSession, method)).parameters) == list(
            real
        )
    assert list(inspect.signature(scripted_session.planned_suffix).parameters) == ["target", "config"]
    assert list(inspect.signature(pipeline.planned_suffix).parameters) == ["target", "config"]

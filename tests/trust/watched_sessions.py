"""Sessions for real worker processes in which one part of the oversight is a stand-in.

`Refusing*`: the real engine and the real gate, with a model that is told what to answer; there is no explicit
material in these tests. `Stating`: the consent of the face, with targets that are no media.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from facefusion.config import AutomationConfig
from facefusion.trust.consent import consent_for
from facefusion.trust.rules import GateModel

CLASS = "FEMALE_BREAST_EXPOSED"


class Scripted:
    """Answers as it is told: clean for the first looks, then not."""

    model = GateModel("scripted", "0" * 64)
    side = 320

    def __init__(self, clean_looks: int) -> None:
        self._clean_looks = clean_looks

    def score(self, picture: Any) -> Mapping[str, float]:
        self._clean_looks -= 1
        return {CLASS: 0.01 if self._clean_looks >= 0 else 0.91}


def _refusing(clean_looks: int) -> Any:
    def make(state_dir: Path, models_dir: Path) -> Any:
        from facefusion.trust import oversight
        from facefusion.trust.gate import ContentGate

        def gate(folder: Path, config: AutomationConfig) -> ContentGate:
            return ContentGate(folder, config, load=lambda *_: Scripted(clean_looks))

        oversight.ContentGate = gate  # type: ignore[assignment,misc]
        return oversight.Oversight(state_dir, models_dir)

    return make


def _real_session(models_dir: Path, *, threads: int) -> Any:
    from facefusion.pipeline import SwapSession

    return SwapSession(models_dir, threads=threads)


class RefusingTarget:
    make_oversight = _refusing(0)

    def __new__(cls, models_dir: Path, *, threads: int) -> Any:
        return _real_session(models_dir, threads=threads)


class RefusingOutput:
    make_oversight = _refusing(2)  # the target (a photo or one look) and its source pass

    def __new__(cls, models_dir: Path, *, threads: int) -> Any:
        return _real_session(models_dir, threads=threads)


class Statement:
    """Oversight over nothing but consent."""

    label = marker = inspector = result_id = None

    def __init__(self, state_dir: Path, models_dir: Path) -> None:
        self._consent: dict[str, str | None] | None = None

    def open(self, target: Path, faces: Sequence[Path], config: AutomationConfig, alive: Any) -> Statement:
        consent = consent_for(faces, required=config.require_face_consent)
        self._consent = None if consent is None else consent.as_dict()
        return self

    def close(self, work: Path, result: Mapping[str, Any]) -> dict[str, Any]:
        return {"consent": self._consent}


class Stating:
    make_oversight = Statement

    def __new__(cls, models_dir: Path, *, threads: int) -> Any:
        from scripted_session import ScriptedSession

        return ScriptedSession(models_dir, threads=threads)

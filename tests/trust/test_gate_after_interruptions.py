"""The gate judges a result that was interrupted as it would have judged it in one go."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from gate_material import gate, shade, write_picture, write_scores

from facefusion.errors import ContentBlockedError
from facefusion.jobspec import RememberingInspector
from facefusion.media.frame import PackedFrame
from facefusion.trust.gate import ContentGate

MOMENTS = [0.1 * number + 1.5 * (number // 9) for number in range(60)]
"""Ten frames a second, and every ninth one stands still for longer than that."""


def fresh(clip: Path, face: Path) -> ContentGate:
    made = gate()
    made.check_target(clip)
    made.check_sources([face])
    return made


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("gate")
    clip = write_scores(folder / "clip.mp4", lambda seconds: 0.1, seconds=3)
    return clip, write_picture(folder / "face.png", 0.1)


def judged(made: ContentGate, inspector: Any, scores: list[float], begin: int = 0, end: int = 60) -> str:
    """What becomes of frames from `begin` to `end`; empty where nothing is refused."""
    try:
        for number in range(begin, end):
            inspector.inspect(PackedFrame(shade(scores[number])), MOMENTS[number])
        if end == len(scores):
            made.require_passed()
    except ContentBlockedError as error:
        return error.message
    return ""


@pytest.mark.parametrize("seed", range(12))
def test_an_interruption_anywhere_changes_nothing(material: tuple[Path, Path], seed: int) -> None:
    chance = random.Random(seed)
    scores = [chance.choice([0.05, 0.1, 0.2, 0.3]) for _ in range(60)]
    for _ in range(seed % 4):  # none, one, or several suspicious ones, near each other or not
        place = chance.randrange(60)
        for number in range(place, min(60, place + chance.choice([1, 12]))):
            scores[number] = chance.choice([0.4, 0.5, 0.7])
    whole = fresh(*material)
    verdict = judged(whole, whole.inspector(), scores)
    for cut in range(2, 60, 5):
        before, after = fresh(*material), fresh(*material)
        first, second = before.inspector(), after.inspector()
        assert isinstance(first, RememberingInspector)
        early = judged(before, first, scores, end=cut)
        if early:
            assert early == verdict
            continue
        second.recall(json.loads(json.dumps(first.memory())))
        assert judged(after, second, scores, begin=cut) == verdict
        assert after.result == whole.result


def test_the_seeds_show_both_what_passes_and_what_is_refused(material: tuple[Path, Path]) -> None:
    assert judged(*inspected(material), [0.1] * 60) == ""
    assert "refused" in judged(*inspected(material), [0.1] * 30 + [0.7] * 30)


def inspected(material: tuple[Path, Path]) -> tuple[ContentGate, Any]:
    made = fresh(*material)
    return made, made.inspector()


def test_a_picture_that_stands_still_over_the_interruption_is_judged_like_a_photo(
    material: tuple[Path, Path],
) -> None:
    before, first = inspected(material)
    first.inspect(PackedFrame(shade(0.1)), 0.0)
    first.inspect(PackedFrame(shade(0.5)), 1.0)
    after, second = inspected(material)
    second.recall(json.loads(json.dumps(first.memory())))
    with pytest.raises(ContentBlockedError, match=r"at 1\.0 s"):
        second.inspect(PackedFrame(shade(0.1)), 3.0)
    assert (before.result["verdict"], after.result["verdict"]) == ("passed", "refused")

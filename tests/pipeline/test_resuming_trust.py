"""D12: of what an interrupted video has left, only what is whole and was made alike is used."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from attempts import EVERY, Attempts
from face_material import Image, read_clip, write_clip

from facefusion import targets
from facefusion.errors import EngineError, VerificationError
from facefusion.media.encoding import PictureEncoder
from facefusion.media.plan import OutputPlan
from facefusion.media.segments import Segments
from facefusion.swap.mesh.engine import MeshEngine


@pytest.mark.parametrize(
    "change",
    [
        {"facts": {"target": "another"}},
        {"output": {"video_quality": 40}},
        {"mesh": {"shape_strength": 0.5}},
        {"face_selector_mode": "all"},
        {"gate": {"hard_threshold": 0.3}},
        {"every": 10},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_was_made_otherwise_is_thrown_away(
    interrupted: Attempts, change: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    result = interrupted.run(**change)
    assert result.resumed is None
    assert interrupted.witness.fresh == result.frames == 40
    assert "made anew" in caplog.text
    assert interrupted.run(**change).resumed is not None, "what is kept now is of the new kind"


@pytest.mark.parametrize("what", ["plan", "engine"])
def test_what_another_encoder_or_model_has_made_is_thrown_away(
    interrupted: Attempts, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    if what == "plan":

        def other(plan: OutputPlan, *_: Any, **__: Any) -> OutputPlan:
            assert plan.encode is not None
            return replace(plan, encode=replace(plan.encode, gop=200))

        monkeypatch.setattr(targets, "accelerated", other)
    else:
        own = MeshEngine.identity.fget  # type: ignore[attr-defined]
        changed = property(lambda engine: replace(own(engine), models={"mesh": "another"}))
        monkeypatch.setattr(MeshEngine, "identity", changed)
    assert interrupted.run().resumed is None


def test_settings_that_change_no_picture_do_not_matter(interrupted: Attempts) -> None:
    result = interrupted.run(max_retries=5, watch_interval=9, workers=2, limits={"stall_seconds": 99})
    assert result.resumed is not None


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize(
    "harm",
    [
        lambda path: flip(path, path.stat().st_size // 2),
        lambda path: flip(path, -1),
        lambda path: flip(path, -50),
        cut,
        lambda path: path.write_bytes(b""),
        lambda path: path.unlink(),
        lambda path: shutil.copy(path.with_name("000003.part"), path),
    ],
    ids=["packet", "checksum", "account", "cut", "empty", "missing", "another"],
)
def test_work_goes_on_before_the_first_part_that_is_not_whole(
    interrupted: Attempts, harm: Callable[[Path], Any], caplog: pytest.LogCaptureFixture
) -> None:
    harm(interrupted.parts[2])
    result = interrupted.run()
    assert result.resumed is not None
    assert result.resumed["frame"] == 2 * EVERY
    assert interrupted.witness.fresh == 40 - 2 * EVERY
    assert "made anew" in caplog.text
    assert len(read_clip(interrupted.output)[0]) == 40


def test_a_result_that_is_not_what_it_should_be_is_not_made_of_the_same_parts_again(
    interrupted: Attempts, monkeypatch: pytest.MonkeyPatch
) -> None:

    def wrong(*_: Any) -> None:
        raise VerificationError("The result is wrong.")

    with monkeypatch.context() as patch:
        patch.setattr(targets, "verify_video", wrong)
        with pytest.raises(VerificationError):
            interrupted.run()
    assert interrupted.parts == []
    assert interrupted.run().resumed is None


def test_a_target_that_is_read_otherwise_than_before_is_noticed(
    interrupted: Attempts, views: list[Image], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stamps = [40 * number + 3 * (number == 20) for number in range(40)]
    interrupted.target = write_clip(tmp_path / "other.mp4", views, stamps=stamps, sound=True)
    remove, opened = Segments._remove, []

    def look(kept: Segments, keep: set[Path]) -> None:
        opened.extend(file.path for file in psutil.Process().open_files() if file.path.endswith(".part"))
        remove(kept, keep)

    with monkeypatch.context() as patch:
        patch.setattr(Segments, "_remove", look)
        with pytest.raises(VerificationError, match="otherwise than before"):
            interrupted.run()
    assert opened == [], "what is open cannot be removed everywhere"
    assert interrupted.parts == []
    assert interrupted.run().resumed is None


def test_an_encoder_that_does_not_begin_alike_writes_one_piece(
    attempts: Attempts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PictureEncoder, "_fresh", lambda *_: SimpleNamespace(extradata=b"something else"))
    result = attempts.run()
    assert attempts.parts == []
    assert result.frames == len(read_clip(attempts.output)[0]) == 40


def test_an_encoder_that_begins_otherwise_only_later_costs_no_finished_part(
    attempts: Attempts, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh, opened = PictureEncoder._fresh, []

    def changing(encoder: PictureEncoder, target: Any) -> Any:
        opened.append(target)
        return fresh(encoder, target) if len(opened) < 3 else SimpleNamespace(extradata=b"something else")

    with monkeypatch.context() as patch:
        patch.setattr(PictureEncoder, "_fresh", changing)
        with pytest.raises(EngineError, match="does not begin alike") as raised:
            attempts.run()
    assert raised.value.retryable
    assert not attempts.output.exists()
    result = attempts.run()
    assert result.resumed is not None
    assert result.resumed["frame"] == 2 * EVERY

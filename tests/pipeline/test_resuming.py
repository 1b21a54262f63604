"""D12: an interrupted video goes on at its last finished part, and comes out as if nothing had happened."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attempts import Attempts
from face_material import Image, read_clip, sound_packets, write_clip

from facefusion import targets
from facefusion.errors import CancelledError
from facefusion.media.probe import MediaInfo
from facefusion.pipeline import SwapResult, SwapSession


class Forgetful:
    def inspect(self, frame: Any, seconds: float) -> None:
        pass


@pytest.fixture(scope="module")
def uneven(views: list[Image], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Frames at uneven times, the first half a second late, with sound."""
    stamps, time = [], 500
    for index in range(len(views)):
        stamps.append(time)
        time += (40, 40, 67, 13, 400)[index % 5]
    return write_clip(tmp_path_factory.mktemp("uneven") / "uneven.mp4", views, stamps=stamps, sound=True)


def same_work(result: SwapResult, other: SwapResult) -> bool:
    def work(done: SwapResult) -> tuple[Any, ...]:
        return done.outcome, done.frames, done.frames_swapped, done.tracks, done.media

    return work(result) == work(other)


@pytest.mark.parametrize("name", ["clip", "uneven"])
def test_d12_an_interrupted_video_comes_out_as_if_nothing_had_happened(
    session: SwapSession,
    face_file: Path,
    tmp_path: Path,
    name: str,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    target = request.getfixturevalue(name)
    whole = Attempts(session, target, face_file, tmp_path / "whole")
    (tmp_path / "whole").mkdir()
    expected = whole.run()
    assert expected.resumed is None
    assert len(whole.parts) == 5, "also the last part: the end of a large file takes long to write"

    broken = Attempts(session, target, face_file, tmp_path / "broken")
    (tmp_path / "broken").mkdir()
    broken.interrupt(36)
    assert [path.name for path in broken.parts] == [f"00000{number}.part" for number in range(4)]
    assert not broken.output.exists()
    painted: list[int] = []
    paint = targets._paint

    def spy(frame: Any, *more: Any) -> list[int]:
        painted.append(frame.index)
        return paint(frame, *more)

    monkeypatch.setattr(targets, "_paint", spy)
    result = broken.run()

    assert result.resumed is not None
    assert result.resumed["frame"] == 32
    assert [w for w in result.warnings if "interrupted and went on at frame 32" in w]
    assert sorted(painted) == list(range(32, 40)), "nothing is painted twice"
    assert broken.witness.fresh == 8
    assert broken.witness.seen == whole.witness.seen, "the gate knows what it saw before"
    assert same_work(result, expected)
    assert set(result.timings) == set(expected.timings)
    (before, before_times), (after, after_times) = read_clip(whole.output), read_clip(broken.output)
    assert before_times == after_times == read_clip(target)[1]
    assert len(after) == 40
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)
    assert sound_packets(broken.output) == sound_packets(target)


def test_the_end_is_reached_again_without_encoding_where_all_was_finished(
    attempts: Attempts, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(targets, "verify_video", stop)
        with pytest.raises(CancelledError):
            attempts.run()
    assert len(attempts.parts) == 5
    assert not attempts.output.exists()
    result = attempts.run()
    assert attempts.witness.fresh == 0
    assert result.resumed is not None
    assert (result.resumed["frame"], result.frames, result.frames_swapped) == (40, 40, 40)
    assert len(read_clip(attempts.output)[0]) == 40


def stop(*_: Any) -> None:
    raise CancelledError("a blow")


def test_a_video_may_be_interrupted_again_and_again(attempts: Attempts) -> None:
    for stop_at, known in ((12, 0), (20, 8), (25, 16), (39, 24)):
        attempts.interrupt(stop_at)
        assert attempts.witness.fresh == stop_at - known
    result = attempts.run()
    assert attempts.witness.fresh == 8
    assert result.frames == result.frames_swapped == 40
    assert result.tracks == ({"id": 0, "first_frame": 0, "last_frame": 39, "frames_swapped": 40},)


def test_progress_says_that_finished_frames_are_looked_at_again(interrupted: Attempts) -> None:
    interrupted.run()
    stages = list(dict.fromkeys(step.stage for step in interrupted.progress))
    assert [stage for stage in stages if stage != "resuming"] == ["preparing", "swapping", "finishing"]
    again = [step for step in interrupted.progress if step.stage == "resuming"]
    assert again, "told at least once"
    assert all(step.frames_done <= 32 and step.seconds_left is None for step in again)
    done = [step.frames_done for step in interrupted.progress if step.stage != "preparing"]
    assert done == sorted(done)


def test_seconds_and_timings_are_those_of_the_whole(interrupted: Attempts) -> None:
    last = interrupted.parts[-1].read_bytes()
    noted = json.loads(last[last.rindex(b'{"fingerprint"') : -36])["memory"]
    result = interrupted.run()
    assert result.resumed is not None
    assert result.resumed["seconds_before"] == noted["seconds"] > 0
    for stage, seconds in noted["timings"].items():
        assert result.timings[stage] >= round(seconds, 3)


def test_what_has_failed_before_is_read_by_the_software(
    attempts: Attempts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A decoder of a device may have taken the process with it; finished parts are of use all the same."""
    asked: list[MediaInfo] = []

    def on_device(info: MediaInfo, *_: Any, **__: Any) -> MediaInfo:
        asked.append(info)
        return info

    monkeypatch.setattr(targets, "on_device", on_device)
    attempts.interrupt(36)
    assert len(asked) == 1
    assert attempts.run(again=True).resumed is not None
    assert len(asked) == 1


def test_short_videos_are_not_taken_apart(attempts: Attempts) -> None:
    attempts.run(every=14)
    assert attempts.parts == []
    attempts.run(every=None)
    assert attempts.parts == [], "ten seconds are a part; below three of them nothing is gained"


def test_without_a_place_or_a_gate_that_remembers_nothing_is_kept(attempts: Attempts) -> None:
    attempts.run(keep=False)
    attempts.run(inspector=Forgetful())
    assert attempts.parts == []

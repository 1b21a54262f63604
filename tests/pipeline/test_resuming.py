"""D12: an interrupted video goes on at its last finished part, and comes out as if nothing had happened."""

from __future__ import annotations

import json
import shutil
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest
from face_material import Image, read_clip, sound_packets, write_clip

from facefusion import resuming, targets
from facefusion.config import AutomationConfig
from facefusion.errors import CancelledError, EngineError, StorageError, VerificationError
from facefusion.media import segments
from facefusion.media.encoding import PictureEncoder
from facefusion.media.plan import OutputPlan
from facefusion.media.probe import MediaInfo
from facefusion.media.segments import Keeping, Segments
from facefusion.pipeline import SwapProgress, SwapRequest, SwapResult, SwapSession
from facefusion.swap.mesh.engine import MeshEngine

EVERY = 8
"""Pictures in a part; the clip has 40 of them."""


class Witness:
    """Marks every frame in one corner, and remembers which frames it was shown."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.seen: list[float] = []
        self.fresh = 0
        self._stop_at = stop_at

    def mark(self, frame: Any) -> None:
        frame.planes[0][:4, :4] = 200

    def inspect(self, frame: Any, seconds: float) -> None:
        self.seen.append(seconds)
        self.fresh += 1
        if len(self.seen) == self._stop_at:
            raise CancelledError("a blow")

    def memory(self) -> Mapping[str, Any]:
        return {"seen": self.seen}

    def recall(self, memory: Mapping[str, Any]) -> None:
        self.seen = list(memory["seen"])


class Forgetful:
    def inspect(self, frame: Any, seconds: float) -> None:
        pass


@dataclass
class Attempts:
    """Attempts at one job, one after the other."""

    session: SwapSession
    target: Path
    face: Path
    folder: Path
    witness: Witness = field(default_factory=Witness)
    progress: list[SwapProgress] = field(default_factory=list)

    @property
    def output(self) -> Path:
        return self.folder / f"result{self.target.suffix}"

    @property
    def parts(self) -> list[Path]:
        return sorted((self.folder / "kept").glob("*"))

    def run(
        self,
        stop_at: int | None = None,
        *,
        facts: Mapping[str, Any] | None = None,
        every: int | None = EVERY,
        keep: bool = True,
        inspector: Any = None,
        again: bool = False,
        **settings: Any,
    ) -> SwapResult:
        self.output.unlink(missing_ok=True)
        self.witness, self.progress = Witness(stop_at), []
        request = SwapRequest(
            target=self.target,
            faces=(self.face,),
            face_digest="man",
            output=self.output,
            config=AutomationConfig.model_validate({"quality_preset": "fast", "engine": "mesh", **settings}),
            marker=self.witness,
            inspector=inspector or self.witness,
            keeping=Keeping(self.folder / "kept", facts or {"target": "one"}, every) if keep else None,
            again=again,
        )
        return self.session.swap(request, self.progress.append, lambda: False)

    def interrupt(self, stop_at: int, **more: Any) -> None:
        with pytest.raises(CancelledError, match="a blow"):
            self.run(stop_at, **more)


@pytest.fixture
def attempts(session: SwapSession, clip: Path, face_file: Path, tmp_path: Path) -> Attempts:
    return Attempts(session, clip, face_file, tmp_path)


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


def test_progress_says_that_finished_frames_are_looked_at_again(attempts: Attempts) -> None:
    attempts.interrupt(36)
    attempts.run()
    stages = list(dict.fromkeys(step.stage for step in attempts.progress))
    assert [stage for stage in stages if stage != "resuming"] == ["preparing", "swapping", "finishing"]
    again = [step for step in attempts.progress if step.stage == "resuming"]
    assert again, "told at least once"
    assert all(step.frames_done <= 32 and step.seconds_left is None for step in again)
    done = [step.frames_done for step in attempts.progress if step.stage != "preparing"]
    assert done == sorted(done)


def test_seconds_and_timings_are_those_of_the_whole(attempts: Attempts) -> None:
    attempts.interrupt(36)
    last = attempts.parts[-1].read_bytes()
    noted = json.loads(last[last.rindex(b'{"fingerprint"') : -36])["memory"]
    result = attempts.run()
    assert result.resumed is not None
    assert result.resumed["seconds_before"] == noted["seconds"] > 0
    for stage, seconds in noted["timings"].items():
        assert result.timings[stage] >= round(seconds, 3)


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
    attempts: Attempts, change: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    attempts.interrupt(36)
    result = attempts.run(**change)
    assert result.resumed is None
    assert attempts.witness.fresh == result.frames == 40
    assert "made anew" in caplog.text
    assert attempts.run(**change).resumed is not None, "what is kept now is of the new kind"


@pytest.mark.parametrize("what", ["plan", "engine"])
def test_what_another_encoder_or_model_has_made_is_thrown_away(
    attempts: Attempts, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    attempts.interrupt(36)
    if what == "plan":

        def other(plan: OutputPlan, *_: Any, **__: Any) -> OutputPlan:
            assert plan.encode is not None
            return replace(plan, encode=replace(plan.encode, gop=200))

        monkeypatch.setattr(targets, "accelerated", other)
    else:
        own = MeshEngine.identity.fget  # type: ignore[attr-defined]
        changed = property(lambda engine: replace(own(engine), models={"mesh": "another"}))
        monkeypatch.setattr(MeshEngine, "identity", changed)
    assert attempts.run().resumed is None


def test_settings_that_change_no_picture_do_not_matter(attempts: Attempts) -> None:
    attempts.interrupt(36)
    result = attempts.run(max_retries=5, watch_interval=9, workers=2, limits={"stall_seconds": 99})
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
    attempts: Attempts, harm: Callable[[Path], Any], caplog: pytest.LogCaptureFixture
) -> None:
    attempts.interrupt(36)
    harm(attempts.parts[2])
    result = attempts.run()
    assert result.resumed is not None
    assert result.resumed["frame"] == 2 * EVERY
    assert attempts.witness.fresh == 40 - 2 * EVERY
    assert "made anew" in caplog.text
    assert len(read_clip(attempts.output)[0]) == 40


def test_a_result_that_is_not_what_it_should_be_is_not_made_of_the_same_parts_again(
    attempts: Attempts, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts.interrupt(36)

    def wrong(*_: Any) -> None:
        raise VerificationError("The result is wrong.")

    with monkeypatch.context() as patch:
        patch.setattr(targets, "verify_video", wrong)
        with pytest.raises(VerificationError):
            attempts.run()
    assert attempts.parts == []
    assert attempts.run().resumed is None


def test_a_target_that_is_read_otherwise_than_before_is_noticed(
    attempts: Attempts, views: list[Image], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts.interrupt(36)
    stamps = [40 * number + 3 * (number == 20) for number in range(40)]
    attempts.target = write_clip(tmp_path / "other.mp4", views, stamps=stamps, sound=True)
    remove, opened = Segments._remove, []

    def look(kept: Segments, keep: set[Path]) -> None:
        opened.extend(file.path for file in psutil.Process().open_files() if file.path.endswith(".part"))
        remove(kept, keep)

    with monkeypatch.context() as patch:
        patch.setattr(Segments, "_remove", look)
        with pytest.raises(VerificationError, match="otherwise than before"):
            attempts.run()
    assert opened == [], "what is open cannot be removed everywhere"
    assert attempts.parts == []
    assert attempts.run().resumed is None


def test_a_part_that_cannot_be_removed_keeps_no_other(
    attempts: Attempts, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts.interrupt(36)
    unlink = Path.unlink

    def stubborn(path: Path, missing_ok: bool = False) -> None:
        if path.name == "000001.part":
            raise PermissionError(13, "It is being used by another process")
        unlink(path, missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", stubborn)
        kept = Segments(Keeping(attempts.folder / "kept"), "", 8)
        kept.open(b"")
    assert [path.name for path in attempts.parts] == ["000001.part"]


def test_what_was_noted_with_earlier_parts_takes_no_memory(attempts: Attempts) -> None:
    """A long film has hundreds of parts, and each notes all faces so far."""
    kept = Segments(Keeping(attempts.folder / "kept"), "", 1)
    kept.open(b"")
    notes = [Note() for _ in range(5)]
    watched = [weakref.ref(note) for note in notes]
    for stamp in range(5):
        kept.picture(stamp)
        kept.finish(notes.pop())
    assert len(attempts.parts) == 5
    assert not [note for note in watched if note() is not None]


class Note(dict[str, int]):
    """A dictionary that can be watched."""


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


def test_a_disk_that_is_nearly_full_is_left_to_the_result(
    attempts: Attempts, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    attempts.interrupt(36)
    nearly_full = shutil._ntuple_diskusage(10**9, 9 * 10**8, 10**8)  # type: ignore[attr-defined]
    monkeypatch.setattr(segments.shutil, "disk_usage", lambda folder: nearly_full)
    result = attempts.run()
    assert result.resumed is None
    assert attempts.parts == []
    assert result.frames == len(read_clip(attempts.output)[0]) == 40
    assert caplog.text.count("too full") == 2, "what there was, and what would have been"


def test_what_is_kept_makes_room_for_what_publishing_needs(
    attempts: Attempts, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[int] = []
    verify = targets.verify_video

    def free(folder: Path) -> Any:
        room = 200_000_000 + attempts.output.stat().st_size if kept else 10**9
        return shutil._ntuple_diskusage(10**9, 0, room)  # type: ignore[attr-defined]

    def look(*given: Any) -> None:
        kept.append(len(attempts.parts))
        verify(*given)

    monkeypatch.setattr(segments.shutil, "disk_usage", free)
    monkeypatch.setattr(targets, "verify_video", look)
    attempts.run()
    assert kept == [5]
    assert attempts.parts == [], "signing makes two copies of the result"


def test_d3_a_target_that_certainly_does_not_fit_is_not_begun(
    attempts: Attempts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resuming, "free_disk", lambda folder: 1000)
    with pytest.raises(StorageError, match=r"clip\.mp4 needs at least .* there are .* for it") as raised:
        attempts.run(keep=False)
    assert raised.value.retryable and "by itself" in raised.value.remedy
    assert (attempts.witness.seen, attempts.output.exists()) == ([], False)


def test_d3_work_stops_when_what_is_written_tells_that_the_rest_does_not_fit_and_goes_on_there(
    attempts: Attempts, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts.run(keep=False)
    whole = attempts.output.stat().st_size

    def free(folder: Path) -> int:
        written = attempts.output.stat().st_size if attempts.output.exists() else 0
        return max(0, disk[0] - written - sum(part.stat().st_size for part in attempts.parts))

    monkeypatch.setattr(targets, "ROOM_EVERY", EVERY)
    monkeypatch.setattr(resuming, "free_disk", free)
    disk = [int(1.5 * whole)]
    with pytest.raises(StorageError):
        attempts.run()
    stopped_at = len(attempts.witness.seen)
    assert stopped_at in range(EVERY, 40, EVERY), "signing needs three times the result"
    assert not attempts.output.exists()

    with pytest.raises(StorageError):
        attempts.run()
    assert attempts.witness.fresh == 0, "it is known from what is kept"

    disk[0] = 4 * whole
    result = attempts.run()
    assert result.resumed is not None and result.resumed["frame"] == stopped_at
    assert result.frames == 40


def test_d3_a_disk_that_just_suffices_is_used(attempts: Attempts, monkeypatch: pytest.MonkeyPatch) -> None:
    attempts.run(keep=False)
    room = int(3.1 * attempts.output.stat().st_size)
    monkeypatch.setattr(resuming, "free_disk", lambda folder: room)
    assert attempts.run().outcome == "done"


def test_what_cannot_be_kept_costs_nothing_but_the_keeping(
    attempts: Attempts, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_room(path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(segments, "sync_file", no_room)
    result = attempts.run()
    assert "No space left on device" in caplog.text
    assert attempts.parts == []
    assert result.frames == len(read_clip(attempts.output)[0]) == 40


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_disk_that_is_full_for_what_is_kept_alone_does_not_stop_the_job(
    attempts: Attempts, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write = segments.Segments._write

    def full(parts: segments.Segments, content: bytes) -> None:
        if parts._out is None:
            parts._folder.mkdir(exist_ok=True)
            parts._unfinished.symlink_to("/dev/full")
        write(parts, content)

    monkeypatch.setattr(segments.Segments, "_write", full)
    result = attempts.run()
    assert "No space left on device" in caplog.text
    assert attempts.parts == []
    assert result.frames == len(read_clip(attempts.output)[0]) == 40


def test_only_the_user_can_read_what_is_kept(attempts: Attempts) -> None:
    attempts.interrupt(36)
    assert (attempts.folder / "kept").stat().st_mode & 0o777 == 0o700

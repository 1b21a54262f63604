"""A video from end to end: every frame at its time, sound untouched, the face and nothing else changed."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from face_material import (
    Image,
    Models,
    Portrait,
    camera,
    middle,
    moving,
    packed,
    read_clip,
    shown,
    sound_packets,
    write_clip,
)

from facefusion.config import AutomationConfig
from facefusion.errors import CancelledError, MediaFormatError
from facefusion.faces.landmarks import Face
from facefusion.pipeline import SwapProgress, SwapRequest, SwapResult, SwapSession, planned_suffix
from facefusion.swap.mesh.engine import MeshEngine, MeshPainter

Run = Callable[..., SwapResult]
EMPTY: Image = np.full((240, 320, 3), 110, np.uint8)


@dataclass(frozen=True)
class Job:
    """A finished job, for many questions."""

    target: Path
    output: Path
    result: SwapResult
    progress: list[SwapProgress]
    before: list[Image]
    after: list[Image]
    stamps: list[int]


@pytest.fixture(scope="module")
def job(
    session: SwapSession, face_file: Path, views: Sequence[Image], tmp_path_factory: pytest.TempPathFactory
) -> Job:
    """Frames at uneven times, the first not at 0, with sound."""
    folder = tmp_path_factory.mktemp("job")
    stamps, time = [], 20
    for index in range(len(views)):
        stamps.append(time)
        time += (40, 40, 67, 13, 120)[index % 5]
    target = write_clip(folder / "uneven.mp4", views, stamps=stamps, sound=True)
    progress: list[SwapProgress] = []
    output = folder / "result.mp4"
    result = session.swap(
        SwapRequest(
            target, (face_file,), "man", output, AutomationConfig(quality_preset="fast", engine="mesh")
        ),
        progress.append,
        lambda: False,
    )
    return Job(target, output, result, progress, read_clip(target)[0], read_clip(output)[0], stamps)


def _masks(models: Models, pictures: Sequence[Image]) -> list[tuple[Face, np.ndarray, np.ndarray]]:
    """Face, pixels surely inside it, pixels surely away from it, for each picture."""
    out, face = [], None
    for picture in pictures:
        face = models.face(picture) if face is None else models.landmarker.follow(packed(picture), face)
        hull = cv2.convexHull(np.ascontiguousarray(face.points[:, :2])).astype(np.int32)
        mask = np.zeros(picture.shape[:2], np.uint8)
        cv2.fillConvexPoly(mask, hull, 1)
        reach = np.ones((15, 15), np.uint8)
        out.append((face, cv2.erode(mask, reach) > 0, cv2.dilate(mask, reach) == 0))
    return out


def test_every_frame_is_there_at_its_own_time(job: Job) -> None:
    assert job.result.outcome == "done"
    assert job.result.frames == 40
    _, times = read_clip(job.output)
    assert times == [Fraction(stamp, 1000) for stamp in job.stamps]


def test_sound_is_copied_packet_by_packet(job: Job) -> None:
    before, after = sound_packets(job.target), sound_packets(job.output)
    assert len(before) > 50
    assert after == before


def test_the_face_is_another_in_every_frame_and_the_rest_is_not(job: Job, models: Models) -> None:
    for before, after, (_, inside, outside) in zip(
        job.before, job.after, _masks(models, job.before), strict=True
    ):
        difference = np.abs(before.astype(int) - after.astype(int)).mean(axis=2)
        assert difference[inside].mean() > 8
        assert difference[outside].mean() < 3.5


def test_the_face_does_not_flicker(job: Job, models: Models) -> None:
    """The clip itself shimmers where the camera moves; the result may hardly shimmer more."""
    changes = []
    for pictures in (job.before, job.after):
        total = []
        for one, other, (_, inside, _) in zip(
            pictures, pictures[1:], _masks(models, job.before)[1:], strict=False
        ):
            total.append(np.abs(one.astype(int) - other.astype(int)).mean(axis=2)[inside].mean())
        changes.append(float(np.mean(total)))
    assert changes[1] < 1.3 * changes[0]


def test_one_track_covers_the_whole_clip(job: Job) -> None:
    assert job.result.frames_swapped == 40
    assert list(job.result.tracks) == [{"id": 0, "first_frame": 0, "last_frame": 39, "frames_swapped": 40}]


def test_the_report_says_what_really_ran(job: Job, models_dir: Path) -> None:
    result = job.result
    assert result.engine == "mesh"
    assert "CPU" in result.provider
    for name, digest in result.models.items():
        assert hashlib.sha256((models_dir / name).read_bytes()).hexdigest() == digest, name
    assert {"face_landmark_with_attention.tflite"} < set(result.models)
    assert set(result.timings) == {"probe", "decode", "analyse", "swap", "encode", "finish", "verify"}
    assert all(seconds >= 0 for seconds in result.timings.values())
    media = dict(result.media)
    assert media["kind"] == "video"
    assert (media["width"], media["height"]) == (320, 240)
    assert media["container"] == "mp4"
    assert media["encoder"] == "libx264"
    assert media["tracks"] == ["audio aac: copy"]
    [remark] = result.warnings
    assert "is small (1" in remark, "the source face has fewer than 180 pixels"


def test_progress_is_told_and_only_grows(job: Job) -> None:
    stages = [step.stage for step in job.progress]
    assert stages[0] == "preparing"
    assert stages[-1] == "finishing"
    assert "swapping" in stages
    order = ["preparing", "swapping", "finishing"]
    assert [order.index(stage) for stage in stages] == sorted(order.index(stage) for stage in stages)
    done = [step.frames_done for step in job.progress]
    assert done == sorted(done)
    assert done[-1] == 40
    assert job.progress[-1].frames_total == 40
    assert all(step.frames_total in (None, 40) for step in job.progress)
    for step in job.progress:
        assert step.frames_per_second >= 0
        assert step.seconds_left is None or step.seconds_left >= 0


def test_what_only_the_profile_asks_for_is_left_out_without_a_warning(run: Run, short_clip: Path) -> None:
    result = run(short_clip, quality_preset="balanced")
    assert result.left_out == ("face_enhancer",)
    assert not any("enhancer" in warning for warning in result.warnings)


def test_what_a_person_asked_for_by_name_and_is_missing_is_a_warning(run: Run, short_clip: Path) -> None:
    result = run(short_clip, quality_preset="balanced", neural={"enhancer": "codeformer", "age": 30})
    assert [w for w in result.warnings if "codeformer" in w or "age of 30" in w] == list(result.warnings[-2:])


@pytest.mark.parametrize("suffix", [".mkv", ".mov", ".webm"])
def test_the_result_is_of_the_planned_kind(
    run: Run, views: Sequence[Image], tmp_path: Path, suffix: str
) -> None:
    codec = "libvpx-vp9" if suffix == ".webm" else "libx264"
    target = write_clip(tmp_path / f"clip{suffix}", views[:8], codec=codec)
    planned = planned_suffix(target, AutomationConfig(quality_preset="fast"))
    output = tmp_path / f"result{planned}"
    result = run(target, output=output)
    assert planned == suffix
    assert result.outcome == "done"
    assert len(read_clip(output)[0]) == 8


@pytest.mark.parametrize("count", [1, 3, 6])
def test_m15_very_short_videos_are_swapped(
    run: Run, views: Sequence[Image], tmp_path: Path, count: int
) -> None:
    result = run(write_clip(tmp_path / "tiny.mp4", views[:count]))
    assert (result.frames, result.frames_swapped) == (count, count)
    assert len(read_clip(tmp_path / "result.mp4")[0]) == count


# -- no face ------------------------------------------------------------------------------------------------


def test_m12_a_video_without_a_face_gives_no_file_and_says_so(run: Run, tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    clouds = [
        np.asarray(cv2.GaussianBlur(random.integers(0, 256, (120, 160, 3)).astype(np.uint8), (0, 0), 4))
        for _ in range(12)
    ]
    result = run(write_clip(tmp_path / "clouds.mp4", clouds))
    assert result.outcome == "no_face"
    assert (result.frames, result.frames_swapped, result.tracks) == (12, 0, ())
    assert not (tmp_path / "result.mp4").exists()


def test_m12_a_face_in_the_middle_is_swapped_and_the_rest_stays(
    run: Run, views: Sequence[Image], tmp_path: Path, models: Models
) -> None:
    target = write_clip(tmp_path / "middle.mp4", [EMPTY] * 8 + list(views[:16]) + [EMPTY] * 8)
    result = run(target)
    assert result.outcome == "done"
    assert result.frames == 32
    assert result.frames_swapped == 16
    [track] = result.tracks
    assert (track["first_frame"], track["last_frame"]) == (8, 23)
    before, after = read_clip(target)[0], read_clip(tmp_path / "result.mp4")[0]
    for place in (*range(8), *range(24, 32)):
        assert np.abs(before[place].astype(int) - after[place].astype(int)).mean() < 1.5
    for place in range(8, 24):
        [(_, inside, _)] = _masks(models, [before[place]])
        assert np.abs(before[place].astype(int) - after[place].astype(int))[inside].mean() > 8


def test_two_scenes_are_two_tracks(
    run: Run, views: Sequence[Image], group: list[Portrait], tmp_path: Path
) -> None:
    other = moving(group[5], 12, face_pixels=100)[0]
    result = run(write_clip(tmp_path / "cut.mp4", [*views[:12], *other]))
    assert [(t["id"], t["first_frame"], t["last_frame"]) for t in result.tracks] == [(0, 0, 11), (1, 12, 23)]


# -- several faces ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def group_clip(group: list[Portrait], tmp_path_factory: pytest.TempPathFactory) -> Path:
    size = (960, 600)
    views = [
        shown(group[0].picture, camera((640, 340), size=size, zoom=0.74, at=(480 + i, 300)), size)
        for i in range(8)
    ]
    return write_clip(tmp_path_factory.mktemp("group") / "group.mp4", views)


def _changed_faces(models: Models, target: Path, output: Path) -> list[bool]:
    before, after = read_clip(target)[0][4], read_clip(output)[0][4]
    difference = np.abs(before.astype(int) - after.astype(int)).mean(axis=2)
    changed = []
    for face in models.faces(before):
        x, y = (int(value) for value in middle(face))
        reach = int(face.size * 0.2)
        changed.append(bool(difference[y - reach : y + reach, x - reach : x + reach].mean() > 6))
    return changed


def test_all_faces_of_a_group_are_swapped_on_request(
    run: Run, group_clip: Path, models: Models, astronaut_file: Path, tmp_path: Path
) -> None:
    result = run(group_clip, faces=[astronaut_file], face_selector_mode="all")
    assert len(result.tracks) == 6
    assert all(track["frames_swapped"] == 8 for track in result.tracks)
    assert _changed_faces(models, group_clip, tmp_path / "result.mp4") == [True] * 6


def test_otherwise_only_the_largest_is(
    run: Run, group_clip: Path, models: Models, astronaut_file: Path, tmp_path: Path
) -> None:
    result = run(group_clip, faces=[astronaut_file])
    assert len(result.tracks) == 1
    assert sum(_changed_faces(models, group_clip, tmp_path / "result.mp4")) == 1


@pytest.fixture(scope="module")
def astronaut_file(samples) -> Path:  # type: ignore[no-untyped-def]
    path: Path = samples.astronaut
    return path


# -- ends before the end ------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [0, 1, 7])
def test_a_stopped_job_leaves_no_file(run: Run, clip: Path, tmp_path: Path, after: int) -> None:
    asked = 0

    def should_stop() -> bool:
        nonlocal asked
        asked += 1
        return asked > after

    with pytest.raises(CancelledError, match="clip"):
        run(clip, should_stop=should_stop)
    assert list(tmp_path.iterdir()) == []


def test_a_job_stopped_in_its_middle_does_nothing_more(run: Run, clip: Path) -> None:
    asked, told_later = 0, 0

    def should_stop() -> bool:
        nonlocal asked
        asked += 1
        return asked > 15

    def on_progress(progress: SwapProgress) -> None:
        nonlocal told_later
        told_later += asked > 15

    with pytest.raises(CancelledError):
        run(clip, should_stop=should_stop, on_progress=on_progress)
    assert (asked, told_later) == (16, 0)
    names = [thread.name for thread in threading.enumerate()]
    assert not [name for name in names if name in ("read", "analyse") or name.startswith("paint_")]


def test_a_job_stopped_while_its_face_was_prepared_does_not_begin(
    run: Run, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the job began")

    monkeypatch.setattr(MeshEngine, "painter", refuse)
    with pytest.raises(CancelledError):
        run(clip, should_stop=lambda: True)


def test_after_a_stopped_job_the_session_goes_on(run: Run, clip: Path, short_clip: Path) -> None:
    with pytest.raises(CancelledError):
        run(clip, should_stop=lambda: True)
    assert run(short_clip).outcome == "done"


def test_a_video_that_breaks_off_leaves_no_file(run: Run, views: Sequence[Image], tmp_path: Path) -> None:
    whole = write_clip(tmp_path / "whole.mkv", list(views) * 3)
    content = whole.read_bytes()
    target = tmp_path / "cut.mkv"
    target.write_bytes(content[: len(content) // 3])
    whole.unlink()
    with pytest.raises(MediaFormatError, match=r"cut\.mkv"):
        run(target)
    assert [path.name for path in tmp_path.iterdir()] == ["cut.mkv"]


def test_an_error_of_the_engine_reaches_the_caller_and_leaves_no_file(
    run: Run, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = 0
    draw = MeshPainter.draw

    def failing(self: MeshPainter, *arguments: object) -> object:
        nonlocal drawn
        drawn += 1
        if drawn == 20:
            raise MemoryError("no room for this face")
        return draw(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(MeshPainter, "draw", failing)
    with pytest.raises(MemoryError, match="no room"):
        run(clip)
    assert list(tmp_path.iterdir()) == []

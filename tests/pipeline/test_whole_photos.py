"""Photos and animations from end to end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from face_material import Image, Models, Portrait, read_picture, write_clip
from PIL import Image as Pillow

from facefusion.errors import CancelledError
from facefusion.models.samples import Samples
from facefusion.pipeline import SwapProgress, SwapResult

Run = Callable[..., SwapResult]


@pytest.fixture
def photo(astronaut: Portrait, tmp_path: Path) -> Path:
    path = tmp_path / "target.png"
    cv2.imwrite(str(path), astronaut.picture)
    return path


def _difference(before: Image, after: Image) -> np.ndarray:
    return np.abs(before.astype(int) - after.astype(int)).max(axis=2)


def test_a_photo_is_swapped_and_keeps_every_pixel_away_from_the_face(
    run: Run, photo: Path, astronaut: Portrait, tmp_path: Path
) -> None:
    progress: list[SwapProgress] = []
    result = run(photo, on_progress=progress.append)
    assert result.outcome == "done"
    assert (result.frames, result.frames_swapped) == (1, 1)
    assert result.media["kind"] == "photo"
    assert [step.stage for step in progress] == ["preparing", "finishing"]
    difference = _difference(astronaut.picture, read_picture(tmp_path / "result.png"))
    x0, y0, x1, y1 = (int(value) for value in astronaut.face.box)
    inside = difference[y0 + 30 : y1 - 20, x0 + 20 : x1 - 20]
    assert inside.mean() > 8
    assert not any("several faces" in warning for warning in result.warnings)
    difference[y0 - 12 : y1 + 13, x0 - 12 : x1 + 13] = 0
    assert difference.max() == 0


def test_a_jpeg_is_swapped_too(run: Run, astronaut: Portrait, tmp_path: Path) -> None:
    target = tmp_path / "target.jpg"
    cv2.imwrite(str(target), astronaut.picture, [cv2.IMWRITE_JPEG_QUALITY, 95])
    result = run(target)
    assert result.outcome == "done"
    assert read_picture(tmp_path / "result.jpg").shape == astronaut.picture.shape


@pytest.mark.parametrize(("mode", "count"), [("all", 6), ("largest", 1)])
def test_faces_of_a_group_photo(
    run: Run, samples: Samples, models: Models, tmp_path: Path, mode: str, count: int
) -> None:
    result = run(samples.group, faces=[samples.astronaut], face_selector_mode=mode)
    assert len(result.tracks) == count
    assert any("several faces" in warning for warning in result.warnings) == (mode == "largest")
    before, after = read_picture(samples.group), read_picture(tmp_path / "result.jpg")
    difference = _difference(before, after)
    changed = 0
    for face in models.faces(before):
        x0, y0, x1, y1 = (int(value) for value in face.box)
        changed += bool(difference[y0 + 25 : y1 - 25, x0 + 25 : x1 - 25].mean() > 12)
    assert changed == count


def test_of_a_video_with_several_faces_it_is_said_that_one_was_swapped(
    run: Run, samples: Samples, tmp_path: Path
) -> None:
    picture = read_picture(samples.group)
    height, width = (side // 2 * 2 for side in picture.shape[:2])
    clip = write_clip(tmp_path / "group.mp4", [picture[:height, :width]] * 26)
    result = run(clip, faces=[samples.astronaut])
    assert result.outcome == "done"
    assert [warning for warning in result.warnings if "several faces" in warning] == [
        "There are several faces in it; only the largest one of each scene was swapped "
        '(`face_selector_mode` "all" takes every one).'
    ]


def test_a_photo_without_a_face_gives_no_file(run: Run, tmp_path: Path) -> None:
    target = tmp_path / "wall.png"
    cv2.imwrite(str(target), np.full((200, 300, 3), 140, np.uint8))
    result = run(target)
    assert result.outcome == "no_face"
    assert result.frames_swapped == 0
    assert [path.name for path in tmp_path.iterdir()] == ["wall.png"]


def test_a_stopped_photo_leaves_no_file(run: Run, photo: Path, tmp_path: Path) -> None:
    with pytest.raises(CancelledError):
        run(photo, should_stop=lambda: True)
    assert [path.name for path in tmp_path.iterdir()] == ["target.png"]


@pytest.mark.parametrize("kind", ["grey", "deep", "alpha"])
def test_photos_of_every_kind_keep_their_kind(
    run: Run, astronaut: Portrait, tmp_path: Path, kind: str
) -> None:
    pixels = {
        "grey": cv2.cvtColor(astronaut.picture, cv2.COLOR_BGR2GRAY),
        "deep": astronaut.picture.astype(np.uint16) * 257,
        "alpha": np.dstack([astronaut.picture, np.full(astronaut.picture.shape[:2], 200, np.uint8)]),
    }[kind]
    target = tmp_path / "target.png"
    cv2.imwrite(str(target), pixels)
    assert run(target).outcome == "done"
    after = cv2.imread(str(tmp_path / "result.png"), cv2.IMREAD_UNCHANGED)
    assert after is not None
    assert after.shape == pixels.shape
    assert after.dtype == pixels.dtype
    assert (after != pixels).any()
    if kind == "alpha":
        assert (after[..., 3] == 200).all()


def test_an_animation_is_swapped_picture_by_picture(run: Run, views: Sequence[Image], tmp_path: Path) -> None:
    target = tmp_path / "moving.gif"
    pictures = [Pillow.fromarray(view[..., ::-1].copy()) for view in views[:6]]
    pictures[0].save(target, save_all=True, append_images=pictures[1:], duration=80, loop=0)
    result = run(target)
    assert result.outcome == "done"
    assert (result.frames, result.frames_swapped) == (6, 6)
    with Pillow.open(tmp_path / "result.gif") as after:
        assert after.n_frames == 6
        assert after.info["duration"] == 80

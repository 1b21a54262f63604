"""What a session keeps warm, what it forgets, and how it says what is missing."""

from __future__ import annotations

import gc
import os
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil
import pytest
from face_material import Image, Portrait, camera, middle, shown

from facefusion.errors import FaceNotFoundError, MediaFormatError, ModelMissingError
from facefusion.faces.attention import ATTENTION_MESH
from facefusion.faces.topology import CONNECTIONS
from facefusion.pipeline import SwapResult, SwapSession
from facefusion.swap.mesh.engine import MeshEngine

Run = Callable[..., SwapResult]


@pytest.fixture
def prepared(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Number of pictures of every call of `prepare`."""
    calls: list[int] = []
    prepare = MeshEngine.prepare

    def counted(self: MeshEngine, pictures: Sequence[Any]) -> Any:
        calls.append(len(pictures))
        return prepare(self, pictures)

    monkeypatch.setattr(MeshEngine, "prepare", counted)
    return calls


@pytest.fixture
def own(models_dir: Path) -> Iterator[SwapSession]:
    session = SwapSession(models_dir, threads=2)
    yield session
    session.close()


def test_the_second_job_with_the_same_face_does_not_prepare_again(
    run: Run, own: SwapSession, short_clip: Path, clip: Path, prepared: list[int], tmp_path: Path
) -> None:
    run(short_clip, on=own, digest="one")
    run(short_clip, on=own, digest="one", output=tmp_path / "second.mp4")
    run(clip, on=own, digest="one", output=tmp_path / "third.mp4", face_selector_mode="all")
    assert prepared == [1]


def test_other_pictures_are_another_face(
    run: Run, own: SwapSession, short_clip: Path, prepared: list[int], tmp_path: Path
) -> None:
    """The content counts, not the name: the digest says when it has changed."""
    run(short_clip, on=own, digest="one")
    run(short_clip, on=own, digest="two", output=tmp_path / "second.mp4")
    run(short_clip, on=own, digest="one", output=tmp_path / "third.mp4")
    assert prepared == [1, 1]


def test_the_faces_used_last_are_remembered_and_only_they(
    run: Run, own: SwapSession, samples: Any, prepared: list[int], tmp_path: Path
) -> None:
    photo = samples.astronaut
    for number in range(9):
        run(photo, on=own, digest=f"face {number}", output=tmp_path / f"{number}.png")
    assert len(prepared) == 9
    run(photo, on=own, digest="face 8", output=tmp_path / "again.png")
    assert len(prepared) == 9
    run(photo, on=own, digest="face 0", output=tmp_path / "first again.png")
    assert len(prepared) == 10
    assert len(own._sources) <= 8


def test_several_pictures_of_one_person_are_prepared_together(
    run: Run, own: SwapSession, short_clip: Path, face_file: Path, prepared: list[int], tmp_path: Path
) -> None:
    wall = tmp_path / "wall.png"
    cv2.imwrite(str(wall), np.full((200, 300, 3), 140, np.uint8))
    result = run(short_clip, on=own, faces=[face_file, wall, face_file])
    assert prepared == [2]
    assert "wall.png shows no face that could be found." in result.warnings


def test_what_was_said_about_the_pictures_is_said_with_every_job(
    run: Run, own: SwapSession, short_clip: Path, samples: Any, tmp_path: Path
) -> None:
    for name in ("first.mp4", "second.mp4"):
        result = run(short_clip, on=own, faces=[samples.group], output=tmp_path / name)
        assert "group.jpg shows 6 faces; the largest was taken." in result.warnings


# -- M13: sources that cannot be used -----------------------------------------------------------------------


def _picture(folder: Path, name: str, picture: Image) -> Path:
    path = folder / name
    cv2.imwrite(str(path), picture)
    return path


def test_m13_a_source_without_a_face_is_refused_by_name(run: Run, short_clip: Path, tmp_path: Path) -> None:
    face = _picture(tmp_path, "wall.png", np.full((200, 300, 3), 140, np.uint8))
    with pytest.raises(FaceNotFoundError, match=r"wall\.png shows no face") as caught:
        run(short_clip, faces=[face])
    assert caught.value.category == "face_detection"
    assert "looks towards the camera" in caught.value.remedy
    assert not (tmp_path / "result.mp4").exists()


def test_m13_a_tiny_source_is_refused_with_its_size(
    run: Run, short_clip: Path, astronaut: Portrait, tmp_path: Path
) -> None:
    matrix = camera(middle(astronaut.face), size=(300, 200), zoom=30 / astronaut.face.size)
    face = _picture(tmp_path, "far.png", shown(astronaut.picture, matrix, (300, 200)))
    with pytest.raises(FaceNotFoundError, match=r"far\.png is only \d\d pixels tall; at least 40"):
        run(short_clip, faces=[face])


def test_m13_a_source_that_is_no_picture_is_refused(run: Run, short_clip: Path, tmp_path: Path) -> None:
    face = tmp_path / "face.jpg"
    face.write_text("not a picture")
    with pytest.raises(MediaFormatError, match=r"face\.jpg"):
        run(short_clip, faces=[face])


def test_a_refused_source_can_be_mended(
    run: Run, own: SwapSession, short_clip: Path, face_file: Path, tmp_path: Path
) -> None:
    """A failure is not remembered."""
    face = tmp_path / "face.png"
    cv2.imwrite(str(face), np.full((200, 300, 3), 140, np.uint8))
    with pytest.raises(FaceNotFoundError):
        run(short_clip, on=own, faces=[face], digest="same")
    shutil.copyfile(face_file, face)
    assert run(short_clip, on=own, faces=[face], digest="same").outcome == "done"


# -- what is missing ----------------------------------------------------------------------------------------


def test_missing_models_are_named_with_the_remedy(run: Run, short_clip: Path, tmp_path: Path) -> None:
    empty = SwapSession(tmp_path / "none", threads=1)
    with pytest.raises(ModelMissingError) as caught:
        run(short_clip, on=empty)
    assert caught.value.category == "model_missing"
    assert "models install" in caught.value.remedy
    with pytest.raises(ModelMissingError):
        empty.warm_up()


@pytest.mark.parametrize("name", [ATTENTION_MESH, CONNECTIONS])
def test_a_model_that_is_not_the_right_file_is_refused(
    run: Run, models_dir: Path, short_clip: Path, tmp_path: Path, name: str
) -> None:
    """It may be readable and still be another one; the checksum tells."""
    folder = tmp_path / "models"
    folder.mkdir()
    for path in models_dir.iterdir():
        if path.suffix in (".tflite", ".py"):
            shutil.copyfile(path, folder / path.name)
    changed = (folder / name).read_bytes()
    (folder / name).write_bytes(changed + b"\n")
    with pytest.raises(ModelMissingError, match=name):
        run(short_clip, on=SwapSession(folder, threads=1))


def test_the_neural_engine_without_a_swap_model_is_refused(
    run: Run, short_clip: Path, tmp_path: Path
) -> None:
    with pytest.raises(ModelMissingError) as caught:
        run(short_clip, engine="neural")
    assert caught.value.remedy
    assert not (tmp_path / "result.mp4").exists()


def test_auto_takes_the_mesh_engine_where_no_swap_model_is_installed(
    run: Run, short_clip: Path, models_dir: Path
) -> None:
    if any(models_dir.glob("*.onnx")):
        pytest.skip("a swap model is installed in this models folder")
    assert run(short_clip, engine="auto").engine == "mesh"


def test_a_warm_session_loads_nothing_more(
    own: SwapSession, run: Run, short_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own.warm_up()
    from facefusion.faces import attention, detect

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a model was loaded again")

    monkeypatch.setattr(detect, "Model", refuse)
    monkeypatch.setattr(attention, "Model", refuse)
    assert run(short_clip, on=own).outcome == "done"


def test_a_closed_session_can_be_used_again(own: SwapSession, run: Run, short_clip: Path) -> None:
    run(short_clip, on=own)
    own.close()
    assert own._sources == {}
    assert run(short_clip, on=own).outcome == "done"


# -- many jobs ----------------------------------------------------------------------------------------------


def _resident() -> int:
    gc.collect()
    return int(psutil.Process(os.getpid()).memory_info().rss)


def test_fifteen_jobs_leave_memory_threads_and_files_as_they_were(
    run: Run, session: SwapSession, short_clip: Path, tmp_path: Path
) -> None:
    me = psutil.Process(os.getpid())
    marks = []
    for number in range(15):
        output = tmp_path / "result.mp4"
        assert run(short_clip, output=output, digest=f"face {number % 3}").outcome == "done"
        output.unlink()
        if number >= 4:
            marks.append(
                (_resident(), threading.active_count(), me.num_fds() if hasattr(me, "num_fds") else 0)
            )
    memory, threads, files = zip(*marks, strict=True)
    assert max(memory[-3:]) - min(memory[:3]) < 25 << 20
    assert threads[-1] == threads[0]
    assert files[-1] <= files[0] + 1


def test_settings_of_one_job_do_not_reach_the_next(
    run: Run, session: SwapSession, samples: Any, tmp_path: Path
) -> None:
    """The strength of the shape is the job's, not the session's."""
    pictures = []
    for number, strength in enumerate((0.0, 1.0, 0.0)):
        run(samples.astronaut, output=tmp_path / f"{number}.png", mesh={"shape_strength": strength})
        pictures.append(cv2.imread(str(tmp_path / f"{number}.png")))
    assert (pictures[0] != pictures[1]).any()
    assert np.array_equal(pictures[0], pictures[2])

"""The person on the reference pictures is swapped, wherever that person is; and nobody else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from facefusion.config import AutomationConfig, load_config, parse_config
from facefusion.errors import ConfigError, ModelMissingError
from facefusion.faces.chosen import PersonFinder
from facefusion.faces.recognise import ReferencePeople
from facefusion.pipeline import SwapRequest, SwapResult, SwapSession

if TYPE_CHECKING:
    from facefusion.models.samples import Samples

Install = Callable[..., Path]
Image = NDArray[np.uint8]


@pytest.fixture(scope="module")
def people(samples: Samples) -> tuple[Image, Image]:
    """Two people of the group picture, cut out at the same size."""
    from facefusion.faces.detect import FaceDetector
    from facefusion.faces.landmarks import Landmarker
    from facefusion.faces.track import find_faces
    from facefusion.media.frame import PackedFrame

    picture = np.asarray(cv2.imread(str(samples.group)), np.uint8)
    folder = samples.group.parents[1]
    faces = find_faces(PackedFrame(picture), FaceDetector(folder), Landmarker(folder))
    cut = []
    for face in (faces[0], faces[3]):
        x0, y0, x1, y1 = face.box
        x, y, side = int((x0 + x1) / 2), int((y0 + y1) / 2), int(face.size)
        part = picture[max(0, y - side) : y + side, max(0, x - side) : x + side]
        cut.append(np.asarray(cv2.resize(part, (280, 280), interpolation=cv2.INTER_AREA), np.uint8))
    return cut[0], cut[1]


def side_by_side(left: Image, right: Image) -> Image:
    canvas = np.full((320, 640, 3), 110, np.uint8)
    canvas[20:300, 20:300], canvas[20:300, 340:620] = left, right
    return canvas


def settings(picture: Path | None, **more: Any) -> AutomationConfig:
    reference = {"pictures": [str(picture)] if picture else [], "distance": 0.02, "margin": 0.0}
    wanted = {
        "quality_preset": "fast",
        "engine": "mesh",
        "execution_providers": ["cpu"],
        "face_selector_mode": "reference",
        "reference": reference,
    }
    return parse_config(json.dumps(wanted | more))


def swap(session: SwapSession, target: Path, face: Path, config: AutomationConfig) -> tuple[SwapResult, Path]:
    output = target.with_name(f"result{target.suffix}")
    request = SwapRequest(target, (face,), str(face), output, config)
    return session.swap(request, lambda _: None, lambda: False), output


def changes(before: Image, after: Image) -> tuple[float, float]:
    """Largest change in the left and in the right half."""
    difference = cv2.GaussianBlur(np.abs(after.astype(float) - before.astype(float)), (0, 0), 3)
    return float(difference[:, :320].max()), float(difference[:, 320:].max())


@pytest.fixture
def session(install: Install) -> SwapSession:
    return SwapSession(install("arcface_w600k_r50"), threads=2)


@pytest.mark.parametrize("who", [0, 1])
@pytest.mark.parametrize("swapped_places", [False, True])
def test_only_that_person_of_a_photo_is_swapped(
    session: SwapSession,
    samples: Samples,
    people: tuple[Image, Image],
    tmp_path: Path,
    who: int,
    swapped_places: bool,
) -> None:
    reference, photo = tmp_path / "reference.png", tmp_path / "photo.png"
    cv2.imwrite(str(reference), cv2.copyMakeBorder(people[who], 20, 20, 20, 20, cv2.BORDER_REPLICATE))
    before = side_by_side(*(reversed(people) if swapped_places else people))
    cv2.imwrite(str(photo), before)
    result, output = swap(session, photo, samples.astronaut, settings(reference))
    assert result.outcome == "done"
    assert "arcface_w600k_r50.onnx" in result.models
    change = changes(before, np.asarray(cv2.imread(str(output)), np.uint8))
    place = who ^ swapped_places
    assert change[place] > 20 and change[1 - place] == 0


def test_a_person_who_changes_places_in_a_video_stays_the_one(
    session: SwapSession, samples: Samples, people: tuple[Image, Image], tmp_path: Path
) -> None:
    reference, clip = tmp_path / "reference.png", tmp_path / "clip.mp4"
    cv2.imwrite(str(reference), people[1])
    views = [side_by_side(*people)] * 10 + [side_by_side(*reversed(people))] * 10
    with av.open(str(clip), "w") as container:
        stream: Any = container.add_stream("libx264", rate=25, options={"crf": "4", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 640, 320, "yuv420p"
        for view in views:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(view, format="bgr24")))
        container.mux(stream.encode(None))
    result, output = swap(session, clip, samples.astronaut, settings(reference))
    assert result.frames_swapped >= 18
    with av.open(str(output)) as container:
        after = [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]
    left, right = changes(views[4], after[4])
    assert right > 2 * left
    left, right = changes(views[17], after[17])
    assert left > 2 * right


def test_a_target_without_the_person_says_how_near_it_came(
    session: SwapSession, samples: Samples, people: tuple[Image, Image], tmp_path: Path
) -> None:
    photo = tmp_path / "photo.png"
    cv2.imwrite(str(photo), side_by_side(*people))
    result, _ = swap(session, photo, samples.astronaut, settings(samples.astronaut))
    assert result.outcome == "no_face"
    assert any("person on the reference pictures was not found" in warning for warning in result.warnings)


def test_without_a_recogniser_the_job_fails_and_says_what_to_install(
    install: Install, samples: Samples, tmp_path: Path
) -> None:
    photo = tmp_path / "photo.png"
    photo.write_bytes(samples.astronaut.read_bytes())
    with pytest.raises(ModelMissingError, match="no model that recognises people") as caught:
        swap(SwapSession(install(), threads=2), photo, samples.astronaut, settings(samples.astronaut))
    assert "models install arcface_w600k_r50" in caught.value.remedy


@pytest.mark.parametrize("pictures", [[], ["nowhere.png"], ["empty"], ["blank.png"]])
def test_reference_pictures_that_show_nobody_are_a_mistake_in_the_settings(
    session: SwapSession, samples: Samples, tmp_path: Path, pictures: list[str]
) -> None:
    (tmp_path / "empty").mkdir()
    cv2.imwrite(str(tmp_path / "blank.png"), np.full((200, 200, 3), 90, np.uint8))
    photo = tmp_path / "photo.png"
    photo.write_bytes(samples.astronaut.read_bytes())
    config = settings(None, reference={"pictures": [str(tmp_path / name) for name in pictures]})
    with pytest.raises(ConfigError, match=r"reference\.pictures"):
        swap(session, photo, samples.astronaut, config)


def test_pictures_are_meant_beside_the_settings(tmp_path: Path) -> None:
    file = tmp_path / "automation_config.json"
    file.write_text('{"reference": {"pictures": ["people/ann.jpg", "/elsewhere/bob.jpg"]}}')
    located = load_config(file).located(tmp_path)
    assert located.reference.pictures == [str(tmp_path / "people/ann.jpg"), "/elsewhere/bob.jpg"]


def unit(*values: float) -> NDArray[np.float32]:
    return np.array([values], np.float32) / np.linalg.norm(values)


def test_a_person_once_known_is_kept_through_a_bad_look_but_not_beside_a_nearer_face() -> None:
    person = PersonFinder(lambda *_: unit(1, 0), ReferencePeople(unit(1, 0, 0), threshold=0.3, margin=0.05))
    turned, stranger, near = unit(0.67, 0.74, 0), unit(0, 0, 1), unit(1, 0.1, 0)
    assert person.choose(np.concatenate([turned, stranger])) is None
    assert person.choose(np.concatenate([turned, stranger]), kept=0) == 0
    assert person.choose(np.concatenate([turned, near]), kept=0) == 1
    assert person.choose(np.concatenate([stranger, stranger]), kept=0) is None


@pytest.mark.parametrize("name", ["yunet_2023_mar", "scrfd_2.5g", "yoloface_8n", "retinaface_10g"])
def test_a_detector_that_is_not_installed_is_named_with_its_remedy(
    install: Install, samples: Samples, tmp_path: Path, name: str
) -> None:
    photo = tmp_path / "photo.png"
    photo.write_bytes(samples.astronaut.read_bytes())
    config = settings(None, face_selector_mode="largest", face_detector_model=name)
    with pytest.raises(ModelMissingError, match=name) as caught:
        swap(SwapSession(install(), threads=2), photo, samples.astronaut, config)
    assert f"models install {name}" in caught.value.remedy


def test_a_model_that_finds_no_faces_is_a_mistake_in_the_settings(
    session: SwapSession, samples: Samples, tmp_path: Path
) -> None:
    photo = tmp_path / "photo.png"
    photo.write_bytes(samples.astronaut.read_bytes())
    config = settings(None, face_selector_mode="largest", face_detector_model="arcface_w600k_r50")
    with pytest.raises(ConfigError, match="is no face detector; known: embedded,"):
        swap(session, photo, samples.astronaut, config)


def test_a_chosen_detector_finds_the_faces(
    install: Install, samples: Samples, people: tuple[Image, Image], tmp_path: Path
) -> None:
    photo = tmp_path / "photo.png"
    before = side_by_side(*people)
    cv2.imwrite(str(photo), before)
    # This one sees only the face in the left half; the embedded detector would see both.
    eyes, nose, mouth = [(132, 130), (180, 142)], [(146, 178)], [(122, 181), (171, 193)]
    marks = [value for x, y in eyes + nose + mouth for value in (x, y, 1.0)]
    answer = np.array([160.0, 160.0, 110.0, 140.0, 0.9, *marks], np.float32).reshape(1, 20, 1)
    folder = install("yoloface_8n", changes={"outputs": [answer]})
    config = settings(None, face_selector_mode="all", face_detector_model="yoloface_8n")
    result, output = swap(SwapSession(folder, threads=2), photo, samples.astronaut, config)
    assert "yoloface_8n.onnx" in result.models
    left, right = changes(before, np.asarray(cv2.imread(str(output)), np.uint8))
    assert left > 20 and right == 0

"""M13: pictures of the source that show no face, several, a tiny one, one turned away: each in its words."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from face_material import Image, Models, Portrait, camera, middle, shown

from facefusion.errors import MediaFormatError
from facefusion.faces import portrait
from facefusion.faces.portrait import Portraits, read_portraits, turned_away


def _saved(folder: Path, name: str, picture: Image) -> Path:
    path = folder / name
    cv2.imwrite(str(path), picture)
    return path


def _read(models: Models, *paths: Path) -> Portraits:
    return read_portraits(paths, models.detector, models.landmarker)


def _at_size(portrait: Portrait, face_pixels: float) -> Image:
    zoom = face_pixels / portrait.face.size
    return shown(portrait.picture, camera(middle(portrait.face), size=(400, 300), zoom=zoom), (400, 300))


def test_a_good_picture_is_taken_without_a_word(models: Models, astronaut: Portrait, tmp_path: Path) -> None:
    portraits = _read(models, _saved(tmp_path, "alice.png", _at_size(astronaut, 200)))
    [(picture, face)] = portraits.usable
    assert portraits.warnings == []
    assert picture.shape == (300, 400, 3)
    assert face.size == pytest.approx(200, abs=6)


def test_the_verdict_on_a_picture_is_stricter_than_the_remarks_on_results(
    models: Models, astronaut: Portrait, tmp_path: Path
) -> None:
    """What is dropped can still be replaced by a better picture."""
    portraits = _read(models, _saved(tmp_path, "alice.png", _at_size(astronaut, 200)))
    [[small, smile]] = portraits.flaws
    assert small.short.startswith("small (") and small.short.endswith(" pixels, 250 or more are best)")
    assert smile.short == "smiling, or the mouth open"
    assert small.told == smile.told == ""


def test_an_old_photograph_is_told_to_be_small(models: Models, astronaut: Portrait, tmp_path: Path) -> None:
    """Of 160 pixels, with the grain of a scan and light from one side."""
    picture = _at_size(astronaut, 160)
    shade = 0.75 + 0.3 * np.tanh(6 * np.linspace(-1, 1, picture.shape[1])[:, None])
    grain = np.random.default_rng(1).normal(0, 5, picture.shape)
    path = _saved(tmp_path, "old.png", np.clip(picture * shade + grain, 0, 255).astype(np.uint8))
    portraits = _read(models, path)
    [flaws] = portraits.flaws
    assert {"grainy", "lit from one side"} <= {flaw.short for flaw in flaws}
    assert "is small (1" in portraits.warnings[0]


def test_no_face_is_said(models: Models, tmp_path: Path) -> None:
    portraits = _read(models, _saved(tmp_path, "wall.png", np.full((300, 400, 3), 120, np.uint8)))
    assert portraits.usable == []
    assert portraits.warnings == ["wall.png shows no face that could be found."]


def test_of_several_faces_the_largest_is_taken_and_said(
    models: Models, group: list[Portrait], tmp_path: Path
) -> None:
    portraits = _read(models, _saved(tmp_path, "friends.png", group[0].picture))
    [(_, face)] = portraits.usable
    assert face.size > max(portrait.face.size for portrait in group) - 3
    assert portraits.warnings[0] == "friends.png shows 6 faces; the largest was taken."


def test_a_tiny_face_is_refused_with_its_size(models: Models, astronaut: Portrait, tmp_path: Path) -> None:
    portraits = _read(models, _saved(tmp_path, "far.png", _at_size(astronaut, 30)))
    assert portraits.usable == []
    [warning] = portraits.warnings
    assert warning.startswith("The face in far.png is only 3")
    assert warning.endswith("pixels tall; at least 40 are needed.")


def test_a_small_face_is_taken_with_a_warning(models: Models, astronaut: Portrait, tmp_path: Path) -> None:
    portraits = _read(models, _saved(tmp_path, "small.png", _at_size(astronaut, 70)))
    assert len(portraits.usable) == 1
    assert "small" in portraits.warnings[0]
    assert "soft" in portraits.warnings[0]


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("grain", "very grainy"),
        ("grey", "black-and-white"),
        ("sepia", "strongly tinted"),
        ("shade", "lit from one side"),
    ],
)
def test_a_poor_picture_is_taken_with_one_sentence(
    models: Models, astronaut: Portrait, tmp_path: Path, kind: str, told: str
) -> None:
    picture = _at_size(astronaut, 200)
    grey = cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    grain = np.random.default_rng(1).normal(0, 15, picture.shape)
    columns = np.linspace(-1, 1, picture.shape[1])[:, None]
    shade = picture * (0.75 + 0.3 * np.tanh(6 * columns))
    sepia = grey * (0.7, 0.9, 1.0)
    poor = {"grain": picture + grain, "grey": grey, "sepia": sepia, "shade": shade}[kind]
    path = _saved(tmp_path, "old.png", np.clip(poor, 0, 255).astype(np.uint8))
    portraits = _read(models, path)
    assert len(portraits.usable) == 1
    [warning] = portraits.warnings
    assert told in warning


def test_one_bad_picture_among_good_ones_is_left_out(
    models: Models, astronaut: Portrait, man: Portrait, tmp_path: Path
) -> None:
    damaged = tmp_path / "damaged.jpg"
    damaged.write_bytes(b"\xff\xd8\xff\xe0 this is no picture")
    portraits = _read(
        models,
        _saved(tmp_path, "a.png", _at_size(astronaut, 200)),
        damaged,
        _saved(tmp_path, "wall.png", np.full((300, 400, 3), 120, np.uint8)),
        _saved(tmp_path, "b.jpg", _at_size(astronaut, 190)),
    )
    assert len(portraits.usable) == 2
    assert len(portraits.warnings) == 2
    assert "damaged.jpg" in portraits.warnings[0]
    assert "wall.png" in portraits.warnings[1]


def test_the_only_picture_being_damaged_is_its_own_error(models: Models, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.jpg"
    damaged.write_bytes(b"")
    with pytest.raises(MediaFormatError, match=r"damaged\.jpg"):
        _read(models, damaged)


@pytest.mark.parametrize(
    ("kind", "suffix"), [("grey", "png"), ("deep", "png"), ("alpha", "png"), ("jpeg", "jpg")]
)
def test_pictures_of_every_kind_show_their_face(
    models: Models, astronaut: Portrait, tmp_path: Path, kind: str, suffix: str
) -> None:
    picture = _at_size(astronaut, 150)
    pixels = {
        "grey": cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY),
        "deep": picture.astype(np.uint16) * 257,
        "alpha": cv2.cvtColor(picture, cv2.COLOR_BGR2BGRA),
        "jpeg": picture,
    }[kind]
    portraits = _read(models, _saved(tmp_path, f"face.{suffix}", pixels))
    [(read, face)] = portraits.usable
    assert read.dtype == np.uint8
    assert read.shape == picture.shape
    assert face.size == pytest.approx(150, abs=6)


def test_the_hidden_side_of_a_turned_head_is_told(models: Models, astronaut: Portrait) -> None:
    assert turned_away(astronaut.face) < 12
    points = astronaut.face.points.copy()
    centre = points.mean(0)
    for degrees in (-60, 60):
        a = np.radians(degrees)
        turn = np.array([[np.cos(a), 0, -np.sin(a)], [0, 1, 0], [np.sin(a), 0, np.cos(a)]], np.float32)
        turned = type(astronaut.face)(
            (points - centre) @ turn + centre, astronaut.face.irises, astronaut.face.lids, 1.0
        )
        assert 45 < turned_away(turned) < 75


def test_a_face_in_profile_is_taken_with_a_warning(
    models: Models, astronaut: Portrait, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(portrait, "turned_away", lambda face: 57.3)
    portraits = _read(models, _saved(tmp_path, "side.png", _at_size(astronaut, 200)))
    assert len(portraits.usable) == 1
    assert portraits.warnings == [
        "The face in side.png is turned 57 degrees away; the hidden side is made up from the other."
    ]


def test_a_head_that_looks_aside_is_measured_so(group: list[Portrait]) -> None:
    assert turned_away(group[4].face) > 35
    assert turned_away(group[2].face) < 12

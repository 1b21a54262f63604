"""Consent files: found where people put them, understood or refused, never half."""

from __future__ import annotations

import datetime
import os
from pathlib import Path

import pytest

from facefusion.automation.kinds import judge
from facefusion.automation.sightings import look
from facefusion.errors import ConsentError, ErrorCategory
from facefusion.trust.consent import Consent, consent_for

TODAY = datetime.date(2030, 6, 15)


def picture(folder: Path, name: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(b"a face")
    return folder / name


def state(path: Path, text: str = 'basis = "self"') -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_beside_the_picture(tmp_path: Path) -> None:
    faces = tmp_path / "inbox" / "faces"
    alice, bob = picture(faces, "alice.jpg"), picture(faces, "bob.jpg")
    state(
        faces / "alice.consent.toml",
        'basis = "permission"\nscope = "a film"\nexpires = 2030-12-31\nreference = "contract 17"\n',
    )
    found = consent_for([alice], today=TODAY)
    assert found == Consent("permission", "a film", datetime.date(2030, 12, 31))
    assert found.as_dict() == {"basis": "permission", "scope": "a film", "expires": "2030-12-31"}
    assert consent_for([bob], today=TODAY) is None


@pytest.mark.parametrize(
    "place", ["alice/alice.consent.toml", "alice.consent.toml", "alice/Alice.CONSENT.toml"]
)
def test_in_or_beside_the_folder_of_a_face(tmp_path: Path, place: str) -> None:
    faces = tmp_path / "inbox" / "faces"
    pictures = [picture(faces / "alice", name) for name in ("a.jpg", "b.jpg")]
    state(faces / place)
    assert consent_for(pictures, required=True, today=TODAY) == Consent("self", "", None)


def test_the_encoding_of_accents_does_not_matter(tmp_path: Path) -> None:
    face = picture(tmp_path / "faces", "Zo\u00eb.jpg")
    state(tmp_path / "faces" / "zoe\u0308.consent.toml", 'basis = "self"\nexpires = 2001-01-01')
    with pytest.raises(ConsentError, match="expired on 2001-01-01"):
        consent_for([face], today=TODAY)


@pytest.mark.parametrize(
    ("expires", "holds"),
    [
        ("2030-06-14", False),
        ("2030-06-15", True),
        ("2030-06-16", True),
        ("2030-06-14T23:59:59Z", False),
        ("2030-06-15T00:00:00+02:00", True),
    ],
)
def test_it_holds_to_the_end_of_its_last_day(tmp_path: Path, expires: str, holds: bool) -> None:
    face = picture(tmp_path / "faces", "alice.jpg")
    state(tmp_path / "faces" / "alice.consent.toml", f'basis = "licensed"\nexpires = {expires}')
    if holds:
        assert consent_for([face], today=TODAY) is not None
        return
    with pytest.raises(ConsentError) as caught:
        consent_for([face], today=TODAY)
    assert caught.value.category is ErrorCategory.CONSENT
    assert "Renew alice.consent.toml" in caught.value.remedy


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "`basis`"),
        ("basis = self", "alice.consent.toml"),
        ('basis = "because"', "`basis`"),
        ('basis = "self"\nexpires = "soon"', "`expires`"),
        ('basis = "self"\nexpires = 20301231', "`expires`"),
        ('basis = "self"\nperson = "Alice Miller"', "`person`"),
        ('basis = "self"\nscope = 3', "`scope`"),
        ('basis = "self"\nscope = "a\\nb"', "`scope`"),
        (f'basis = "self"\nscope = "{"x" * 201}"', "`scope`"),
        (f'basis = "self"\n#{"x" * 20_000}', "too long"),
        ("\x00\x01", "alice.consent.toml"),
        (f"basis = {'[' * 8000}", "nested"),
    ],
)
def test_what_cannot_be_understood_blocks(tmp_path: Path, text: str, said: str) -> None:
    face = picture(tmp_path / "faces", "alice.jpg")
    state(tmp_path / "faces" / "alice.consent.toml", text)
    with pytest.raises(ConsentError, match=r"not a consent file") as caught:
        consent_for([face], today=TODAY)
    assert said in caught.value.message
    assert "Correct" in caught.value.remedy


def test_no_encoding_and_no_odd_thing_is_taken_for_consent(tmp_path: Path) -> None:
    face = picture(tmp_path / "faces", "alice.jpg")
    file = tmp_path / "faces" / "alice.consent.toml"
    file.write_bytes('basis = "self"'.encode("utf-16"))
    with pytest.raises(ConsentError):
        consent_for([face], today=TODAY)
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(ConsentError, match="not an ordinary file"):
        consent_for([face], today=TODAY)
    file.unlink()
    file.write_bytes(b'\xef\xbb\xbfbasis = "self"\r\n')  # as Windows' editors write it
    assert consent_for([face], today=TODAY) == Consent("self", "", None)


def test_one_face_has_one_consent(tmp_path: Path) -> None:
    faces = tmp_path / "faces"
    pictures = [picture(faces / "alice", name) for name in ("a.jpg", "b.jpg")]
    state(faces / "alice" / "a.consent.toml", 'basis = "self"')
    state(faces / "alice" / "b.consent.toml", 'basis = "licensed"')
    with pytest.raises(ConsentError, match="say different things"):
        consent_for(pictures, today=TODAY)
    (faces / "alice" / "b.consent.toml").unlink()
    assert consent_for(pictures, today=TODAY) == Consent("self", "", None)
    with pytest.raises(ConsentError, match=r"no consent file for b\.jpg"):
        consent_for(pictures, required=True, today=TODAY)


def test_the_inbox_knows_them(tmp_path: Path) -> None:
    picture(tmp_path / "faces", "alice.jpg")
    state(tmp_path / "faces" / "alice.consent.toml")
    (seen,) = look(tmp_path, ["faces/alice.consent.toml"]).values()
    assert seen is not None
    entry = judge(seen)
    assert (entry.phase, entry.reason) == ("ignored", "consent for the face alice")

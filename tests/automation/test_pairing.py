"""Which face goes with which target."""

from __future__ import annotations

import unicodedata

import pytest

from facefusion.automation.pairing import Face, Faces, Picture, Target, make_face, pair


def face(name: str, *, ready: bool = True, dropped: float = 0.0) -> Face:
    digest = f"content of {name}" if ready else None
    return make_face(
        name, [Picture(f"faces/{name}.jpg", digest, "" if ready else "still growing", (dropped, 0))]
    )


def faces(*given: Face) -> Faces:
    return Faces({one.name: one for one in given})


def target(path: str, folder_face: str | None = None, before: str | None = None) -> Target:
    return Target(path, "video", "content", 1, folder_face, before)


ALICE, BOB = face("alice"), face("bob", dropped=5.0)


@pytest.mark.parametrize("rule", ["auto", "all", "newest"])
def test_folder_and_name_come_before_every_rule(rule: str) -> None:
    there = faces(ALICE, BOB)
    assert pair(target("videos/alice/clip.mp4", "alice"), there, rule).faces == (ALICE,)  # type: ignore[arg-type]
    assert pair(target("videos/alice__clip.mp4"), there, rule).faces == (ALICE,)  # type: ignore[arg-type]
    assert pair(target("videos/bob/alice__clip.mp4", "bob"), there, rule).faces == (BOB,)  # type: ignore[arg-type]


def test_the_only_face_is_taken() -> None:
    assert pair(target("clip.mp4"), faces(ALICE), "auto").faces == (ALICE,)


def test_a_target_without_a_face_waits_and_says_what_to_do() -> None:
    assert "inbox/faces" in pair(target("clip.mp4"), faces(), "auto").reason
    several = pair(target("videos/clip.mp4"), faces(ALICE, BOB), "auto")
    assert several.faces == ()
    assert "which face, alice or bob?" in several.reason
    assert "begin its name with alice__ or bob__, or set `pairing`" in several.reason
    assert not several.soon, "only a person can help"
    undecided = pair(target("videos/clip.mp4"), faces(ALICE, face("wall", ready=False)), "auto")
    assert undecided.soon, "perhaps the other one is no face"


@pytest.mark.parametrize("wish", [target("carol__clip.mp4"), target("videos/carol/clip.mp4", "carol")])
def test_a_face_that_is_asked_for_and_not_there_is_never_replaced_by_another(wish: Target) -> None:
    decision = pair(wish, faces(ALICE), "auto")
    assert decision.faces == ()
    assert "inbox/faces/carol.jpg" in decision.reason


def test_two_underscores_without_a_name_on_both_sides_ask_for_nobody() -> None:
    for name in ("__clip.mp4", "clip__.mp4", "_clip_.mp4"):
        assert pair(target(name), faces(ALICE), "auto").faces == (ALICE,)


def test_a_face_that_is_not_complete_is_waited_for() -> None:
    decision = pair(target("clip.mp4"), faces(face("alice", ready=False)), "auto")
    assert decision.faces == ()
    assert "still growing" in decision.reason
    assert pair(target("clip.mp4"), faces(ALICE, face("bob", ready=False)), "auto").faces == ()


def test_all_and_newest() -> None:
    there = faces(BOB, ALICE)
    assert set(pair(target("clip.mp4"), there, "all").faces) == {ALICE, BOB}
    assert pair(target("clip.mp4"), there, "newest").faces == (BOB,)
    assert pair(target("clip.mp4"), faces(), "newest").faces == ()


def test_a_target_stays_with_the_face_it_was_paired_with() -> None:
    paired = target("clip.mp4", before="alice")
    assert pair(paired, faces(ALICE, BOB), "auto").faces == (ALICE,)
    assert pair(paired, faces(ALICE, BOB), "newest").faces == (ALICE,)
    assert pair(paired, faces(BOB), "auto").stays_with == "alice"
    assert pair(paired, faces(), "auto").stays_with == "alice"
    assert set(pair(paired, faces(ALICE, BOB), "all").faces) == {ALICE, BOB}


def test_f5_names_match_as_a_person_means_them_and_exactly_where_there_are_twins() -> None:
    composed, decomposed = (unicodedata.normalize(form, "Zoë") for form in ("NFC", "NFD"))
    assert pair(target(f"{decomposed}__clip.mp4"), faces(face(composed)), "auto").faces[0].name == composed
    assert pair(target("ALICE__clip.mp4"), faces(ALICE), "auto").faces == (ALICE,)
    upper, lower = face("Ann"), face("ann")
    assert pair(target("ann__clip.mp4"), faces(upper, lower), "auto").faces == (lower,)
    assert pair(target("ANN__clip.mp4"), faces(upper, lower), "auto").faces == ()
    twins = faces(face(composed), face(decomposed))
    assert pair(target(f"{decomposed}__clip.mp4"), twins, "auto").faces[0].name == decomposed


def test_the_content_of_a_face_is_that_of_its_pictures_in_whatever_order() -> None:
    one, two = Picture("faces/a/1.jpg", "1"), Picture("faces/a/2.jpg", "2")
    assert make_face("a", [one, two]).sha256 == make_face("a", [two, one]).sha256
    assert make_face("a", [one]).sha256 == "1"
    assert make_face("a", [one, two]).sha256 != make_face("a", [one]).sha256
    assert make_face("a", [one, Picture("faces/a/3.jpg", None, "new")]).sha256 is None

"""Whatever kind of file a result is, it is marked and signed, and says nothing about people."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path

import av
import c2pa
import cv2
import numpy as np
import pillow_heif
import pytest
from face_material import Image, write_clip
from installation import Installation
from PIL import Image as Pillow

from facefusion.config import AutomationConfig
from facefusion.errors import ConsentError, PolicyNotAcceptedError, StorageError
from facefusion.trust import claim
from facefusion.trust.credentials import actions_in
from facefusion.trust.identity import identity_of
from facefusion.trust.oversight import Oversight
from facefusion.trust.sidecars import has_sidecar, sidecar_of
from facefusion.trust.verify import State, Verdict

EMBEDDED = {".mp4", ".m4v", ".mov", ".jpg", ".png", ".webp", ".tif", ".gif", ".avif", ".heic"}
BESIDE = {".mkv", ".webm", ".ts", ".m2ts", ".mts", ".bmp", ".jp2"}
WITHOUT_LABEL = {".ts", ".m2ts", ".mts", ".bmp"}
VIDEOS = ["a.mp4", "a.m4v", "a.mov", "a.mkv", "a.webm", "a.ts", "a.m2ts", "a.avi"]
DEEP = ["deep.png", "deep.tif", "deep.avif"]
PHOTOS = ["a.jpg", "a.png", "a.webp", "a.tif", "a.bmp", "a.avif", "a.heic", "a.jp2", *DEEP]
CAPTURED = "http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture"
ANIMATIONS = ["moving.gif", "moving.webp", "moving.png"]


def video(path: Path, views: Sequence[Image]) -> Path:
    codec = {".webm": "libvpx-vp9", ".avi": "mpeg4"}.get(path.suffix, "libx264")
    made = path.with_suffix(".mp4") if path.suffix == ".m4v" else path
    write_clip(made, views, codec=codec, sound=path.suffix in (".mp4", ".mov", ".mkv"))
    return made.rename(path)


def photo(path: Path, view: Image, **options: object) -> Path:
    if path.stem == "deep":
        step, depth = (4, [cv2.IMWRITE_AVIF_DEPTH, 10]) if path.suffix == ".avif" else (257, [])
        cv2.imwrite(str(path), view.astype(np.uint16) * step, depth)
        return path
    pillow_heif.register_heif_opener()
    Pillow.fromarray(cv2.cvtColor(view, cv2.COLOR_BGR2RGB)).save(path, **options)
    return path


def animation(path: Path, views: Sequence[Image]) -> Path:
    pictures = [Pillow.fromarray(cv2.cvtColor(view, cv2.COLOR_BGR2RGB)) for view in views[:4]]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=80)
    return path


def target(path: Path, views: Sequence[Image]) -> Path:
    if path.name in VIDEOS:
        return video(path, views)
    return animation(path, views) if path.name in ANIMATIONS else photo(path, views[0])


def manifest_of(path: Path) -> dict[str, object]:
    """Everything in a file's credentials, by the library itself."""
    beside = sidecar_of(path)
    stored = beside.read_bytes() if beside.exists() else None
    with path.open("rb") as stream, c2pa.Reader("image/jpeg", stream, manifest_data=stored) as reader:
        document: dict[str, object] = json.loads(reader.json())
    return document


@pytest.mark.parametrize("name", [*VIDEOS, *PHOTOS, *ANIMATIONS])
def test_every_kind_of_result_is_marked_signed_and_recognised(
    installation: Installation, views: list[Image], tmp_path: Path, name: str
) -> None:
    output, job = installation.make(target(tmp_path / name, views))
    assert output.suffix in EMBEDDED | BESIDE, "every kind that is written is known here"

    found = installation.examine(output)

    assert found.verdict is Verdict.INTACT
    assert found.credentials is not None
    assert found.credentials.state is State.OWN
    provenance = job["provenance"]
    assert found.credentials.manifest_id == provenance["manifest_id"]
    assert sidecar_of(output).exists() == has_sidecar(provenance) == (output.suffix in BESIDE)
    assert provenance["layers"] == {
        "content_credentials": "sidecar" if output.suffix in BESIDE else "embedded",
        "metadata_label": output.suffix not in WITHOUT_LABEL,
        "invisible_mark": True,
    }
    assert found.label == (claim.LABEL if output.suffix not in WITHOUT_LABEL else None)
    left = sorted(path.name for path in output.parent.iterdir())
    assert left == sorted(path.name for path in (output, sidecar_of(output)) if path.exists())
    assert job["gate"]["verdict"] == "passed"


def test_the_claim_says_what_was_done_and_who_stands_for_it(
    installation: Installation, views: list[Image], tmp_path: Path
) -> None:
    face = tmp_path / "face.jpg"
    face.write_bytes(installation.face.read_bytes())
    consent = 'basis = "permission"\nscope = "a play"\nreference = "No. 17"'
    (tmp_path / "face.consent.toml").write_text(consent)
    output, job = installation.make(video(tmp_path / "a.mp4", views), face=face)
    found = installation.examine(output).credentials
    assert found is not None
    opened, edited, marked = actions_in(found.assertions)
    assert opened["action"] == "c2pa.opened"
    assert (edited["action"], edited["digitalSourceType"]) == ("c2pa.edited", claim.SOURCE_TYPE)
    assert edited["softwareAgent"] == claim.GENERATOR
    assert marked["action"] == "c2pa.watermarked.bound"
    relations = {entry["title"]: entry["relationship"] for entry in found.ingredients}
    assert relations == {"source face": "inputTo", "target": "parentOf"}
    attested = found.assertions[claim.ATTESTATION]
    assert attested["use_policy"]["version"] == 1
    assert attested["face_consent"] == {"basis": "permission", "scope": "a play", "expires": None}
    assert attested["content_gate"]["verdict"] == "passed"
    assert attested["models"] == job["models"]
    assert found.assertions["c2pa.ai-disclosure"]["modelName"].startswith("mesh, ")
    (block,) = found.assertions["c2pa.soft-binding"]["blocks"]
    assert block["value"] == job["provenance"]["result_id"][:8]
    assert "No. 17" not in json.dumps(manifest_of(output))


def test_the_mark_carries_the_first_bits_of_the_result_s_identity(
    installation: Installation, views: list[Image], tmp_path: Path
) -> None:
    output, job = installation.make(video(tmp_path / "a.mp4", views))
    mark = installation.examine(output).mark
    assert mark is not None
    assert mark.found
    assert f"{mark.payload:08x}" == job["provenance"]["result_id"][:8]


def test_every_attempt_has_an_identity_of_its_own(
    installation: Installation, views: list[Image], tmp_path: Path
) -> None:
    source = photo(tmp_path / "a.jpg", views[0])
    ids = {installation.make(source)[1]["provenance"]["result_id"] for _ in range(2)}
    assert len(ids) == 2


@pytest.mark.parametrize("name", ["My Holiday.jpg", "My Holiday.bmp"])
def test_the_manifest_holds_no_names_no_paths_no_pictures(
    installation: Installation, views: list[Image], tmp_path: Path, name: str
) -> None:
    output, _ = installation.make(photo(tmp_path / name, views[0]))
    document = json.dumps(manifest_of(output))
    stored = sidecar_of(output).read_bytes() if sidecar_of(output).exists() else output.read_bytes()
    for word in ("Holiday", "Hedwig", "Secret", str(tmp_path), str(installation.face.parent), "result."):
        assert word not in document
        assert word.encode() not in stored
    assert "thumbnail" not in document
    if sidecar_of(output).exists():
        for magic in (b"\xff\xd8\xff", b"\x89PNG", b"RIFF"):
            assert magic not in stored


def credentialed(path: Path, state: Path, *, thumbnail: bytes) -> None:
    """Give a picture credentials of another installation, with a thumbnail of its own."""
    signer = identity_of(state)
    captured = {"action": "c2pa.created", "digitalSourceType": CAPTURED}
    manifest = {
        "claim_generator_info": [{"name": "a camera"}],
        "title": "photo",
        "thumbnail": {"format": "image/jpeg", "identifier": "thumbnail.jpg"},
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [captured]}}],
    }
    key = c2pa.C2paSignerInfo(c2pa.C2paSigningAlg.ES256, signer.certificate, signer.key, None)
    written = io.BytesIO()
    with c2pa.Builder(manifest) as builder, c2pa.Signer.from_info(key) as pen, path.open("rb") as stream:
        builder.add_resource("thumbnail.jpg", io.BytesIO(thumbnail))
        builder.sign(pen, "image/jpeg", stream, written)
    path.write_bytes(written.getvalue())


def test_credentials_of_the_target_are_kept_as_its_history(
    installation: Installation, views: list[Image], tmp_path: Path
) -> None:
    source = photo(tmp_path / "a.jpg", views[0])
    credentialed(source, tmp_path / "camera", thumbnail=b"\xff\xd8\xff tiny")
    foreign = installation.examine(source)
    assert foreign.credentials is not None
    assert (foreign.credentials.state, foreign.verdict) == (State.FOREIGN, Verdict.NOTHING)

    output, _ = installation.make(source)

    found = installation.examine(output)
    assert found.verdict is Verdict.INTACT
    assert found.credentials is not None
    parent = next(entry for entry in found.credentials.ingredients if entry["title"] == "target")
    assert parent["active_manifest"] == foreign.credentials.manifest_id
    assert set(found.credentials.source_types) == {CAPTURED, claim.SOURCE_TYPE}
    assert "credentials of its own" in "\n".join(found.lines())


def test_credentials_of_the_target_that_cannot_be_read_are_left_out_and_that_is_said(
    installation: Installation, views: list[Image], tmp_path: Path
) -> None:
    source = photo(tmp_path / "a.jpg", views[0])
    credentialed(source, tmp_path / "camera", thumbnail=b"\xff\xd8\xff tiny")
    content = bytearray(source.read_bytes())
    content[content.find(b"jumb")] ^= 1
    source.write_bytes(content)
    output, job = installation.make(source)
    assert installation.examine(output).verdict is Verdict.INTACT
    assert any("Content Credentials cannot be read" in warning for warning in job["warnings"])


def test_a_face_picture_with_credentials_leaves_nothing_of_itself(
    installation: Installation, views: list[Image], tmp_path: Path
) -> None:
    face = tmp_path / "face.jpg"
    face.write_bytes(installation.face.read_bytes())
    picture = b"\xff\xd8\xff the face, small"
    credentialed(face, tmp_path / "camera", thumbnail=picture)
    output, _ = installation.make(photo(tmp_path / "a.bmp", views[0]), face=face)
    assert picture not in sidecar_of(output).read_bytes()
    assert picture not in output.read_bytes()
    assert "a camera" not in json.dumps(manifest_of(output))


def test_a_result_used_as_target_again_keeps_its_first_claim(
    installation: Installation, views: list[Image], tmp_path: Path
) -> None:
    first, job = installation.make(photo(tmp_path / "a.jpg", views[0]))
    second, _ = installation.make(first)
    found = installation.examine(second).credentials
    assert found is not None
    assert [entry.get("active_manifest") for entry in found.ingredients if entry["title"] == "target"] == [
        job["provenance"]["manifest_id"]
    ]


def test_a_consent_that_has_expired_stops_the_job_before_anything_is_written(
    installation: Installation, views: list[Image], tmp_path: Path
) -> None:
    face = tmp_path / "face.jpg"
    face.write_bytes(installation.face.read_bytes())
    (tmp_path / "face.consent.toml").write_text('basis = "permission"\nexpires = 2020-01-01')
    with pytest.raises(ConsentError, match="expired"):
        installation.make(photo(tmp_path / "a.jpg", views[0]), face=face)
    assert [list(folder.iterdir()) for folder in installation.work.iterdir()] == [[]]


def test_nothing_is_begun_before_the_use_policy_is_accepted(
    installation: Installation, views: list[Image], tmp_path: Path
) -> None:
    with pytest.raises(PolicyNotAcceptedError):
        installation.make(photo(tmp_path / "a.jpg", views[0]), accept_use_policy=0)


def test_nothing_is_begun_that_cannot_be_signed_in_the_end(tmp_path: Path, models_dir: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    (state / "identity").write_bytes(b"a file in the way")
    still = photo(tmp_path / "a.jpg", np.zeros((48, 64, 3), np.uint8))
    looked: list[None] = []
    with pytest.raises(StorageError, match="signing identity"):
        Oversight(state, models_dir).open(
            still, [still], AutomationConfig(accept_use_policy=1), lambda: looked.append(None)
        )
    assert not looked


def test_the_mark_outlives_what_strips_everything_else(
    installation: Installation, views: list[Image], tmp_path: Path
) -> None:
    output, job = installation.make(video(tmp_path / "a.mp4", views))
    with av.open(str(output)) as container:
        pictures = [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]
    found = installation.examine(write_clip(tmp_path / "uploaded.mp4", pictures))
    assert (found.credentials, found.label) == (None, None)
    assert found.verdict is Verdict.TOUCHED
    assert job["provenance"]["result_id"][:8] in "\n".join(found.lines())

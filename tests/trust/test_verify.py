"""`verify` tells what is marked and intact from what was altered, stripped or never marked."""

from __future__ import annotations

import contextlib
import datetime
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import av
import pytest
from PIL import Image
from sealed_files import flip, packets, picture, plain_file, sealed_file, statement_for

from facefusion.automation.commands import main
from facefusion.trust import identity
from facefusion.trust.credentials import CredentialsError, sign
from facefusion.trust.identity import identity_of, known_authorities
from facefusion.trust.verify import State, Verdict, examine

REPOSITORY = Path(__file__).resolve().parents[2]
Say = Callable[..., tuple[int, str]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "installation"


@pytest.fixture
def say(root: Path, capsys: pytest.CaptureFixture[str]) -> Say:
    """Run the command; exit status and everything it printed."""

    def run(*words: object) -> tuple[int, str]:
        status = main(["verify", *map(str, words), "--root", str(root)])
        printed = capsys.readouterr()
        return status, printed.out + printed.err

    return run


@pytest.fixture
def sealed(tmp_path: Path, root: Path) -> Callable[[str], Path]:
    def make(name: str) -> Path:
        sealed_file(tmp_path / name, root / ".automation")
        return tmp_path / name

    return make


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mov", "clip.mkv", "clip.ts", "a.jpg", "a.png", "a.bmp"])
def test_what_this_installation_made_is_intact(say: Say, sealed: Callable[[str], Path], name: str) -> None:
    status, printed = say(sealed(name))
    assert status == 0
    assert "marked as made or altered by a machine, and intact" in printed
    assert "valid, signed by this installation" in printed
    assert "Face replaced by a trained model" in printed
    assert "its content was altered (c2pa.edited)" in printed
    assert "the operator states: right to use the face: permission (a play)" in printed


def test_another_installation_says_that_it_does_not_know_the_signer(
    say: Say, root: Path, tmp_path: Path
) -> None:
    path = tmp_path / "clip.mp4"
    sealed_file(path, tmp_path / "another installation")
    status, printed = say(path)
    assert status == 0
    assert "signer not known to this installation (was it made under another --root?)" in printed
    assert "whom this installation does not know" in " ".join(printed.split())
    assert "verified" not in printed.lower()
    assert not (root / ".automation" / "identity").exists(), "looking makes no identity"


def test_a_file_that_never_was_there_does_not_exist(say: Say, tmp_path: Path) -> None:
    status, printed = say(tmp_path / "nothing.mp4")
    assert status == 2
    assert "nothing.mp4 does not exist" in printed


def places(path: Path) -> dict[str, int]:
    """A byte of picture, of sound, and of what the claim states."""
    statement = path.with_name(f"{path.name}.c2pa")
    found = {"statement": (statement if statement.exists() else path).read_bytes().find(b"permission") + 2}
    if path.suffix in (".mp4", ".mkv"):
        for what, kind in (("picture", "video"), ("sound", "audio")):
            at, size = packets(path, kind)[2]
            found[what] = at + size // 2
    else:
        found["picture"] = path.stat().st_size * 9 // 10
    return found


@pytest.mark.parametrize(
    ("name", "what"),
    [
        *[("clip.mp4", what) for what in ("picture", "sound", "statement")],
        *[("clip.mkv", what) for what in ("picture", "sound", "statement")],
        *[("a.jpg", what) for what in ("picture", "statement")],
        *[("a.bmp", what) for what in ("picture", "statement")],
    ],
)
def test_one_bit_is_enough(say: Say, sealed: Callable[[str], Path], name: str, what: str) -> None:
    path = sealed(name)
    place = places(path)[what]
    beside = path.with_name(f"{path.name}.c2pa")
    flip(beside if what == "statement" and beside.exists() else path, place)
    status, printed = say(path)
    assert status == 1
    assert "ALTERED" in printed
    assert "signed by this installation" not in printed


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "a.jpg", "a.png"])
def test_a_statement_of_a_form_that_none_has_is_altered_and_no_crash(
    say: Say, sealed: Callable[[str], Path], name: str
) -> None:
    path = sealed(name)
    beside = path.with_name(f"{name}.c2pa")
    stated = beside if beside.exists() else path
    content = bytearray(stated.read_bytes())
    content[content.find(b"fmodels\xa1")] = 0x46  # a name (CBOR text) becomes bytes, which JSON cannot have
    stated.write_bytes(content)
    status, printed = say(path)
    assert status == 1
    assert "ALTERED" in printed
    assert "the statement cannot be read" in printed


@pytest.mark.parametrize("name", ["clip.mp4", "a.jpg"])
def test_a_file_that_was_cut_off_after_it_was_signed_is_altered(
    say: Say, sealed: Callable[[str], Path], name: str
) -> None:
    path = sealed(name)
    path.write_bytes(path.read_bytes()[:-300])
    assert say(path)[0] == 1


def test_a_signature_of_another_file_is_no_signature(say: Say, sealed: Callable[[str], Path]) -> None:
    one, other = sealed("one.mkv"), sealed("two.mkv")
    with other.open("ab") as stream:
        stream.write(b"\xec\x81\0")
    shutil.copy(one.with_name("one.mkv.c2pa"), other.with_name("two.mkv.c2pa"))
    status, printed = say(other)
    assert status == 1
    assert "ALTERED" in printed


def test_a_sidecar_is_found_by_either_name_and_its_loss_is_noticed(
    say: Say, sealed: Callable[[str], Path]
) -> None:
    path = sealed("clip.mkv")
    beside = path.with_name("clip.mkv.c2pa")
    beside.rename(path.with_name("clip.c2pa"))
    assert say(path)[0] == 0
    path.with_name("clip.c2pa").unlink()
    status, printed = say(path)
    assert status == 1, "the label is still there"
    assert "partly stripped" in printed


def test_copying_the_packets_strips_the_signature_and_the_label_still_tells(
    say: Say, sealed: Callable[[str], Path], tmp_path: Path
) -> None:
    path = sealed("clip.mkv")
    with av.open(str(path)) as source, av.open(str(tmp_path / "copy.mkv"), "w") as copy:
        copy.metadata.update(source.metadata)
        stream = copy.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.size:
                packet.stream = stream
                copy.mux(packet)
    assert say(tmp_path / "copy.mkv")[0] == 1


@pytest.mark.parametrize("name", ["clip.mp4", "a.png"])
def test_a_file_that_says_nothing(say: Say, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if path.suffix == ".png":
        picture().save(path)
    else:
        plain_file(tmp_path / "clip.ts").rename(tmp_path / "plain.ts")
        with av.open(str(tmp_path / "plain.ts")) as source, av.open(str(path), "w") as copy:
            stream = copy.add_stream_from_template(source.streams.video[0])
            for packet in source.demux(source.streams.video[0]):
                if packet.size:
                    packet.stream = stream
                    copy.mux(packet)
    status, printed = say(path)
    assert status == 2
    assert "nothing found" in printed


def test_a_camera_s_own_label_is_no_mark(say: Say, tmp_path: Path) -> None:
    xmp = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        b'<rdf:Description rdf:about="" xmlns:i="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
        b'i:DigitalSourceType="http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture"/>'
        b"</rdf:RDF></x:xmpmeta>"
    )
    picture().save(tmp_path / "a.jpg", xmp=xmp)
    status, printed = say(tmp_path / "a.jpg")
    assert status == 2
    assert "digitalCapture" in printed


def test_files_that_cannot_be_looked_at_are_named_and_the_others_are_looked_at(
    say: Say, sealed: Callable[[str], Path], tmp_path: Path
) -> None:
    good = sealed("clip.mkv")
    (tmp_path / "notes.txt").write_text("no media")
    (tmp_path / "folder").mkdir()
    status, printed = say(
        tmp_path / "gone.mp4", tmp_path / "notes.txt", tmp_path / "folder", f"{good}.c2pa", good
    )
    assert status == 2
    for words in (
        "gone.mp4 does not exist",
        "notes.txt is not a video",
        "folder",
        "name that one instead",
    ):
        assert words in printed
    assert "clip.mkv: marked as made" in printed
    assert "Traceback" not in printed


def test_the_worst_file_decides(say: Say, sealed: Callable[[str], Path], tmp_path: Path) -> None:
    good, altered = sealed("good.jpg"), sealed("altered.jpg")
    flip(altered, altered.stat().st_size * 9 // 10)
    picture().save(tmp_path / "plain.png")
    assert say(good, good)[0] == 0
    assert say(altered, good)[0] == 1
    assert say(altered, tmp_path / "plain.png", good)[0] == 2


def test_programs_get_it_as_json(say: Say, sealed: Callable[[str], Path], tmp_path: Path) -> None:
    good = sealed("clip.mkv")
    status, printed = say(good, "--json")
    assert status == 0
    (found,) = json.loads(printed)
    assert found["verdict"] == "intact"
    assert found["content_credentials"]["state"] == "own"
    assert found["content_credentials"]["sidecar"] == "clip.mkv.c2pa"
    assert found["metadata_label"]["source_type"].endswith("compositeWithTrainedAlgorithmicMedia")
    assert found["invisible_mark"]["found"] is False


def test_results_of_an_identity_that_was_replaced_are_still_our_own(tmp_path: Path) -> None:
    state = tmp_path / "state"
    sealed_file(tmp_path / "a.jpg", state)
    (state / "identity" / "key.pem").unlink()
    identity_of(state)
    found = examine(tmp_path / "a.jpg", known_authorities(state))
    assert found.credentials is not None
    assert (found.verdict, found.credentials.state) == (Verdict.INTACT, State.OWN)


@pytest.fixture
def outlived(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file whose certificate was valid when it was signed, and is no more."""
    path = plain_file(tmp_path / "a.jpg")
    state = root / ".automation"
    for seconds in (2, 4, 8, 16, 32):  # a slow machine needs more to sign in time
        end = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds)
        made = end - datetime.timedelta(days=365 * identity.YEARS) + datetime.timedelta(hours=1)
        monkeypatch.setattr(identity, "_now", lambda made=made: made)
        signed = tmp_path / f"signed {seconds}.jpg"
        shutil.rmtree(state, ignore_errors=True)
        signer = identity.identity_of(state)
        with contextlib.suppress(CredentialsError):
            sign(path, signed, "image/jpeg", statement_for(path), path, signer)
            break
    while datetime.datetime.now(datetime.UTC) < end + datetime.timedelta(seconds=1):
        time.sleep(0.1)
    return signed


def test_a_certificate_past_its_dates_is_told_from_a_file_that_was_altered(say: Say, outlived: Path) -> None:
    status, printed = say(outlived)
    assert status == 0
    assert "valid, but outside its certificate's dates" in printed
    assert "whom this installation does not know" in " ".join(printed.split())
    changed = bytearray(outlived.read_bytes())
    changed[-200] ^= 1
    outlived.write_bytes(changed)
    status, printed = say(outlived)
    assert status == 1
    assert "ALTERED" in printed


def test_a_name_and_a_claim_cannot_write_on_the_terminal(say: Say, root: Path, tmp_path: Path) -> None:
    path = tmp_path / "a\x1b[31m.jpg"
    sealed_file(path, root / ".automation")
    assert "\x1b" not in say(path)[1]


def test_foreign_metadata_tools_read_the_label(sealed: Callable[[str], Path]) -> None:
    path = sealed("a.jpg")
    with Image.open(path) as image:
        assert b"compositeWithTrainedAlgorithmicMedia" in image.info["xmp"]


def test_the_script_at_the_top_knows_the_command(sealed: Callable[[str], Path], root: Path) -> None:
    words = [sys.executable, "simple_auto_processor.py", "verify", str(sealed("a.jpg")), "--root", str(root)]
    done = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")

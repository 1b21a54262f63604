"""The signing identity: made once, private, and of use as long as it is whole."""

from __future__ import annotations

import datetime
import stat
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID

from facefusion.errors import SealingError, StorageError
from facefusion.trust import identity
from facefusion.trust.identity import Identity, identity_of, known_authorities


@pytest.fixture
def on(monkeypatch: pytest.MonkeyPatch):
    """Set the clock of the identity's module."""

    def set_to(year: int) -> None:
        monkeypatch.setattr(identity, "_now", lambda: datetime.datetime(year, 1, 1, tzinfo=datetime.UTC))

    return set_to


def test_it_is_made_once(tmp_path: Path) -> None:
    assert known_authorities(tmp_path) == []
    first = identity_of(tmp_path)
    assert identity_of(tmp_path) == first
    assert first.note == ""
    assert len(known_authorities(tmp_path)) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["identity"], "nothing is left of making it"


@pytest.mark.skipif(sys.platform == "win32", reason="folders cannot be opened there")
def test_its_names_reach_the_disk_before_anything_is_signed(tmp_path: Path, synced: set[int]) -> None:
    identity_of(tmp_path)
    assert {tmp_path.stat().st_ino, (tmp_path / "identity").stat().st_ino} <= synced


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no mode bits")
def test_it_is_private_and_made_private_again(tmp_path: Path) -> None:
    identity_of(tmp_path)
    folder = tmp_path / "identity"
    folder.chmod(0o755)
    (folder / "key.pem").chmod(0o644)
    identity_of(tmp_path)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}


def test_the_authority_s_key_is_nowhere_and_the_certificate_says_what_c2pa_asks_for(tmp_path: Path) -> None:
    made = identity_of(tmp_path)
    authority = x509.load_pem_x509_certificate(known_authorities(tmp_path)[0])
    certificate = x509.load_pem_x509_certificate(made.certificate)
    certificate.verify_directly_issued_by(authority)
    keys = [
        path.read_bytes() for path in (tmp_path / "identity").iterdir() if b"PRIVATE" in path.read_bytes()
    ]
    assert keys == [made.key]
    assert load_pem_private_key(made.key, None).public_key() == certificate.public_key()
    assert authority.public_key() != certificate.public_key()
    years = (certificate.not_valid_after_utc - certificate.not_valid_before_utc).days / 365
    assert years == identity.YEARS
    purposes = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert {purpose.dotted_string for purpose in purposes} == {
        ExtendedKeyUsageOID.EMAIL_PROTECTION.dotted_string,
        "1.3.6.1.4.1.62558.2.1",
    }
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    assert usage.value.digital_signature
    assert not usage.value.key_cert_sign
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)


def test_it_names_nobody(tmp_path: Path) -> None:
    certificate = x509.load_pem_x509_certificate(identity_of(tmp_path).certificate)
    assert certificate.subject.rfc4514_string() == "CN=local signer,O=facefusion installation"


def test_processes_that_make_it_at_the_same_time_get_the_same_one(tmp_path: Path) -> None:
    with ProcessPoolExecutor(4) as pool:
        made = list(pool.map(identity_of, [tmp_path] * 4))
    assert len({one.key for one in made}) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["identity"]


def damaged(folder: Path, how: str) -> None:
    match how:
        case "key missing":
            (folder / "key.pem").unlink()
        case "key cut off":
            (folder / "key.pem").write_bytes((folder / "key.pem").read_bytes()[:60])
        case "certificate empty":
            (folder / "certificate.pem").write_bytes(b"")
        case "key of another":
            other = folder.parent.parent / "other"
            (folder / "key.pem").write_bytes(identity_of(other).key)


@pytest.mark.parametrize("how", ["key missing", "key cut off", "certificate empty", "key of another"])
def test_a_damaged_one_is_replaced_and_said_so_its_authority_stays_known(tmp_path: Path, how: str) -> None:
    state = tmp_path / "state"
    old = identity_of(state)
    authority = known_authorities(state)
    damaged(state / "identity", how)
    new = identity_of(state)
    assert new.key != old.key
    assert "new one was made" in new.note
    assert identity_of(state) == Identity(new.certificate, new.key, "")
    assert set(authority) < set(known_authorities(state))
    former = [path for path in state.iterdir() if path.name != "identity"]
    assert [sorted(file.name for file in folder.iterdir()) for folder in former] == [["ca.pem"]]


def test_an_authority_that_cannot_be_read_is_not_known(tmp_path: Path) -> None:
    identity_of(tmp_path)
    (tmp_path / "identity" / "ca.pem").write_bytes(b"nonsense")
    new = identity_of(tmp_path)
    assert "damaged" in new.note
    assert len(known_authorities(tmp_path)) == 1


def test_authorities_that_cannot_be_read_are_not_taken_for_none(tmp_path: Path) -> None:
    identity_of(tmp_path)
    (tmp_path / "identity" / "ca.pem").unlink()
    (tmp_path / "identity" / "ca.pem").mkdir()
    with pytest.raises(StorageError, match=r"ca\.pem cannot be read"):
        known_authorities(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(StorageError):
        known_authorities(tmp_path / "file")
    assert known_authorities(tmp_path / "nothing") == []


def test_one_that_has_expired_is_replaced(tmp_path: Path, on) -> None:
    on(1990)
    old = identity_of(tmp_path)
    on(2026)
    new = identity_of(tmp_path)
    assert new.key != old.key
    assert "expired" in new.note
    assert len(known_authorities(tmp_path)) == 2


def test_a_clock_that_stands_before_it_was_made_is_said_and_nothing_is_replaced(tmp_path: Path, on) -> None:
    on(2026)
    made = identity_of(tmp_path)
    on(1970)
    with pytest.raises(SealingError, match="clock of this computer stands at 1970-01-01") as raised:
        identity_of(tmp_path)
    assert "Set the clock" in raised.value.remedy
    assert "rename .automation/identity to identity-former-0" in raised.value.remedy
    on(2026)
    assert identity_of(tmp_path) == made


def test_one_that_was_made_while_the_clock_was_fast_can_be_put_aside(tmp_path: Path, on) -> None:
    on(2040)
    identity_of(tmp_path)
    on(2026)
    with pytest.raises(SealingError):
        identity_of(tmp_path)
    (tmp_path / "identity").rename(tmp_path / "identity-former-0")
    assert identity_of(tmp_path).note == ""
    assert len(known_authorities(tmp_path)) == 2


def test_one_that_cannot_be_read_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "identity").write_bytes(b"a file in the way")
    with pytest.raises(StorageError, match="signing identity"):
        identity_of(tmp_path)

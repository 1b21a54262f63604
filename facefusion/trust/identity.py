"""The signing identity of an installation: who vouches for a result, without a name.

Made once. A certificate authority signs one certificate and its key is thrown away at once, so nobody can
issue another one in its name. Whoever trusts `ca.pem` can tell this installation's results from all others;
nobody else has reason to. The certificate profile is that of the C2PA specification (section "Credential
Types"); the life of 30 years is needed because without a time stamp from outside an expired certificate makes
old signatures invalid.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from facefusion.errors import SealingError, StorageError
from facefusion.system.disk import sync_folder

FOLDER = "identity"
YEARS = 30
SIGNER = "local signer"
ORGANISATION = "facefusion installation"
_CA, _CERTIFICATE, _KEY = "ca.pem", "certificate.pem", "key.pem"
_TRIES = 5  # other processes may be making or replacing it, too
_C2PA_SIGNING = ObjectIdentifier("1.3.6.1.4.1.62558.2.1")


@dataclass(frozen=True)
class Identity:
    """What signing needs, as PEM.

    Attributes:
        certificate: of the signer.
        key: its private key.
        note: what had to be done to get it, in a sentence; empty where it was simply there.
    """

    certificate: bytes
    key: bytes
    note: str = ""


def identity_of(state_dir: Path) -> Identity:
    """The installation's identity, made at the first call; may be called by several processes at once.

    One that is damaged or has expired is replaced. Its authority stays known, so that results signed with it
    are still recognised.

    Raises:
        StorageError: it cannot be read or written.
        SealingError: the clock is wrong.
    """
    folder = state_dir / FOLDER
    with _storage(folder):
        problem = ""
        for _ in range(_TRIES):
            found = _read(folder)
            if isinstance(found, Identity):
                note = f"The signing identity {problem}; a new one was made." if problem else ""
                return Identity(found.certificate, found.key, note)
            if found is not None:
                problem = found
                _put_aside(folder)
            _make(state_dir, folder)
    raise SealingError(f"The signing identity {problem or 'cannot be made'}, again and again.")


def require_identity(state_dir: Path) -> None:
    """Return only if nothing keeps a result from being signed later; makes and replaces nothing.

    Raises:
        StorageError, SealingError: see `identity_of`.
    """
    with _storage(state_dir / FOLDER):
        _read(state_dir / FOLDER)


def known_authorities(state_dir: Path) -> list[bytes]:
    """Authorities of this installation, present and former, as PEM; empty where nothing was ever signed.

    Raises:
        StorageError: they are there and cannot be read. Without them our own results would look like others'.
    """
    found = []
    with _storage(state_dir / FOLDER):
        try:
            entries = sorted(state_dir.iterdir())
        except FileNotFoundError:
            return []
        for folder in entries:
            if not folder.name.startswith(FOLDER):
                continue
            with contextlib.suppress(FileNotFoundError, NotADirectoryError, ValueError):
                certificate = (folder / _CA).read_bytes()
                x509.load_pem_x509_certificate(certificate)
                found.append(certificate)
    return found


@contextlib.contextmanager
def _storage(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = error.filename or folder
        raise StorageError(
            f"The signing identity {where} cannot be read or written ({error.strerror or error}).",
            remedy="Make the folder .automation/identity readable and writable for this program.",
        ) from error


def _read(folder: Path) -> Identity | str | None:
    """The identity; what is wrong with it; None where there is none."""
    if not folder.exists():
        return None
    try:
        parts = {name: (folder / name).read_bytes() for name in (_CA, _CERTIFICATE, _KEY)}
        authority, certificate = (x509.load_pem_x509_certificate(parts[n]) for n in (_CA, _CERTIFICATE))
        key = load_pem_private_key(parts[_KEY], None)
        certificate.verify_directly_issued_by(authority)
    except FileNotFoundError:
        return "was incomplete"
    except (ValueError, TypeError, InvalidSignature):
        return "was damaged"
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        return "was damaged"
    now = _now()
    if now < certificate.not_valid_before_utc:
        raise SealingError(
            f"The clock of this computer stands at {now:%Y-%m-%d}, before its signing identity was made.",
            remedy="Set the clock, then run `python3 simple_auto_processor.py retry`. If it is right, it was "
            f"wrong before: rename .automation/{FOLDER} to {FOLDER}-former-0, and a new one is made.",
        )
    if now >= certificate.not_valid_after_utc:
        return "had expired"
    with contextlib.suppress(OSError):  # a file system that knows no rights
        folder.chmod(0o700)
        (folder / _KEY).chmod(0o600)
    return Identity(parts[_CERTIFICATE], parts[_KEY])


def _put_aside(folder: Path) -> None:
    """Keep the authority of an identity that is of no more use, and remove the rest."""
    for number in range(1, 1000):
        former = folder.with_name(f"{folder.name}-former-{number}")
        if former.exists():
            continue
        try:
            folder.rename(former)
        except FileNotFoundError:
            return  # another process was quicker
        except OSError:
            if former.exists():
                continue
            raise
        for entry in former.iterdir():
            if entry.name != _CA:
                entry.unlink()
        return


def _make(state_dir: Path, folder: Path) -> None:
    """Make an identity in one step: a folder is renamed to its place only where there is none."""
    state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{FOLDER}-", dir=state_dir))  # mode 0700
    try:
        for name, content in _issue().items():
            descriptor = os.open(draft / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
        sync_folder(draft)
        try:
            draft.rename(folder)
        except OSError:
            if not folder.exists():
                raise
        sync_folder(state_dir)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _issue() -> dict[str, bytes]:
    """An authority and a certificate signed by it; the authority's key ends here."""
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority = _certificate("local authority", authority_key.public_key(), authority_key, authority=True)
    certificate = _certificate(SIGNER, key.public_key(), authority_key, authority=False)
    return {
        _CA: authority.public_bytes(Encoding.PEM),
        _CERTIFICATE: certificate.public_bytes(Encoding.PEM),
        _KEY: key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    }


def _certificate(
    name: str,
    key: ec.EllipticCurvePublicKey,
    issuer_key: ec.EllipticCurvePrivateKey,
    *,
    authority: bool,
) -> x509.Certificate:
    # An hour back: clocks of other computers may be slow.
    start = _now() - datetime.timedelta(hours=1)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(_name("local authority"))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=365 * YEARS))
        .add_extension(
            x509.BasicConstraints(ca=authority, path_length=0 if authority else None), critical=True
        )
        .add_extension(_usage(authority=authority), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False
        )
    )
    if not authority:
        purposes = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION, _C2PA_SIGNING])
        builder = builder.add_extension(purposes, critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def _name(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, ORGANISATION),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )

"""The last step of a result: signed, read back, and still the file that was checked before."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facefusion.errors import SealingError, StorageError
from facefusion.media.verify import verify_same
from facefusion.media.writer import too_large
from facefusion.trust import credentials
from facefusion.trust.credentials import Credentials, CredentialsError, State, UnreadableParentError
from facefusion.trust.identity import Identity
from facefusion.trust.sidecars import sidecar_of

_FRESH = ".signing"
_TEMPORARY = ".spool"
_TEMPORARY_VARIABLES = ("TMPDIR", "TMP", "TEMP")


@dataclass(frozen=True)
class Seal:
    """A file that was sealed.

    Attributes:
        manifest_id: of the manifest.
        signer: as the certificate says.
        embedded: the manifest is in the file; otherwise it lies beside it.
        warnings: what had to be done differently.
    """

    manifest_id: str
    signer: str
    embedded: bool
    warnings: tuple[str, ...] = ()


def seal(
    work: Path,
    statement: Mapping[str, Any],
    target: Path,
    identity: Identity,
    authorities: Sequence[bytes],
    at: Callable[[str], None] = lambda step: None,
) -> Seal:
    """Sign a finished file, in its own folder, which is on the file system where it will be published.

    Either the file is replaced by the signed one (and its manifest lies beside it, where it cannot be
    inside), or it is left as it was.

    Args:
        work: the finished file.
        statement: see `claim.statement`.
        target: what was edited.
        identity, authorities: of the installation.
        at: called with the name of each step that is about to be taken (tests end the process there).

    Raises:
        SealingError: it cannot be signed, or what was signed does not hold.
        StorageError: there is not enough room.
        VerificationError: the signed file does not hold the same pictures and sound.
        MediaFormatError: the signed file is larger than the file system allows.
        OSError: a file cannot be read or written.
    """
    kind = credentials.media_type(work)
    fresh = work.with_name(f"{_FRESH}{work.suffix}")
    _require_room(work)
    warnings: tuple[str, ...] = ()
    if sidecar_of(target).is_file():
        warnings = ("The Content Credentials that lie beside the target are not kept as its history.",)
    try:
        with _spool_in(work.parent):
            at("signing")
            try:
                manifest = credentials.sign(work, fresh, kind, statement, target, identity)
            except UnreadableParentError as error:
                warnings = (
                    *warnings,
                    "The target's own Content Credentials cannot be read and are not kept as its history "
                    f"({error}).",
                )
                fresh.unlink(missing_ok=True)
                manifest = credentials.sign(
                    work, fresh, kind, statement, target, identity, with_parents=False
                )
            at("signed")
            embedded = credentials.can_embed(kind)
            found = credentials.read_credentials(fresh, authorities, None if embedded else manifest)
        valid = _valid(work, found, statement["label"])
        verify_same(work, fresh)
        at("checked")
        shutil.copymode(work, fresh)
        if not embedded:
            _write(sidecar_of(work), manifest)
        at("beside")
        fresh.replace(work)
    except CredentialsError as error:
        _require_room(work)  # the library does not say why it could not write
        _require_growth(work, fresh)
        raise SealingError(f"{work.name} could not be signed ({error}).") from error
    except OSError as error:
        if error.errno == errno.EFBIG:
            raise too_large(work.name) from error
        raise
    finally:
        fresh.unlink(missing_ok=True)
    return Seal(valid.manifest_id, valid.signer, embedded, warnings)


def _valid(work: Path, found: Credentials | None, label: str) -> Credentials:
    if found is None:
        raise SealingError(f"{work.name} was signed, but carries no signature.")
    if found.state is not State.OWN or found.manifest_id != label:
        what = ", ".join(found.failures) or f"it reads as {found.state}"
        raise SealingError(f"{work.name} was signed, but the signature does not hold ({what}).")
    return found


def _require_room(work: Path) -> None:
    """The signed file, and the library's own copy of it."""
    needed = 2 * work.stat().st_size
    free = shutil.disk_usage(work.parent).free
    if free < needed:
        raise StorageError(
            f"Signing {work.name} needs {needed // 1_000_000} MB beside it; "
            f"{free // 1_000_000} MB are free on the disk of the outbox."
        )


def _require_growth(work: Path, fresh: Path) -> None:
    """Return only if some more still goes into what was written: no limit on files or on space is met."""
    try:
        with fresh.open("ab") as stream:
            stream.write(bytes(1 << 20))
    except OSError as error:
        if error.errno == errno.EFBIG:
            raise too_large(work.name) from error
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageError(f"{work.name} cannot be signed: {error.strerror}.") from error


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


@contextlib.contextmanager
def _spool_in(folder: Path) -> Iterator[None]:
    """Have native libraries put their temporary files into a folder that is cleared with the job."""
    spool = folder / _TEMPORARY
    spool.mkdir(mode=0o700, exist_ok=True)
    before = {name: os.environ.get(name) for name in _TEMPORARY_VARIABLES}
    os.environ.update(dict.fromkeys(_TEMPORARY_VARIABLES, str(spool)))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        shutil.rmtree(spool, ignore_errors=True)

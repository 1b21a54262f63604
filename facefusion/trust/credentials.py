"""Content Credentials (C2PA): signed statements in a file, or beside it. The C2PA library is used only here.

Nothing is ever fetched: no manifests, no revocation lists, no time stamps. Thumbnails are off, because one of
the source picture would end up in every result. Source: C2PA specification 2.4.
"""

from __future__ import annotations

import contextlib
import json
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import c2pa

from facefusion.errors import MediaFormatError
from facefusion.media.reading import readable
from facefusion.media.sniff import identify
from facefusion.trust.identity import ORGANISATION, Identity

_MEDIA_TYPES = {
    "mp4": "video/mp4",
    "mov": "video/quicktime",
    "mkv": "video/x-matroska",
    "webm": "video/webm",
    "ts": "video/mp2t",
    "mpeg": "video/mpeg",
    "avi": "video/x-msvideo",
    "asf": "video/x-ms-wmv",
    "flv": "video/x-flv",
    "ogg": "video/ogg",
    "mxf": "application/mxf",
    "jpeg": "image/jpeg",
    "heif": "image/heic",
}
_SPOOL_MEGABYTES = 64
"""What the library copies of a file while it signs is kept in memory up to this, then in `TMPDIR`."""
_TARGET = {"title": "target", "relationship": "parentOf", "label": "target"}
_UNTRUSTED = "signingCredential.untrusted"
_OUTSIDE_DATES = {"signingCredential.expired", "claimSignature.outsideValidity"}
_HOLDS = "claimSignature.validated"


class State(StrEnum):
    """What can be said about credentials."""

    OWN = "own"
    """Valid, and signed by this installation."""
    FOREIGN = "foreign"
    """Valid, by a signer this installation does not know."""
    OUTDATED = "outdated"
    """The signature holds, but its certificate is not valid today; so nobody vouches for the signer."""
    ALTERED = "altered"
    """The file, or what is said about it, was changed after it was signed."""


@dataclass(frozen=True)
class Credentials:
    """The active manifest of a file.

    Attributes:
        state: see there.
        manifest_id: its label; empty where it cannot be read.
        signer: organisation and name in the certificate, as claimed there.
        generator: program that made the claim.
        assertions: label -> content.
        ingredients: what the file was made from, as the manifest lists it.
        source_types: digital source types named in it or in its history.
        failures: codes of what did not hold.
    """

    state: State
    manifest_id: str = ""
    signer: str = ""
    generator: str = ""
    assertions: Mapping[str, Any] = field(default_factory=dict)
    ingredients: Sequence[Mapping[str, Any]] = ()
    source_types: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()


class CredentialsError(Exception):
    """The C2PA library could not do it."""


class UnreadableParentError(CredentialsError):
    """The credentials of a target are damaged."""


def media_type(path: Path) -> str:
    """Media type of a file by its content.

    Raises:
        InputFileError, MediaFormatError, VanishedError: it cannot be read, or is nothing known here.
    """
    kind = identify(path)
    known = _MEDIA_TYPES.get(kind.family)
    return known or f"{'image' if kind.picture else 'video'}/{kind.family}"


def can_embed(kind: str) -> bool:
    """Whether credentials go into files of this media type."""
    return kind in c2pa.Builder.get_supported_mime_types()


def sign(
    source: Path,
    destination: Path,
    kind: str,
    statement: Mapping[str, Any],
    target: Path,
    identity: Identity,
    *,
    with_parents: bool = True,
) -> bytes:
    """Write `source` with signed credentials to `destination`, or unchanged where they cannot be embedded.

    Args:
        source: the finished file.
        destination: does not exist.
        kind: media type of both.
        statement: manifest definition; its actions refer to the target as the ingredient `target`.
        target: file that was edited.
        identity: signs.
        with_parents: the target's own credentials are kept as its history.

    Returns:
        The manifest, for a file of its own where it cannot be embedded.

    Raises:
        UnreadableParentError: the target's own credentials cannot be kept.
        CredentialsError: the library refused.
        OSError: a file cannot be read or written.
    """
    if not with_parents:
        statement = {**statement, "ingredients": [*statement["ingredients"], _bare_target(target)]}
    with (
        _said(),
        c2pa.Builder(dict(statement), context=_context(())) as builder,
        c2pa.Signer.from_info(
            c2pa.C2paSignerInfo(c2pa.C2paSigningAlg.ES256, identity.certificate, identity.key, None)
        ) as signer,
    ):
        if with_parents:
            _add_target(builder, target)
        if not can_embed(kind):
            builder.set_no_embed()
        with source.open("rb") as read, destination.open("x+b") as written:
            manifest: bytes = builder.sign(signer, kind, read, written)
            written.flush()
            os.fsync(written.fileno())
        return manifest


def read_credentials(
    path: Path, authorities: Sequence[bytes], sidecar: bytes | None = None
) -> Credentials | None:
    """Read and check the credentials of a file; None where it has none.

    Args:
        path: the file.
        authorities: PEM certificates of this installation.
        sidecar: the manifest, where it lies beside the file.

    Raises:
        InputFileError, VanishedError: the file cannot be read.
    """
    try:
        kind: str | None = media_type(path)
    except MediaFormatError:
        kind = None  # damaged, perhaps after it was signed: the library looks for itself
    try:
        with (
            readable(path),
            _said(),
            path.open("rb") as stream,
            c2pa.Reader(kind, stream, manifest_data=sidecar, context=_context(authorities)) as reader,
        ):
            try:
                return _credentials(reader)
            except (LookupError, TypeError, ValueError, AttributeError) as error:
                # What is stated has another form than any statement; the library stumbles over some.
                raise CredentialsError(f"the statement cannot be read: {_in_short(error)}") from error
    except _AbsentError:
        return None
    except CredentialsError as error:
        return Credentials(State.ALTERED, failures=(str(error),))


class _AbsentError(CredentialsError):
    """There are no credentials."""


def _credentials(reader: Any) -> Credentials:
    manifest = reader.get_active_manifest() or {}
    results = (reader.get_validation_results() or {}).get("activeManifest", {})
    failures = tuple(entry["code"] for entry in results.get("failure", ()))
    holds = any(entry["code"] == _HOLDS for entry in results.get("success", ()))
    signature = manifest.get("signature_info", {})
    organisation = signature.get("issuer") or ""
    state = State.ALTERED
    if reader.get_validation_state() == "Trusted" and not failures:
        state = State.OWN if organisation == ORGANISATION else State.FOREIGN
    elif reader.get_validation_state() == "Valid" and set(failures) <= {_UNTRUSTED}:
        state = State.FOREIGN
    elif holds and set(failures) & _OUTSIDE_DATES and set(failures) <= {_UNTRUSTED, *_OUTSIDE_DATES}:
        state = State.OUTDATED
    generators = manifest.get("claim_generator_info") or [{}]
    names = (str(generators[0].get("name", "")), str(generators[0].get("version", "")))
    return Credentials(
        state=state,
        manifest_id=str(manifest.get("label", "")),
        signer=", ".join(filter(None, (organisation, signature.get("common_name")))),
        generator=" ".join(filter(None, names)),
        assertions={entry["label"]: entry.get("data") for entry in manifest.get("assertions", ())},
        ingredients=tuple(manifest.get("ingredients", ())),
        source_types=_source_types(json.loads(reader.json()).get("manifests", {}).values()),
        failures=failures,
    )


def actions_in(assertions: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The actions that a manifest states."""
    found = [data for label, data in assertions.items() if label.startswith("c2pa.actions")]
    return [action for data in found if isinstance(data, Mapping) for action in data.get("actions", ())]


def _source_types(manifests: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for manifest in manifests:
        stated = {entry["label"]: entry.get("data") for entry in manifest.get("assertions", ())}
        for action in actions_in(stated):
            if action.get("digitalSourceType"):
                found[str(action["digitalSourceType"])] = None
    return tuple(found)


def _add_target(builder: Any, target: Path) -> None:
    with target.open("rb") as stream:
        try:
            builder.add_ingredient(json.dumps(_TARGET), media_type(target), stream)
        except c2pa.C2paError as error:
            raise UnreadableParentError(_in_short(error)) from error


def _bare_target(target: Path) -> dict[str, str]:
    return {**_TARGET, "format": media_type(target), "instance_id": f"xmp:iid:{uuid.uuid4()}"}


def _context(authorities: Sequence[bytes]) -> Any:
    settings: dict[str, Any] = {
        "builder": {"thumbnail": {"enabled": False}},
        "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False, "verify_after_sign": False},
        "core": {"allowed_network_hosts": [], "backing_store_memory_threshold_in_mb": _SPOOL_MEGABYTES},
    }
    if authorities:
        settings["trust"] = {"user_anchors": b"\n".join(authorities).decode("ascii")}
    return c2pa.Context(c2pa.Settings.from_dict(settings))


@contextlib.contextmanager
def _said() -> Iterator[None]:
    """Turn the library's errors into ours."""
    try:
        yield
    except (c2pa.C2paError.ManifestNotFound, c2pa.C2paError.NotSupported) as error:
        raise _AbsentError("there are none") from error
    except c2pa.C2paError as error:
        raise CredentialsError(_in_short(error)) from error


def _in_short(error: Exception) -> str:
    return str(error).partition("\n")[0][:300]

"""Consent files: what the operator states about the right to use a face.

    inbox/faces/alice.jpg          inbox/faces/alice.consent.toml
    inbox/faces/alice/*.jpg        inbox/faces/alice/alice.consent.toml, or inbox/faces/alice.consent.toml

Case and the encoding of accents do not matter. What a file may say:

    basis = "permission"           self, permission, licensed, fictional or satire
    scope = "portrait for a film"  what it covers, in a few words; goes into the result, so no names
    expires = 2027-12-31           last day on which it holds; may be left out
    reference = "contract 17"      where the proof lies; stays in this file

It is an *operator attestation*: the program can tell that it was given, not that it is true.
"""

from __future__ import annotations

import datetime
import tomllib
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from facefusion.errors import ConsentError

SUFFIX = ".consent.toml"
LARGEST_BYTES = 16_384

Basis = Literal["self", "permission", "licensed", "fictional", "satire"]
Line = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")
]


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    basis: Basis
    scope: Line = ""
    expires: datetime.date | None = None
    reference: Line = ""


@dataclass(frozen=True)
class Consent:
    """What may be said about a consent in a result: no name, no reference.

    Attributes:
        basis: why the face may be used.
        scope: what for, in the operator's words; may be empty.
        expires: last day, None = without end.
    """

    basis: Basis
    scope: str
    expires: datetime.date | None

    def as_dict(self) -> dict[str, str | None]:
        """For manifests and reports: JSON-able."""
        expires = None if self.expires is None else self.expires.isoformat()
        return {"basis": self.basis, "scope": self.scope, "expires": expires}


def is_consent_file(name: str) -> bool:
    """Whether a file is one by its name."""
    return name.casefold().endswith(SUFFIX)


def face_of(name: str) -> str:
    """Name of the face that a consent file is about."""
    return name[: -len(SUFFIX)]


def consent_for(
    pictures: Sequence[Path],
    *,
    required: bool = False,
    today: datetime.date | None = None,
    list_folder: Callable[[Path], list[Path]] | None = None,
) -> Consent | None:
    """The consent for one face; None where there is none and none is required.

    Args:
        pictures: all pictures of the face.
        required: setting `require_face_consent`.
        today: day on which it must hold; the local date if None.
        list_folder: what lies in a folder, for whoever asks about many faces at once (see `listing`).

    Raises:
        ConsentError: expired, not to be understood, contradicting another one, or required and missing. The
            message names the file.
    """
    about = _files_about(pictures, list_folder or listing)
    files = sorted({file for matching in about.values() for file in matching})
    found = {file: read_consent(file) for file in files}
    day = today or datetime.date.today()  # the person's own calendar counts
    for file, consent in found.items():
        if consent.expires is not None and consent.expires < day:
            raise ConsentError(
                f"The consent in {file.name} expired on {consent.expires.isoformat()}.",
                remedy=f"Renew {file.name}, or take the face out of the inbox; work goes on by itself.",
            )
    different = set(found.values())
    if len(different) > 1:
        names = " and ".join(file.name for file in files)
        raise ConsentError(f"{names} say different things about one face.", remedy="Keep one of them.")
    uncovered = [picture for picture, matching in about.items() if not matching]
    if required and uncovered:
        name = f"{uncovered[0].stem}{SUFFIX}"
        raise ConsentError(
            f"There is no consent file for {uncovered[0].name}, and `require_face_consent` is set.",
            remedy=f'Put {name} beside it, with a line like: basis = "permission".',
        )
    return next(iter(different), None)


def read_consent(file: Path) -> Consent:
    """Read one consent file.

    Raises:
        ConsentError: it cannot be read or understood; the message says what is wrong with it.
    """
    try:
        if not file.is_file():  # a named pipe would make us wait
            raise ValueError("it is not an ordinary file")
        with file.open("rb") as stream:
            content = stream.read(LARGEST_BYTES + 1)
        if len(content) > LARGEST_BYTES:
            raise ValueError("it is too long")
        values = tomllib.loads(content.decode("utf-8-sig"))
        moment = values.get("expires")
        if isinstance(moment, datetime.datetime):
            values["expires"] = moment.date()
        document = _Document.model_validate(values)
    except ValidationError as error:
        problems = "; ".join(
            f"`{'.'.join(map(str, problem['loc']))}`: {problem['msg']}" for problem in error.errors()
        )
        raise _malformed(file, problems) from error
    except OSError as error:
        raise _malformed(file, error.strerror or "it cannot be read") from error
    except ValueError as error:
        raise _malformed(file, str(error)) from error
    except RecursionError as error:
        raise _malformed(file, "its brackets are nested too deep") from error
    return Consent(document.basis, document.scope, document.expires)


def _files_about(
    pictures: Sequence[Path], list_folder: Callable[[Path], list[Path]]
) -> dict[Path, list[Path]]:
    """Consent files about each picture, or about the folder it lies in: in that folder or beside it."""
    listed = {
        place: [
            (_folded(face_of(file.name)), file) for file in list_folder(place) if is_consent_file(file.name)
        ]
        for place in {place for picture in pictures for place in (picture.parent, picture.parent.parent)}
    }

    def about(picture: Path) -> list[Path]:
        folder, stem = picture.parent, _folded(picture.stem)
        name = _folded(folder.name)
        inside = [file for told, file in listed[folder] if told in (stem, name)]
        return inside + [file for told, file in listed[folder.parent] if told == name]

    return {picture: about(picture) for picture in pictures}


def listing(folder: Path) -> list[Path]:
    """What lies in a folder; nothing where it cannot be listed."""
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _malformed(file: Path, reason: str) -> ConsentError:
    return ConsentError(f"{file.name} is not a consent file that can be understood: {reason}.")

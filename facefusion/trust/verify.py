"""What a file says about itself, and whether that holds: for our own results and for any other file."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

from facefusion.errors import FaceFusionError, InputFileError
from facefusion.media.label_reader import read_label
from facefusion.media.labels import Label
from facefusion.media.probe import probe
from facefusion.trust import claim
from facefusion.trust.credentials import Credentials, State, actions_in, read_credentials
from facefusion.trust.sidecars import SUFFIX, sidecar_of
from facefusion.trust.watermark import Detection, detect_photo, detect_video

_LARGEST_SIDECAR = 64 << 20
_WORDS = {
    State.OWN: "valid, signed by this installation",
    State.FOREIGN: "valid, signer not known to this installation (was it made under another --root?)",
    State.OUTDATED: "valid, but outside its certificate's dates",
    State.ALTERED: "ALTERED: this is not the file, or not the statement, that was signed",
}


_ACTIONS = {
    "c2pa.created": "made from nothing",
    "c2pa.opened": "an existing file was taken as the starting point",
    "c2pa.edited": "its content was altered",
    "c2pa.watermarked.bound": "an invisible mark that names this statement was put in",
}


class Verdict(IntEnum):
    """The whole in one word; its number is the exit status."""

    INTACT = 0
    TOUCHED = 1
    NOTHING = 2


_VERDICTS = {
    Verdict.INTACT: "marked as made or altered by a machine, and intact",
    Verdict.TOUCHED: "marked, but altered or partly stripped",
    Verdict.NOTHING: "nothing found that says a machine made or altered it",
}
_INTACT_BUT_UNKNOWN = (
    "marked as made or altered by a machine, and unchanged since somebody signed it whom this installation "
    "does not know"
)


@dataclass(frozen=True)
class Examined:
    """What one file says about itself.

    Attributes:
        path: the file.
        credentials: Content Credentials; None where there are none.
        sidecar: file in which they were found, where they are not inside.
        label: in the metadata; None where there is none.
        mark: the invisible one; None where the pictures cannot be read.
        problem: why they cannot.
    """

    path: Path
    credentials: Credentials | None
    sidecar: Path | None
    label: Label | None
    mark: Detection | None
    problem: str = ""

    @property
    def verdict(self) -> Verdict:
        """See `Verdict`."""
        found = self.credentials
        if found is not None and found.state is State.ALTERED:
            return Verdict.TOUCHED
        said = () if found is None else found.source_types
        labels = () if self.label is None else (self.label.source_type,)
        marked = self.mark is not None and self.mark.found
        if not marked and not any(map(claim.is_machine_made, (*said, *labels))):
            return Verdict.NOTHING
        # What is signed and intact cannot have lost anything, whatever else is readable in it.
        return Verdict.TOUCHED if found is None else Verdict.INTACT

    def as_dict(self) -> dict[str, Any]:
        """For programs."""
        found, mark, label = self.credentials, self.mark, self.label
        return {
            "file": str(self.path),
            "verdict": self.verdict.name.lower(),
            "content_credentials": None
            if found is None
            else {
                "state": found.state.value,
                "sidecar": None if self.sidecar is None else self.sidecar.name,
                "manifest_id": found.manifest_id,
                "signer": found.signer,
                "generator": found.generator,
                "failures": list(found.failures),
                "source_types": list(found.source_types),
                "claim": dict(found.assertions),
            },
            "metadata_label": None if label is None else asdict(label),
            "invisible_mark": None
            if mark is None
            else {
                "found": mark.found,
                "payload": _payload(mark.payload),
                "confidence": mark.confidence,
                "further": [_payload(payload) for payload in mark.further],
            },
            "problem": self.problem,
        }

    def lines(self) -> Iterator[str]:
        """For people."""
        verdict = _VERDICTS[self.verdict]
        state = self.credentials.state if self.credentials else None
        if self.verdict is Verdict.INTACT and state in (State.FOREIGN, State.OUTDATED):
            verdict = _INTACT_BUT_UNKNOWN
        yield _printable(f"{self.path.name}: {verdict}")
        yield from _entry("Content Credentials", self._credentials_in_words())
        yield from _entry("label in the metadata", [_label_in_words(self.label)])
        yield from _entry("invisible mark", [self._mark_in_words()])

    def _credentials_in_words(self) -> list[str]:
        found = self.credentials
        if found is None:
            return ["none"]
        where = "" if self.sidecar is None else f" (in {self.sidecar.name})"
        words = [_WORDS[found.state] + where]
        if found.state is State.ALTERED:
            words.append(f"what does not hold: {', '.join(found.failures)}")
        if found.signer:
            words.append(f"signer, by its own words: {found.signer}")
        return [*words, *_claim_in_words(found)]

    def _mark_in_words(self) -> str:
        mark = self.mark
        if mark is None:
            return f"could not be looked for: {self.problem}"
        if not mark.found:
            return "not found"
        if mark.payload is None:
            return "found, but too faint to tell which result it belongs to"
        own = claim.mark_payload_of(self.credentials.manifest_id) if self.credentials else None
        if own is None:
            return f"found; it belongs to the result whose identity begins with {_payload(mark.payload)}"
        if own in (mark.payload, *mark.further):
            return "found, and it belongs to this claim"
        return f"found, but it belongs to another result ({_payload(mark.payload)})"


def examine(path: Path, authorities: Sequence[bytes]) -> Examined:
    """Look for everything that says how a file came about.

    Args:
        path: any picture or video.
        authorities: of this installation, see `identity.known_authorities`.

    Raises:
        InputFileError, MediaFormatError: it does not exist, cannot be read, or is no media.
        VanishedError: it goes away meanwhile.
    """
    if path.name.lower().endswith(SUFFIX):
        raise InputFileError(f"{path.name} holds the signature of another file; name that one instead.")
    if not path.exists():
        raise InputFileError(f"{path} does not exist.")
    found, sidecar = read_credentials(path, authorities), None
    if found is None:
        near = (sidecar_of(path), path.with_suffix(SUFFIX))
        sidecar = next(filter(Path.is_file, near), None)
        if sidecar is not None:
            found = read_credentials(path, authorities, _content(sidecar))
    label, mark, problem = None, None, ""
    try:
        label = read_label(path)
        mark = detect_photo(path) if probe(path).kind == "photo" else detect_video(path)
    except FaceFusionError as error:
        problem = error.message
        if found is None:
            raise
    return Examined(path, found, sidecar, label, mark, problem)


def _content(sidecar: Path) -> bytes:
    try:
        if sidecar.stat().st_size > _LARGEST_SIDECAR:
            raise InputFileError(f"{sidecar.name} is too large for a signature.")
        return sidecar.read_bytes()
    except OSError as error:
        raise InputFileError(f"{sidecar.name} cannot be read ({error.strerror or error}).") from error


def _claim_in_words(found: Credentials) -> Iterator[str]:
    if found.generator:
        yield f"claim made with: {found.generator}"
    for action in actions_in(found.assertions):
        kind = str(action.get("digitalSourceType", "")).rpartition("/")[2]
        name = str(action.get("action", "?"))
        meaning = f"{_ACTIONS[name]} ({name})" if name in _ACTIONS else name
        told = [meaning, str(action.get("description", "")), kind]
        yield f"it says: {', '.join(filter(None, told))}"
    disclosure = found.assertions.get("c2pa.ai-disclosure")
    if isinstance(disclosure, Mapping):
        yield f"models: {disclosure.get('modelName', '?')}"
    attested = found.assertions.get(claim.ATTESTATION)
    if isinstance(attested, Mapping):
        yield from _attestation_in_words(attested)
    history = [entry for entry in found.ingredients if entry.get("active_manifest")]
    if history:
        yield "the file it was made from had credentials of its own; they are kept inside"


def _attestation_in_words(attested: Mapping[str, Any]) -> Iterator[str]:
    if policy := _mapping(attested, "use_policy"):
        yield f"the operator states: use policy {policy.get('version', '?')} accepted"
    if consent := _mapping(attested, "face_consent"):
        scope = f" ({consent['scope']})" if consent.get("scope") else ""
        expires = f", until {consent['expires']}" if consent.get("expires") else ""
        yield f"the operator states: right to use the face: {consent.get('basis', '?')}{scope}{expires}"
    if gate := _mapping(attested, "content_gate"):
        yield f"content gate: {gate.get('verdict', '?')}"


def _mapping(stated: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = stated.get(key)
    return value if isinstance(value, Mapping) else {}


def _label_in_words(label: Label | None) -> str:
    if label is None:
        return "none"
    return ", ".join(filter(None, (label.source_type.rpartition("/")[2], label.tool)))


def _payload(payload: int | None) -> str | None:
    return None if payload is None else f"{payload:08x}"


def _entry(name: str, words: Sequence[str]) -> Iterator[str]:
    indent = " " * 25
    for number, text in enumerate(words):
        lead = f"  {name:<23}" if number == 0 else indent
        yield textwrap.fill(
            _printable(text),
            110,
            initial_indent=lead,
            subsequent_indent=f"{indent}  ",
            break_long_words=False,
        )


def _printable(text: str) -> str:
    """Foreign claims may hold anything; a terminal gets none of it."""
    return "".join(character if character.isprintable() else "?" for character in text)

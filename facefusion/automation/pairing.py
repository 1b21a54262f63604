"""Which face goes with which target. Pure rules: told what lies there, they decide and say why.

1. A folder names the face: `videos/alice/clip.mp4`, `photos/alice/beach.jpg`.
2. The name does: `alice__clip.mp4`.
3. Otherwise the setting `pairing` decides: `auto` takes the only face there is, `newest` the one dropped
   last, `all` every face (one job each).
4. Otherwise the target waits, and its reason says what to do.

A name that is asked for (rules 1 and 2) and is not there is waited for, never replaced by another face. A
target that was paired by rule 3 stays with that face's name: neither a face that comes later nor one that is
taken away makes old targets run again.
"""

from __future__ import annotations

import hashlib
import itertools
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from facefusion.automation.workspace import printable
from facefusion.config import PairingRule
from facefusion.wording import listed

SEPARATOR = "__"
UNUSABLE_SHOWN = 3

F = TypeVar("F")
V = TypeVar("V")


@dataclass(frozen=True)
class Picture:
    """One picture of a face.

    Attributes:
        path: relative to the inbox.
        sha256: of its content; None while it is not ready.
        waits_for: why it is not ready.
        dropped: orders pictures by arrival; the larger the later.
        unusable: why no face can be taken from it.
    """

    path: str
    sha256: str | None
    waits_for: str = ""
    dropped: tuple[float, int] = (0.0, 0)
    unusable: str = ""


@dataclass(frozen=True)
class Face:
    """One person: a picture, or a folder of pictures.

    Attributes:
        sha256: identifies the content of all pictures together; None while one of them is not ready.
    """

    name: str
    pictures: tuple[Picture, ...]
    sha256: str | None

    @property
    def paths(self) -> tuple[str, ...]:
        """The pictures, relative to the inbox."""
        return tuple(picture.path for picture in self.pictures)

    @property
    def dropped(self) -> tuple[float, int]:
        """When its latest picture came."""
        return max(picture.dropped for picture in self.pictures)

    @property
    def waits_for(self) -> str:
        """Why it is not ready; empty when it is."""
        return next((p.waits_for for p in self.pictures if p.sha256 is None), "")


@dataclass(frozen=True)
class Target:
    """A video or photo that is complete.

    Attributes:
        path: relative to the inbox.
        folder_face: the face its folder asks for.
        before: the face it was paired with by rule 3 earlier, if a job came of that.
    """

    path: str
    kind: Literal["video", "photo"]
    sha256: str
    size: int
    folder_face: str | None = None
    before: str | None = None


@dataclass(frozen=True)
class Pairing:
    """What was decided for one target.

    Attributes:
        faces: to make one job with each; empty when it waits.
        reason: why it waits.
        by_rule: True when neither folder nor name asked for the face.
        stays_with: name of a face that it was paired with earlier and that is no longer there.
        soon: what it waits for comes by itself.
    """

    faces: tuple[Face, ...] = ()
    reason: str = ""
    by_rule: bool = False
    stays_with: str | None = None
    soon: bool = False


def make_face(name: str, pictures: Iterable[Picture]) -> Face:
    """A face from its pictures; its content does not depend on their order."""
    ordered = tuple(sorted(pictures, key=lambda picture: picture.path))
    digests = [picture.sha256 for picture in ordered if picture.sha256 is not None]
    if len(digests) < len(ordered):
        return Face(name, ordered, None)
    if len(digests) == 1:
        return Face(name, ordered, digests[0])
    return Face(name, ordered, hashlib.sha256("\n".join(sorted(digests)).encode()).hexdigest())


@dataclass(frozen=True)
class Faces:
    """The faces of the inbox, found by name as a person means it.

    The exact name comes first; then one that differs only in case or in how accents are encoded, if there
    is just one.

    Attributes:
        by_name: those that can be used, or soon can.
        unusable: names of others, and why no picture of theirs can be used.
    """

    by_name: Mapping[str, Face]
    unusable: Mapping[str, str] = field(default_factory=dict)
    _folded: Mapping[str, list[Face]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        folded = defaultdict(list)
        for name, face in self.by_name.items():
            folded[_folded(name)].append(face)
        object.__setattr__(self, "_folded", folded)

    def find(self, name: str) -> list[Face]:
        """Faces that `name` can mean: none, one, or several that differ only in case or encoding."""
        if name in self.by_name:
            return [self.by_name[name]]
        return self._folded.get(_folded(name), [])

    def why_unusable(self, name: str) -> str:
        """Why there is no face of this name though there are pictures; empty if there are none."""
        found = (why for other, why in self.unusable.items() if _folded(other) == _folded(name))
        return self.unusable.get(name) or next(found, "")


def pair(target: Target, faces: Faces, rule: PairingRule) -> Pairing:
    """Decide for one target."""
    if target.folder_face is not None:
        return _named(target.folder_face, faces, "move the file out of this folder")
    if (prefix := _prefix(target.path)) is not None:
        return _named(prefix, faces, f"rename the file so that it has no {SEPARATOR}")
    if rule == "all" and faces.by_name:
        return _ready(tuple(faces.by_name.values()), by_rule=True)
    if target.before is not None:
        face = faces.by_name.get(target.before)
        if face is None:
            why = faces.why_unusable(target.before)
            reason = f"its face {printable(target.before)} is no longer in the inbox"
            if why:
                reason = f"its face {printable(target.before)} cannot be used ({why})"
            return Pairing(reason=reason, stays_with=target.before)
        return _ready((face,), by_rule=True)
    if not faces.by_name:
        others = "; ".join(itertools.islice(faces.unusable.values(), UNUSABLE_SHOWN))
        also = f" (none can be taken from what lies there: {others})" if others else ""
        return Pairing(reason=f"waiting for a face: put a picture into inbox/faces{also}")
    if rule == "newest":
        return _ready((max(faces.by_name.values(), key=lambda face: face.dropped),), by_rule=True)
    if len(faces.by_name) == 1:
        return _ready(tuple(faces.by_name.values()), by_rule=True)
    names = sorted(map(printable, faces.by_name))
    return Pairing(
        reason=f"which face, {listed(names, last='or')}? Move it into a folder with the name of the face, "
        f"begin its name with {listed((name + SEPARATOR for name in names), last='or')}, "
        "or set `pairing` to all or newest in automation_config.json",
        soon=any(face.sha256 is None for face in faces.by_name.values()),  # there may be fewer in a moment
    )


def without_face(path: str, face_name: str) -> str:
    """The file name of a target without the face that it asks for, where that is this one."""
    prefix, name = _prefix(path), _name(path)
    if prefix is None or _folded(prefix) != _folded(face_name):
        return name
    return name.removeprefix(prefix + SEPARATOR)


def group_by_face(pairs: Iterable[tuple[F, V]]) -> dict[F, list[V]]:
    """Targets by face, faces in the order of their first target, each pair once."""
    groups: dict[F, list[V]] = {}
    for face, target in pairs:
        targets = groups.setdefault(face, [])
        if target not in targets:
            targets.append(target)
    return groups


def _named(name: str, faces: Faces, way_out: str) -> Pairing:
    found = faces.find(name)
    if len(found) == 1:
        return _ready((found[0],), by_rule=False)
    shown = printable(name)
    if found:
        return Pairing(reason=f"several faces are named like {shown}: use the exact spelling of one of them")
    if why := faces.why_unusable(name):
        return Pairing(reason=f"waiting for the face {shown}: it needs another picture ({why}), or {way_out}")
    return Pairing(reason=f"waiting for the face {shown}: add inbox/faces/{shown}.jpg, or {way_out}")


def _ready(faces: tuple[Face, ...], *, by_rule: bool) -> Pairing:
    ready = tuple(face for face in faces if face.sha256 is not None)
    if ready:
        return Pairing(ready, by_rule=by_rule)
    first = faces[0]
    reason = f"waiting for the face {printable(first.name)}: {first.waits_for}"
    return Pairing(reason=reason, by_rule=by_rule, soon=True)


def _prefix(path: str) -> str | None:
    prefix, separator, rest = _name(path).partition(SEPARATOR)
    return prefix if prefix and separator and rest and not rest.startswith(".") else None


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())

"""What a thing in the inbox is, by its place, its name and its type."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from typing import Literal

from facefusion.automation.sightings import Sighting, Signature
from facefusion.automation.snapshot import FileKind
from facefusion.automation.workspace import INBOX_FOLDERS, printable
from facefusion.media.sniff import PICTURE_SUFFIXES, VIDEO_SUFFIXES
from facefusion.trust.consent import face_of, is_consent_file

MARKER = ".facefusion-inbox"
"""Lies in every inbox the program has worked on; where it is missing the inbox may not be mounted."""

TEMPORARY_SUFFIXES = (
    *(".part", ".partial", ".crdownload", ".download", ".opdownload", ".tmp", ".temp", ".filepart", ".aria2"),
    *(".ytdl", ".swp", ".!ut", ".!qb", "~"),
)
HIDDEN_PREFIXES = (".", "~$", "~syncthing~")
SYSTEM_NAMES = frozenset(
    {"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx", "@eadir", "#recycle", "$recycle.bin"}
    | {"lost+found", "system volume information"}
)
OURS = frozenset({MARKER, "README.md", *(f"{folder}/README.md" for folder in INBOX_FOLDERS)})
"""What the program itself keeps in the inbox; it is not listed."""

FOREIGN = "neither a picture nor a video"
NEW = "new: waiting until it stays unchanged"

Phase = Literal["waiting", "settled", "ignored", "refused"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing in the inbox.

    Attributes:
        path: relative to the inbox.
        face: name of the face that it is a picture of, or, for a target, that its folder asks for.
        phase: `settled` = complete and of a kind that is processed.
        reason: why it is not.
        confirmed: a refusal that has lasted for the settling time.
    """

    path: str
    kind: FileKind
    face: str | None
    phase: Phase
    reason: str
    signature: Signature
    mode: int
    links: int
    confirmed: bool = False


def judge(sighting: Sighting) -> Entry:
    """What a thing is by its place, name and type. Pure; never opens it."""
    path, mode, links, signature = sighting

    def entry(kind: FileKind, phase: Phase, reason: str, face: str | None = None) -> Entry:
        return Entry(path, kind, face, phase, reason, signature, mode, links)

    if (reason := _ignored_name(path)) is not None:
        return entry("other", "ignored", reason)
    folder, suffix = _place(path), _split_name(path)[1].lower()
    picture, video = suffix in PICTURE_SUFFIXES, suffix in VIDEO_SUFFIXES
    if stat.S_ISDIR(mode):
        return entry("other", "ignored", "unknown folder: move it into faces, videos or photos")
    if is_consent_file(path) and stat.S_ISREG(mode):
        return entry("other", "ignored", f"consent for the face {printable(face_of(_name(path)))}")
    if not (picture or video):
        what = f"({printable(suffix)})" if suffix else "(no file extension)"
        return entry("other", "ignored", f"{FOREIGN} {what}")
    kind: FileKind = "video" if video else "photo" if folder in ("videos", "photos") else "face"
    face = _face_of(path) if kind == "face" or folder in ("videos", "photos") else None
    if (reason := _refused_type(mode, links)) is not None:
        return entry(kind, "refused", reason, face)
    if folder == "faces" and video:
        return entry("face", "refused", "a face must be a picture, not a video", face)
    return entry(kind, "waiting", NEW, face)


def worth_entering(folder: str) -> bool:
    """Whether files of this folder are looked at."""
    return _ignored_name(folder) is None and _place(folder + "/") is not None


def _place(path: str) -> str | None:
    """`faces`, `videos`, `photos`, or None for the root of the inbox and for any other folder."""
    first, separator, _ = path.partition("/")
    name = first.casefold()
    return name if separator and name in INBOX_FOLDERS else None


def _face_of(path: str) -> str | None:
    """The face's folder if there is one, else, for pictures of faces, the stem of the file."""
    parts = path.split("/")
    if len(parts) > 2:
        return parts[1]
    return _split_name(path)[0] if _place(path) in ("faces", None) else None


def _split_name(path: str) -> tuple[str, str]:
    """Stem and suffix (with its dot) of the last part; a leading dot begins no suffix."""
    name = _name(path)
    stem, dot, suffix = name.rpartition(".")
    return (stem, dot + suffix) if stem else (name, "")


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _ignored_name(path: str) -> str | None:
    name = _name(path).casefold()
    if name in SYSTEM_NAMES:
        return "a file of the operating system"
    if name.startswith(HIDDEN_PREFIXES):
        return "hidden or temporary name"
    if name.endswith(TEMPORARY_SUFFIXES):
        return "temporary name: a download or copy in progress"
    return None


def _refused_type(mode: int, links: int) -> str | None:
    if stat.S_ISLNK(mode):
        return "symbolic link: copy the file itself"
    if stat.S_ISFIFO(mode):
        return "named pipe, not a file"
    if stat.S_ISSOCK(mode):
        return "socket, not a file"
    if stat.S_ISBLK(mode) or stat.S_ISCHR(mode):
        return "device, not a file"
    if not stat.S_ISREG(mode):
        return "not an ordinary file"
    if links > 1:
        return f"hard link ({links} names for one file): copy the file itself"
    return None

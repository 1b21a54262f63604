"""The inbox as the daemon understands it: files, their content, their pairing and their jobs.

Keeps state and does no I/O but what `FileMemory` does. `intake` feeds it and acts on what it says.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from facefusion.automation.database import FileMemory, KnownFile
from facefusion.automation.facecheck import UNJUDGED, Verdict
from facefusion.automation.inbox import Changes, Inbox
from facefusion.automation.job import JobRequest, JobState
from facefusion.automation.kinds import FOREIGN, NEW, Entry
from facefusion.automation.pairing import Face, Faces, Pairing, Picture, Target, make_face, pair
from facefusion.automation.snapshot import FileState, InboxFile
from facefusion.automation.workspace import printable
from facefusion.config import PairingRule
from facefusion.errors import FaceNotFoundError
from facefusion.wording import source_verdict

VANISHED_SHOWN = 100
"""How many files that are gone are still listed, so that a person sees what became of them."""

BEING_PAIRED = "being paired"
SAME = "same content as"
"""So begins the reason of a file whose content has a job under another name."""

_FILE_STATES: dict[JobState, FileState] = {
    JobState.RUNNING: "running",
    JobState.PUBLISHING: "running",
    JobState.FAILED: "failed",
    JobState.BLOCKED: "blocked",
    JobState.QUEUED: "queued",
    JobState.NO_FACE: "no_face",
    JobState.CANCELLED: "cancelled",
    JobState.DONE: "done",
}
"""State of a file by its job's; of several jobs the first of this list is shown."""
_INTEREST = {state: rank for rank, state in enumerate(_FILE_STATES)}


@dataclass(frozen=True, slots=True)
class Brief:
    """What the inbox list says about a job."""

    id: int
    state: JobState
    face_name: str
    target: str
    text: str


@dataclass(frozen=True)
class Decision:
    """One target and what its pairing asks for."""

    entry: Entry
    target_sha256: str
    pairing: Pairing
    wishes: tuple[JobRequest, ...]


class Catalogue:
    """Everything known about the files of the inbox.

    Args:
        inbox: phases of the files.
        memory: contents by path and signature.
        brief: what is known about a job.
        verdict: what was found of a picture; None while nobody knows.
        clock: seconds since the epoch; orders files by arrival.
    """

    def __init__(
        self,
        inbox: Inbox,
        memory: FileMemory,
        brief: Callable[[int], Brief | None],
        verdict: Callable[[KnownFile], Verdict | None] = lambda picture: UNJUDGED,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.inbox = inbox
        self._memory = memory
        self._brief = brief
        self._verdict = verdict
        self._clock = clock
        self._contents: dict[str, KnownFile] = {}
        self._unsaved: dict[str, KnownFile] = {}
        self._arrivals: dict[str, float] = {}
        self._to_forget: set[str] = set()
        self._reasons: dict[str, str] = {}
        self._stuck: set[str] = set()
        self._jobs: dict[str, tuple[int, ...]] = {}
        self._paths: defaultdict[int, set[str]] = defaultdict(set)
        self._face_paths: set[str] = set()
        self._undecided: set[str] = set()
        self._faces_changed = False
        self._views: dict[str, InboxFile] = {}
        self._stale_views: set[str] = set()
        self._vanished: dict[str, InboxFile] = {}
        self._listing: tuple[InboxFile, ...] | None = None

    # -- what happens to files ------------------------------------------------------------------------------

    def absorb(self, changes: Changes) -> Iterator[Entry]:
        """Take in what changed; yields the files whose content has to be read."""
        for entry in changes.gone:
            self._lose(entry)
        for entry in changes.changed:
            self._forget_content(entry.path)
            self._link(entry.path, ())  # its jobs were those of the content that it had
            self._note(entry)
        arrived = self._clock()
        for entry in changes.settled:
            to_be_read = entry.phase == "settled" and not self._recall(entry)
            self._note(entry)
            if to_be_read:
                self._arrivals[entry.path] = arrived
                yield entry

    def learn(self, path: str, sha256: str) -> None:
        """Note the content of a settled file that has just been read."""
        entry = self.inbox.entries[path]
        known = KnownFile(path, entry.signature, sha256, self._arrivals.pop(path, self._clock()))
        self._unsaved[path] = known
        self._contents[path] = known
        self._note(entry)

    def send_back(self, path: str, reason: str, seconds: float) -> None:
        """A file seemed complete but is not."""
        self.inbox.unsettle(path, reason, seconds)
        self._forget_content(path)
        self._note(self.inbox.entries[path])

    def refuse(self, path: str, reason: str) -> Entry:
        """A file cannot be read."""
        self.inbox.refuse(path, reason)
        self._forget_content(path)
        self._note(self.inbox.entries[path])
        return self.inbox.entries[path]

    def refused_as(self, path: str, job_id: int) -> None:
        """A file that is refused has been recorded as this job."""
        self._link(path, (job_id,))
        self._stale_views.add(path)

    def paths_with(self, sha256: str) -> list[Entry]:
        """Targets that have this content at the moment."""
        return [
            self.inbox.entries[path]
            for path, known in self._contents.items()
            if known.sha256 == sha256 and path not in self._face_paths
        ]

    # -- pairing --------------------------------------------------------------------------------------------

    @property
    def undecided(self) -> bool:
        """Whether something happened since the last `decide`."""
        return bool(self._undecided or self._faces_changed or self._unsaved or self._to_forget)

    def reconsider(self) -> None:
        """Decide again about all targets."""
        self._faces_changed = True

    def pictures_judged(self) -> None:
        """More is known about the pictures of faces."""
        self._faces_changed = True
        self._stale_views |= self._face_paths

    def decide(self, rule: PairingRule, paired: Callable[[str, str], bool]) -> list[Decision]:
        """Pair the targets about which something changed.

        Args:
            rule: setting `pairing`.
            paired: whether a target (by content) has a job with the face of this name that has not failed.

        Raises:
            StorageError: what was learnt cannot be saved; nothing is lost, call again.
        """
        self._memory.forget(self._to_forget)
        self._to_forget.clear()
        self._memory.put(self._unsaved.values())
        self._unsaved.clear()
        faces = self._faces()
        decisions = []
        for path in sorted(self._contents if self._faces_changed else self._undecided, key=self._turn):
            entry, known = self.inbox.entries.get(path), self._contents.get(path)
            if entry is None or known is None or path in self._face_paths:
                continue
            pairing = pair(self._target(entry, known, paired), faces, rule)
            wishes = tuple(self._wish(entry, known, face) for face in pairing.faces)
            decisions.append(Decision(entry, known.sha256, pairing, wishes))
        return decisions

    def decided(
        self, decisions: Iterable[tuple[Decision, tuple[int, ...]]], *, remember: bool = True
    ) -> None:
        """Note what became of the decisions: the ids of the jobs of each.

        Args:
            decisions: with the jobs of each.
            remember: have a pairing by rule hold from now on.
        """
        sticky = []
        for decision, jobs in decisions:
            path = decision.entry.path
            self._reasons[path] = decision.pairing.reason
            self._stuck.discard(path)
            if not (decision.pairing.faces or decision.pairing.soon):
                self._stuck.add(path)
            if decision.wishes or jobs:
                self._link(path, jobs)
            if decision.pairing.by_rule and len(decision.wishes) == 1 and remember:
                known = replace(self._contents[path], paired_with=decision.pairing.faces[0].name)
                if known != self._contents[path]:
                    self._contents[path] = known
                    sticky.append(known)
            self._stale_views.add(path)
        if sticky:
            self._memory.put(sticky)
        self._undecided.clear()
        self._faces_changed = False

    # -- what is said about files ---------------------------------------------------------------------------

    def job_changed(self, job_id: int) -> None:
        """Something about a job changed that the list shows."""
        self._stale_views.update(self._paths.get(job_id, ()))

    def listing(self) -> tuple[InboxFile, ...]:
        """Every file with state and reason; the same object as before if nothing changed."""
        if self._listing is None or self._stale_views:
            for path in self._stale_views:
                entry = self.inbox.entries.get(path)
                if entry is None:
                    self._views.pop(path, None)
                else:
                    self._views[path] = self._view(entry)
            self._stale_views.clear()
            self._listing = (*self._views.values(), *self._vanished.values())
        return self._listing

    # -- inside ---------------------------------------------------------------------------------------------

    def _note(self, entry: Entry) -> None:
        self._vanished.pop(entry.path, None)
        self._stale_views.add(entry.path)
        if entry.kind == "face" and entry.phase != "ignored":
            self._face_paths.add(entry.path)
            self._faces_changed = True
        elif entry.path in self._contents:
            self._undecided.add(entry.path)

    def _turn(self, path: str) -> tuple[float, str]:
        """In which order targets get their jobs: as they came, and by name what came together."""
        known = self._contents.get(path)
        return (0.0 if known is None else known.seen_at, path)

    def _recall(self, entry: Entry) -> bool:
        known = self._unsaved.get(entry.path) or self._memory.get(entry.path, entry.signature)
        if known is None or known.signature != entry.signature:
            return False
        self._contents[entry.path] = known
        return True

    def _lose(self, entry: Entry) -> None:
        path = entry.path
        was = self._views.get(path)
        if was is not None and was.state in ("waiting", "preparing", "ready", "queued", "running"):
            self._vanished[path] = replace(was, state="vanished", reason="was removed from the inbox")
            while len(self._vanished) > VANISHED_SHOWN:
                del self._vanished[next(iter(self._vanished))]
        self._forget_content(path)
        self._link(path, ())
        self._reasons.pop(path, None)
        self._stuck.discard(path)
        self._undecided.discard(path)
        if path in self._face_paths:
            self._face_paths.discard(path)
            self._faces_changed = True
        self._stale_views.add(path)
        self._to_forget.add(path)

    def _forget_content(self, path: str) -> None:
        self._contents.pop(path, None)
        self._unsaved.pop(path, None)
        self._arrivals.pop(path, None)

    def _link(self, path: str, jobs: tuple[int, ...]) -> None:
        for job_id in self._jobs.pop(path, ()):
            self._paths[job_id].discard(path)
        if jobs:
            self._jobs[path] = jobs
            for job_id in jobs:
                self._paths[job_id].add(path)

    def _faces(self) -> Faces:
        pictures: defaultdict[str, list[Picture]] = defaultdict(list)
        for path in self._face_paths:
            entry = self.inbox.entries[path]
            if entry.face is not None:
                pictures[entry.face].append(self._picture(entry))
        usable, unusable = {}, {}
        for name, found in pictures.items():
            good = [picture for picture in found if not picture.unusable]
            if good:
                # A picture without a face beside good ones is for the engine to leave out and to mention.
                usable[name] = make_face(name, (p for p in found if not p.unusable or p.sha256 is not None))
            else:
                unusable[name] = found[0].unusable
        return Faces(usable, unusable)

    def _picture(self, entry: Entry) -> Picture:
        if entry.phase == "refused":
            return Picture(entry.path, None, unusable=f"{printable(entry.path)}: {entry.reason}")
        known = self._contents.get(entry.path)
        if known is None:
            arrived = (self._clock(), entry.signature.ctime_ns)
            return Picture(entry.path, None, why_not_ready(entry.reason), arrived)
        arrived = (known.seen_at, entry.signature.ctime_ns)
        verdict = self._verdict(known)
        if verdict is None:
            return Picture(entry.path, None, "its picture is being looked at", arrived)
        return Picture(entry.path, known.sha256, "", arrived, verdict.unusable)

    def _target(self, entry: Entry, known: KnownFile, paired: Callable[[str, str], bool]) -> Target:
        before = known.paired_with
        if before is not None and not paired(known.sha256, before):
            before = None
        return Target(entry.path, _target_kind(entry), known.sha256, known.signature.size, entry.face, before)

    def _wish(self, entry: Entry, known: KnownFile, face: Face) -> JobRequest:
        assert face.sha256 is not None
        pictures = tuple((path, self.inbox.entries[path].signature) for path in face.paths)
        return JobRequest(
            target_sha256=known.sha256,
            face_sha256=face.sha256,
            target_kind=_target_kind(entry),
            target_bytes=known.signature.size,
            face_name=face.name,
            inputs=((entry.path, entry.signature), *pictures),
        )

    def _view(self, entry: Entry) -> InboxFile:
        state, reason = self._say(entry)
        jobs = tuple(map(str, self._jobs.get(entry.path, ())))
        stuck = self._is_stuck(entry, state)
        return InboxFile(printable(entry.path), entry.kind, state, reason, entry.signature.size, jobs, stuck)

    def _is_stuck(self, entry: Entry, state: FileState) -> bool:
        if entry.phase == "ignored":
            return entry.reason.startswith(FOREIGN)
        if state == "refused":  # of a target there is a failed job
            return entry.kind not in ("video", "photo")
        return state == "waiting" and entry.phase == "settled" and entry.path in self._stuck

    def _say(self, entry: Entry) -> tuple[FileState, str]:
        jobs = self._jobs.get(entry.path, ())
        if entry.phase == "refused" and jobs:  # its job has failed, and one file is in one state
            return "failed", f"cannot be used ({entry.reason})"
        if entry.phase != "settled":
            return entry.phase, entry.reason
        if entry.path not in self._contents:
            return "preparing", "being read"
        if entry.path in self._face_paths:
            return _say_face(self._verdict(self._contents[entry.path]))
        briefs = [brief for job_id in jobs if (brief := self._brief(job_id)) is not None]
        if not briefs:
            return "waiting", self._reasons.get(entry.path) or BEING_PAIRED
        briefs.sort(key=lambda brief: _INTEREST[brief.state])
        return _FILE_STATES[briefs[0].state], "; ".join(self._about(entry, brief) for brief in briefs)

    def _about(self, entry: Entry, brief: Brief) -> str:
        if brief.target == entry.path:
            return brief.text
        return f"{SAME} {printable(brief.target)}: {brief.text}"


def why_not_ready(reason: str) -> str:
    """Why a picture is not ready, as a part of what its targets wait for."""
    if not reason:
        return "its picture is being read"
    later = reason.startswith("new: ") and reason != NEW  # no daemon looks at it
    return f"its picture is {reason}" if later else "its picture is not complete yet"


def _say_face(verdict: Verdict | None) -> tuple[FileState, str]:
    if verdict is None:
        return "preparing", "being looked at"
    if verdict.unusable:
        return "refused", f"{verdict.unusable} {FaceNotFoundError.default_remedy}"
    if verdict is UNJUDGED:
        return "ready", "a face that can be used"
    return "ready", source_verdict(verdict.flaws)


def _target_kind(entry: Entry) -> Literal["video", "photo"]:
    return "video" if entry.kind == "video" else "photo"

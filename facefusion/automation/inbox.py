"""Which files of the inbox are complete, and why the others are not.

Looking (`sightings`) is separate from judging (here): the first does I/O and keeps nothing, the second keeps
state and does none, so that it can be tested with a clock of its own.
"""

from __future__ import annotations

import stat
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from facefusion.automation.kinds import OURS, Entry, judge
from facefusion.automation.sightings import Sighting, Signature, Sweep

EMPTY = "the file is empty"
EMPTY_FILE_PATIENCE = 3.0
"""An empty file is usually the beginning of a copy; it is given this many times the settling time."""


@dataclass(slots=True)
class _Track:
    signature: Signature
    seen: float
    needed: float
    quiet: float = 0.0


class StabilityTracker:
    """Knows when a file is complete: when it has been seen unchanged for the settling time.

    Pure: told what was seen, it never looks itself. Covers a copy that grows in steps or stalls, a size
    reserved first and filled later, a modification time set back at the end, a replaced file (each changes
    the signature, which starts the time anew), and a computer that slept (time between two looks counts for
    at most half the settling time, so a file is never complete by one late look).

    Args:
        settle_seconds: how long a file must stay unchanged.
        clock: monotonic seconds.
    """

    def __init__(self, settle_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.settle_seconds = settle_seconds
        self._clock = clock
        self._tracks: dict[str, _Track] = {}

    def __len__(self) -> int:
        return len(self._tracks)

    def __contains__(self, path: str) -> bool:
        return path in self._tracks

    def __iter__(self) -> Iterator[str]:
        return iter(self._tracks)

    def observe(self, path: str, signature: Signature, *, patience: float = 1.0) -> bool:
        """Note one look at a file; True when it is complete (and from then on no longer tracked).

        Args:
            patience: multiplies the settling time.
        """
        now = self._clock()
        track = self._tracks.get(path)
        if track is None or track.signature != signature:
            self._tracks[path] = _Track(signature, now, self.settle_seconds * patience)
            return False
        track.quiet += min(now - track.seen, self.settle_seconds / 2)
        track.seen = now
        if track.quiet < track.needed - 1e-6:
            return False
        del self._tracks[path]
        return True

    def hold(self, path: str, signature: Signature, seconds: float) -> None:
        """Track a file that seemed complete but is not, for `seconds` more."""
        self._tracks[path] = _Track(signature, self._clock(), seconds)

    def forget(self, path: str) -> None:
        """Stop tracking a file that is gone."""
        self._tracks.pop(path, None)

    def seconds_to_next_look(self) -> float | None:
        """How long nothing has to be looked at; None when nothing is tracked."""
        if not self._tracks:
            return None
        step = self.settle_seconds / 2
        due = min(track.seen + min(track.needed - track.quiet, step) for track in self._tracks.values())
        return max(due - self._clock(), 0.0)


@dataclass(frozen=True)
class Changes:
    """What an update brought: entries as they are now (`gone`: as they last were).

    Attributes:
        changed: new, or other than before in signature or reason; a settled one is in both.
    """

    settled: tuple[Entry, ...] = ()
    changed: tuple[Entry, ...] = ()
    gone: tuple[Entry, ...] = ()


class Inbox:
    """Every thing in the inbox with its phase and reason.

    Args:
        settle_seconds: how long a file must stay unchanged.
        known: files that were complete when they were last seen, with their signature at that time; found
            unchanged, they need not settle again.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        settle_seconds: float,
        known: Callable[[str], Signature | None] = lambda path: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.entries: dict[str, Entry] = {}
        self.tracker = StabilityTracker(settle_seconds, clock)
        self._known = known

    def update(self, seen: Sweep) -> Changes:
        """Take in a pass over the whole inbox."""
        settled: list[Entry] = []
        changed: list[Entry] = []
        for sighting in seen.sightings:
            if sighting.path in OURS:
                continue
            self._take(sighting, settled, changed)
        present = {sighting.path for sighting in seen.sightings}
        unread = tuple(f"{folder}/" for folder, _ in seen.unread)
        missing = [path for path in self.entries if path not in present and not path.startswith(unread)]
        return Changes(tuple(settled), tuple(changed), tuple(map(self._drop, missing)))

    def update_some(self, seen: Iterable[Sighting]) -> Changes:
        """Take in a look at single files that are there; what is gone only a whole pass can tell."""
        settled: list[Entry] = []
        changed: list[Entry] = []
        for sighting in seen:
            self._take(sighting, settled, changed)
        return Changes(tuple(settled), tuple(changed))

    def unsettle(self, path: str, reason: str, seconds: float) -> None:
        """Send a file back that seemed complete: it is looked at again in `seconds`."""
        entry = self.entries[path]
        self.entries[path] = replace(entry, phase="waiting", reason=reason, confirmed=False)
        self.tracker.hold(path, entry.signature, seconds)

    def refuse(self, path: str, reason: str) -> None:
        """Refuse a file that could not be read, until it changes."""
        self.entries[path] = replace(self.entries[path], phase="refused", reason=reason, confirmed=True)

    def _take(self, sighting: Sighting, settled: list[Entry], changed: list[Entry]) -> None:
        path, mode, links, signature = sighting
        old = self.entries.get(path)
        if (
            old is not None
            and old.signature == signature
            and old.links == links
            and stat.S_IFMT(old.mode) == stat.S_IFMT(mode)
        ):
            if path in self.tracker:
                self._watch(old, settled)
                if self.entries[path].reason != old.reason and self.entries[path].phase == old.phase:
                    changed.append(self.entries[path])
            return
        entry = judge(sighting)
        if old is not None and entry.phase == "waiting":
            reason = "still growing" if signature.size != old.signature.size else "changed a moment ago"
            entry = replace(entry, reason=reason)
        self.entries[path] = entry
        changed.append(entry)
        if entry.phase == "waiting" and self._known(path) == signature:
            self.tracker.forget(path)
            self._settle(entry, settled)
        elif entry.phase in ("waiting", "refused"):
            self._watch(entry, settled)
        else:
            self.tracker.forget(path)

    def _watch(self, entry: Entry, settled: list[Entry]) -> None:
        patience = EMPTY_FILE_PATIENCE if entry.signature.size == 0 else 1.0
        if self.tracker.observe(entry.path, entry.signature, patience=patience):
            self._settle(entry, settled)
        elif entry.phase == "waiting" and entry.reason == "still growing":
            self.entries[entry.path] = replace(entry, reason="waiting until it stays unchanged")

    def _settle(self, entry: Entry, settled: list[Entry]) -> None:
        if entry.phase == "refused":
            entry = replace(entry, confirmed=True)
        elif entry.signature.size == 0:
            entry = replace(entry, phase="refused", reason=EMPTY, confirmed=True)
        else:
            entry = replace(entry, phase="settled", reason="")
        self.entries[entry.path] = entry
        settled.append(entry)

    def _drop(self, path: str) -> Entry:
        self.tracker.forget(path)
        return self.entries.pop(path)

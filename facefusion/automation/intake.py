"""From dropped to complete: looking at the inbox, reading what has settled, having jobs asked for."""

from __future__ import annotations

import itertools
import logging
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal

from facefusion.automation.asking import Asking
from facefusion.automation.catalogue import Catalogue
from facefusion.automation.content import Examined, examine, signature_of
from facefusion.automation.facecheck import FaceCheck
from facefusion.automation.inbox import Changes
from facefusion.automation.job import Inputs, Job, failure_from
from facefusion.automation.jobs import JobQueue
from facefusion.automation.kinds import Entry, worth_entering
from facefusion.automation.loop import Background, Loop
from facefusion.automation.presence import InboxPresence
from facefusion.automation.sightings import Sighting, Signature, Sweep, look, sweep
from facefusion.automation.snapshot import RepeatView
from facefusion.automation.watching import InboxWatch
from facefusion.automation.workspace import Workspace, printable
from facefusion.config import AutomationConfig
from facefusion.errors import (
    CancelledError,
    FaceFusionError,
    InputFileError,
    MediaFormatError,
    VanishedError,
)

logger = logging.getLogger(__name__)

BUSY_SECONDS = 0.5
"""How soon a file that another program still writes is looked at again."""
SINGLE_LOOKS = 300
"""With more unsettled files than this, a pass over the whole inbox is cheaper than single looks."""
SHORTEST_GAP = 0.1
RESTS_AFTER_HINT = 20.0
RESTS_WHILE_WATCHED = 300.0
"""Between two passes the scanner rests this many times as long as a pass took: at most 5 % of a core while
something happens, a third of 1 % while nothing does and the system would tell if it did."""
READ_AHEAD = 64


class Intake:
    """Owns the inbox.

    Args:
        workspace: of the root.
        loop: this object lives in the loop's thread.
        queue, catalogue, presence, facecheck: of the root.
        config: the settings in force.
        on_replaced: told of every file that is new, has changed or is gone.
        on_outdated: told of failed jobs whose file has been replaced by a good one.
        on_refused: takes the failed jobs of targets that may not be read.
        watch: False for a single pass over what is there (no hints from the system are needed).
        clock: monotonic seconds.
    """

    def __init__(
        self,
        workspace: Workspace,
        loop: Loop,
        queue: JobQueue,
        catalogue: Catalogue,
        presence: InboxPresence,
        facecheck: FaceCheck,
        config: Callable[[], AutomationConfig],
        on_replaced: Callable[[str], object],
        on_outdated: Callable[[Job], object],
        on_refused: Callable[[Job], object],
        *,
        watch: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.away: str | None = None
        self.scanned = False
        self.unread: tuple[str, ...] = ()
        self._workspace = workspace
        self._loop = loop
        self._queue = queue
        self._catalogue = catalogue
        self._presence = presence
        self._facecheck = facecheck
        facecheck.on_found = catalogue.pictures_judged
        self._config = config
        self._on_replaced = on_replaced
        self._asking = Asking(catalogue, queue, config, on_outdated, clock)
        self._on_refused = on_refused
        self._clock = clock
        self._scanner = Background("scanner", loop)
        self._reader = Background("reader", loop)
        self._watch = InboxWatch(workspace.inbox, self._hint, clock) if watch else None
        self._scanning = False
        self._hinted = False
        self._next_sweep = clock()
        self._last_end = clock()
        self._last_cost = 0.0
        self._stopping = False
        self._to_read = {True: deque[Entry](), False: deque[Entry]()}
        self._reading: set[str] = set()
        self._refusals: dict[str, Entry] = {}

    # -- what the loop calls --------------------------------------------------------------------------------

    def tick(self) -> None:
        """Start the look that is due, decide what can be decided.

        Raises:
            StorageError: the database cannot be written; nothing is lost, call again.
        """
        if self._watch is not None and not self.away:
            self._watch.ensure()
        self._look_if_due()
        self._read_ahead()
        if not self.away:
            self._asking.decide(more_to_come=bool(self._reading))
        if self._refusals:
            self._settle_refusals()
        if not self._to_read[True] and not self.away:
            self._facecheck.tick()

    def seconds_to_next(self) -> float:
        """How long nothing has to be done here."""
        if self._scanning:
            return 60.0
        pending = self._catalogue.inbox.tracker.seconds_to_next_look()
        due = max(self._next_sweep - self._clock(), 0.0)
        return due if pending is None or self.away else min(due, max(pending, 0.01))

    @property
    def busy(self) -> bool:
        """Whether something is still to be looked at, read or decided of what was seen."""
        return (
            not self.scanned
            or bool(self._reading or self._refusals or any(self._to_read.values()))
            or len(self._catalogue.inbox.tracker) > 0
            or self._catalogue.undecided
            or self._facecheck.busy
        )

    @property
    def examining(self) -> bool:
        """Whether a file is being read or a picture looked at, however long that takes."""
        return bool(self._reading) or self._facecheck.busy

    @property
    def expects_work(self) -> bool:
        """Whether a target is about to be complete."""
        entries = self._catalogue.inbox.entries
        return any(
            path in entries and entries[path].kind in ("video", "photo") and entries[path].phase != "refused"
            for path in itertools.chain(self._reading, self._catalogue.inbox.tracker)
        )

    @property
    def unsettled(self) -> list[str]:
        """Files that are not complete yet, and why."""
        entries = self._catalogue.inbox.entries
        return [f"{printable(path)}: {entries[path].reason}" for path in self._catalogue.inbox.tracker]

    @property
    def repeats(self) -> tuple[RepeatView, ...]:
        """See `Asking.repeats`."""
        return tuple(self._asking.repeats)

    @property
    def notices(self) -> tuple[str, ...]:
        """What a person should know about the inbox."""
        problem = self._watch.problem if self._watch is not None else None
        return (*self.unread, *((problem,) if problem else ()))

    def settings_changed(self) -> None:
        """Go by the new settings."""
        self._catalogue.inbox.tracker.settle_seconds = self._config().limits.settle_seconds
        self._catalogue.reconsider()

    def look_now(self) -> None:
        """Have the next look come at once."""
        self._next_sweep = min(self._next_sweep, self._last_end + SHORTEST_GAP)

    def close(self) -> None:
        """Stop looking."""
        self._stopping = True
        if self._watch is not None:
            self._watch.close()
        self._facecheck.close()
        self._scanner.close(timeout=0.5)
        self._reader.close(timeout=0.5)

    # -- whether a job can be started -----------------------------------------------------------------------

    def confirm(self, job: Job) -> Inputs | FaceFusionError | None:
        """Check that the files of a job are those it was made for.

        Returns:
            None if they are; other inputs, where another file has the content of the target; or why it cannot
            be processed: `VanishedError` if a file is gone, `CancelledError` if it has been replaced.
            After this `away` is up to date if something is missing.
        """
        inputs, changed = list(job.inputs), False
        for index, (path, signature) in enumerate(job.inputs):
            now = signature_of(self._workspace.inbox / path)
            if now is not None and now.same_content(signature):
                continue
            twin = self._twin(job, now) if index == 0 else None
            if twin is None:
                return self._why_not(path, gone=now is None, target=index == 0)
            inputs[0], changed = (twin.path, twin.signature), True
        return tuple(inputs) if changed else None

    def _twin(self, job: Job, now: Signature | None) -> Entry | None:
        """A file with the content of a target that is gone: another one, or the same written again."""
        files = self._catalogue.paths_with(job.target_sha256)
        return next((file for file in files if file.path != job.target or file.signature == now), None)

    def _why_not(self, path: str, *, gone: bool, target: bool) -> FaceFusionError:
        self.look_now()
        if gone and not Path(path).is_absolute():
            # Before a file is given up: is the inbox itself still there?
            self._set_away(self._presence.check())
        name = printable(path.rpartition("/")[2])
        what = name if target else f"The picture {name} of the face"
        if gone:
            return VanishedError(f"{what} was removed before it was processed.")
        return CancelledError(f"{what} was replaced before it was processed.")

    # -- looking --------------------------------------------------------------------------------------------

    def _hint(self) -> None:
        # Called in the observer's thread, perhaps thousands of times a second.
        if not self._hinted:
            self._hinted = True
            self._loop.post(self._hinted_at)

    def _hinted_at(self) -> None:
        self._hinted = False
        rest = max(SHORTEST_GAP, RESTS_AFTER_HINT * self._last_cost)
        self._next_sweep = min(self._next_sweep, max(self._last_end + rest, self._clock() + 0.02))

    def _look_if_due(self) -> None:
        if self._scanning or self._stopping:
            return
        tracker = self._catalogue.inbox.tracker
        pending = tracker.seconds_to_next_look()
        looks_due = pending is not None and pending <= 0.0 and not self.away
        if self._clock() >= self._next_sweep or (looks_due and len(tracker) > SINGLE_LOOKS):
            self._scanning = True
            self._scanner.submit(self._sweep, self._swept, self._scan_failed)
        elif looks_due:
            self._scanning = True
            paths = tuple(tracker)
            self._scanner.submit(lambda: look(self._workspace.inbox, paths), self._looked, self._scan_failed)

    def _sweep(self) -> Sweep | str:
        away = self._presence.check()
        return sweep(self._workspace.inbox, worth_entering) if away is None else away

    def _swept(self, found: Sweep | str) -> None:
        self._scan_ended(0.0 if isinstance(found, str) else found.seconds)
        if isinstance(found, str):
            self._set_away(found)
            return
        self._set_away(None)
        self.scanned = True
        self.unread = tuple(
            f"The folder {printable(folder)} of the inbox cannot be read: {reason}."
            for folder, reason in found.unread
        )
        self._absorb(self._catalogue.inbox.update(found))

    def _looked(self, found: dict[str, Sighting | None]) -> None:
        self._scanning = False
        # A file that is gone may be an inbox that is gone; only a whole pass can tell.
        if None in found.values():
            self.look_now()
        self._absorb(self._catalogue.inbox.update_some(filter(None, found.values())))

    def _scan_failed(self, error: Exception) -> None:
        self._scan_ended(0.0)
        if not isinstance(error, OSError | FaceFusionError):
            logger.error("Looking at the inbox failed.", exc_info=error)
        self._set_away(f"The inbox {printable(self._workspace.inbox)} cannot be read: {error}.")

    def _scan_ended(self, cost: float) -> None:
        self._scanning = False
        self._last_cost, self._last_end = cost, self._clock()
        interval = self._config().watch_interval
        if self._watch is not None and self._watch.working:
            interval = max(interval, cost * RESTS_WHILE_WATCHED)
        self._next_sweep = self._last_end + max(interval, cost * RESTS_AFTER_HINT)

    def _set_away(self, reason: str | None) -> None:
        if reason is not None and self.away is None:
            logger.warning("%s Nothing is given up; work goes on when it is back.", reason)
        elif reason is None and self.away is not None:
            logger.info("The inbox is back.")
        self.away = reason

    # -- reading --------------------------------------------------------------------------------------------

    def _absorb(self, changes: Changes) -> None:
        for entry in self._catalogue.absorb(changes):
            self._to_read[entry.kind == "face"].append(entry)
        for entry in (*changes.changed, *changes.gone):
            self._refusals.pop(entry.path, None)
            self._on_replaced(entry.path)
        for entry in changes.settled:
            self._check_refusal(entry)
        self._read_ahead()

    def _read_ahead(self) -> None:
        """Hand over files to be read, a few at a time, so that a face dropped later overtakes targets."""
        while len(self._reading) < READ_AHEAD and any(self._to_read.values()):
            is_face = bool(self._to_read[True])
            entry = self._to_read[is_face].popleft()
            self._reading.add(entry.path)
            self._reader.submit(
                partial(examine, self._workspace.inbox, entry.path, entry.signature, lambda: self._stopping),
                self._examined,
                partial(self._reading_failed, entry),
                urgency=int(is_face),
            )

    def _examined(self, found: Examined) -> None:
        self._reading.discard(found.path)
        entry = self._catalogue.inbox.entries.get(found.path)
        if entry is None or entry.signature != found.signature or entry.phase != "settled":
            return  # overtaken by a later look
        if found.verdict == "read":
            self._catalogue.learn(found.path, found.sha256)
        elif found.verdict == "busy":
            self._catalogue.send_back(found.path, found.reason, BUSY_SECONDS)
        elif found.verdict == "refused":
            self._check_refusal(self._catalogue.refuse(found.path, found.reason))
        elif found.verdict in ("changed", "gone"):
            settle = self._config().limits.settle_seconds
            self._catalogue.send_back(found.path, found.reason, settle)
            self.look_now()
        self._read_ahead()

    def _reading_failed(self, entry: Entry, error: Exception) -> None:
        logger.error("Reading %s failed.", printable(entry.path), exc_info=error)
        reason = f"not readable: {error}"
        self._examined(Examined(entry.path, entry.signature, "refused", reason=reason))

    # -- refusals -------------------------------------------------------------------------------------------

    def _check_refusal(self, entry: Entry) -> None:
        if entry.phase == "refused" and entry.confirmed and entry.kind in ("video", "photo"):
            self._refusals[entry.path] = entry

    def _settle_refusals(self) -> None:
        """Targets that may not be processed fail, so that they are reported like everything else."""
        for path, entry in self._refusals.items():
            said = f"{printable(path.rpartition('/')[2])} cannot be used ({entry.reason})."
            error: FaceFusionError = InputFileError(said)
            if entry.signature.size == 0:
                error = MediaFormatError(said, remedy="Nothing of it has arrived; copy it again.")
            failure = failure_from(error, entry.reason)
            target_kind: Literal["video", "photo"] = "video" if entry.kind == "video" else "photo"
            asked = self._queue.refuse(path, entry.signature, target_kind, failure)
            self._catalogue.refused_as(path, asked.job_id)
            if asked.started and (job := self._queue.job(asked.job_id)) is not None:
                logger.error("Failed %s: it cannot be used (%s).", printable(path), entry.reason)
                self._on_refused(job)
        self._refusals.clear()

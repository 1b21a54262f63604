"""The parts of a running daemon, put together, and the loop that turns them."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from facefusion.automation.book import JobBook, Summary
from facefusion.automation.catalogue import Catalogue
from facefusion.automation.crew import Crew
from facefusion.automation.database import Database, FileMemory
from facefusion.automation.display import Display, SnapshotCallback
from facefusion.automation.facecheck import FaceCheck, LookProcess, PictureMemory
from facefusion.automation.facecheck_process import PORTRAITS
from facefusion.automation.finishing import Finisher, finished_part, keep_name
from facefusion.automation.inbox import Inbox
from facefusion.automation.intake import Intake
from facefusion.automation.job import ENDED, Job, JobState, failure_from
from facefusion.automation.jobs import JobQueue
from facefusion.automation.lock import InstanceLock
from facefusion.automation.loop import Loop
from facefusion.automation.outboxes import take_up_work
from facefusion.automation.presence import InboxPresence
from facefusion.automation.publish import DiskFree, Outbox
from facefusion.automation.publisher import Publisher
from facefusion.automation.release import release_blocked
from facefusion.automation.room import Room
from facefusion.automation.settings import Settings
from facefusion.automation.snapshot import DaemonState, Snapshot, SnapshotWriter
from facefusion.automation.staffing import Staff
from facefusion.automation.telling import Telling
from facefusion.automation.views import running_view, seconds_left
from facefusion.automation.worker import DEFAULT_FACTORY, WorkerSpec
from facefusion.automation.workspace import Workspace, printable
from facefusion.errors import StorageError
from facefusion.reports.analytics import Analytics
from facefusion.system.hardware import detect_cores
from facefusion.trust import policy
from facefusion.trust.consent import is_consent_file

logger = logging.getLogger(__name__)

T = TypeVar("T")

HOUSEKEEPING_SECONDS = 1.0
MOST_UNFINISHED = 8
CLOSING_SECONDS = 7.0
PUBLISHER_SECONDS = 2.0


@dataclass(frozen=True)
class Options:
    """What tests and other interfaces may want otherwise.

    Attributes:
        session_factory: `module:callable` that makes the worker's session.
        look_factory: `module:callable` for `LookProcess`; None for the session's own: faces are found by the
            models that the real session uses, and every picture is good enough for another.
        disk_free: bytes free on the disk of a folder.
        at: called with the name of each step of publishing (tests end the process there).
        watch: hints from the system are wanted.
        scan: the inbox is looked at.
    """

    session_factory: str = DEFAULT_FACTORY
    look_factory: str | None = None
    disk_free: DiskFree | None = None
    at: Callable[[str], None] = field(default=lambda step: None)
    watch: bool = True
    scan: bool = True


class Daemon:
    """A daemon at work on one root; `with` starts and closes it.

    Everything but the errands of the background threads happens in the thread that calls `turn`.

    Args:
        workspace, settings: of the root.
        options: see `Options`.
        on_snapshot: shown the state as it changes, in the thread that calls `turn`.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        workspace: Workspace,
        settings: Settings,
        options: Options,
        on_snapshot: SnapshotCallback | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.loop = Loop()
        self._workspace = workspace
        self._settings = settings
        self._options = options
        self._display = Display(
            self.snapshot, SnapshotWriter(workspace.state_dir), on_snapshot, Telling(clock).tell, clock
        )
        self._clock = clock
        self._state: DaemonState = "starting"
        self._started_at = time.time()
        self._lock = InstanceLock(workspace.state_dir)
        self._reconsider_blocked = True
        self._summary = Summary()
        self._next_housekeeping = clock()
        self._outbox_ready = False
        self._room = Room(self._prove_room, self._finish_what_waits, clock)

    # -- beginning and end ----------------------------------------------------------------------------------

    def __enter__(self) -> Daemon:
        self._workspace.check()
        self._workspace.prepare_state()
        self._lock.acquire()
        try:
            self._put_together()
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._state = "stopping"
        try:
            self._try(lambda: self._display.show(force=True))
            self.crew.begin_closing()
            deadline = self._clock() + CLOSING_SECONDS
            while self.crew.running and self._clock() < deadline:
                self.loop.run_for(0.1)
                self._try(self.crew.tick)
            self.intake.close()
            self._try(self.crew.close)
            if not self._publisher.close(PUBLISHER_SECONDS):
                logger.warning("A result was still being published; that is completed at the next start.")
            self._analytics.close()
            self._outbox.close()
        finally:
            self._state = "stopped"
            self._try(lambda: self._display.show(force=True))
            self._database.close()
            self._lock.release()

    def _put_together(self) -> None:
        workspace, options = self._workspace, self._options
        self._database = Database(workspace.database)
        self.queue = JobQueue(self._database)
        self.book = JobBook(self.queue, self._is_gone, lambda job: finished_part(job, self._outbox))
        self._data_version = self._database.written_elsewhere()
        self._outbox = Outbox(workspace, self._database.fact("installation") or "", options.disk_free)
        self._analytics = Analytics(workspace.analytics_dir, workspace.state_dir)
        self.finisher = Finisher(workspace, self.queue, self._outbox, self._analytics, options.at)
        self._publisher = Publisher(self.loop, self.finisher, self._room.trouble, self._room.went_well)
        memory = FileMemory(self._database)
        refused = {job.target: job.inputs[0][1] for job in self.queue.refused()}
        inbox = Inbox(
            self._settings.current.limits.settle_seconds,
            lambda path: memory.signature(path) or refused.get(path),
        )
        facecheck = FaceCheck(workspace.inbox, self.loop, PictureMemory(self._database), self._look())
        self.catalogue = Catalogue(inbox, memory, self.book.brief, facecheck.verdict)
        self.intake = Intake(
            workspace,
            self.loop,
            self.queue,
            self.catalogue,
            InboxPresence(workspace.inbox, self._database),
            facecheck,
            lambda: self._settings.current,
            on_replaced=self._file_replaced,
            on_outdated=self._publisher.take_back,
            on_refused=self._publisher.finish,
            watch=options.watch,
        )
        self._staff = Staff(lambda: self._settings.current, workspace.models_dir)
        self.crew = Crew(
            workspace,
            self.loop,
            self.queue,
            self._outbox,
            self.intake,
            self._staff,
            self._worker_spec,
            lambda: self._settings.current,
            on_worked=self._publisher.finish,
            on_ended=self._publisher.finish,
            on_storage_trouble=self._room.trouble,
        )
        self._accepted = policy.is_accepted(workspace.state_dir, self._settings.current)
        self.queue.recover(self._settings.current.max_retries)
        self._state = "watching"
        logger.info("Working on %s.", printable(workspace.root))

    # -- the loop -------------------------------------------------------------------------------------------

    def turn(self) -> None:
        """Wait until something happens or is due, then do it."""
        self._try(lambda: self.loop.run_for(self._seconds_to_next()))
        self._try(self._step)
        self._try(self._display.show)

    @property
    def idle(self) -> bool:
        """Whether everything that can be done is done."""
        return (
            not (self._options.scan and self.intake.busy)
            and not self.crew.running
            and not self._publisher.in_hand
            and self._ask(lambda: not self._left_in_queue(), otherwise=False)
        )

    def is_over(self, job: Job) -> bool:
        """Whether nothing more is done for a job before the next start."""
        return (job.state in ENDED and job.reported) or job.id in self._publisher.left_alone

    def _left_in_queue(self) -> bool:
        unfinished = (*self.queue.in_state(JobState.PUBLISHING), *self.queue.unreported())
        return self.queue.any_in(JobState.QUEUED) or any(
            job.id not in self._publisher.left_alone for job in unfinished
        )

    @property
    def held_up(self) -> bool:
        """Whether nothing can be started, and nothing is in hand."""
        return (self.paused is not None or self.intake.away is not None) and not self.crew.running

    @property
    def waits_for_files_only(self) -> bool:
        """Whether everything is done but what depends on files that still change."""
        return (
            self.intake.scanned
            and not self.crew.running
            and not self._publisher.in_hand
            and self._ask(lambda: not self.queue.any_in(JobState.QUEUED), otherwise=False)
        )

    def _step(self) -> None:
        if self._clock() >= self._next_housekeeping:
            self._next_housekeeping = self._clock() + HOUSEKEEPING_SECONDS
            self._housekeeping()
        if self._options.scan:
            self.intake.tick()
        self.crew.tick()
        if self._may_start():
            self.crew.dispatch()

    def _housekeeping(self) -> None:
        if self._settings.refresh():
            self.intake.settings_changed()
            self._reconsider_blocked = True
        if self._reconsider_blocked:
            policy.record_settings(self._workspace.state_dir, self._settings.current)
            release_blocked(self.queue, self._workspace, self._settings.current)
            self._reconsider_blocked = False
        self._accepted = policy.is_accepted(self._workspace.state_dir, self._settings.current)
        if self._accepted and self.queue.any_in(JobState.BLOCKED):
            self.queue.release_from_policy()
        if (version := self._database.written_elsewhere()) != self._data_version:
            self._data_version = version
            self._catch_up()
        self._room.look()

    def _may_start(self) -> bool:
        if self.paused is not None or self.intake.away is not None:
            return False
        if self._publisher.in_hand >= MOST_UNFINISHED:  # a slow disk: results must not pile up before it
            return False
        if not self._accepted:
            if self.queue.any_in(JobState.QUEUED):
                self.queue.hold_for_policy(failure_from(policy.not_accepted(self._workspace.state_dir)))
            return False
        if self._options.scan and self.intake.expects_work:
            self.crew.warm_up()
        return not self.queue.any_in(JobState.QUEUED) or self._room.ready()

    def _seconds_to_next(self) -> float:
        waits = [self.crew.seconds_to_next(), self._next_housekeeping - self._clock()]
        if self._options.scan:
            waits.append(self.intake.seconds_to_next())
        return max(min(waits), 0.0)

    def _try(self, action: Callable[[], object]) -> None:
        try:
            action()
        except StorageError as error:
            self._room.trouble(error)

    def _ask(self, question: Callable[[], T], otherwise: T) -> T:
        """The answer of the queue; `otherwise` where it cannot be read, which pauses the work."""
        try:
            return question()
        except StorageError as error:
            self._room.trouble(error)
            return otherwise

    # -- storage --------------------------------------------------------------------------------------------

    @property
    def paused(self) -> str | None:
        """Why nothing is started at the moment."""
        return self._room.paused

    def _prove_room(self, write: bool) -> None:
        if not self._outbox_ready:
            self._workspace.prepare_outbox()
            take_up_work(self._workspace, self._database, self._outbox)
            self._outbox_ready = True
        if write:
            self._outbox.require_room(self._settings.current.limits.free_disk_megabytes)
        else:
            self._outbox.require_folder()
        if self.paused is not None:  # perhaps it was the disk of the database that was full
            self._database.remember("last_pause", str(time.time()))

    def _finish_what_waits(self) -> None:
        for job in (*self.queue.in_state(JobState.PUBLISHING), *self.queue.unreported()):
            self._publisher.finish(job)

    # -- jobs -----------------------------------------------------------------------------------------------

    def _file_replaced(self, path: str) -> None:
        self._reconsider_blocked |= is_consent_file(path)
        self.crew.file_replaced(path)

    def _is_gone(self, path: str) -> bool:
        known = self._options.scan and self.intake.scanned and not Path(path).is_absolute()
        return known and path not in self.catalogue.inbox.entries

    def _catch_up(self) -> None:
        changed = self.book.refresh()
        for job in changed:
            self.catalogue.job_changed(job.id)
            if job.state is JobState.RUNNING and job.stop_requested:
                self.crew.stop_requested(job.id)
        # Of one that was cancelled while it waited to go on, nobody else removes what was kept.
        self._outbox.remove_work_dirs({keep_name(job) for job in changed if job.state in ENDED})

    def _look(self) -> LookProcess | None:
        factory = self._options.look_factory
        if factory is None and self._options.session_factory == DEFAULT_FACTORY:
            factory = PORTRAITS
        if factory is None:
            return None
        return LookProcess(factory, self._workspace.models_dir, self._workspace.log_dir / "faces.log")

    def _worker_spec(self, slot: int) -> WorkerSpec:
        staffing = self._staff()
        return WorkerSpec(
            factory=self._options.session_factory,
            models_dir=self._workspace.models_dir,
            state_dir=self._workspace.state_dir,
            threads=max(1, detect_cores().usable // staffing.workers),
            log=self._workspace.log_dir / (f"worker-{slot + 1}.log" if slot else "worker.log"),
            slot=slot,
            device=staffing.device(slot),
        )

    # -- what is shown --------------------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """Everything that is shown, as it is now."""
        self._try(self._catch_up)
        self._summary = self._ask(lambda: self.book.summary(self._settings.current), self._summary)
        summary = self._summary
        now = self._clock()
        in_hand = tuple(running_view(hand, now) for hand in self.crew.running.values())
        running = (*in_hand, *summary.publishing)
        latest = summary.results[0] if summary.results else None
        paused = self.intake.away or self.paused
        return Snapshot(
            written_at=time.time(),
            state=self._state_shown(paused, bool(running)),
            root=printable(self._workspace.root),
            inbox=printable(self._workspace.inbox),
            outbox=printable(self._workspace.outbox),
            daemon_pid=None if self._state == "stopped" else os.getpid(),
            started_at=self._started_at,
            files=self.catalogue.listing(),
            counts=summary.counts,
            running=running,
            waiting=summary.waiting,
            seconds_left=seconds_left(in_hand, summary.seconds_queued, self._staff().workers),
            results=summary.results,
            failures=summary.failures,
            repeats=self.intake.repeats,
            failures_gone=summary.failures_gone,
            paused=paused,
            config_problem=self._settings.problem,
            notices=self._notices(),
            engine="" if latest is None else latest.engine,
            provider="" if latest is None else latest.provider,
            quality_preset=self._settings.current.quality_preset,
        )

    def _state_shown(self, paused: str | None, running: bool) -> DaemonState:
        if self._state != "watching":
            return self._state
        if paused is not None:
            return "paused"
        return "processing" if running else "watching"

    def _notices(self) -> tuple[str, ...]:
        notices = list(self.intake.notices)
        if not self._accepted:
            wanted = policy.not_accepted(self._workspace.state_dir)
            notices.insert(0, f"{wanted.message} {wanted.remedy}")
        if self._analytics.problem:
            notices.append(self._analytics.problem)
        return tuple(notices)

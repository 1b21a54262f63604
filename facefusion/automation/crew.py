"""From queued to worked: hands jobs to workers and watches over them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator

from facefusion.automation.content import signature_of
from facefusion.automation.finishing import keep_name, work_name
from facefusion.automation.job import Inputs, Job, JobState, failure_from
from facefusion.automation.jobs import JobQueue
from facefusion.automation.judging import Confirms, Judge, Running
from facefusion.automation.loop import Loop
from facefusion.automation.publish import Outbox, result_base
from facefusion.automation.staffing import Staffing
from facefusion.automation.worker import Ended, Order, Progress, Worker, WorkerSpec
from facefusion.automation.workspace import Workspace, printable
from facefusion.config import AutomationConfig
from facefusion.errors import (
    CancelledError,
    FaceFusionError,
    InputFileError,
    StorageError,
)

logger = logging.getLogger(__name__)

IDLE_SECONDS = 900.0
"""A worker with nothing to do gives its memory back after this long."""
STOP_SECONDS = 5.0
"""How long a job may take to stop when asked."""


class Crew:
    """Owns the workers.

    Attributes:
        only: ids of the jobs that may be started; None for all.

    Args:
        workspace: of the root.
        loop: this object lives in the loop's thread.
        queue, outbox: of the root.
        inbox: asked before each job whether its files are still the ones it was made for.
        staff: how many workers there are to be.
        spec: how to start the worker with a number, from 0.
        config: the settings in force.
        on_worked, on_ended, on_storage_trouble: see `Judge`.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        workspace: Workspace,
        loop: Loop,
        queue: JobQueue,
        outbox: Outbox,
        inbox: Confirms,
        staff: Callable[[], Staffing],
        spec: Callable[[int], WorkerSpec],
        config: Callable[[], AutomationConfig],
        on_worked: Callable[[Job], object],
        on_ended: Callable[[Job], object],
        on_storage_trouble: Callable[[StorageError], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.running: dict[Worker, Running] = {}
        self.only: frozenset[int] | None = None
        self._workspace = workspace
        self._loop = loop
        self._queue = queue
        self._outbox = outbox
        self._inbox = inbox
        self._staffing = staff
        self._spec = spec
        self._config = config
        self._judge = Judge(workspace, queue, outbox, inbox, on_worked, on_ended, on_storage_trouble)
        self._on_storage_trouble = on_storage_trouble
        self._clock = clock
        self._workers: list[Worker] = []
        self._unsettled: list[Callable[[], object]] = []

    # -- what the loop calls --------------------------------------------------------------------------------

    def tick(self) -> None:
        """Stop what is overdue or no longer wanted, replace the dead, note what could not be noted before.

        Raises:
            StorageError: the database cannot be written; nothing is lost, call again.
        """
        while self._unsettled:
            self._unsettled[0]()
            self._unsettled.pop(0)
        for hand in self.running.values():
            self._supervise(hand)
        self._let_go_of_the_idle()

    def dispatch(self) -> None:
        """Give every idle worker a job.

        Raises:
            StorageError: nothing can be written.
        """
        if self._unsettled or self._judge.closing or not self._queue.any_in(JobState.QUEUED):
            return
        for worker in self._staff():
            if worker not in self.running and not self._start_next(worker):
                return

    def warm_up(self) -> None:
        """Have a worker load its libraries while the first files settle."""
        if not self._judge.closing:
            next(self._staff(), None)

    def seconds_to_next(self) -> float:
        """How long nothing has to be done here, unless a worker reports."""
        return 0.5 if self.running else 5.0

    def file_replaced(self, path: str) -> None:
        """Start over where a file that is being processed has changed."""
        for hand in self.running.values():
            for name, signature in hand.job.inputs:
                now = signature_of(self._workspace.inbox / name) if name == path else None
                if now is not None and not now.same_content(signature):
                    self._stop(
                        hand, CancelledError(f"{printable(path)} was replaced while it was processed.")
                    )

    def stop_requested(self, job_id: int) -> None:
        """Stop a running job that a person has cancelled."""
        for hand in self.running.values():
            if hand.job.id == job_id:
                self._stop(hand, CancelledError(f"{printable(hand.job.target)} was cancelled."))

    def begin_closing(self) -> None:
        """Ask everything to stop; nothing new is started."""
        self._judge.closing = True
        for hand in self.running.values():
            self._stop(hand, CancelledError("The program is being stopped."))

    def close(self) -> None:
        """End the workers; jobs still in hand go back to the queue, uncounted."""
        self._judge.closing = True
        for worker in self._workers:
            worker.kill(CancelledError("The program is being stopped."))
        for worker in self._workers:
            worker.close(timeout=STOP_SECONDS)
        for hand in list(self.running.values()):
            self._put_back(hand.job)
        self.running.clear()
        self._workers.clear()

    # -- workers --------------------------------------------------------------------------------------------

    def _staff(self) -> Iterator[Worker]:
        """Workers that can take orders, as many as the settings ask for; started when first needed."""
        wanted = self._staffing().workers
        self._workers = [w for w in self._workers if w.alive or w in self.running]
        for surplus in [w for w in self._workers[wanted:] if w not in self.running]:
            self._workers.remove(surplus)
            surplus.close(timeout=STOP_SECONDS)
        for index in range(wanted):
            if index == len(self._workers):
                taken = {worker.slot for worker in self._workers}
                slot = next(number for number in range(wanted) if number not in taken)
                self._workers.append(Worker(self._spec(slot), self._told))
            yield self._workers[index]

    def _let_go_of_the_idle(self) -> None:
        for worker in [w for w in self._workers if w not in self.running]:
            if not worker.alive or self._clock() - worker.idle_since > IDLE_SECONDS:
                self._workers.remove(worker)
                worker.close(timeout=STOP_SECONDS)

    def _supervise(self, hand: Running) -> None:
        limits = hand.config.limits
        late = hand.worker.overdue(limits.stall_seconds, limits.job_minutes * 60)
        if hand.kill_at is not None and self._clock() >= hand.kill_at:
            hand.worker.kill(hand.stopping)
        elif late is not None and hand.stopping is None:
            logger.warning("%s The worker is replaced.", late.message)
            hand.stopping = late
            hand.worker.kill(late)

    def _stop(self, hand: Running, reason: FaceFusionError) -> None:
        if hand.stopping is None:
            hand.stopping = reason
            hand.kill_at = self._clock() + STOP_SECONDS
            hand.worker.ask_to_stop()

    # -- starting -------------------------------------------------------------------------------------------

    def _start_next(self, worker: Worker) -> bool:
        """Give a worker its next job; False if there is none (or none can be started)."""
        config = self._config()
        face = worker.face_digest if config.group_videos_by_face else None
        busy = [hand.job.face_sha256 for hand in self.running.values()] if config.group_videos_by_face else []
        while (job := self._queue.claim(config.quality_preset, face, busy, self.only)) is not None:
            try:
                ready = self._confirmed(job)
                if ready is None:
                    if self._inbox.away is not None:
                        self._put_back(job)
                        return False
                    continue
                order = self._order(ready, config)
            except StorageError:
                self._put_back(job)
                raise
            if not worker.run(order):  # died since it was looked at; the next tick replaces it
                self._put_back(ready)
                self._outbox.remove_work_dir(work_name(ready))
                return False
            self.running[worker] = Running(ready, worker, config)
            logger.info("Started %s with %s.", printable(job.target), printable(job.face_name))
            return True
        return False

    def _put_back(self, job: Job) -> None:
        """Queue a job again that was not worked on to an end; nothing is counted."""
        self._settle(lambda: self._queue.give_back(job, None, counted=False))

    def _confirmed(self, job: Job) -> Job | None:
        """The job with the files to be used; None if it cannot be started (then it has ended, or is held)."""
        found: Inputs | FaceFusionError | None
        found = self._inbox.confirm(job) if job.faces else InputFileError("There is no face for it.")
        if isinstance(found, FaceFusionError):
            if self._inbox.away is None:
                self._judge.end(job, failure_from(found))
            return None
        return job if found is None else self._queue.point_to(job, found)

    def _order(self, job: Job, config: AutomationConfig) -> Order:
        inbox = self._workspace.inbox
        return Order(
            ticket=job.fence * 1_000_000 + job.id,
            target=inbox / job.target,
            faces=tuple(inbox / path for path in job.faces),
            face_digest=job.face_sha256,
            work_dir=self._outbox.make_work_dir(work_name(job)),
            stem=result_base(job.target, job.face_name),
            config=config,
            keep_dir=self._outbox.keep_dir(keep_name(job)) if job.target_kind == "video" else None,
            target_digest=job.target_sha256,
            again=job.failed_before,
        )

    # -- ending ---------------------------------------------------------------------------------------------

    def _told(self, worker: Worker, message: Progress | Ended) -> None:
        # In the worker's thread. Progress is read from the worker when a picture of the state is made.
        if not isinstance(message, Progress):
            self._loop.post(self._attempt_ended, worker, message)

    def _attempt_ended(self, worker: Worker, message: Ended) -> None:
        hand = self.running.pop(worker, None)
        if hand is not None:
            self._settle(lambda: self._judge.judge(hand, message))

    def _settle(self, note: Callable[[], object]) -> None:
        """Note something in the queue: at once, or before anything new is started once that is possible."""
        try:
            note()
        except StorageError as error:
            self._unsettled.append(note)
            self._on_storage_trouble(error)

"""The last steps of a job: seal, place, report, count. Each can be repeated after a kill at any point."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path

from facefusion.automation.auditing import record_in_audit_log, was_refused
from facefusion.automation.content import sha256_of
from facefusion.automation.job import Job, JobState, earlier_result, failure_from
from facefusion.automation.jobdesk import UNREAD
from facefusion.automation.jobs import JobQueue
from facefusion.automation.publish import (
    Outbox,
    move_without_replacing,
    result_base,
    storage,
)
from facefusion.automation.workspace import Workspace, printable
from facefusion.errors import FaceFusionError
from facefusion.reports.analytics import Analytics
from facefusion.reports.documents import write_failure_report, write_result_report
from facefusion.reports.records import Failure, JobRecord, Outcome
from facefusion.system.disk import sync_file, sync_folder
from facefusion.trust.privacy import make_shared_folder
from facefusion.trust.sidecars import has_sidecar, sidecar_of
from facefusion.wording import count

logger = logging.getLogger(__name__)

OUTCOMES: dict[JobState, Outcome] = {
    JobState.DONE: "done",
    JobState.NO_FACE: "no_face",
    JobState.FAILED: "failed",
    JobState.BLOCKED: "blocked",
    JobState.CANCELLED: "cancelled",
}


class Finisher:
    """Brings jobs whose work is over to their end.

    Args:
        workspace: of the root.
        queue: of the root; written from whichever thread calls.
        outbox: of the root.
        analytics: told of every job.
        at: called with the name of each step that is about to be taken (tests end the process there).
    """

    def __init__(
        self,
        workspace: Workspace,
        queue: JobQueue,
        outbox: Outbox,
        analytics: Analytics,
        at: Callable[[str], None] = lambda step: None,
    ) -> None:
        self._workspace = workspace
        self._queue = queue
        self._outbox = outbox
        self._analytics = analytics
        self._at = at

    def finish(self, job_id: int) -> None:
        """Do what is left to do for a job whose work is over; nothing if that is nothing.

        Raises:
            StorageError: there is no room, or the outbox is not writable; to be called again later.
        """
        job = self._queue.job(job_id)
        if job is None:
            return
        if job.state is JobState.PUBLISHING:
            self._publish_once(job)
        elif job.state in OUTCOMES and not job.reported:
            self._conclude(job.id)
        if job.state in OUTCOMES or job.state is JobState.PUBLISHING:
            self._outbox.remove_work_dir(work_name(job))
            current = self._queue.job(job_id)
            if current is None or current.state in OUTCOMES:
                self._outbox.remove_work_dir(keep_name(job))

    def _publish_once(self, job: Job) -> None:
        """Publish, unless that was done before the program was killed."""
        if self._placed_before(job) is not None:
            self._conclude(job.id)
        elif all(part.is_file() for part in _parts(job)):
            self._publish(job)
        else:
            self._queue.back_to_queue(job)

    def _publish(self, job: Job) -> None:
        work, *beside = _parts(job)
        base = result_base(job.target, job.face_name)
        if job.work_sha256 is None:
            with storage(work):
                self._at("sealing")
                for part in (work, *beside):
                    sync_file(part)
                sha256, size = sha256_of(work), work.stat().st_size
            self._queue.sealed(job, sha256, size)
        self._at("placing")
        placed = self._outbox.place(work, base, next(iter(beside), None), self._at)
        self._at("placed")
        asked = job.earlier_output is not None  # that the old result stays and the new one gets a number
        self._queue.published(
            job,
            output=str(placed.output),
            report=str(placed.report),
            warnings=() if asked else placed.warnings,
        )
        self._at("published")
        self._conclude(job.id)

    def give_up(self, job_id: int, failure: Failure) -> None:
        """End a job whose finishing meets a fault of ours each time. What has its final name is a result.

        Raises:
            StorageError: that cannot be noted; to be called again later.
        """
        job = self._queue.job(job_id)
        if job is not None and job.state is JobState.PUBLISHING:
            job = self._placed_before(job) or job
        if job is None or job.reported:
            return
        if job.state is JobState.PUBLISHING:  # its report is tried next
            self._queue.end(job, JobState.FAILED, failure=failure, seconds=job.seconds)
        elif job.state in OUTCOMES:
            self._queue.reported(job, f"Its report could not be written: {failure.message}")
            for folder in (work_name(job), keep_name(job), _draft_name(job)):
                self._outbox.remove_work_dir(folder)

    def _placed_before(self, job: Job) -> Job | None:
        """The job as done, if its result has got its final name already."""
        work = Path(job.work or "")
        if job.work_sha256 is None:
            return None
        with storage(self._outbox.folder):
            base = result_base(job.target, job.face_name)
            placed = self._outbox.find(base, work.suffix, job.work_sha256, job.work_bytes or 0)
        if placed is None:
            return None
        self._queue.published(job, output=str(placed.output), report=str(placed.report), warnings=())
        return self._queue.job(job.id)

    def withdraw(self, job: Job, error: FaceFusionError) -> None:
        """Take back the failure of a file that has been replaced by a good one, and its report.

        Raises:
            StorageError: the report cannot be removed.
        """
        if job.report is not None and is_report_of(Path(job.report), job):
            with storage(self._outbox.failed):
                Path(job.report).unlink(missing_ok=True)
        self._queue.withdraw(job, failure_from(error))

    def record(self, job: Job) -> JobRecord:
        """The facts of an ended job for reports."""
        inbox = self._workspace.inbox
        return JobRecord(
            job_id=str(job.id),
            outcome=OUTCOMES[job.state],
            target=inbox / job.target,
            target_kind=job.target_kind,
            face_name=job.face_name,
            face_files=tuple(inbox / path for path in job.faces),
            target_sha256=_shown_sha256(job),
            face_sha256="" if was_refused(job) else job.face_sha256,
            quality_preset=job.quality_preset,
            attempts=job.attempts,
            queued_at=job.queued_at,
            started_at=job.started_at,
            finished_at=job.finished_at or job.queued_at,
            seconds=job.seconds,
            target_bytes=job.target_bytes,
            output=None if job.output is None else Path(job.output),
            swap=job.swap,
            failure=job.failure,
            warnings=(*job.warnings, *filter(None, [earlier_result(job).strip()])),
        )

    def _conclude(self, job_id: int) -> None:
        job = self._queue.job(job_id)
        if job is None or job.reported or job.state not in OUTCOMES:
            return
        if job.stale_report is not None and is_report_of(Path(job.stale_report), job):
            with storage(self._outbox.failed):
                Path(job.stale_report).unlink(missing_ok=True)
        record = self.record(job)
        self._write_report(job, record)
        self._at("reported")
        record_in_audit_log(job, self._workspace.state_dir)
        self._analytics.track(record)
        self._at("counted")
        self._queue.reported(job)
        if job.state is JobState.CANCELLED:
            logger.info(
                "Cancelled %s with %s by request; `retry %d` brings it back.",
                printable(job.target),
                printable(job.face_name),
                job.id,
            )
        if job.state is JobState.DONE:
            swap = job.swap or {}
            logger.info(
                "Done %s with %s: %s (%s in %.1f s, %s on %s).",
                printable(job.target),
                printable(job.face_name),
                printable(Path(job.output or "").name),
                count(int(swap.get("frames", 0)), "frame"),
                job.seconds,
                swap.get("engine", "?"),
                swap.get("provider", "?"),
            )

    def _write_report(self, job: Job, record: JobRecord) -> None:
        good = job.state in (JobState.DONE, JobState.NO_FACE)
        write = write_result_report if good else write_failure_report
        base = result_base(job.target, job.face_name)
        folder = self._outbox.make_work_dir(_draft_name(job))
        draft = folder / "report.json"
        write(record, draft)
        final = None if job.report is None else Path(job.report)
        while True:
            if final is None:
                final = self._outbox.free_report_name(base, failed=not good)
            self._queue.reporting(job, str(final))
            with storage(final):
                make_shared_folder(final.parent, parents=False)
                if is_report_of(final, job):
                    draft.replace(final)
                    break
                if move_without_replacing(draft, final):
                    break
            final = None
        with storage(final):
            sync_folder(final.parent)
        self._outbox.remove_work_dir(folder.name)


def _parts(job: Job) -> list[Path]:
    """The work file, and its signature where that lies beside it."""
    work = Path(job.work or "")
    provenance = (job.swap or {}).get("provenance")
    return [work, sidecar_of(work)] if has_sidecar(provenance) else [work]


def work_name(job: Job) -> str:
    """Name of the work folder of this attempt."""
    return f"{job.id}-{job.fence}"


def keep_name(job: Job) -> str:
    """Name of the folder for finished parts of a video, which all attempts at a job share."""
    return f"kept-{job.id}"


def finished_part(job: Job, outbox: Outbox) -> tuple[int, float]:
    """How many frames of an open job are finished and kept, and in how many seconds."""
    folder = outbox.keep_dir(keep_name(job))
    if not folder.is_dir():
        return 0, 0.0
    from facefusion.media.segments import Keeping  # loads FFmpeg, which `status` needs for this alone

    return Keeping(folder).finished


def _draft_name(job: Job) -> str:
    return f"report-{job.id}"


def is_report_of(path: Path, job: Job) -> bool:
    """Whether a file is a report that was written for this very job."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        same_target = document["target"]["sha256"] in (_shown_sha256(job), "")
        return bool(document["job_id"] == str(job.id) and same_target)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _shown_sha256(job: Job) -> str:
    return "" if job.target_sha256.startswith(UNREAD) or was_refused(job) else job.target_sha256

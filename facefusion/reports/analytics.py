"""What the daemon calls: keep the figures of each finished job, and the written reports fresh."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from pathlib import Path
from types import TracebackType

from facefusion.errors import StorageError
from facefusion.reports.documents import SCHEMA, write_json, write_text
from facefusion.reports.error_analysis import ErrorReport
from facefusion.reports.html import render_report
from facefusion.reports.records import JobRecord
from facefusion.reports.usage import UsageAnalytics, UsageReport

USAGE_FILE = "usage.json"
ERRORS_FILE = "errors.json"
HTML_FILE = "report.html"

REWRITE_SECONDS = 5.0
RESTS_PER_WRITE = 20.0
"""The writer rests this many times as long as its last writing took: at most 5 % of one core."""
KEPT_WHILE_UNWRITABLE = 10_000

logger = logging.getLogger(__name__)


class Analytics:
    """Figures in `state_dir`, reports for people and programs in `analytics_dir`.

    `track` writes one database row and returns; `usage.json`, `errors.json` and `report.html` follow from a
    thread of their own, at most every few seconds, and a last time at `close`. Neither fails a job:
    while the disk is full, records wait in memory and `problem` says why.

    Args:
        analytics_dir: where the reports lie (`outbox/analytics`); created when missing.
        state_dir: where the figures are kept (`.automation`); created when missing.
        rewrite_seconds: shortest time between two writings of the reports.
    """

    def __init__(
        self, analytics_dir: Path, state_dir: Path, *, rewrite_seconds: float = REWRITE_SECONDS
    ) -> None:
        self.analytics_dir = analytics_dir
        self.problem: str | None = None
        self._state_dir = state_dir
        self._rewrite_seconds = rewrite_seconds
        self._usage: UsageAnalytics | None = None
        self._waiting: deque[JobRecord] = deque(maxlen=KEPT_WHILE_UNWRITABLE)
        self._lock = threading.Lock()
        self._changed = threading.Event()
        self._closing = threading.Event()
        self._writer: threading.Thread | None = None

    def track(self, record: JobRecord) -> None:
        """Keep the figures of one finished job; the reports follow within seconds."""
        with self._lock:
            self._waiting.append(record)
            self._store_waiting()
            if self._writer is None and not self._closing.is_set():
                self._writer = threading.Thread(target=self._keep_fresh, name="analytics", daemon=True)
                self._writer.start()
        self._changed.set()

    def write_reports(self, days: int = 30) -> tuple[UsageReport, ErrorReport]:
        """Write `usage.json`, `errors.json` and `report.html` over the last `days` days.

        Raises:
            StorageError: the figures cannot be read, or the reports cannot be written.
        """
        usage = UsageAnalytics(self._state_dir)
        try:
            used = usage.generate_usage_report(days)
            errors = usage.generate_error_report(days)
        finally:
            usage.close()
        write_json({"schema": SCHEMA, "kind": "usage", **used.as_dict()}, self.analytics_dir / USAGE_FILE)
        write_json(
            {
                "schema": SCHEMA,
                "kind": "errors",
                "days": days,
                "generated_at": used.generated_at,
                **errors.as_dict(),
            },
            self.analytics_dir / ERRORS_FILE,
        )
        html = render_report(used, errors, beside=self.analytics_dir)
        write_text(html, self.analytics_dir / HTML_FILE)
        return used, errors

    def close(self) -> None:
        """Write what is still to be written, and end."""
        self._closing.set()
        self._changed.set()
        if self._writer is not None:
            self._writer.join()
            self._writer = None
        with self._lock:
            self._store_waiting()
            if self._usage is not None:
                self._usage.close()
                self._usage = None

    def __enter__(self) -> Analytics:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _store_waiting(self) -> None:
        """Move waiting records into the database; those that cannot be written go on waiting."""
        try:
            if self._usage is None:
                self._usage = UsageAnalytics(self._state_dir)
            while self._waiting:
                self._usage.track_processing_metrics(self._waiting[0])
                self._waiting.popleft()
            self.problem = None
        except StorageError as error:
            self._complain(error)

    def _keep_fresh(self) -> None:
        while True:
            self._changed.wait()
            # In this order, or a `close` between the two lines would be slept through.
            self._changed.clear()
            last = self._closing.is_set()
            began = time.monotonic()
            try:
                self.write_reports()
            except StorageError as error:
                self._complain(error)
            except Exception:  # a fault of ours in a page must not be the last word about all jobs to come
                logger.exception("The reports could not be written.")
            if last:
                return
            self._closing.wait(max(self._rewrite_seconds, RESTS_PER_WRITE * (time.monotonic() - began)))

    def _complain(self, error: StorageError) -> None:
        if self.problem != error.message:
            logger.warning("Analytics: %s %s", error.message, error.remedy)
        self.problem = error.message

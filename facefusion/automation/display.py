"""Shows the state of a daemon as it changes: to a live view, and to other processes through files."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable

from facefusion.automation.snapshot import Snapshot, SnapshotWriter

logger = logging.getLogger(__name__)

FILE_SECONDS = 1.0
VIEW_SECONDS = 0.25

SnapshotCallback = Callable[[Snapshot], None]


class Display:
    """Decides when a picture of the state is made and who gets it.

    Args:
        picture: makes one.
        writer: keeps the files.
        on_snapshot: the live view; None for none.
        tell: logs what is new; called as often as the files are written.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        picture: Callable[[], Snapshot],
        writer: SnapshotWriter,
        on_snapshot: SnapshotCallback | None,
        tell: SnapshotCallback,
        clock: Callable[[], float],
    ) -> None:
        self._picture = picture
        self._writer = writer
        self._on_snapshot = on_snapshot
        self._tell = tell
        self._clock = clock
        self._next_view = self._next_file = clock()
        self._last_viewed: Snapshot | None = None
        self._last_written: Snapshot | None = None

    def show(self, *, force: bool = False) -> None:
        """Show the state where it has changed and enough time has passed; with `force`, in any case."""
        now = self._clock()
        view_due = self._on_snapshot is not None and (force or now >= self._next_view)
        file_due = force or now >= self._next_file
        if not (view_due or file_due):
            return
        snapshot = self._picture()
        state = dataclasses.replace(snapshot, written_at=0.0)
        if view_due:
            self._next_view = now + VIEW_SECONDS
            if force or state != self._last_viewed:
                self._last_viewed = state
                self._view(snapshot)
        if file_due:
            self._next_file = now + FILE_SECONDS
            self._tell(snapshot)
            if force or state != self._last_written:
                self._last_written = state if self._write(snapshot, last=force) else None

    def _view(self, snapshot: Snapshot) -> None:
        try:
            if self._on_snapshot is not None:
                self._on_snapshot(snapshot)
        except OSError as error:  # the terminal was closed; the work goes on without anybody looking
            logger.warning("Nobody is looking any more: %s", error)
            self._on_snapshot = None

    def _write(self, snapshot: Snapshot, *, last: bool) -> bool:
        try:
            return self._writer.write(snapshot, last=last)
        except OSError as error:
            # The state folder is full or gone; the database meets the same and pauses the work.
            logger.debug("The status file cannot be written: %s", error)
            return False

"""The settings in force: re-read when the file changes; a broken file keeps the last good ones."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

from facefusion.config import AutomationConfig, load_config
from facefusion.errors import ConfigError

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.0


class Settings:
    """Holds the settings of one file.

    Where the file is broken from the start there are no last good settings: the defaults stand in for whoever
    only looks, and `require_good` says so to whoever wants to work.

    Args:
        path: of the file; a missing one means the defaults.
        clock: monotonic seconds.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.path = path
        self.problem: str | None = None
        self._clock = clock
        self._version = self._look()
        self._next_look = clock() + LOOK_SECONDS
        self._never_good: ConfigError | None = None
        try:
            self.current = load_config(path).located(path.parent)
        except ConfigError as error:
            self.current = AutomationConfig()
            self._never_good = error
            self.problem = error.message

    @property
    def ever_good(self) -> bool:
        """Whether `current` was ever read from the file, and is not only the defaults standing in for it."""
        return self._never_good is None

    def require_good(self) -> None:
        """Return only if the file could be read at the start.

        Raises:
            ConfigError: it could not.
        """
        if self._never_good is not None:
            raise self._never_good

    def refresh(self) -> bool:
        """Read the file again if it has changed; True if other settings are in force now."""
        if self._clock() < self._next_look:
            return False
        self._next_look = self._clock() + LOOK_SECONDS
        version = self._look()
        if version == self._version:
            return False
        self._version = version
        try:
            new = load_config(self.path).located(self.path.parent)
        except ConfigError as error:
            self.problem = f"{error.message} The last good settings stay in force."
            logger.error("%s", self.problem)
            return False
        if self.problem is not None or new != self.current:
            logger.info("Settings read again; they take effect with the next job.")
        if new.pairing == "all" != self.current.pairing:
            logger.info(
                "With `pairing` all, targets in the inbox that are done with one face get a job with every "
                "other face, too; move out what is not to be made again."
            )
        self.problem = None
        self._never_good = None
        old, self.current = self.current, new
        if (new.inbox, new.outbox) != (old.inbox, old.outbox):
            # The folders are those of this run: moving them under running jobs would lose track of results.
            self.current = new.model_copy(update={"inbox": old.inbox, "outbox": old.outbox})
            self.problem = "Other folders for inbox and outbox take effect with the next start."
        return self.current != old

    def _look(self) -> tuple[int, int, int] | None:
        try:
            status = os.stat(self.path)  # noqa: PTH116 - once a second, for the life of the daemon
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino

"""Telling an inbox that is empty from one that is not there: a share that is not mounted looks empty, too."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

from facefusion.automation.database import Database
from facefusion.automation.kinds import MARKER
from facefusion.automation.workspace import INBOX_FOLDERS, printable
from facefusion.trust.privacy import make_shared_folder, share

FACT = "inbox"
MARKER_TEXT = (
    "This file tells the program that it sees the real inbox, and not the empty place of a disk or share\n"
    "that is not mounted. Leave it here.\n"
)


class InboxPresence:
    """Watches over the marker file of an inbox.

    Args:
        inbox: the folder.
        database: remembers in which inbox a marker was placed.
    """

    def __init__(self, inbox: Path, database: Database) -> None:
        self._inbox = inbox
        self._database = database
        self._folders_made = False

    def check(self) -> str | None:
        """Make or recognise the inbox; the reason if what is there is not it.

        Raises:
            OSError: the folder cannot be made.
            StorageError: the database cannot be written.
        """
        known_device = self._known_device()
        if known_device is None:
            make_shared_folder(self._inbox)
        try:
            device = self._inbox.stat().st_dev
            names = os.listdir(self._inbox)  # noqa: PTH208 - names alone, without a Path for each
        except OSError as error:
            return f"The inbox {printable(self._inbox)} is not there ({error.strerror})."
        if MARKER not in names:
            if known_device is not None and (not names or device != known_device):
                return (
                    f"The inbox {printable(self._inbox)} is empty and its marker is missing: is its disk "
                    f"mounted? If this is the right folder, create the file {MARKER} in it."
                )
            # A folder that cannot be written to cannot be marked; it is still a good inbox.
            with contextlib.suppress(OSError):
                (self._inbox / MARKER).write_text(MARKER_TEXT, encoding="utf-8")
                share(self._inbox / MARKER)
                self._remember(device)
        elif device != known_device:
            self._remember(device)
        self._make_folders()
        return None

    def _make_folders(self) -> None:
        if not self._folders_made:
            with contextlib.suppress(OSError):
                for folder in INBOX_FOLDERS:
                    make_shared_folder(self._inbox / folder, parents=False)
            self._folders_made = True

    def _known_device(self) -> int | None:
        fact = json.loads(self._database.fact(FACT) or "{}")
        return fact.get("device") if fact.get("path") == self._key() else None

    def _remember(self, device: int) -> None:
        self._database.remember(FACT, json.dumps({"path": self._key(), "device": device}))

    def _key(self) -> str:
        return os.fsencode(self._inbox).hex()

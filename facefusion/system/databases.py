"""Small SQLite files that several processes of one installation use."""

from __future__ import annotations

import sqlite3
import time


def use_write_ahead_log(connection: sqlite3.Connection, patience: float) -> None:
    """Let readers and a writer work at the same time.

    SQLite does not wait for others while it changes the journal's kind, so two that open a new file at once
    would find it locked; asking again does what its own timeout does elsewhere.

    Args:
        connection: just opened.
        patience: seconds for which others may hold the file.

    Raises:
        sqlite3.OperationalError: it stays locked, or cannot be written.
    """
    until = time.monotonic() + patience
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > until:
                raise
            time.sleep(0.02)

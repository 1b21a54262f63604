"""Locks on files, which the operating system takes back when their holder dies."""

from __future__ import annotations

import sys

if sys.platform == "win32":
    import msvcrt
    import os

    # Windows keeps others from reading what is locked; so it is a byte that no text reaches.
    _FAR_BEHIND_THE_TEXT = 1 << 30

    def try_lock(descriptor: int) -> bool:
        """Lock an open file for this process; whether that was possible. Closing it gives the lock back."""
        os.lseek(descriptor, _FAR_BEHIND_THE_TEXT, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
else:
    import fcntl

    def try_lock(descriptor: int) -> bool:
        """Lock an open file for this process; whether that was possible. Closing it gives the lock back.

        Raises:
            OSError: its file system knows no locks.
        """
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

"""What a process asks of the operating system for itself."""

from __future__ import annotations

import contextlib
import signal
import sys


def die_with_the_parent() -> None:
    """Linux: be killed when the parent is, even while a codec keeps the interpreter from noticing."""
    if sys.platform != "linux":
        return
    import ctypes

    pr_set_pdeathsig = 1
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)

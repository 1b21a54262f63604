"""A terminal for a program under test: what it shows can be waited for, and keys can be typed."""

from __future__ import annotations

import os
import select
import signal
import struct
import time
from collections.abc import Mapping, Sequence


class Terminal:
    """One program in a pseudo terminal of 100 by 40 characters."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        import pty

        self.shown = ""
        self.pid, self._descriptor = pty.fork()
        if self.pid == 0:
            os.execve(command[0], list(command), {**environment, "TERM": "xterm", "COLUMNS": "100"})
        import fcntl
        import termios

        fcntl.ioctl(self._descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))

    def wait_for(self, text: str, seconds: float = 30) -> None:
        """Until the text has been shown since the last answer."""
        deadline = time.monotonic() + seconds
        while text not in self.shown:
            assert time.monotonic() < deadline, f"{text!r} did not appear in:\n{self.shown[-3000:]}"
            if not self._read():
                break
        assert text in self.shown, f"it ended without {text!r}:\n{self.shown[-3000:]}"

    def type(self, text: str) -> None:
        """Press keys; what was shown before no longer counts."""
        self.shown = ""
        os.write(self._descriptor, text.encode())

    def end(self, seconds: float = 30) -> int:
        """Exit status, once the program has ended by itself."""
        deadline = time.monotonic() + seconds
        while self._read() and time.monotonic() < deadline:
            pass
        while time.monotonic() < deadline:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.pid = 0
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.02)
        raise AssertionError(f"it did not end:\n{self.shown[-3000:]}")

    def close(self) -> None:
        """Take everything away, whatever state it is in."""
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self._descriptor)

    def _read(self) -> bool:
        if not select.select([self._descriptor], [], [], 0.2)[0]:
            return True
        try:
            data = os.read(self._descriptor, 65536)
        except OSError:  # Linux says so when the other side is closed
            return False
        self.shown += data.decode(errors="replace")
        return bool(data)

"""Shows a working daemon: a live picture on a terminal, one line for each event elsewhere."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager

from rich.console import Console
from rich.live import Live

from facefusion.automation.snapshot import Snapshot
from facefusion.launcher.dashboard import Dashboard
from facefusion.launcher.lines import LineView

ShowSnapshot = Callable[[Snapshot], None]
FRAMES_PER_SECOND = 5
KEY_WAIT_SECONDS = 0.2


@contextlib.contextmanager
def watch_daemon(console: Console, hints: Sequence[str], *, full_screen: bool) -> Iterator[ShowSnapshot]:
    """Yields what the daemon calls with each snapshot.

    Args:
        console: decides between picture and lines: a terminal gets the picture.
        hints: where to drop files and how to stop; shown with the picture. The last one speaks of keys, so
            only the others stand before the lines.
        full_screen: take the whole screen; else draw below what is there. Either is given back at the end.
    """
    if not console.is_terminal or console.is_dumb_terminal:
        for hint in hints[:-1]:
            _print_line(hint)
        yield LineView(_print_line).show
        return
    dashboard = Dashboard(hints, full_screen=full_screen)

    def show(snapshot: Snapshot) -> None:
        dashboard.snapshot = snapshot

    live = Live(
        dashboard,
        console=console,
        screen=full_screen,
        transient=True,
        refresh_per_second=FRAMES_PER_SECOND,
        redirect_stderr=False,
    )
    with live, _stop_key():
        yield show


def at_terminal(hints: Sequence[str], *, full_screen: bool) -> AbstractContextManager[ShowSnapshot]:
    """`watch_daemon` on the terminal of this process."""
    return watch_daemon(Console(highlight=False), hints, full_screen=full_screen)


def _print_line(text: str) -> None:
    print(text, flush=True)


@contextlib.contextmanager
def _stop_key() -> Iterator[None]:
    """While it is open, the key `q` does what Ctrl-C does."""
    if sys.platform == "win32" or not sys.stdin.isatty():
        yield
        return
    import select
    import termios
    import tty

    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    ended = threading.Event()
    main_thread = threading.main_thread().ident

    def listen() -> None:
        while not ended.is_set():
            if select.select([descriptor], [], [], KEY_WAIT_SECONDS)[0]:
                try:
                    key = os.read(descriptor, 1)
                except OSError:  # the terminal was closed
                    return
                if not key:
                    return
                if key in b"qQ" and main_thread is not None:
                    signal.pthread_kill(main_thread, signal.SIGINT)

    listener = threading.Thread(target=listen, name="keys", daemon=True)
    tty.setcbreak(descriptor)  # Ctrl-C stays what it is
    listener.start()
    try:
        yield
    finally:
        ended.set()
        listener.join()
        with contextlib.suppress(termios.error):  # the terminal was closed
            termios.tcsetattr(descriptor, termios.TCSADRAIN, before)

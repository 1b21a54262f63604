"""One thread owns the state; everything slow happens elsewhere and comes back as a posted call."""

from __future__ import annotations

import itertools
import logging
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

logger = logging.getLogger(__name__)


class Loop:
    """Calls posted by any thread or signal handler run one after another in the thread that owns the loop."""

    def __init__(self) -> None:
        # SimpleQueue.put is reentrant, so a signal handler may post.
        self._posted: queue.SimpleQueue[tuple[Callable[..., object], tuple[Any, ...]]] = queue.SimpleQueue()

    def post(self, function: Callable[..., object], *arguments: Any) -> None:
        """Have `function(*arguments)` run soon in the owner's thread."""
        self._posted.put((function, arguments))

    def run_for(self, seconds: float) -> None:
        """Run posted calls; return after the first batch, or after `seconds` without any."""
        try:
            function, arguments = self._posted.get(timeout=max(seconds, 0.0))
            while True:
                function(*arguments)
                function, arguments = self._posted.get_nowait()
        except queue.Empty:
            return


class Background:
    """A thread that runs errands one after another, urgent ones first.

    The thread is a daemon thread: an errand that hangs in a dead network share does not keep the program from
    ending.

    Args:
        name: of the thread.
        loop: where results are posted.
    """

    def __init__(self, name: str, loop: Loop) -> None:
        self._loop = loop
        self._order = itertools.count()
        self._errands: queue.PriorityQueue[tuple[int, int, Callable[[], None] | None]] = queue.PriorityQueue()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def submit(
        self,
        errand: Callable[[], T],
        then: Callable[[T], object],
        otherwise: Callable[[Exception], object],
        *,
        urgency: int = 0,
    ) -> None:
        """Run `errand` in the thread, then post `then(result)`, or `otherwise(error)` if it raised."""

        def run() -> None:
            try:
                result = errand()
            except Exception as error:
                self._loop.post(otherwise, error)
            else:
                self._loop.post(then, result)

        self._errands.put((-urgency, next(self._order), run))

    def close(self, timeout: float) -> bool:
        """Let the errand in hand end, drop the others; False if it did not end in time."""
        self._errands.put((-(1 << 30), -1, None))
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _work(self) -> None:
        while (run := self._errands.get()[2]) is not None:
            run()

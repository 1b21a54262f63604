"""Threads that pass frames on: read, analyse, paint and write overlap, and memory stays bounded.

One reader, one analyst (who sees frames in order and may look ahead), several painters, and the caller's own
thread as the writer. OpenCV, NumPy, PyAV, Numba and LiteRT release the GIL inside their calls, so threads are
enough. What limits memory is a budget in bytes of decoded frames, from decoding until they are written.
"""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Generic, Protocol, TypeVar


class Sized(Protocol):
    """Something that occupies memory."""

    @property
    def nbytes(self) -> int:
        """Bytes."""
        ...


F = TypeVar("F", bound=Sized)
T = TypeVar("T")


class Abandoned(Exception):  # noqa: N818 - not an error: tells a helper thread to leave
    """The flow ended early."""


class ByteBudget:
    """How many bytes of frames may be alive.

    Args:
        limit: bytes.
        least: frames that are always allowed, however large; the analyst must be able to look ahead.
    """

    def __init__(self, limit: int, *, least: int) -> None:
        self._limit = limit
        self._least = least
        self._used = 0
        self._alive = 0
        self._changed = threading.Condition()
        self._closed = False
        self.peak = 0

    def take(self, size: int) -> None:
        """Wait until `size` more bytes are allowed.

        Raises:
            Abandoned: the flow ended meanwhile.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: self._closed or self._alive < self._least or self._used + size <= self._limit
            )
            if self._closed:
                raise Abandoned
            self._used += size
            self._alive += 1
            self.peak = max(self.peak, self._used)

    def give(self, size: int) -> None:
        """Return what was taken."""
        with self._changed:
            self._used -= size
            self._alive -= 1
            self._changed.notify_all()

    def close(self) -> None:
        """Wake everybody who waits, for good."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


class Stopwatch:
    """Seconds spent by stage; stages overlap, so their sum may exceed the job's time."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._lock = threading.Lock()

    @contextmanager
    def time(self, stage: str) -> Iterator[None]:
        """Add the time of the block to a stage."""
        start = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - start
            with self._lock:
                self.seconds[stage] = self.seconds.get(stage, 0.0) + spent


class Flow(Generic[F, T]):
    """One pass over the frames of a video.

    Args:
        frames: decoded frames in order; iterated in the reader thread.
        analyse: called in order with every frame and finally with None; returns what is ready to be painted,
            in order (it may hold frames back to look ahead, at most `least - 4` of them).
        paint: called on a painter thread with one ready item.
        size: bytes of the frame inside an item.
        budget: see `ByteBudget`.
        painters: painter threads.
    """

    def __init__(
        self,
        frames: Iterable[F],
        analyse: Callable[[F | None], list[T]],
        paint: Callable[[T], None],
        *,
        size: Callable[[T], int],
        budget: ByteBudget,
        painters: int,
        stopwatch: Stopwatch,
    ) -> None:
        self._frames = frames
        self._analyse = analyse
        self._paint = paint
        self._size = size
        self._budget = budget
        self._painters = painters
        self._watch = stopwatch
        self._abandoned = threading.Event()
        self._error: BaseException | None = None

    def run(self, write: Callable[[T], None]) -> None:
        """Pass everything through; `write` gets painted items in order, on the calling thread.

        Raises:
            Whatever a stage raised first. All threads have ended when this returns or raises.
        """
        decoded: queue.Queue[F | None] = queue.Queue()
        ready: queue.Queue[tuple[T, Future[None]] | None] = queue.Queue()
        with ThreadPoolExecutor(self._painters, "paint") as pool:
            threads = [
                threading.Thread(target=self._guard, args=(self._read, decoded), name="read"),
                threading.Thread(
                    target=self._guard, args=(self._study, decoded, ready, pool), name="analyse"
                ),
            ]
            for thread in threads:
                thread.start()
            try:
                self._drain(ready, write)
            finally:
                self._leave()
                decoded.put(None)
                for thread in threads:
                    thread.join()
                pool.shutdown(wait=True, cancel_futures=True)
        if self._error is not None:
            raise self._error

    def _drain(self, ready: queue.Queue[tuple[T, Future[None]] | None], write: Callable[[T], None]) -> None:
        while (entry := ready.get()) is not None and self._error is None:
            item, painted = entry
            painted.result()
            size = self._size(item)
            with self._watch.time("encode"):
                write(item)
            del item, entry, painted
            self._budget.give(size)

    def _read(self, decoded: queue.Queue[F | None]) -> None:
        try:
            frames = iter(self._frames)
            while True:
                with self._watch.time("decode"):
                    frame = next(frames, None)
                if frame is None:
                    return
                self._budget.take(frame.nbytes)
                decoded.put(frame)
                del frame
        finally:
            decoded.put(None)

    def _study(
        self,
        decoded: queue.Queue[F | None],
        ready: queue.Queue[tuple[T, Future[None]] | None],
        pool: ThreadPoolExecutor,
    ) -> None:
        try:
            while True:
                frame = decoded.get()
                if self._abandoned.is_set():
                    return
                with self._watch.time("analyse"):
                    items = self._analyse(frame)
                for item in items:
                    ready.put((item, pool.submit(self._timed_paint, item)))
                if frame is None:
                    return
        finally:
            ready.put(None)

    def _timed_paint(self, item: T) -> None:
        with self._watch.time("swap"):
            self._paint(item)

    def _guard(self, work: Callable[..., None], *arguments: object) -> None:
        try:
            work(*arguments)
        except Abandoned:
            return
        except BaseException as error:
            if self._error is None:
                self._error = error
            self._leave()

    def _leave(self) -> None:
        self._abandoned.set()
        self._budget.close()


@contextmanager
def signs_of_life(tell: Callable[[], object], *, longest: float = math.inf) -> Iterator[None]:
    """Have `tell` called every two seconds while the block works.

    Moving the index of a large file to its front, reading it again or signing it take minutes on a slow disk.
    A sign goes out only if the process has done something since the last one: a hang still shows. One that
    keeps a core busy, as those of graphics processors do, shows after `longest` seconds.
    """
    ended = threading.Event()
    until = time.monotonic() + longest

    def watch() -> None:
        worked = -1.0
        while time.monotonic() < until:
            now = time.process_time()
            if now > worked:
                worked = now + 1e-3
                tell()
            if ended.wait(2.0):
                return

    thread = threading.Thread(target=watch, name="finishing", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()

"""The parent's side of a worker process: start it, give it orders, notice when it stalls or dies."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from facefusion.automation.children import child_environment, private_log
from facefusion.automation.logs import without_numbers
from facefusion.config import AutomationConfig
from facefusion.errors import (
    FaceFusionError,
    JobTimeoutError,
    OutOfMemoryError,
    StorageError,
    WorkerCrashError,
)

DEFAULT_FACTORY = "facefusion.pipeline:SwapSession"
TAIL_BYTES = 4000
LOADING_SECONDS = 60.0
"""Added to the time without progress while a new process still loads libraries and models."""
HELD_BACK = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
PIPE_PATIENCE = 5.0


@dataclass(frozen=True)
class WorkerSpec:
    """How workers are started.

    Attributes:
        factory: `module:callable`, called with the models folder and `threads`, gives a `SwapSession`.
        models_dir: installed model files.
        state_dir: the installation's private folder, for the oversight.
        threads: cores for one worker.
        log: file that takes what workers and their libraries print.
        slot: tells it from the others that work at the same time, from 0.
        device: the graphics processor it may see, for `CUDA_VISIBLE_DEVICES`; None for all.
    """

    factory: str
    models_dir: Path
    state_dir: Path
    threads: int
    log: Path
    slot: int = 0
    device: str | None = None


@dataclass(frozen=True)
class Order:
    """One job as a worker sees it; all paths absolute.

    Attributes:
        ticket: names this attempt in messages.
        work_dir: exists and is empty; the work file becomes `stem` plus the suffix the pipeline plans.
        keep_dir: for finished parts of a video, also those of earlier attempts; None to keep nothing.
        target_digest: identifies the content of the target, for those.
        again: an attempt at this job has failed before, and a device may be why.
    """

    ticket: int
    target: Path
    faces: tuple[Path, ...]
    face_digest: str
    work_dir: Path
    stem: str
    config: AutomationConfig
    keep_dir: Path | None = None
    target_digest: str = ""
    again: bool = False


@dataclass(frozen=True)
class Progress:
    """How far an order is; see `facefusion.pipeline.SwapProgress`."""

    ticket: int
    stage: str
    frames_done: int
    frames_total: int | None
    frames_per_second: float
    seconds_left: float | None


@dataclass(frozen=True)
class Finished:
    """An order that was carried out; `result` is a `SwapResult` as plain JSON types."""

    ticket: int
    output: Path
    seconds: float
    result: dict[str, Any]


@dataclass(frozen=True)
class Broken:
    """An order that ended with an error.

    Attributes:
        category: value of `ErrorCategory`.
        retryable: whether trying again can help.
        detail: traceback, exit status, last words.
    """

    ticket: int
    category: str
    message: str
    remedy: str
    retryable: bool
    detail: str = ""
    seconds: float = 0.0

    @classmethod
    def by(cls, error: FaceFusionError, ticket: int, *, detail: str = "", seconds: float = 0.0) -> Broken:
        """From an error of the house."""
        return cls(
            ticket, error.category.value, error.message, error.remedy, error.retryable, detail, seconds
        )


Ended = Finished | Broken


class Worker:
    """One child process; after its death it is of no more use.

    Messages arrive in a thread of the worker's and are handed to `tell` as `Progress`, `Finished` or
    `Broken`; each order is answered by exactly one of the last two.

    Args:
        spec: how to start it.
        tell: takes the messages, in any thread.
        clock: monotonic seconds.

    Raises:
        StorageError: it cannot be started, because its log cannot be written or the system has no room.
    """

    def __init__(
        self,
        spec: WorkerSpec,
        tell: Callable[[Worker, Progress | Ended], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.slot = spec.slot
        self.order: Order | None = None
        self.face_digest: str | None = None
        self.progress: Progress | None = None
        self.began = 0.0
        self.idle_since = clock()
        self._advanced = 0.0
        self._ready = False
        self._over = False
        self._clock = clock
        self._tell = tell
        self._killed_for: FaceFusionError | None = None
        self._lock = threading.Lock()
        try:
            self._process, self._words = _spawn(spec)
        except OSError as error:
            raise StorageError(
                f"A worker process cannot be started: {error}.",
                remedy="Free some space or memory; work goes on by itself.",
            ) from error
        self._reader = threading.Thread(target=self._read, name=f"worker-{self.pid}", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """Of the child."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it can be given an order."""
        return not self._over and self._process.poll() is None

    def run(self, order: Order) -> bool:
        """Give it an order; it must be idle. False if it has died and cannot take any."""
        with self._lock:
            if self._over:
                return False
            self.order = order
            self.progress = None
            self.began = self._advanced = self._clock()
        self.face_digest = order.face_digest
        self._send(
            {
                "order": "run",
                "ticket": order.ticket,
                "target": str(order.target),
                "faces": [str(face) for face in order.faces],
                "face_digest": order.face_digest,
                "work_dir": str(order.work_dir),
                "stem": order.stem,
                "config": order.config.model_dump(mode="json", by_alias=True),
                "keep_dir": None if order.keep_dir is None else str(order.keep_dir),
                "target_digest": order.target_digest,
                "again": order.again,
            }
        )
        return True

    def ask_to_stop(self) -> None:
        """Have the order in hand end early (with the category `cancelled`)."""
        if (order := self.order) is not None:  # the reading thread may end it at any moment
            self._send({"order": "stop", "ticket": order.ticket})

    def kill(self, reason: FaceFusionError | None = None) -> None:
        """End the process at once; the order in hand ends with `reason`, or as a crash."""
        self._killed_for = reason
        with contextlib.suppress(OSError):
            self._process.kill()

    def overdue(self, stall_seconds: float, job_seconds: float) -> JobTimeoutError | None:
        """Why the order in hand has to be given up; None while all is well.

        Args:
            stall_seconds: longest time without progress.
            job_seconds: longest time in all; 0 for no limit.
        """
        with self._lock:
            if self.order is None:
                return None
            now, name = self._clock(), self.order.target.name
            loading = 0.0 if self._ready else LOADING_SECONDS
            if now - self._advanced > stall_seconds + loading:
                where = f" (stage {self.progress.stage})" if self.progress else ""
                return JobTimeoutError(f"{name} made no progress for {stall_seconds:g} seconds{where}.")
            if job_seconds and now - self.began > job_seconds:
                return JobTimeoutError(
                    f"{name} took longer than {job_seconds / 60:g} minutes.",
                    remedy="Raise `limits.job_minutes` if such long jobs are wanted.",
                )
        return None

    def close(self, timeout: float) -> None:
        """Let an idle process end; kill it if it does not within `timeout` seconds.

        One that hangs in the kernel (a dead network share) dies when that lets it go; nobody waits for it.
        """
        with contextlib.suppress(OSError):
            assert self._process.stdin is not None
            self._process.stdin.close()
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(PIPE_PATIENCE)
        self._reader.join(PIPE_PATIENCE)

    def _send(self, message: dict[str, Any]) -> None:
        # A child that died meanwhile is noticed by the reading thread, which answers for it.
        with contextlib.suppress(OSError, ValueError):
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            try:
                self._take(json.loads(line))
            except (ValueError, KeyError, TypeError):
                self.kill(
                    WorkerCrashError("The worker process answered something that cannot be understood.")
                )
                break
        status = self._process.wait()
        with self._lock:
            self._over = True
            order, self.order = self.order, None
            seconds = self._clock() - self.began
        if order is not None:
            error = self._killed_for or _cause_of_death(status, order)
            detail = f"{_in_words(status)}\n{self._last_words()}".strip()
            self._tell(self, Broken.by(error, order.ticket, detail=detail, seconds=seconds))
        self._words.close()
        self._process.stdout.close()

    def _take(self, message: dict[str, Any]) -> None:
        event = message.pop("event")
        if event == "ready":  # loading may take long on a slow disk; the first job's time begins now
            with self._lock:
                self._ready = True
                self._advanced = self._clock()
            return
        with self._lock:
            if self.order is None or self.order.ticket != message["ticket"]:
                return
            told: Progress | Ended
            told = self._progress(message) if event == "progress" else self._ended(event, message)
        self._tell(self, told)

    def _progress(self, message: dict[str, Any]) -> Progress:
        progress, before = Progress(**message), self.progress
        # While a job is prepared or finished no frames are counted; a worker speaks then if it has worked.
        moved = before is None or (progress.stage, progress.frames_done) != (before.stage, before.frames_done)
        if moved or progress.stage in ("preparing", "finishing"):
            self._advanced = self._clock()
        self.progress = progress
        return progress

    def _ended(self, event: str, message: dict[str, Any]) -> Ended:
        self.order, self.progress = None, None
        self.idle_since = self._clock()
        if event == "result":
            return Finished(output=Path(message.pop("output")), **message)
        return Broken(**message)

    def _last_words(self) -> str:
        lines = self._words.last()
        # The list of every loaded C extension, which the fault handler appends, says nothing here.
        return without_numbers("\n".join(line for line in lines if not line.startswith("Extension modules")))


class _Words:
    """What is printed into a log from now on, also when another worker puts that log aside meanwhile.

    Args:
        log: open for appending.
        path: of it.
    """

    def __init__(self, log: BinaryIO, path: Path) -> None:
        self._start = os.fstat(log.fileno()).st_size
        self._stream = path.open("rb")

    def last(self) -> list[str]:
        """The last lines of it; none if they cannot be read."""
        try:
            end = self._stream.seek(0, os.SEEK_END)
            self._stream.seek(max(self._start, end - TAIL_BYTES))
            return self._stream.read().decode("utf-8", "replace").splitlines()
        except (OSError, ValueError):
            return []

    def close(self) -> None:
        """Nobody will ask any more."""
        self._stream.close()


def _spawn(spec: WorkerSpec) -> tuple[subprocess.Popen[bytes], _Words]:
    with private_log(spec.log) as log, _signals_held_back():
        words = _Words(log, spec.log)
        process = subprocess.Popen(
            _command(spec),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=child_environment(spec.threads, spec.device),
        )
    return process, words


@contextlib.contextmanager
def _signals_held_back() -> Iterator[None]:
    """A child started meanwhile gets no signal before it has decided to ignore it."""
    if sys.platform == "win32":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, HELD_BACK)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _command(spec: WorkerSpec) -> Sequence[str]:
    module = "facefusion.automation.worker_process"
    places = (str(spec.models_dir), str(spec.state_dir))
    return (sys.executable, "-m", module, spec.factory, *places, str(spec.threads))


def _cause_of_death(status: int, order: Order) -> FaceFusionError:
    name = order.target.name
    if hasattr(signal, "SIGKILL") and status == -signal.SIGKILL:
        # Nobody but the kernel, short of memory, or a person with rights kills without a word.
        return OutOfMemoryError(
            f"The worker was killed by the system while it processed {name}; most likely memory ran out."
        )
    return WorkerCrashError(f"The worker died while it processed {name}: {_in_words(status)}.")


def _in_words(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"signal {signal.Signals(-status).name}"
    except ValueError:
        return f"signal {-status}"

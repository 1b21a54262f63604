"""The child process that runs jobs: `python -m ...worker_process FACTORY MODELS STATE THREADS`.

It reads orders from standard input and answers on standard output, one JSON object a line:

    in    {"order": "run", "ticket": 7, "target": ..., "faces": [...], "face_digest": ..., "work_dir": ...,
           "stem": ..., "config": {...}, "keep_dir": ..., "target_digest": ..., "again": false}
          {"order": "stop", "ticket": 7}
    out   {"event": "ready"}        libraries and models are loaded
          {"event": "progress", "ticket": 7, "stage": ..., "frames_done": ..., ...}
          {"event": "result", "ticket": 7, "output": ..., "seconds": ..., "result": {...}}
          {"event": "error", "ticket": 7, "category": ..., "message": ..., "remedy": ..., "retryable": ...,
           "detail": ..., "seconds": ...}

The end of standard input means that the parent is gone, and ends the process.

No target reaches the engine but through the oversight (`facefusion.trust.oversight`): it looks at what is to
be swapped before, and what the engine has written becomes a result only when it has sealed it, still in this
process, where native code that crashes costs one attempt. A session of another make may bring an oversight
of its own as `make_oversight`; the program's own brings none.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TextIO

from facefusion.automation.children import load_factory, take_over_stdout
from facefusion.automation.logs import LINE_CHARACTERS, without_numbers
from facefusion.config import AutomationConfig
from facefusion.errors import (
    CancelledError,
    FaceFusionError,
    InputFileError,
    OutOfMemoryError,
    SealingError,
    StorageError,
    VanishedError,
)
from facefusion.system.processes import die_with_the_parent

PROGRESS_SECONDS = 0.1
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})


class Channel:
    """Messages to the parent, from any thread."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def send(self, event: str, **content: Any) -> None:
        """Send one message."""
        line = json.dumps({"event": event, **content}, default=plain)
        with self._lock:
            self._stream.write(line + "\n")
            self._stream.flush()


class Runner:
    """Runs orders one after another with one warm session.

    Args:
        make_session: builds the session; called with the first order, so that its errors are that job's.
        make_oversight: builds the oversight; likewise.
        channel: where progress and results go.
    """

    def __init__(
        self, make_session: Callable[[], Any], make_oversight: Callable[[], Any], channel: Channel
    ) -> None:
        self._make_session = make_session
        self._make_oversight = make_oversight
        self._channel = channel
        self._session: Any = None
        self._oversight: Any = None
        self._stopped: set[int] = set()

    def stop(self, ticket: int) -> None:
        """Ask an order to stop; called from the reading thread."""
        self._stopped.add(ticket)

    def run(self, order: Mapping[str, Any]) -> None:
        """Run one order and answer it, whatever happens."""
        ticket = order["ticket"]
        began = time.monotonic()
        try:
            if self._session is None:
                self._session = self._make_session()
            if self._oversight is None:
                self._oversight = self._make_oversight()
            output, result = self._swap(order, ticket)
            earlier = (result.get("resumed") or {}).get("seconds_before", 0.0)
        except Exception as error:
            self._channel.send(
                "error", ticket=ticket, seconds=time.monotonic() - began, **describe(error, order)
            )
        else:
            seconds = time.monotonic() - began + earlier
            self._channel.send("result", ticket=ticket, seconds=seconds, output=output, result=result)
        finally:
            self._stopped.discard(ticket)

    def warm_up(self) -> None:
        """Load libraries and models before the first order comes."""
        # Whatever fails here is met again with the first order, whose answer says so.
        with contextlib.suppress(Exception):
            self._session = self._make_session()
            self._session.warm_up()
            self._oversight = self._make_oversight()

    def _swap(self, order: Mapping[str, Any], ticket: int) -> tuple[str, Any]:
        from facefusion.flow import signs_of_life
        from facefusion.pipeline import Keeping, SwapProgress, SwapRequest, planned_suffix

        config = AutomationConfig.model_validate(order["config"])
        target = Path(order["target"])
        faces = tuple(map(Path, order["faces"]))
        last_sent, last_stage, looks = 0.0, "", 0

        def on_progress(progress: Any) -> None:
            nonlocal last_sent, last_stage
            now = time.monotonic()
            if now - last_sent >= PROGRESS_SECONDS or progress.stage != last_stage:
                last_sent, last_stage = now, progress.stage
                self._channel.send("progress", ticket=ticket, **plain(progress))

        def is_alive() -> None:
            nonlocal looks
            if ticket in self._stopped:
                raise CancelledError(f"{target.name} was stopped.")
            looks += 1
            on_progress(SwapProgress("preparing", looks, None, 0.0, None))

        output = Path(order["work_dir"]) / f"{order['stem']}{planned_suffix(target, config)}"
        case = self._oversight.open(target, faces, config, is_alive)
        keeping = _keeping(order, case, Keeping)  # first: it may give the case the name it began with
        request = SwapRequest(
            target=target,
            faces=faces,
            face_digest=order["face_digest"],
            output=output,
            config=config,
            label=case.label,
            marker=case.marker,
            inspector=case.inspector,
            keeping=keeping,
            again=order["again"],
        )
        result = plain(self._session.swap(request, on_progress, lambda: ticket in self._stopped))
        frames = result["frames"]
        with signs_of_life(lambda: on_progress(SwapProgress("finishing", frames, frames, 0.0, 0.0))):
            return str(output), result | case.close(output, result)


def _keeping(order: Mapping[str, Any], case: Any, kind: Callable[..., Any]) -> Any:
    """Where finished parts of a video are kept; what was kept before goes on under the name it began with."""
    if order.get("keep_dir") is None:
        return None
    folder = Path(order["keep_dir"])
    if earlier := kind(folder).earlier_facts().get("result_id"):
        with contextlib.suppress(ValueError):  # damaged, and so of no use
            case.take_up(str(earlier))
    return kind(folder, {"target": order["target_digest"], "result_id": str(case.result_id)})


def describe(error: BaseException, order: Mapping[str, Any]) -> dict[str, Any]:
    """An exception as category, message and remedy."""
    known = error if isinstance(error, FaceFusionError) else _translated(error, order)
    detail = known.detail
    if known is not error:
        detail = without_numbers("".join(traceback.format_exception(error))[-LINE_CHARACTERS:])
    return {
        "category": known.category.value,
        "message": known.message,
        "remedy": known.remedy,
        "retryable": known.retryable,
        "detail": detail,
    }


def plain(value: Any) -> Any:
    """Dataclasses, mappings, paths and NumPy scalars as JSON knows them."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {entry.name: plain(getattr(value, entry.name)) for entry in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(content) for key, content in value.items()}
    if isinstance(value, str | int | float | bool | None):
        return value
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "item") and getattr(value, "shape", None) == ():
        return value.item()
    if isinstance(value, Iterable):
        return [plain(content) for content in value]
    return str(value)


def oversight_of(factory: Callable[..., Any]) -> Callable[..., Any]:
    """What watches over the jobs of a session: the program's own, unless the session is of another make."""
    own: Callable[..., Any] | None = getattr(factory, "make_oversight", None)
    if own is not None:
        return own
    try:
        from facefusion.trust.oversight import Oversight
    except ImportError as error:
        raise SealingError(
            f"What watches over jobs and signs results cannot be loaded ({error}).",
            remedy="Run `python3 launch_automation.py` once; it repairs the installation.",
        ) from error
    return Oversight


def main(arguments: list[str]) -> int:
    """Serve orders until standard input ends."""
    channel = Channel(take_over_stdout())
    _leave_signals_to_the_parent()
    die_with_the_parent()
    factory_name, models_dir, state_dir, threads = arguments
    runner = Runner(
        lambda: load_factory(factory_name)(Path(models_dir), threads=int(threads)),
        lambda: oversight_of(load_factory(factory_name))(Path(state_dir), Path(models_dir)),
        channel,
    )
    orders: queue.SimpleQueue[Mapping[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=_read_orders, args=(orders, runner), name="orders", daemon=True).start()
    runner.warm_up()
    channel.send("ready")
    while True:
        runner.run(orders.get())


def _translated(error: BaseException, order: Mapping[str, Any]) -> FaceFusionError:
    what = without_numbers(str(error)) or type(error).__name__
    if isinstance(error, MemoryError):
        return OutOfMemoryError(f"Memory ran out: {what}.")
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        return StorageError(f"Writing failed: {what}.")
    if isinstance(error, OSError) and error.errno == errno.EIO:
        if _concerns_the_result(error, order):
            return StorageError(f"Writing failed: {what}.")
        return InputFileError(
            f"{Path(order['target']).name} or its face cannot be read: {what}.",
            remedy="Their disk or card has a fault; copy them to a sound one and drop the copy.",
        )
    if isinstance(error, FileNotFoundError) and not Path(order["target"]).exists():
        return VanishedError(f"{Path(order['target']).name} was removed while it was being processed.")
    return FaceFusionError(f"{type(error).__name__}: {what}")


def _concerns_the_result(error: OSError, order: Mapping[str, Any]) -> bool:
    """Whether a disk's fault was met in writing: by the file's name, else by writing something there."""
    folder = Path(order["work_dir"])
    if isinstance(error.filename, str):
        return Path(error.filename).is_relative_to(folder)
    probe = folder / ".probe"
    try:
        probe.write_bytes(bytes(4096))
        probe.unlink()
    except OSError:
        return True
    return False


def _read_orders(orders: queue.SimpleQueue[Mapping[str, Any]], runner: Runner) -> None:
    for line in sys.stdin:
        order = json.loads(line)
        if order["order"] == "stop":
            runner.stop(order["ticket"])
        else:
            orders.put(order)
    # The parent has closed its end or is dead. What is not published will be done again: end at once.
    os._exit(0)


def _leave_signals_to_the_parent() -> None:
    """Ctrl-C and a service manager's stop reach the whole group; only the parent decides what follows."""
    names = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    for number in numbers:
        signal.signal(number, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)  # held back by the parent until now


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

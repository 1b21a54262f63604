"""Calls of several threads put together: what graphics processors are fast at is doing many at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from facefusion.system.device import Array, joined


class BatchRunner(Protocol):
    """Runs n samples; see `facefusion.system.networks.Network.run_batch`."""

    def run_batch(self, feeds: Mapping[str, Array], shared: Mapping[str, Array] | None = None) -> Array:
        """First output for n samples."""
        ...


@dataclass
class _Call:
    """One thread's call, and what came of it."""

    feeds: Mapping[str, Array]
    shared: Mapping[str, Array] | None
    done: threading.Event = field(default_factory=threading.Event)
    output: Array | None = None
    error: BaseException | None = None

    def fits(self, other: _Call) -> bool:
        """Whether both can be one: the same kind and shapes, and the very same shared arrays."""
        mine, theirs = self.shared or {}, other.shared or {}
        return (
            {name: (type(values), values.shape[1:]) for name, values in self.feeds.items()}
            == {name: (type(values), values.shape[1:]) for name, values in other.feeds.items()}
            and mine.keys() == theirs.keys()
            and all(values is theirs[name] for name, values in mine.items())
        )


class MicroBatches:
    """Puts calls of several threads together, across frames and faces.

    The first thread that finds nobody at work takes everything that waits. While the network is busy, further
    calls gather by themselves; so waiting on purpose is only worth a moment.

    Args:
        network: what runs.
        limit: samples in one call.
        patience: seconds that the first one waits for company.
        pace: called after each call of the network, which may return before it has computed; waits as long as
            enough is under way.
    """

    def __init__(
        self,
        network: BatchRunner,
        *,
        limit: int = 8,
        patience: float = 0.001,
        pace: Callable[[], None] | None = None,
    ) -> None:
        self._network = network
        self._limit = limit
        self._patience = patience
        self._pace = pace or (lambda: None)
        self._waiting: list[_Call] = []
        self._change = threading.Lock()
        self._turn = threading.Lock()

    def run_batch(self, feeds: Mapping[str, Array], shared: Mapping[str, Array] | None = None) -> Array:
        """See `BatchRunner.run_batch`; whatever one call of several raises, all of them raise."""
        call = _Call(feeds, shared)
        with self._change:
            self._waiting.append(call)
        while not call.done.is_set():
            with self._turn:
                if call.done.is_set():
                    break
                if self._patience:
                    time.sleep(self._patience)
                self._work(self._take())
                self._pace()
        if call.error is not None:
            raise call.error
        assert call.output is not None
        return call.output

    def _take(self) -> list[_Call]:
        """The oldest call, with those that fit it."""
        with self._change:
            first = self._waiting[0]
            taken, left, count = [], [], 0
            for call in self._waiting:
                size = len(next(iter(call.feeds.values())))
                if call is first or (first.fits(call) and count + size <= self._limit):
                    taken.append(call)
                    count += size
                else:
                    left.append(call)
            self._waiting = left
        return taken

    def _work(self, calls: list[_Call]) -> None:
        try:
            feeds = {name: joined([call.feeds[name] for call in calls]) for name in calls[0].feeds}
            output = self._network.run_batch(feeds, calls[0].shared)
            at = 0
            for call in calls:
                size = len(next(iter(call.feeds.values())))
                call.output = output[at : at + size]
                at += size
        except BaseException as error:
            for call in calls:
                call.error = error
        finally:
            for call in calls:
                call.done.set()

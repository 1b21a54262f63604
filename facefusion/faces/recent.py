"""A memory for tracks that forgets those not seen for longest."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class PerTrack(Generic[T]):
    """One value for each track, made when the track is first asked for.

    Hours of video with passers-by make tracks without end; only the most recently used ones are kept.

    Args:
        make: a new value.
        limit: how many values are kept; more than faces are ever seen at once.
    """

    def __init__(self, make: Callable[[], T], *, limit: int = 64) -> None:
        self._make = make
        self._limit = limit
        self._values: OrderedDict[int, T] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, track: int) -> T:
        if track not in self._values:
            self._values[track] = self._make()
            while len(self._values) > self._limit:
                self._values.popitem(last=False)
        self._values.move_to_end(track)
        return self._values[track]

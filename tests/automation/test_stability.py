"""When a file is complete. A clock of the test's own; no files."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from facefusion.automation.inbox import StabilityTracker
from facefusion.automation.sightings import Signature


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tracker(clock: Clock) -> StabilityTracker:
    return StabilityTracker(2.0, clock)


def signature(size: int = 100, mtime: int = 1, ctime: int = 1, inode: int = 7) -> Signature:
    return Signature(inode, size, mtime, ctime)


def test_a_file_is_complete_when_it_stayed_unchanged_for_the_settling_time(
    tracker: StabilityTracker, clock: Clock
) -> None:
    assert not tracker.observe("a", signature())
    clock.sleep(1.0)
    assert not tracker.observe("a", signature())
    clock.sleep(1.0)
    assert tracker.observe("a", signature())
    assert "a" not in tracker


def test_f1_a_copy_that_grows_in_steps_starts_the_time_anew_with_each_step(
    tracker: StabilityTracker, clock: Clock
) -> None:
    for size in range(100, 2000, 100):
        assert not tracker.observe("a", signature(size))
        clock.sleep(1.5)
    assert not tracker.observe("a", signature(1900))
    clock.sleep(1.0)
    assert tracker.observe("a", signature(1900))


@pytest.mark.parametrize(
    "later",
    [
        pytest.param(signature(mtime=2, ctime=2), id="size reserved first and filled later"),
        pytest.param(signature(mtime=0, ctime=2), id="old modification time set at the end"),
        pytest.param(signature(inode=8), id="replaced by another file of the same size and times"),
        pytest.param(signature(ctime=2), id="changed and its times restored"),
    ],
)
def test_f1_whatever_shows_a_change_starts_the_time_anew(
    tracker: StabilityTracker, clock: Clock, later: Signature
) -> None:
    tracker.observe("a", signature())
    clock.sleep(1.0)
    tracker.observe("a", signature())
    clock.sleep(1.0)
    assert not tracker.observe("a", later)
    clock.sleep(1.0)
    assert not tracker.observe("a", later)
    clock.sleep(1.0)
    assert tracker.observe("a", later)


def test_d9_after_the_computer_slept_one_late_look_does_not_make_a_file_complete(
    tracker: StabilityTracker, clock: Clock
) -> None:
    tracker.observe("a", signature())
    clock.sleep(8 * 3600)
    assert not tracker.observe("a", signature()), "the copy slept as well"
    clock.sleep(1.0)
    assert tracker.observe("a", signature())


def test_the_next_look_is_due_when_a_file_can_be_complete(tracker: StabilityTracker, clock: Clock) -> None:
    assert tracker.seconds_to_next_look() is None
    tracker.observe("a", signature())
    assert tracker.seconds_to_next_look() == pytest.approx(1.0)
    clock.sleep(1.0)
    tracker.observe("a", signature())
    clock.sleep(0.25)
    assert tracker.seconds_to_next_look() == pytest.approx(0.75)
    clock.sleep(5.0)
    assert tracker.seconds_to_next_look() == 0.0


def test_a_file_that_is_held_back_is_looked_at_again_soon(tracker: StabilityTracker, clock: Clock) -> None:
    tracker.hold("a", signature(), 0.5)
    clock.sleep(0.5)
    assert tracker.observe("a", signature())


def test_files_do_not_wait_for_each_other(tracker: StabilityTracker, clock: Clock) -> None:
    tracker.observe("still", signature())
    for size in range(3):
        tracker.observe("growing", signature(size))
        done = tracker.observe("still", signature())
        clock.sleep(1.0)
    assert done
    tracker.forget("growing")
    assert len(tracker) == 0

"""The threads of a job: order, bounded memory, errors and early ends (M14, M16)."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from facefusion.flow import Abandoned, ByteBudget, Flow, Stopwatch, signs_of_life

MEGABYTE = 1 << 20
_BUDGETS: list[ByteBudget] = []


@dataclass
class Frame:
    """Something of a size that knows what happened to it."""

    index: int
    nbytes: int = MEGABYTE
    painted: bool = False


class Reader:
    """Frames one after another; counts how many were asked for, and fails or stalls where told."""

    def __init__(
        self, count: int, *, fail_at: int | None = None, pause: float = 0.0, nbytes: int = MEGABYTE
    ) -> None:
        self.read = 0
        self._count = count
        self._fail_at = fail_at
        self._pause = pause
        self._nbytes = nbytes

    def __iter__(self) -> Iterator[Frame]:
        for index in range(self._count):
            if index == self._fail_at:
                raise OSError("the disk is gone")
            time.sleep(self._pause)
            self.read += 1
            yield Frame(index, self._nbytes)


class Ahead:
    """An analyst that looks some frames ahead, as the real one does."""

    def __init__(self, frames: int = 4, *, fail_at: int | None = None) -> None:
        self._frames = frames
        self._held: list[Frame] = []
        self._fail_at = fail_at

    def __call__(self, frame: Frame | None) -> list[Frame]:
        if frame is None:
            held, self._held = self._held, []
            return held
        if frame.index == self._fail_at:
            raise ValueError("no sense in this frame")
        self._held.append(frame)
        return [self._held.pop(0)] if len(self._held) > self._frames else []


def paint(frame: Frame) -> None:
    frame.painted = True


def flow(
    reader: Reader,
    analyse: Callable[[Frame | None], list[Frame]] | None = None,
    painting: Callable[[Frame], None] = paint,
    *,
    limit: int = 64 * MEGABYTE,
    painters: int = 2,
) -> tuple[Flow[Frame, Frame], ByteBudget, Stopwatch]:
    budget, watch = ByteBudget(limit, least=9), Stopwatch()
    _BUDGETS.append(budget)
    made: Flow[Frame, Frame] = Flow(
        reader,
        analyse or Ahead(),
        painting,
        size=lambda frame: frame.nbytes,
        budget=budget,
        painters=painters,
        stopwatch=watch,
    )
    return made, budget, watch


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    """Nothing outlives a test; a flow that hangs is set free after a while and fails, instead of hanging."""
    before = set(threading.enumerate())
    _BUDGETS.clear()
    rescue = threading.Timer(8.0, lambda: [budget.close() for budget in _BUDGETS])
    rescue.start()
    yield
    rescue.cancel()
    rescue.join()
    left = [thread for thread in threading.enumerate() if thread not in before]
    assert left == []


@pytest.mark.parametrize("painters", [1, 3])
def test_frames_come_out_painted_and_in_order(painters: int) -> None:
    uneven = random.Random(1)

    def slowly(frame: Frame) -> None:
        time.sleep(uneven.random() * 0.004)
        frame.painted = True

    written: list[Frame] = []
    made, _, watch = flow(Reader(60), painting=slowly, painters=painters)
    made.run(written.append)
    assert [frame.index for frame in written] == list(range(60))
    assert all(frame.painted for frame in written)
    assert set(watch.seconds) == {"decode", "analyse", "swap", "encode"}
    assert watch.seconds["swap"] > 0.05


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5])
def test_very_short_videos_come_through(count: int) -> None:
    written: list[Frame] = []
    made, _, _ = flow(Reader(count))
    made.run(written.append)
    assert [frame.index for frame in written] == list(range(count))


def test_writing_happens_on_the_callers_thread() -> None:
    threads: set[int] = set()
    made, _, _ = flow(Reader(5))
    made.run(lambda frame: threads.add(threading.get_ident()))
    assert threads == {threading.get_ident()}


def test_m16_a_slow_writer_holds_the_reader_back() -> None:
    reader, lead = Reader(120), 0
    made, budget, _ = flow(reader, limit=16 * MEGABYTE)
    written = 0

    def write(frame: Frame) -> None:
        nonlocal written, lead
        time.sleep(0.004)
        written += 1
        lead = max(lead, reader.read - written)

    made.run(write)
    assert written == 120
    assert budget.peak <= 16 * MEGABYTE
    # Sixteen megabytes, the frame being written and the one that waits for room.
    assert lead <= 18


def test_m16_a_slow_painter_holds_the_reader_back() -> None:
    made, budget, _ = flow(Reader(80), painting=lambda frame: time.sleep(0.004), limit=12 * MEGABYTE)
    made.run(lambda frame: None)
    assert budget.peak <= 12 * MEGABYTE


def test_frames_larger_than_the_budget_still_pass() -> None:
    """The analyst looks ahead; that many frames are always allowed, and not more."""
    written: list[int] = []
    made, budget, _ = flow(Reader(30, nbytes=50 * MEGABYTE), limit=32 * MEGABYTE)
    made.run(lambda frame: written.append(frame.index))
    assert written == list(range(30))
    assert budget.peak <= 9 * 50 * MEGABYTE


def test_every_byte_is_given_back() -> None:
    made, budget, _ = flow(Reader(25))
    made.run(lambda frame: None)
    assert budget._used == 0
    assert budget._alive == 0


def _failing_paint(frame: Frame) -> None:
    if frame.index == 20:
        raise ArithmeticError("no colour for this")


def _failing_write(frame: Frame) -> None:
    if frame.index == 20:
        raise PermissionError("read-only")


@pytest.mark.parametrize(
    ("stage", "error"),
    [("read", OSError), ("analyse", ValueError), ("paint", ArithmeticError), ("write", PermissionError)],
)
def test_an_error_of_every_stage_reaches_the_caller(stage: str, error: type[Exception]) -> None:
    reader = Reader(10_000, fail_at=20 if stage == "read" else None)
    made, _, _ = flow(
        reader,
        Ahead(fail_at=20 if stage == "analyse" else None),
        _failing_paint if stage == "paint" else paint,
        limit=16 * MEGABYTE,
    )
    written: list[int] = []

    def write(frame: Frame) -> None:
        if stage == "write":
            _failing_write(frame)
        written.append(frame.index)

    with pytest.raises(error):
        made.run(write)
    assert reader.read < 100
    assert written == list(range(len(written)))
    assert len(written) <= 20


def test_an_error_while_the_reader_waits_for_room_ends_it() -> None:
    """The reader is blocked by a full budget when the writer fails."""
    reader = Reader(10_000)
    made, _, _ = flow(reader, limit=10 * MEGABYTE)

    def write(frame: Frame) -> None:
        time.sleep(0.15)
        raise PermissionError("read-only")

    with pytest.raises(PermissionError):
        made.run(write)
    assert reader.read <= 12


def test_an_early_stop_ends_everything_long_before_the_end() -> None:
    class Stopped(Exception):  # noqa: N818
        pass

    reader = Reader(100_000, pause=0.001)
    made, _, _ = flow(reader, painting=lambda frame: time.sleep(0.002))

    def write(frame: Frame) -> None:
        if frame.index == 30:
            raise Stopped

    with pytest.raises(Stopped):
        made.run(write)
    assert reader.read < 200


def test_the_first_of_several_errors_is_the_one_reported() -> None:
    # With this little room the reader cannot get to its own error before the analyst meets his.
    made, _, _ = flow(Reader(100, fail_at=50), Ahead(fail_at=10), limit=16 * MEGABYTE)
    with pytest.raises(ValueError, match="no sense"):
        made.run(lambda frame: None)


def test_a_keyboard_interrupt_while_writing_ends_all_threads() -> None:
    made, _, _ = flow(Reader(10_000))

    def write(frame: Frame) -> None:
        if frame.index == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        made.run(write)


def test_a_closed_budget_turns_everybody_away() -> None:
    budget = ByteBudget(MEGABYTE, least=1)
    budget.take(MEGABYTE)
    waiting = threading.Event()
    turned_away = threading.Event()

    def wait() -> None:
        waiting.set()
        with pytest.raises(Abandoned):
            budget.take(MEGABYTE)
        turned_away.set()

    thread = threading.Thread(target=wait)
    thread.start()
    assert waiting.wait(2)
    budget.close()
    assert turned_away.wait(2)
    thread.join()
    with pytest.raises(Abandoned):
        budget.take(1)


def test_room_given_back_lets_the_next_frame_in() -> None:
    budget = ByteBudget(2 * MEGABYTE, least=1)
    budget.take(2 * MEGABYTE)
    entered = threading.Event()

    def wait() -> None:
        budget.take(MEGABYTE)
        entered.set()

    thread = threading.Thread(target=wait)
    thread.start()
    assert not entered.wait(0.05)
    budget.give(2 * MEGABYTE)
    assert entered.wait(2)
    thread.join()
    assert budget.peak == 2 * MEGABYTE


def test_the_stopwatch_adds_up_and_counts_failed_stages() -> None:
    watch = Stopwatch()
    for _ in range(3):
        with watch.time("encode"):
            time.sleep(0.01)
    with pytest.raises(ValueError, match="x"), watch.time("decode"):
        raise ValueError("x")
    assert watch.seconds["encode"] >= 0.03
    assert "decode" in watch.seconds


def test_a_hang_that_keeps_a_core_busy_gives_no_signs_of_life_for_ever() -> None:
    signs: list[int] = []
    with signs_of_life(lambda: signs.append(1), longest=0.0):
        pass
    assert signs == []
    with signs_of_life(lambda: signs.append(1), longest=3600.0):
        pass
    assert signs == [1]

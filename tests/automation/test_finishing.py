"""Faults of the program itself while results are published and reported."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from workbench import Bench

from facefusion.automation import finishing
from facefusion.automation.jobs import JobQueue
from facefusion.automation.publish import Outbox


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    bench = Bench(tmp_path)
    bench.face()
    return bench


def faulty(function: Callable[..., Any], times: int) -> Callable[..., Any]:
    """A function with a fault that shows the first times it is called."""
    left = [times]

    def call(*arguments: Any, **options: Any) -> Any:
        if left[0] > 0:
            left[0] -= 1
            raise ZeroDivisionError("a fault of ours")
        return function(*arguments, **options)

    return call


def after(function: Callable[..., Any], times: int) -> Callable[..., Any]:
    """A function whose fault shows when its work is done."""
    fault = faulty(lambda placed: placed, times)

    def call(*arguments: Any, **options: Any) -> Any:
        return fault(function(*arguments, **options))

    return call


def broken_for(name: str) -> Callable[..., Any]:
    """`Outbox.place` with a fault that shows for the results of one target."""
    place = Outbox.place

    def broken(self: Outbox, work: Path, base: str, *others: Any) -> object:
        if base.startswith(name):
            raise ZeroDivisionError("a fault of ours")
        return place(self, work, base, *others)

    return broken


def test_a_result_that_has_its_name_is_done_even_if_its_report_never_can_be_written(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.target("clip.mp4")
    monkeypatch.setattr(finishing, "write_result_report", faulty(finishing.write_result_report, 100))

    assert bench.run_once() == 0

    assert bench.results() == ["clip__alice.mp4"]
    (result,) = bench.status().results
    assert result.outcome == "done"
    assert any("report could not be written" in warning for warning in result.warnings)
    assert not any((bench.outbox / "failed").iterdir())
    assert bench.leftovers() == []


def test_a_fault_that_shows_once_is_met_by_trying_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.target("clip.mp4")
    monkeypatch.setattr(finishing, "write_result_report", faulty(finishing.write_result_report, 2))
    assert bench.run_once() == 0
    assert bench.report("clip__alice.json")["outcome"] == "done"
    assert bench.status().results[0].warnings == ()


@pytest.mark.parametrize("times", [1, 100])
def test_a_result_that_was_just_placed_is_never_failed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    """The fault shows after the result has its final name, before that is noted."""
    bench.target("clip.mp4")
    monkeypatch.setattr(Outbox, "place", after(Outbox.place, times))
    assert bench.run_once() == 0
    assert bench.results() == ["clip__alice.mp4"]
    assert bench.report("clip__alice.json")["outcome"] == "done"


def test_what_cannot_be_placed_fails_with_a_report_after_some_tries(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.target("clip.mp4")
    monkeypatch.setattr(Outbox, "place", faulty(Outbox.place, 100))
    assert bench.run_once() == 1
    assert bench.results() == []
    failure = bench.report("failed/clip__alice.json")["failure"]
    assert (failure["category"], "a fault of ours" in failure["message"]) == ("internal_error", True)


def test_a_failure_keeps_its_own_reason_if_its_report_cannot_be_written(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.target("clip.mp4", then="bad_source")
    monkeypatch.setattr(finishing, "write_failure_report", faulty(finishing.write_failure_report, 100))
    assert bench.run_once() == 1
    (failure,) = bench.status().failures
    assert failure.category == "face_detection"


def test_the_queue_s_own_faults_are_met_the_same_way(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.target("clip.mp4")
    monkeypatch.setattr(JobQueue, "published", faulty(JobQueue.published, 2))
    assert bench.run_once() == 0
    assert bench.report("clip__alice.json")["outcome"] == "done"


def test_what_cannot_even_be_given_up_does_not_keep_the_program_from_ending(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.target("clip.mp4")
    bench.target("good.mp4")
    with monkeypatch.context() as patch:
        patch.setattr(Outbox, "place", broken_for("clip"))
        patch.setattr(finishing.Finisher, "give_up", faulty(finishing.Finisher.give_up, 100))
        assert bench.run_once() == 1
    assert bench.results() == ["good__alice.mp4"]
    assert bench.run_once() == 0, "the next start finds the work done and publishes it"
    assert bench.report("clip__alice.json")["attempts"] == 1


def test_a_batch_ends_without_what_cannot_even_be_given_up(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    face, video = bench.face(), bench.target("clip.mp4")
    monkeypatch.setattr(Outbox, "place", faulty(Outbox.place, 100))
    monkeypatch.setattr(finishing.Finisher, "give_up", faulty(finishing.Finisher.give_up, 100))
    processor, stopped = bench.processor(), threading.Event()
    watchdog = threading.Timer(60, lambda: (stopped.set(), processor.request_stop()))
    watchdog.start()
    try:
        assert processor.process_videos_batch([(face, video)]) == []
    finally:
        watchdog.cancel()
    assert not stopped.is_set(), "it would have waited for ever"


def test_a_fault_of_ours_in_publishing_ends_that_job_and_not_the_daemon(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.target("bad.mp4")
    bench.target("good.mp4")
    monkeypatch.setattr(Outbox, "place", broken_for("bad"))
    assert bench.run_once() == 1
    assert bench.results() == ["good__alice.mp4"]
    assert bench.file("videos/bad.mp4").state == "failed"

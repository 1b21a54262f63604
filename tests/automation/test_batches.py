"""Pairs that are given directly, without the inbox."""

from __future__ import annotations

from pathlib import Path

from workbench import Bench

from facefusion.automation.processor import SimpleAutoProcessor
from facefusion.automation.snapshot import Snapshot


def test_a_batch_of_given_pairs_is_processed_wherever_the_files_lie(bench: Bench, tmp_path: Path) -> None:
    face = bench.face()
    face = face.rename(tmp_path / "somebody.jpg")
    videos = [bench.target(f"{n}.mp4").rename(tmp_path / f"{n}.mp4") for n in "ab"]
    bench.target("left alone.mp4")

    records = bench.processor().process_videos_batch([(face, video) for video in videos])

    assert [record.outcome for record in records] == ["done", "done"]
    assert [record.target for record in records] == videos
    assert bench.results() == ["a__somebody.mp4", "b__somebody.mp4"]


def test_a_batch_with_nothing_left_to_do_says_nothing_against_the_accepted_use_policy(bench: Bench) -> None:
    pairs = [(bench.face(), bench.target("clip.mp4"))]
    bench.processor().process_videos_batch(pairs)
    shown: list[Snapshot] = []

    (record,) = bench.processor().process_videos_batch(pairs, shown.append)

    assert record.outcome == "done"
    assert [snapshot.state for snapshot in shown] == ["stopping", "stopped"]
    assert {notice for snapshot in shown for notice in snapshot.notices} == set()


def test_a_batch_leaves_waiting_jobs_of_the_inbox_to_the_daemon_and_its_settings(
    bench: Bench, tmp_path: Path
) -> None:
    bench.configure(accept_use_policy=0)
    face = bench.face()
    bench.target("waiting.mp4")
    assert bench.run_once() == 1
    bench.configure(accept_use_policy=1, quality_preset="fast")
    own = bench.target("own.mp4").rename(tmp_path / "own.mp4")

    (record,) = bench.processor().process_videos_batch([(face, own)])

    assert record.outcome == "done"
    assert bench.results() == ["own__alice.mp4"]
    assert bench.file("videos/waiting.mp4").state == "queued"
    bench.configure(quality_preset="best")
    assert bench.run_once() == 0
    report = bench.report("waiting__alice.json")
    assert (report["quality_preset"], report["attempts"]) == ("best", 1)


def test_pairs_are_grouped_by_face_in_the_order_of_their_first_target() -> None:
    pairs = [("b", "1.mp4"), ("a", "2.mp4"), ("b", "3.mp4"), ("b", "1.mp4")]
    assert SimpleAutoProcessor.group_videos_by_face(pairs) == {"b": ["1.mp4", "3.mp4"], "a": ["2.mp4"]}

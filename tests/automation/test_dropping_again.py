"""What is dropped again, replaced or taken away, and what becomes of earlier results and failures."""

from __future__ import annotations

from pathlib import Path

import pytest
from workbench import Bench

from facefusion.automation.statustext import status_lines


def test_a_second_run_has_nothing_to_do(bench: Bench) -> None:
    bench.face()
    bench.target("clip.mp4")
    assert bench.run_once() == 0
    before = (bench.outbox / "clip__alice.mp4").stat()

    assert bench.run_once() == 0

    assert bench.results() == ["clip__alice.mp4"]
    assert (bench.outbox / "clip__alice.mp4").stat() == before


def test_f9_a_second_drop_of_the_same_content_points_to_the_result(bench: Bench) -> None:
    bench.face()
    first = bench.target("clip.mp4")
    (bench.inbox / "videos" / "copy of clip.mp4").write_bytes(first.read_bytes())

    assert bench.run_once() == 0
    assert len(bench.results()) == 1
    (bench.inbox / "videos" / "third.mp4").write_bytes(first.read_bytes())
    assert bench.run_once() == 0

    assert len(bench.results()) == 1
    third = bench.file("videos/third.mp4")
    assert third.state == "done"
    assert "same content as" in third.reason
    assert bench.results()[0] in third.reason


def test_the_same_content_named_as_a_video_and_as_a_photo_is_two_different_wishes(bench: Bench) -> None:
    bench.face()
    content = bench.target("a picture.mp4").read_bytes()
    (bench.inbox / "photos" / "a picture.jpg").write_bytes(content)
    assert bench.run_once() == 0
    assert bench.results() == ["a picture__alice-2.jpg", "a picture__alice.mp4"] or bench.results() == [
        "a picture__alice-2.mp4",
        "a picture__alice.jpg",
    ]


def test_f9_a_drop_of_the_same_content_while_the_first_is_running_makes_no_second_job(bench: Bench) -> None:
    bench.face()
    first = bench.target("clip.mp4", seconds=2.0)
    with bench.start() as daemon:
        daemon.wait_for_state("videos/clip.mp4", "running")
        (bench.inbox / "videos" / "again.mp4").write_bytes(first.read_bytes())
        daemon.wait_for_state("videos/again.mp4", "running")
        daemon.wait_for_state("videos/again.mp4", "done")
        assert bench.status().counts.done == 1
    assert bench.results() == ["clip__alice.mp4"]


def test_dropping_a_failed_file_again_is_a_retry_and_takes_the_old_report_back(
    bench: Bench, tmp_path: Path
) -> None:
    marker = tmp_path / "crashed"
    bench.configure(max_retries=0)
    bench.face()
    target = bench.target("clip.mp4", then="crash_once", marker=str(marker))
    assert bench.run_once() == 1
    assert (bench.outbox / "failed" / "clip__alice.json").exists()
    assert bench.run_once() == 0, "without a new drop it is not tried again, and that is nothing new"
    assert (bench.outbox / "failed" / "clip__alice.json").exists()

    content = target.read_bytes()
    target.unlink()
    target.write_bytes(content)

    assert bench.run_once() == 0
    assert bench.results() == ["clip__alice.mp4"]
    assert not any((bench.outbox / "failed").iterdir())


def test_a_failed_file_that_is_replaced_by_a_good_one_leaves_no_failure_behind(bench: Bench) -> None:
    bench.face()
    bench.target("clip.mp4", then="bad_source")
    assert bench.run_once() == 1

    bench.target("clip.mp4", then="done")

    assert bench.run_once() == 0
    assert bench.results() == ["clip__alice.mp4"]
    assert not any((bench.outbox / "failed").iterdir())
    assert bench.status().counts.failed == 0


def test_a_face_that_is_replaced_by_a_good_one_leaves_no_failure_behind(bench: Bench) -> None:
    bench.face(content=b"a wall")
    bench.target("clip.mp4", then="bad_source", unless=b"the face of alice".hex())
    assert bench.run_once() == 1
    bench.face()
    assert bench.run_once() == 0
    assert bench.results() == ["clip__alice.mp4"]
    assert not any((bench.outbox / "failed").iterdir())


def test_a_better_picture_of_the_face_sets_its_jobs_going_again(bench: Bench) -> None:
    bench.face()
    bench.target("alice__clip.mp4")
    assert bench.run_once() == 0

    bench.face(content=b"a better picture")

    assert bench.run_once() == 0
    assert bench.results() == ["clip__alice-2.mp4", "clip__alice.mp4"]
    assert any("was taken" in warning for warning in bench.report("clip__alice-2.json")["warnings"])


def test_neither_a_new_face_nor_a_missing_one_makes_finished_targets_run_again(bench: Bench) -> None:
    alice = bench.face("alice")
    bench.target("clip.mp4")
    assert bench.run_once() == 0
    bench.face("bob")
    assert bench.run_once() == 0
    alice.unlink()
    assert bench.run_once() == 0

    assert bench.results() == ["clip__alice.mp4"]
    assert bench.file("videos/clip.mp4").state == "done"


def test_m10_the_same_name_in_two_folders_and_new_content_under_an_old_name_are_independent(
    bench: Bench,
) -> None:
    bench.face("alice")
    bench.target("videos/alice/clip.mp4", version=1)
    bench.target("photos/alice/clip.mp4", version=2)
    assert bench.run_once() == 0
    assert bench.results() == ["clip__alice-2.mp4", "clip__alice.mp4"]

    bench.target("videos/alice/clip.mp4", version=3)
    assert bench.run_once() == 0
    assert len(bench.results()) == 3


def test_a_failed_file_that_is_replaced_loses_its_failure_also_where_the_face_is_not_clear(
    bench: Bench,
) -> None:
    bench.face()
    bench.target("clip.mp4", then="bad_source")
    with bench.start() as daemon:
        daemon.wait_for_state("videos/clip.mp4", "failed")
        daemon.wait_until((bench.outbox / "failed" / "clip__alice.json").exists)
        bench.face("ben")
        daemon.wait_for_state("faces/ben.jpg", "ready")

        bench.target("clip.mp4", then="done", note="a good one")

        assert daemon.wait_for_state("videos/clip.mp4", "waiting")
        daemon.wait_until(lambda: "which face, alice or ben?" in bench.file("videos/clip.mp4").reason)
        daemon.wait_until(lambda: bench.status().counts.failed == 0)
        assert bench.status().failures == ()
        assert not any((bench.outbox / "failed").iterdir())


def test_a_file_that_failed_is_not_asked_for_its_face_as_well_once_there_are_two(bench: Bench) -> None:
    bench.configure(max_retries=0)
    bench.face()
    bench.target("bad.mp4", then="engine_error")
    bench.target("worse.mp4", then="engine_error")
    assert bench.run_once() == 1
    bench.face("ben")
    bench.target("new.mp4")
    assert bench.run_once() == 1
    with bench.start() as daemon:
        daemon.wait_until(lambda: "which face" in bench.file("videos/new.mp4").reason)
        snapshots = [bench.status()]
        daemon.stop()
    snapshots.append(bench.status())
    for snapshot in snapshots:
        states = {file.path: file.state for file in snapshot.files if file.kind == "video"}
        assert states == {
            "videos/bad.mp4": "failed",
            "videos/worse.mp4": "failed",
            "videos/new.mp4": "waiting",
        }


def test_a_refused_file_is_told_once_and_known_at_the_next_start(bench: Bench) -> None:
    bench.face()
    (bench.inbox / "videos" / "empty.mp4").touch()
    assert bench.run_once() == 1

    (failure,) = bench.status().failures
    assert bench.file("videos/empty.mp4").jobs == (failure.id,)
    told = [line for line in status_lines(bench.status(), all_files=False) if "empty.mp4" in line]
    assert told == [f"  #{failure.id} videos/empty.mp4: empty.mp4 cannot be used (the file is empty)."]

    bench.configure(limits={"settle_seconds": 30})
    with bench.start() as daemon:
        daemon.wait_for_state("videos/empty.mp4", "failed")
        assert bench.file("videos/empty.mp4").jobs == (failure.id,)


@pytest.mark.parametrize("running", [True, False])
def test_a_failure_whose_file_was_taken_away_is_history(bench: Bench, running: bool) -> None:
    bench.face()
    bench.target("bad.mp4", then="bad_source")
    bench.target("worse.mp4", then="bad_source")
    assert bench.run_once() == 1
    (bench.inbox / "videos" / "bad.mp4").unlink()
    if running:
        with bench.start() as daemon:
            daemon.wait_until(lambda: bench.status().failures_gone == 1)
            snapshot = bench.status()
    else:
        snapshot = bench.status()
    assert [failure.target for failure in snapshot.failures] == ["videos/worse.mp4"]
    assert snapshot.failures_gone == 1
    assert snapshot.failed == 1, "as many as are listed"
    assert (bench.outbox / "failed" / "bad__alice.json").exists(), "its report stays"
    assert "Not counted: 1 failed job whose file is no longer in the inbox" in status_lines(
        snapshot, all_files=False
    )

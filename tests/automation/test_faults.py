"""Files that change, vanish or are refused, and an inbox that goes away, with the whole daemon."""

from __future__ import annotations

import time

from workbench import Bench

from facefusion.automation.snapshot import Snapshot


def test_f1_a_file_that_changes_while_it_is_processed_is_started_over(bench: Bench) -> None:
    bench.face()
    target = bench.target("clip.mp4", seconds=30, frames=600, version=1)
    with bench.start() as daemon:
        daemon.wait_for_state("videos/clip.mp4", "running")
        target.write_text('{"version": 2}')
        daemon.wait_for_result("clip__alice.json")
        assert bench.status().counts.failed == 0
    assert b'"version": 2' in (bench.outbox / "clip__alice.mp4").read_bytes()
    assert bench.results() == ["clip__alice.mp4"]


def test_f1_a_file_that_changed_unnoticed_while_it_was_processed_gives_no_result_of_the_old_content(
    bench: Bench,
) -> None:
    bench.configure(watch_interval=60)
    bench.face()
    target = bench.target("clip.mp4", seconds=1.0, version=1)
    replaced = []

    def replace(snapshot: Snapshot) -> None:
        if not replaced and any(job.frames_done for job in snapshot.running):
            replaced.append(target.write_text('{"version": 2}'))

    bench.run_until((bench.outbox / "clip__alice.json").exists, on_snapshot=replace, watch=False)

    assert replaced
    assert bench.results() == ["clip__alice.mp4"]
    assert b'"version": 2' in (bench.outbox / "clip__alice.mp4").read_bytes()


def test_f1_a_file_written_again_with_the_same_content_while_it_is_processed_is_done_once(
    bench: Bench,
) -> None:
    bench.face()
    target = bench.target("clip.mp4", seconds=2.0, frames=20)
    content = target.read_bytes()
    with bench.start() as daemon:
        daemon.wait_until(lambda: any(job.frames_done for job in bench.status().running))
        target.write_bytes(content)
        daemon.wait_for_result("clip__alice.json")
        assert daemon.wait_for_state("videos/clip.mp4", "done").jobs == ("1",)
    assert bench.results() == ["clip__alice.mp4"]


def test_f1_a_slow_copy_is_never_started_early(bench: Bench) -> None:
    bench.face()
    path = bench.inbox / "videos" / "clip.mp4"
    with bench.start() as daemon:
        daemon.wait_for_state("faces/alice.jpg", "ready")
        with path.open("w") as stream:
            for piece in ('{"version"', ": ", "1", "}"):
                stream.write(piece)
                stream.flush()
                time.sleep(0.6)  # three times the settling time
                states = {file.path: file.state for file in bench.status().files}
                assert states.get("videos/clip.mp4") in (None, "waiting", "preparing")
        daemon.wait_for_result("clip__alice.json")
        assert bench.status().counts.failed == 0


def test_f4_while_the_inbox_is_away_nothing_is_given_up(bench: Bench) -> None:
    bench.face()
    bench.target("first.mp4", seconds=2.0)
    bench.target("second.mp4")
    away = bench.root / "inbox is unmounted"
    with bench.start() as daemon:
        daemon.wait_until(lambda: any(job.frames_done for job in bench.status().running))
        bench.inbox.rename(away)
        bench.inbox.mkdir()  # the empty mount point
        daemon.wait_until(lambda: bench.status().state == "paused")
        daemon.wait_for_result("first__alice.json")
        daemon.wait_until(lambda: "mounted?" in (bench.status().paused or ""))
        snapshot = bench.status()
        assert snapshot.counts.queued == 1
        assert snapshot.counts.failed == 0
        assert {file.path: file.state for file in snapshot.files}["videos/second.mp4"] == "queued"
        bench.inbox.rmdir()
        away.rename(bench.inbox)
        daemon.wait_for_result("second__alice.json")
        bench.target("third.mp4")
        daemon.wait_for_result("third__alice.json")


def test_f3_files_whose_events_were_lost_are_found_by_the_scan(bench: Bench) -> None:
    bench.configure(accept_use_policy=0)
    bench.face()
    dropped = []

    def drop(snapshot: Snapshot) -> None:
        if snapshot.files and not dropped:
            for number in range(1000):
                dropped.append(bench.target(f"{number}.mp4"))

    bench.run_until(
        lambda: bool(dropped) and bench.status_of_daemon().counts.blocked == 1000,
        on_snapshot=drop,
        watch=False,  # no events at all
    )


def test_f6_a_target_that_is_refused_is_reported_and_mended_by_replacing_it(bench: Bench) -> None:
    bench.face()
    link = bench.inbox / "videos" / "clip.mp4"
    link.symlink_to("/etc/hostname")
    assert bench.run_once() == 1
    failure = bench.report("failed/clip.json")["failure"]
    assert failure["category"] == "input_error"
    assert "symbolic link" in failure["message"]
    assert bench.file("videos/clip.mp4").state == "failed", "like its job: one file, one job, one word"
    assert bench.status().failed == 1

    link.unlink()
    bench.target("clip.mp4")

    assert bench.run_once() == 0
    assert not any((bench.outbox / "failed").iterdir())


def test_f7_a_file_that_vanishes_while_it_waits_is_said_and_can_come_back(bench: Bench) -> None:
    bench.face()
    bench.target("first.mp4", seconds=2.0)
    second = bench.target("second.mp4")
    with bench.start() as daemon:
        daemon.wait_for_state("videos/second.mp4", "queued")
        content = second.read_bytes()
        second.unlink()
        assert "removed" in daemon.wait_for_state("videos/second.mp4", "vanished").reason
        daemon.wait_until((bench.outbox / "failed" / "second__alice.json").exists)
        assert bench.report("failed/second__alice.json")["failure"]["category"] == "vanished"
        second.write_bytes(content)
        daemon.wait_for_result("second__alice.json")
        daemon.wait_until(lambda: not any((bench.outbox / "failed").iterdir()))


def test_f7_a_file_that_vanishes_at_a_random_moment_leaves_the_daemon_well(bench: Bench) -> None:
    bench.face()
    with bench.start() as daemon:
        daemon.wait_until_watching()
        for number in range(12):
            path = bench.target(f"{number}.mp4", seconds=0.05)
            time.sleep(0.04 * number)
            path.unlink()
        bench.target("last.mp4")
        daemon.wait_for_result("last__alice.json")
        printed = daemon.stop()
    assert "Traceback" not in printed
    assert "Traceback" not in (bench.root / ".automation" / "log" / "daemon.log").read_text()

"""The daemon from drop to result: real files, real worker process, real database, scripted engine."""

from __future__ import annotations

import itertools
import json
import signal
import time
from datetime import datetime

import pytest
from workbench import Bench


def test_a_face_and_a_video_become_a_result_with_its_report(bench: Bench) -> None:
    bench.face()
    target = bench.target("clip.mp4")
    before = target.stat()

    assert bench.run_once() == 0

    assert bench.results() == ["clip__alice.mp4"]
    report = bench.report("clip__alice.json")
    assert report["outcome"] == "done"
    assert report["target"]["name"] == "clip.mp4"
    assert report["face"]["name"] == "alice"
    assert report["output"]["name"] == "clip__alice.mp4"
    assert report["swap"]["engine"] == "mesh"
    assert bench.file("videos/clip.mp4").state == "done"
    assert "clip__alice.mp4" in bench.file("videos/clip.mp4").reason
    assert bench.leftovers() == []
    assert (target.stat().st_mtime_ns, target.stat().st_ino) == (before.st_mtime_ns, before.st_ino)


def test_every_kind_of_drop_finds_its_place(bench: Bench) -> None:
    bench.face("alice")
    (bench.inbox / "bob.jpg").write_bytes(b"a face in the root of the inbox")
    bench.target("videos/alice/one.mp4")
    bench.target("photos/bob/two.jpg")
    bench.target("alice__three.mp4")
    (bench.inbox / "bob__four.mkv").write_text(json.dumps({"name": "four"}))
    bench.target("five.mp4")

    assert bench.run_once() == 1

    assert bench.results() == [
        "four__bob.mkv",
        "one__alice.mp4",
        "three__alice.mp4",
        "two__bob.jpg",
    ]
    waiting = bench.file("videos/five.mp4")
    assert waiting.state == "waiting"
    assert "which face, alice or bob?" in waiting.reason


def test_jobs_of_one_face_run_one_after_another_on_one_warm_worker(bench: Bench) -> None:
    names = []
    for face in ("alice", "bob"):
        bench.face(face)
        for number, folder in enumerate(("photos", "videos")):
            bench.target(f"{folder}/{face}/{number}.mp4")
            names.append(f"{number}__{face}.json")

    assert bench.run_once() == 0

    reports = sorted((bench.report(name) for name in names), key=lambda report: report["started_at"])
    assert [report["face"]["name"] for report in reports] == ["alice", "alice", "bob", "bob"]
    assert len({report["swap"]["media"]["pid"] for report in reports}) == 1
    assert [report["swap"]["media"]["prepared"] for report in reports] == [1, 1, 2, 2]


def test_grouping_by_face_can_be_switched_off(bench: Bench) -> None:
    bench.configure(group_videos_by_face=False)
    for face in ("alice", "bob"):
        bench.face(face)
        for number, folder in enumerate(("photos", "videos")):
            bench.target(f"{folder}/{face}/{number}.mp4")
    assert bench.run_once() == 0
    reports = [bench.report(f"{number}__{face}.json") for number in (0, 1) for face in ("alice", "bob")]
    started = [report["started_at"] for report in reports]
    assert started == sorted(started)


def test_d6_one_bad_file_among_ten_leaves_nine_results_and_one_clear_failure(bench: Bench) -> None:
    bench.face()
    for number in range(9):
        bench.target(f"good{number}.mp4")
    (bench.inbox / "videos" / "bad.mp4").write_text("not a video at all")

    assert bench.run_once() == 1

    assert len(bench.results()) == 9
    failures = sorted(path.name for path in (bench.outbox / "failed").iterdir())
    assert failures == ["bad__alice.json"]
    failure = bench.report("failed/bad__alice.json")["failure"]
    assert failure["category"] == "format_error"
    assert failure["remedy"]
    assert bench.report("failed/bad__alice.json")["attempts"] == 1, "trying again cannot help"


def test_no_face_is_an_outcome_of_its_own_and_no_fake_result(bench: Bench) -> None:
    bench.face()
    bench.target("nobody.mp4", then="no_face")

    assert bench.run_once() == 3

    assert bench.results() == []
    assert bench.report("nobody__alice.json")["outcome"] == "no_face"
    assert bench.file("videos/nobody.mp4").state == "no_face"
    assert not any((bench.outbox / "failed").iterdir())


@pytest.mark.parametrize(("outcome", "status"), [("no_face", 3), ("bad_source", 1)])
def test_the_exit_status_tells_about_this_run_and_not_about_earlier_ones(
    bench: Bench, outcome: str, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """A scheduled run is to tell what is new."""
    bench.face()
    bench.target("old.mp4", then=outcome)
    assert bench.run_once() == status
    assert bench.command("--once") == 0
    assert "nothing new" in capsys.readouterr().out
    bench.target("good.mp4")
    assert bench.run_once() == 0
    bench.target("new.mp4", then=outcome)
    assert bench.run_once() == status
    assert bench.command("retry", "1") == 0
    assert bench.run_once() == status, "it was tried again"


def test_an_empty_inbox_is_done(bench: Bench) -> None:
    assert bench.run_once() == 0


def test_pairing_all_makes_a_job_for_every_face_also_for_one_that_comes_later(bench: Bench) -> None:
    bench.configure(pairing="all")
    bench.face("alice")
    bench.target("clip.mp4")
    assert bench.run_once() == 0
    bench.face("bob")
    assert bench.run_once() == 0
    assert bench.results() == ["clip__alice.mp4", "clip__bob.mp4"]


def test_setting_pairing_to_all_says_what_it_means_for_targets_that_are_done(bench: Bench) -> None:
    bench.face("alice")
    bench.target("clip.mp4")
    with bench.start() as daemon:
        daemon.wait_for_result("clip__alice.json")
        bench.face("bob")
        bench.configure(pairing="all")
        daemon.wait_for_result("clip__bob.json")
    log = (bench.root / ".automation" / "log" / "daemon.log").read_text(encoding="utf-8")
    assert log.count("that are done with one face get a job with every other face, too") == 1


def test_pairing_newest_takes_the_face_dropped_last(bench: Bench) -> None:
    bench.configure(pairing="newest")
    bench.face("zoe")
    assert bench.run_once() == 0
    bench.face("alice")
    bench.target("clip.mp4")
    assert bench.run_once() == 0
    assert bench.results() == ["clip__alice.mp4"]


def test_a_face_may_be_a_folder_of_pictures(bench: Bench) -> None:
    folder = bench.inbox / "faces" / "alice"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.jpg").write_bytes(f"picture {number}".encode())
    bench.target("clip.mp4")

    assert bench.run_once() == 0

    assert bench.results() == ["clip__alice.mp4"]
    assert len(bench.report("clip__alice.json")["face"]["files"]) == 3


def test_a_bug_in_the_engine_is_one_failed_job_with_the_traceback_for_whoever_repairs_it(
    bench: Bench,
) -> None:
    bench.face()
    bench.target("clip.mp4", then="bug")
    bench.target("other.mp4")

    assert bench.run_once() == 1

    failure = bench.report("failed/clip__alice.json")["failure"]
    assert failure["category"] == "internal_error"
    assert "ZeroDivisionError" in failure["message"]
    assert "scripted_session.py" in failure["detail"]
    assert bench.results() == ["other__alice.mp4"]


@pytest.mark.parametrize("fault", ["no_output", "empty_output"])
def test_a_result_that_is_not_there_is_never_called_done(bench: Bench, fault: str) -> None:
    bench.face()
    bench.target("clip.mp4", then=fault)

    assert bench.run_once() == 1

    report = bench.report("failed/clip__alice.json")
    assert report["failure"]["category"] == "verification_error"
    assert report["attempts"] == 3


def test_what_libraries_print_does_not_disturb_the_worker_s_messages(bench: Bench) -> None:
    bench.face()
    bench.target("clip.mp4", then="noise")
    assert bench.run_once() == 0
    printed = (bench.root / ".automation" / "log" / "worker.log").read_text()
    assert "a library prints" in printed
    assert "a native one" in printed


def test_edited_settings_take_effect_with_the_next_job_and_broken_ones_keep_the_last_good(
    bench: Bench,
) -> None:
    bench.face()
    with bench.start() as daemon:
        bench.target("first.mp4")
        daemon.wait_for_result("first__alice.json")
        bench.configure(quality_preset="best")
        daemon.wait_until(lambda: bench.status().quality_preset == "best")
        bench.target("second.mp4")
        daemon.wait_for_result("second__alice.json")
        (bench.root / "automation_config.json").write_text('{"quality_preset": "superb"}')
        daemon.wait_until(lambda: bench.status().config_problem is not None)
        bench.target("third.mp4")
        daemon.wait_for_result("third__alice.json")
        problem = bench.status().config_problem
        bench.configure(quality_preset="fast")
        daemon.wait_until(lambda: bench.status().quality_preset == "fast")
        assert bench.status().config_problem is None

    assert problem is not None
    assert "quality_preset" in problem
    assert "superb" in problem
    presets = [bench.report(f"{n}__alice.json")["quality_preset"] for n in ("first", "second", "third")]
    assert presets == ["balanced", "best", "best"]


def test_jobs_wait_for_the_use_policy_and_go_on_by_themselves(bench: Bench) -> None:
    from facefusion.trust import policy

    bench.configure(accept_use_policy=0)
    bench.face()
    bench.target("clip.mp4")
    assert bench.run_once() == 1
    assert bench.file("videos/clip.mp4").state == "blocked"
    assert "--accept-use-policy" in bench.file("videos/clip.mp4").reason
    with bench.start() as daemon:
        daemon.wait_until_watching()
        policy.accept(bench.root / ".automation", policy.CURRENT_VERSION, "test")
        daemon.wait_for_result("clip__alice.json")


def test_the_state_folder_is_private(bench: Bench) -> None:
    bench.face()
    bench.target("clip.mp4")
    assert bench.run_once() == 0
    state = bench.root / ".automation"
    assert state.stat().st_mode & 0o777 == 0o700
    assert (state / "log").stat().st_mode & 0o777 == 0o700
    assert (state / "queue.sqlite3").stat().st_mode & 0o077 == 0
    assert (state / "log" / "daemon.log").stat().st_mode & 0o077 == 0


def test_a_settled_file_starts_at_once_and_the_next_job_follows_without_a_pause(bench: Bench) -> None:
    """A generous bound: what is checked is that no polling interval lies in between."""
    bench.configure(watch_interval=60)
    bench.face()
    with bench.start() as daemon:
        daemon.wait_until_watching()
        bench.target("warm.mp4")
        daemon.wait_for_result("warm__alice.json")
        dropped = time.time()
        for number in range(3):
            bench.target(f"{number}.mp4")
        daemon.wait_until(lambda: len(bench.results()) == 4)
        daemon.stop(signal.SIGTERM)
    jobs = sorted(
        (bench.report(f"{number}__alice.json") for number in range(3)), key=lambda job: job["started_at"]
    )

    def seconds(text: str) -> float:
        return datetime.fromisoformat(text).timestamp()

    assert seconds(jobs[0]["started_at"]) - dropped < 2.0
    gaps = [
        seconds(later["started_at"]) - seconds(earlier["finished_at"])
        for earlier, later in itertools.pairwise(jobs)
    ]
    assert max(gaps) < 1.0

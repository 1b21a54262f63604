"""What a daemon says by itself, in its log and at a terminal that nobody asks anything."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest
from workbench import Bench

from facefusion.automation.snapshot import InboxFile, Snapshot
from facefusion.automation.statustext import status_lines
from facefusion.automation.telling import FILES_IN_FULL, REST_SECONDS, Telling

IDLE = Snapshot(0.0, "watching", "/swaps", "/swaps/inbox", "/swaps/outbox")


def logged(bench: Bench) -> list[str]:
    log = bench.root / ".automation" / "log" / "daemon.log"
    return [line.partition(": ")[2] for line in log.read_text().splitlines()]


def told_once(bench: Bench, sentence: str) -> bool:
    return len([line for line in logged(bench) if sentence in line]) == 1


def test_the_use_policy_that_nobody_has_accepted_is_told(bench: Bench) -> None:
    bench.configure(accept_use_policy=0)
    bench.face()
    bench.target("clip.mp4")
    with bench.start() as daemon:
        daemon.wait_until(lambda: bench.status().counts.blocked == 1)
        daemon.stop()
    assert told_once(bench, "The use policy (version 1) has not been accepted for this folder.")
    assert told_once(bench, "--accept-use-policy 1")


def test_files_that_only_a_person_can_help_are_told_once(bench: Bench) -> None:
    bench.face("anna")
    bench.face("ben")
    bench.target("which.mp4")
    bench.target("videos/carol/talk.mp4")
    (bench.inbox / "notes.txt").write_text("neither")
    with bench.start() as daemon:
        daemon.wait_until(lambda: sum(file.stuck for file in bench.status().files) >= 3)
        bench.target("anna__more.mp4")  # the list changes; what was told is not told again
        daemon.wait_for_result("more__anna.mp4")
        daemon.stop()
    assert told_once(bench, "Waiting videos/which.mp4: which face, ")
    assert told_once(
        bench, "Waiting videos/carol/talk.mp4: waiting for the face carol: add inbox/faces/carol.jpg"
    )
    assert told_once(bench, "Ignored notes.txt: neither a picture nor a video")
    assert not [line for line in logged(bench) if "more.mp4: waiting" in line], "that came by itself"


def test_a_picture_without_a_face_is_told(bench: Bench) -> None:
    bench.face("blank", content=b"a wall")
    bench.run_once(look_factory="scripted_session:scripted_look")
    assert told_once(bench, "Refused faces/blank.jpg: ")


def test_a_flood_of_files_is_a_few_lines_and_a_count(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    telling = Telling(lambda: now[0])
    files: tuple[InboxFile, ...] = ()
    with caplog.at_level(logging.INFO, "facefusion"):
        for first in range(0, 10_000, 100):  # as they settle
            new = (
                InboxFile(f"videos/{n}.mp4", "video", "waiting", "?", stuck=True)
                for n in range(first, first + 100)
            )
            files = (*files, *new)
            telling.tell(replace(IDLE, files=files))
        assert len(caplog.messages) == FILES_IN_FULL + 1
        assert caplog.messages[-1] == "80 more files wait for you, too: see `status`."
        now[0] += REST_SECONDS
        telling.tell(replace(IDLE, files=files))
        telling.tell(replace(IDLE, files=files))
    assert caplog.messages[FILES_IN_FULL + 1 :] == ["9,900 more files wait for you, too: see `status`."]


def test_what_is_dropped_again_points_to_its_result(bench: Bench) -> None:
    bench.face()
    first = bench.target("holiday.mp4")
    assert bench.run_once() == 0
    (bench.inbox / "videos" / "copy.mp4").write_bytes(first.read_bytes())
    assert bench.run_once() == 0
    assert bench.run_once() == 0
    assert told_once(
        bench,
        "holiday__alice.mp4 is there already: videos/copy.mp4 is the same as videos/holiday.mp4 "
        "(`retry 1` makes it anew).",
    )
    shown = list(status_lines(bench.status(), all_files=False))
    row = "videos/copy.mp4: same content as videos/holiday.mp4: result: holiday__alice.mp4"
    assert [line for line in shown if row in line]


def test_many_that_are_dropped_again_are_a_few_rows() -> None:
    again = tuple(
        InboxFile(f"videos/{n}.mp4", "video", "done", "same content as videos/a.mp4: result: a__anna.mp4")
        for n in range(3000)
    )
    shown = list(status_lines(replace(IDLE, files=again), all_files=False))
    assert len([line for line in shown if "same content" in line]) == 5
    assert "  2,995 more files with the content of others (`status --all` lists them)" in shown

"""What `status` says: everything once, in as few words as possible, at any width."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from rich.cells import cell_len

from facefusion.automation.catalogue import why_not_ready
from facefusion.automation.kinds import judge
from facefusion.automation.offline import NOT_YET_SEEN
from facefusion.automation.processor import SimpleAutoProcessor
from facefusion.automation.sightings import Sighting, Signature
from facefusion.automation.snapshot import (
    FailureView,
    InboxFile,
    JobView,
    QueueCounts,
    ResultView,
    Snapshot,
)
from facefusion.automation.statustext import status_lines

ROOT = "/home/anna/swaps"
DONE = ResultView(
    "1",
    "videos/sea.mp4",
    "anna",
    "done",
    f"{ROOT}/outbox/sea__anna.mp4",
    None,
    0.0,
    2.0,
    50,
    50,
    "mesh",
    "LiteRT (CPU)",
    warnings=("The picture is small.",),
    left_out=("face_enhancer",),
)
FAILED = FailureView(
    "2", "videos/old.mp4", "anna", "failed", "format_error", "It is text.", "Drop a video.", 1, 0.0
)
IDLE = Snapshot(
    0.0, "watching", ROOT, f"{ROOT}/inbox", f"{ROOT}/outbox", daemon_pid=7, quality_preset="balanced"
)


def told(snapshot: Snapshot, *, width: int | None = None, all_files: bool = False) -> list[str]:
    return list(status_lines(snapshot, all_files=all_files, width=width))


def test_an_empty_inbox_is_four_lines() -> None:
    assert told(IDLE) == [
        f"{ROOT}: watching the inbox, nothing to do (process 7)",
        "profile balanced",
        "Jobs: none yet",
        "Inbox: empty",
    ]


def test_what_the_latest_result_did_without_is_told_only_where_the_profile_asks_for_it() -> None:
    snapshot = replace(IDLE, results=(DONE,))
    assert "profile balanced without face_enhancer" in told(snapshot)
    assert "profile fast" in told(replace(snapshot, quality_preset="fast"))


def test_wrong_settings_without_a_daemon_name_no_profile(tmp_path: Path) -> None:
    (tmp_path / "automation_config.json").write_text('{"quality_preset": "nice"}')
    snapshot = SimpleAutoProcessor(tmp_path).status()
    assert snapshot.quality_preset == ""
    assert "quality_preset" in (snapshot.config_problem or "")


def test_a_file_whose_job_is_listed_is_not_listed_again() -> None:
    snapshot = replace(
        IDLE,
        counts=QueueCounts(done=1, failed=1),
        results=(DONE,),
        failures=(FAILED,),
        files=(
            InboxFile("videos/sea.mp4", "video", "done", "result: sea__anna.mp4", jobs=("1",)),
            InboxFile("videos/old.mp4", "video", "failed", "failed with face anna: It is text.", jobs=("2",)),
            InboxFile("videos/link.mp4", "video", "refused", "symbolic link: copy the file itself"),
            InboxFile("faces/anna.png", "face", "ready", "a face that can be used"),
        ),
    )
    assert told(snapshot)[2:] == [
        "Jobs: 1 failed, 1 done",
        "Failed (`retry` tries all again, `retry NUMBER` one):",
        "  #2 videos/old.mp4 with anna: It is text.",
        "      -> Drop a video.",
        f"Latest results in {ROOT}/outbox:",
        "  #1 sea__anna.mp4: 50 frames in 2.0 s",
        "      Remark: The picture is small.",
        "Inbox: 1 face picture, 1 refused, 1 failed, 1 done",
        "  videos/link.mp4: refused: symbolic link: copy the file itself",
    ]
    everything = "\n".join(told(snapshot, all_files=True))
    assert all(file.path + ":" in everything for file in snapshot.files)


def test_what_the_profile_does_without_is_said_once() -> None:
    lines = told(replace(IDLE, engine="mesh", provider="LiteRT (CPU)", results=(DONE, DONE)))
    assert [line for line in lines if "face_enhancer" in line] == [
        "mesh engine on LiteRT (CPU), profile balanced without face_enhancer"
    ]


def test_files_that_wait_for_the_same_stand_below_one_sentence() -> None:
    files = tuple(
        InboxFile(f"videos/{n:02}.mp4", "video", "waiting", "waiting for a face") for n in range(30)
    )
    lines = told(replace(IDLE, files=files))
    assert "  30 files: waiting for a face" in lines
    assert [line.strip() for line in lines[-30:]] == [file.path for file in files]
    assert "  videos/00.mp4: waiting for a face" in told(replace(IDLE, files=files[:1]))


def test_a_reason_above_several_files_speaks_of_each() -> None:
    ask = (
        "which face, anna or ben? Move it into a folder with the name of the face, or begin its name with a__"
    )
    files = tuple(InboxFile(f"videos/{n}.mp4", "video", "waiting", ask) for n in range(4))
    above = [line for line in told(replace(IDLE, files=files)) if "which face" in line]
    assert above == [
        "  4 files: which face, anna or ben? Move each into a folder with the name of the face, "
        "or begin each name with a__"
    ]


def test_new_files_have_one_colon() -> None:
    files = tuple(InboxFile(f"videos/{n}.mp4", "video", "waiting", NOT_YET_SEEN) for n in range(4))
    assert "  4 files: new, looked at when the program runs" in told(replace(IDLE, files=files))


def test_of_several_remarks_the_first_is_told() -> None:
    result = replace(DONE, warnings=("A " + "very " * 60 + "long one.", "Another.", "A third."))
    (row,) = [line for line in told(replace(IDLE, results=(result,))) if "Remark" in line]
    assert row.startswith("      Remark: A very very") and row.endswith(
        "very ... (and 2 more remarks in its report)"
    )
    assert len(row) < 220


def test_work_that_waits_for_a_daemon_says_how_to_start_it() -> None:
    job = JobView("3", "videos/a.mp4", "anna", "video", "queued")
    stopped = replace(
        IDLE, state="stopped", daemon_pid=None, waiting=(job,), counts=QueueCounts(queued=1), seconds_left=65
    )
    lines = told(stopped)
    assert f"  ! Jobs are waiting: start it with `python3 simple_auto_processor.py --root {ROOT}`." in lines
    assert "Jobs: 1 waiting; about 1 min 05 s left" in lines
    assert "Jobs: 1 waiting" in told(replace(stopped, seconds_left=0.04)), "and not about 0.0 s"


@pytest.mark.parametrize("width", [40, 80, 120])
def test_nothing_is_wider_than_the_terminal(width: int) -> None:
    name = "videos/休日の動画" + "a-very-long-name-" * 9 + ".mp4"
    job = JobView(
        "3", name, "anna", "video", "running", 2, 3, 0, "swapping", 1, 1, 48.0, 3.0, 2.0, note="stopping"
    )
    snapshot = replace(
        IDLE,
        running=(job,),
        results=(replace(DONE, output=f"{ROOT}/outbox/{name}"),),
        failures=(replace(FAILED, target=name),),
        files=(InboxFile(name, "video", "waiting", "waiting for the face " + "ben" * 30),),
    )
    lines = told(snapshot, width=width)
    assert max(map(cell_len, lines)) <= width
    assert "1 of 1 frame, 48 frames/s, 2.0 s left," in " ".join(line.strip() for line in lines)


def test_files_that_only_wait_their_turn_are_counted() -> None:
    files = tuple(
        InboxFile(f"videos/{n}.mp4", "video", "queued", "in the queue, face anna", jobs=(str(n),))
        for n in range(30)
    )
    waiting = tuple(JobView(str(n), f"videos/{n}.mp4", "anna", "video", "queued") for n in range(30))
    snapshot = replace(IDLE, files=files, waiting=waiting, counts=QueueCounts(queued=30))
    lines = told(snapshot)
    assert len(lines) < 14
    assert "  and 25 more" in lines
    assert "Inbox: 30 in the queue" in lines


def test_files_of_a_foreign_kind_are_named_in_one_line(tmp_path: Path) -> None:
    videos = tmp_path / "inbox" / "videos"
    videos.mkdir(parents=True)
    for name in ("a.txt", "b.txt", "c.doc", "d.pdf", ".hidden", "anna.consent.toml"):
        (videos / name).write_text("words")
    lines = told(SimpleAutoProcessor(tmp_path).status())
    assert [line for line in lines if "ignored, " in line] == [
        "  ignored, neither a picture nor a video: videos/a.txt, videos/b.txt, videos/c.doc"
        " and 1 more (`status --all` lists them)"
    ]


def test_what_waits_for_a_picture_that_is_new_says_so_in_one_phrase() -> None:
    entry = judge(Sighting("faces/einstein.jpg", 0o100644, 1, Signature(1, 1, 1, 1)))
    assert why_not_ready(entry.reason) == "its picture is not complete yet"
    assert why_not_ready(NOT_YET_SEEN) == "its picture is new: looked at when the program runs"

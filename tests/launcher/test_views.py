"""What a person, or a log, sees of a working daemon."""

import io
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console
from snapshots import BASE, BUSY, NOON, RESULT, ROOT

from facefusion.automation.snapshot import InboxFile, JobView, RepeatView, ResultView, Snapshot
from facefusion.launcher.dashboard import Dashboard, bar
from facefusion.launcher.lines import LineView
from facefusion.launcher.text import near
from facefusion.wording import count, cut, duration, listed, size, wrap


def drawn(snapshot: Snapshot | None, *, width: int = 110, height: int = 50) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=True, color_system=None)
    dashboard = Dashboard(["Drop faces into inbox/faces.", "Stop with q."], full_screen=True)
    dashboard.snapshot = snapshot
    with console.capture() as captured:
        console.print(dashboard)
    return captured.get().splitlines()


def test_the_picture_shows_progress_queue_reasons_results_and_remedies() -> None:
    picture = "\n".join(drawn(BUSY))
    for told in (
        "working",
        "  mesh engine  ·  profile balanced",
        "about 1 min 35 s left",
        "#1 videos/party.mp4  with alice",
        "attempt 2 of 3",
        "50%",
        "150 of 300 frames",
        "48 frames/s",
        "3.2 s left",
        "Next: 3 jobs, face by face",
        "which face, alice or bob?",
        "a symbolic link is not followed",
        "the face carol is gone",
        f"Latest results in {ROOT}/outbox",
        " #6 done__alice.mp4",
        "Remark: the subtitles were left out",
        "#7 videos/sea.mp4",
        "  no face in it, so no result",
        "broken.mp4 ends in the middle.",
        "Copy it again.",
        "Drop faces into inbox/faces.",
    ):
        assert told in picture, told
    assert "x.part" not in picture


def test_what_was_dropped_again_stands_in_one_row_among_the_results() -> None:
    told = [RepeatView(f"c.mp4 is there already: videos/{n}.mp4 is the same", NOON + n) for n in range(9)]
    after = replace(BUSY.results[0], id="60", output=f"{ROOT}/outbox/late__alice.mp4", finished_at=NOON + 99)
    rows = drawn(replace(BUSY, results=(after, *BUSY.results), repeats=tuple(told[::-1])))
    start = next(index for index, row in enumerate(rows) if row.startswith("Latest results"))
    marks = [row.split()[1:3] for row in rows[start + 1 :] if row.split()[1:2] in (["="], ["✓"])]
    assert marks == [
        ["✓", "#60"],
        ["=", "c.mp4"],
        ["=", "c.mp4"],
        ["=", "c.mp4"],
        ["✓", "#6"],
    ]


def test_nothing_is_said_twice() -> None:
    """What is held back stands in two lists of a snapshot; so does what is refused and reported."""
    wanted = "The use policy has not been accepted."
    held = JobView("9", "videos/e.mp4", "alice", "video", "blocked", note=wanted)
    failure = replace(BUSY.failures[0], id="9", target=held.target, outcome="blocked", message=wanted)
    empty = replace(BUSY.failures[0], id="10", message="empty.mp4 cannot be used (the file is empty).")
    snapshot = replace(
        BUSY,
        notices=(wanted,),
        waiting=(held, replace(held, id="11", target="videos/f.mp4")),
        failures=(failure, empty),
        files=(InboxFile("videos/empty.mp4", "video", "refused", "the file is empty", jobs=("10",)),),
    )
    picture = "\n".join(drawn(snapshot))
    assert picture.count(wanted) == 1
    assert "#9 videos/e.mp4 and #11 videos/f.mp4" in picture
    assert picture.count("the file is empty") == 1
    lines: list[str] = []
    LineView(lines.append, clock=lambda: NOON).show(snapshot)
    assert sum("the file is empty" in line for line in lines) == 1
    assert sum(" held back videos/e.mp4: " in line for line in lines) == 1


@pytest.mark.parametrize(("height", "rows"), [(24, 3), (16, 1)])
def test_a_long_hint_is_whole_where_there_are_rows_for_it(height: int, rows: int) -> None:
    hint = f"Drop files into {ROOT}/inbox (faces, videos, photos); results come out in {ROOT}/outbox."
    console = Console(file=io.StringIO(), width=40, height=height, force_terminal=True, color_system=None)
    dashboard = Dashboard([hint], full_screen=True)
    dashboard.snapshot = BUSY
    with console.capture() as captured:
        console.print(dashboard)
    foot = captured.get().splitlines()[-rows:]
    assert foot[0].startswith("Drop files into")
    assert (" ".join(foot) == hint) is (rows > 1)


def test_on_a_small_screen_what_helps_comes_before_empty_rows() -> None:
    few = replace(BUSY, waiting=BUSY.waiting[:3], files=BUSY.files[:1])
    assert any("Copy it again." in row for row in drawn(few, width=80, height=24))


def test_signs_of_life_while_a_job_is_prepared_are_no_frames() -> None:
    job = replace(BUSY.running[0], stage="preparing", frames_done=7, frames_total=None, seconds_left=None)
    picture = "\n".join(drawn(replace(BUSY, running=(job,), results=())))
    assert "preparing the face" in picture
    assert "7 frames" not in picture


def test_the_queue_is_grouped_by_face() -> None:
    rows = drawn(BUSY)
    start = next(index for index, row in enumerate(rows) if row.startswith("Next"))
    assert rows[start + 1].split() == ["alice", "#2", "videos/a.mp4,", "#3", "videos/b.mp4"]
    assert rows[start + 2].split() == ["bob", "#4", "videos/c.mp4"]


@pytest.mark.parametrize(("width", "height"), [(110, 50), (80, 24), (60, 16), (40, 10), (200, 60)])
def test_the_picture_fits_the_screen_and_keeps_its_hints(width: int, height: int) -> None:
    many = replace(
        BUSY,
        results=BUSY.results * 10,
        failures=BUSY.failures * 10,
        files=tuple(InboxFile(f"videos/{n}.mp4", "video", "waiting", "why " * 40) for n in range(500)),
        running=BUSY.running * 3,
        notices=("a notice " * 30,),
    )
    rows = drawn(many, width=width, height=height)
    assert len(rows) < height
    assert max(cell_len(row) for row in rows) <= width
    assert rows[-1].startswith("Stop with q.")


def test_a_wide_script_keeps_the_columns() -> None:
    entry = InboxFile("videos/休日の動画.mp4", "video", "waiting", "why")
    rows = drawn(replace(BUSY, files=(entry, *BUSY.files)))
    reasons = [row for row in rows if row.endswith(("why", "alice or bob?"))]
    assert (
        len({cell_len(row[: row.index(word)]) for row, word in zip(reasons, ("why", "which"), strict=True)})
        == 1
    )


def test_names_cannot_command_the_terminal_or_the_markup() -> None:
    evil = "\x1b[2J\r[red]x[/red]\u202e"
    job = replace(BUSY.running[0], target=evil, face=evil)
    failure = replace(BUSY.failures[0], message=evil, remedy=evil, target=evil)
    picture = "\n".join(drawn(replace(BUSY, running=(job,), failures=(failure,), paused=evil)))
    assert "\x1b" not in picture
    assert "\r" not in picture
    assert "\u202e" not in picture
    assert "[red]x[/red]" in picture


def test_faces_that_can_be_used_are_named_once() -> None:
    files = (
        InboxFile("faces/anna.png", "face", "ready", "ready"),
        InboxFile("faces/bob/1.jpg", "face", "ready", "ready"),
        InboxFile("faces/bob/2.jpg", "face", "ready", "ready"),
        InboxFile("faces/new.jpg", "face", "waiting", "still changing"),
    )
    assert any("·  faces: anna and bob  ·" in row for row in drawn(replace(BUSY, files=files)))


def test_a_narrow_headline_tells_failures_first_and_nothing_by_half() -> None:
    counts = replace(BUSY.counts, done=8, no_face=1, failed=4, blocked=2)
    busy = replace(BUSY, counts=counts, seconds_left=3700.0)
    assert drawn(busy, width=80)[0].split("working")[1].strip() == (
        "4 failed · 2 held back · 1 h 01 min left · 8 results"
    )
    assert drawn(busy, width=120)[0].endswith("about 1 h 01 min left  ·  8 results  ·  1 without a face")


LIT = "The face in anna.png is lit from one side."


def test_what_is_said_of_a_source_face_is_said_once_and_not_where_there_is_no_result() -> None:
    def done(number: int, **more: Any) -> ResultView:
        output = f"{ROOT}/outbox/{number}.mp4"
        whole = {
            "face": "anna",
            "output": output,
            "warnings": (LIT, f"About {number}."),
            "about_face": (LIT,),
        }
        return replace(RESULT, id=str(number), finished_at=NOON + number, **{**whole, **more})

    nobody = done(5, outcome="no_face", output=None)
    results = (nobody, done(4), done(3), done(2, face="anna2"))
    rows = drawn(replace(BASE, results=results))
    start = next(index for index, row in enumerate(rows) if row.startswith("Latest results"))
    told = [row.split()[2] if row.startswith("  2") else row.strip() for row in rows[start + 1 : start + 8]]
    assert told == [
        "#5",
        "#4",
        f"Remark: {LIT} (and 1 more remark in its report)",
        "#3",
        "Remark: About 3.",
        "#2",
        f"Remark: {LIT} (and 1 more remark in its report)",
    ]
    lines: list[str] = []
    view = LineView(lines.append, clock=lambda: NOON)
    for latest in (results[2:3], results[1:3]):
        view.show(replace(BASE, results=latest))
    assert [line.split("; ")[1:] for line in lines if " done " in line] == [[LIT, "About 3."], ["About 4."]]


def test_results_come_before_remarks_where_rows_are_few() -> None:
    many = tuple(replace(BUSY.results[0], id=str(n), finished_at=NOON - n) for n in range(9))
    busy = replace(BUSY, waiting=BUSY.waiting[:3], files=(), results=many)
    rows = drawn(busy, width=80, height=24)
    assert sum("✓" in row for row in rows) >= 3
    assert not any("Remark" in row for row in rows)
    assert any("Copy it again." in row for row in rows)


def test_a_file_that_nothing_can_be_made_of_is_named() -> None:
    told = "neither a picture nor a video (.txt)"
    notes = InboxFile("notes.txt", "other", "ignored", told, stuck=True)
    rows = drawn(replace(BASE, files=(notes, InboxFile("x.part", "other", "ignored", "unfinished"))))
    assert "  notes.txt  neither a picture nor a video" in rows
    assert not any("x.part" in row for row in rows)
    lines: list[str] = []
    LineView(lines.append, clock=lambda: NOON).show(replace(BASE, files=(notes,)))
    assert lines[-1].endswith(f"ignored notes.txt: {told}")


def test_an_empty_inbox_says_what_to_do() -> None:
    rows = drawn(Snapshot(NOON, "watching", ROOT, f"{ROOT}/inbox", f"{ROOT}/outbox"))
    assert "Nothing to do yet" in rows


def test_before_the_first_snapshot_it_says_that_it_starts() -> None:
    assert drawn(None) == ["Starting ..."]


@pytest.mark.parametrize(("share", "filled"), [(0.0, 0), (0.5, 20), (1.0, 40), (0.99, 40), (None, 0)])
def test_a_bar_is_as_long_as_its_share(share: float | None, filled: int) -> None:
    text = bar(share, 40)
    assert cell_len(text.plain) == 40
    track = sum(span.end - span.start for span in text.spans if span.style == "grey30")
    assert 40 - track == filled


class TestLines:
    """The view without a terminal."""

    def setup_method(self) -> None:
        self.now = NOON
        self.lines: list[str] = []
        self.view = LineView(self.lines.append, clock=lambda: self.now)

    def told(self, snapshot: Snapshot) -> list[str]:
        self.lines.clear()
        self.view.show(snapshot)
        return [line.split(" ", 1)[1] for line in self.lines]

    def test_each_event_is_one_line(self) -> None:
        assert self.told(BUSY) == [
            "processing",
            "waiting videos/talk.mp4: which face, alice or bob?",
            "refused photos/link.jpg: a symbolic link is not followed",
            "started videos/party.mp4 with alice (attempt 2 of 3)",
            f"done {ROOT}/outbox/done__alice.mp4 (300 frames, 6.0 s, mesh engine);"
            " the subtitles were left out",
            "no face videos/sea.mp4: no face was found in it, so there is no result",
            "failed videos/broken.mp4: broken.mp4 ends in the middle. Copy it again.",
        ]
        assert re.match(r"\d\d:\d\d:\d\d ", self.lines[0])

    def test_what_was_told_is_not_told_again(self) -> None:
        self.told(BUSY)
        assert self.told(replace(BUSY, files=(*BUSY.files,), written_at=NOON + 1)) == []

    def test_what_was_done_comes_before_the_end(self) -> None:
        self.told(BASE)
        told = self.told(replace(BUSY, state="stopping", files=(), running=()))
        assert told[-1] == "stopping" and len(told) == 4

    def test_progress_is_told_now_and_then(self) -> None:
        self.told(BUSY)
        self.now += 5
        assert self.told(BUSY) == []
        self.now += 6
        assert self.told(BUSY) == ["progress videos/party.mp4: 150 of 300 frames, 48 frames/s, 3.2 s left"]

    def test_a_second_failure_of_the_same_job_is_news(self) -> None:
        self.told(BUSY)
        again = replace(BUSY.failures[0], finished_at=NOON + 9)
        assert len(self.told(replace(BUSY, failures=(again,)))) == 1

    def test_what_ended_before_the_start_is_history(self) -> None:
        self.now = NOON + 100
        self.view = LineView(self.lines.append, clock=lambda: self.now)
        assert not [line for line in self.told(BUSY) if line.startswith(("done", "failed", "no face"))]

    def test_a_pause_and_a_settings_problem_are_told_with_their_reason(self) -> None:
        self.told(BUSY)
        told = self.told(replace(BUSY, state="paused", paused="the disk is full", config_problem="line 3"))
        assert told == ["paused: the disk is full", "settings: line 3"]

    def test_a_flood_of_files_stays_a_few_lines(self) -> None:
        flood = tuple(InboxFile(f"videos/{n}.mp4", "video", "waiting", "no face") for n in range(5000))
        told = self.told(replace(BUSY, files=flood))
        assert len([line for line in told if line.startswith("waiting")]) == 21
        assert "waiting: 4,980 more files (see `status`)" in told

    def test_what_is_cancelled_is_told_when_that_happens_and_not_at_a_start(self) -> None:
        waiting = InboxFile("videos/a.mp4", "video", "queued", "in the queue, face alice")
        over = replace(waiting, state="cancelled", reason="cancelled by request")
        self.told(replace(BASE, files=(waiting,)))
        assert self.told(replace(BASE, files=(over,))) == ["videos/a.mp4: cancelled by request"]
        assert self.told(replace(BASE, files=(replace(over),))) == []
        self.setup_method()
        assert self.told(replace(BASE, files=(over,))) == ["processing"]

    def test_what_is_known_already_is_told_once(self) -> None:
        told = "c__alice.mp4 is there already: videos/b.mp4 is the same as videos/c.mp4"
        again = replace(BASE, repeats=(RepeatView(told, NOON + 1),))
        self.told(BASE)
        assert self.told(again) == [told]
        assert self.told(replace(again, written_at=NOON + 2)) == []
        later = replace(again, repeats=(RepeatView(told, NOON + 9), *again.repeats))
        assert self.told(later) == [told]

    def test_no_line_holds_control_characters(self) -> None:
        job = JobView("9", "a\nb\x1b[2J.mp4", "f\r", "video", "running")
        for line in self.told(replace(BUSY, running=(job,))):
            assert line.isprintable()


def test_small_texts() -> None:
    assert [duration(s) for s in (0.42, 12.4, 65, 3600, 7500)] == [
        "0.4 s",
        "12 s",
        "1 min 05 s",
        "1 h 00 min",
        "2 h 05 min",
    ]
    assert [size(n) for n in (740_000_000, 15_500_000_000, 512_000_000_000)] == [
        "740 MB",
        "15.5 GB",
        "512 GB",
    ]
    assert cut("a-rather-long-name-of-a-clip.mp4", 20) == "a-rather-long…ip.mp4"
    assert cell_len(cut("休日の動画休日の動画休日の動画.mp4", 20)) <= 20
    assert [count(1, "job"), count(0, "job"), count(1200, "entry", "entries")] == [
        "1 job",
        "0 jobs",
        "1,200 entries",
    ]
    assert [listed("a"), listed("ab"), listed("abcd"), listed("abcde")] == [
        "a",
        "a and b",
        "a, b, c and d",
        "a, b, c and 2 more",
    ]
    assert wrap("one two three", 8) == ["one two", "three"]
    assert wrap("休日の動画", 6) == ["休日の", "動画"]
    assert near("/home/anna/swaps/outbox/x.mp4", Path(ROOT)) == str(Path("outbox/x.mp4"))
    assert near("/elsewhere/x.mp4", Path(ROOT)) == str(Path("/elsewhere/x.mp4"))


def test_a_path_is_whole_where_the_current_folder_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone() -> Path:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "cwd", gone)
    assert near(tmp_path / "x.mp4") == str(tmp_path / "x.mp4")


def test_what_is_refused_does_not_stand_below_what_waits() -> None:
    rows = drawn(BUSY)
    title = next(index for index, row in enumerate(rows) if row.startswith("Refused"))
    assert "photos/link.jpg" in rows[title + 1]

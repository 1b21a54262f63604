"""Snapshots of an imagined daemon."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from facefusion.automation.snapshot import (
    FailureView,
    InboxFile,
    JobView,
    QueueCounts,
    ResultView,
    Snapshot,
)

ROOT = "/home/anna/swaps"
NOON = 1_700_000_000.0

BASE = Snapshot(
    written_at=NOON,
    state="processing",
    root=ROOT,
    inbox=f"{ROOT}/inbox",
    outbox=f"{ROOT}/outbox",
    daemon_pid=1,
    engine="mesh",
    quality_preset="balanced",
)
RUNNING = JobView("1", "videos/party.mp4", "alice", "video", "running", stage="swapping")
RESULT = ResultView(
    "6", "videos/done.mp4", "alice", "done", None, None, NOON, 6.0, engine="mesh", provider="LiteRT (CPU)"
)
FAILURE = FailureView(
    "8",
    "videos/broken.mp4",
    "alice",
    "failed",
    "format_error",
    "broken.mp4 ends in the middle.",
    "Copy it again.",
    attempts=1,
    finished_at=NOON,
)

BUSY = replace(
    BASE,
    files=(
        InboxFile("videos/talk.mp4", "video", "waiting", "which face, alice or bob?"),
        InboxFile("photos/link.jpg", "photo", "refused", "a symbolic link is not followed"),
        InboxFile("videos/x.part", "other", "ignored", "unfinished download"),
    ),
    counts=QueueCounts(queued=3, running=1, done=7, failed=1),
    running=(
        replace(
            RUNNING,
            attempt=2,
            attempts_allowed=3,
            frames_done=150,
            frames_total=300,
            frames_per_second=48.4,
            seconds=3.1,
            seconds_left=3.2,
        ),
    ),
    waiting=(
        JobView("2", "videos/a.mp4", "alice", "video", "queued"),
        JobView("3", "videos/b.mp4", "alice", "video", "queued"),
        JobView("4", "videos/c.mp4", "bob", "video", "queued"),
        JobView("5", "videos/d.mp4", "carol", "video", "blocked", note="the face carol is gone"),
    ),
    seconds_left=95.0,
    results=(
        replace(
            RESULT,
            output=f"{ROOT}/outbox/done__alice.mp4",
            frames=300,
            frames_swapped=290,
            warnings=("the subtitles were left out",),
        ),
        replace(RESULT, id="7", target="videos/sea.mp4", outcome="no_face", seconds=2.0, frames=100),
    ),
    failures=(FAILURE,),
)


SMALL = "The face in anna.png is small."


def shown(number: str, output: str, **more: Any) -> ResultView:
    return replace(RESULT, id=number, output=f"{ROOT}/outbox/{output}", left_out=("face_enhancer",), **more)


README_PICTURE = replace(
    BASE,
    files=(
        InboxFile("faces/anna.png", "face", "ready", "a face that can be used"),
        InboxFile(
            "videos/ben/holiday.mp4",
            "video",
            "waiting",
            "waiting for the face ben: add inbox/faces/ben.jpg, or move the file out of this folder",
        ),
    ),
    counts=QueueCounts(queued=1, running=1, done=2, failed=1),
    running=(
        replace(
            RUNNING,
            id="4",
            target="videos/birthday.mp4",
            face="anna",
            frames_done=101,
            frames_total=250,
            frames_per_second=29.0,
            seconds=3.5,
            seconds_left=5.1,
        ),
    ),
    waiting=(JobView("5", "videos/garden.mp4", "anna", "video", "queued"),),
    seconds_left=8.9,
    results=(
        shown("3", "interview__anna.mp4", seconds=1.8, frames=60, warnings=(SMALL,)),
        shown("1", "friends__anna.jpg", seconds=0.6, frames=1),
    ),
    failures=(
        replace(
            FAILURE,
            id="2",
            target="videos/old-tape.mp4",
            message="old-tape.mp4 is not a video or a picture but text.",
            remedy="Drop a video or a picture; renaming a file does not change what it is.",
        ),
    ),
)
"""The moment that README.md shows."""

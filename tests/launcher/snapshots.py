"""Snapshots of an imagined daemon."""

from __future__ import annotations

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

BUSY = Snapshot(
    written_at=NOON,
    state="processing",
    root=ROOT,
    inbox=f"{ROOT}/inbox",
    outbox=f"{ROOT}/outbox",
    daemon_pid=1,
    files=(
        InboxFile("videos/talk.mp4", "video", "waiting", "2 faces are there: rename the file"),
        InboxFile("photos/link.jpg", "photo", "refused", "a symbolic link is not followed"),
        InboxFile("videos/x.part", "other", "ignored", "unfinished download"),
    ),
    counts=QueueCounts(queued=3, running=1, done=7, failed=1),
    running=(
        JobView(
            "1",
            "videos/party.mp4",
            "alice",
            "video",
            "running",
            attempt=2,
            attempts_allowed=3,
            stage="swapping",
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
        ResultView(
            "6",
            "videos/done.mp4",
            "alice",
            "done",
            f"{ROOT}/outbox/done__alice.mp4",
            None,
            NOON,
            6.0,
            300,
            290,
            "mesh",
            "cpu",
            ("the subtitles were left out",),
        ),
        ResultView("7", "videos/sea.mp4", "alice", "no_face", None, None, NOON, 2.0, 100),
    ),
    failures=(
        FailureView(
            "8",
            "videos/broken.mp4",
            "alice",
            "failed",
            "format_error",
            "broken.mp4 ends in the middle.",
            "Copy it again.",
            1,
            NOON,
        ),
    ),
    engine="mesh",
    quality_preset="balanced",
)

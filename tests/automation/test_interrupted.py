"""What is told of jobs that were interrupted: that they go on, and where."""

from __future__ import annotations

from pathlib import Path

import pytest
from workbench import Bench

from facefusion.automation.database import Database
from facefusion.automation.parting import farewell
from facefusion.media.segments import Keeping, Segments


def keep(bench: Bench, job_id: str, parts: tuple[int, ...], seconds: float) -> None:
    """Parts of so many pictures, as an attempt at the job would have left them."""
    database = Database(bench.root / ".automation" / "queue.sqlite3")
    work = bench.outbox / f".facefusion-work-{database.fact('installation')}"
    database.close()
    work.mkdir(exist_ok=True)
    segments = Segments(Keeping(work / f"kept-{job_id}"), "a fingerprint", max(parts))
    segments.open(b"an encoder")
    for pictures in parts:
        for number in range(pictures):
            segments.picture(number)
        segments.finish({"seconds": seconds})
    segments.close()


def test_what_is_kept_is_counted_without_reading_every_part(tmp_path: Path) -> None:
    assert Keeping(tmp_path / "nothing").finished == (0, 0.0)
    segments = Segments(Keeping(tmp_path), "", 8)
    segments.open(b"")
    for number, pictures in enumerate((8, 8, 5), start=1):
        for stamp in range(pictures):
            segments.picture(stamp)
        segments.finish({"seconds": number * 1.5})
    segments.close()
    assert Keeping(tmp_path).finished == (21, 4.5)
    (tmp_path / "000002.part").write_bytes(b"")
    assert Keeping(tmp_path).finished == (0, 0.0)


def test_after_a_kill_status_says_what_goes_on_and_where(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.face()
    bench.target("long.mp4", seconds=60.0, frames=6000)
    with bench.start() as daemon:
        daemon.wait_until(lambda: any(job.frames_done for job in bench.status().running))
        keep(bench, "1", (1000, 500), 4.0)
        daemon.kill()
    assert bench.command("status", "--all") == 0
    printed = capsys.readouterr().out.splitlines()
    assert "Jobs: 1 interrupted" in printed
    place = printed.index("Interrupted; the next start goes on with it:")
    assert printed[place + 1] == "  #1 videos/long.mp4 with alice (goes on at frame 1,500)"
    assert "Inbox: 1 face picture, 1 interrupted" in printed
    assert "  videos/long.mp4: interrupted; the next start goes on with it" in printed
    assert "in work" not in "\n".join(printed)


def test_what_is_stopped_says_where_it_goes_on_and_needs_less_time(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.face()
    bench.target("done.mp4", seconds=1.0, frames=100)
    assert bench.run_once() == 0
    bench.target("long.mp4", seconds=60.0, frames=6000)
    with bench.start() as daemon:
        daemon.wait_until(lambda: any(job.frames_done for job in bench.status().running))
        daemon.stop()
    whole = bench.status()
    assert farewell(whole) == "Stopped. 1 result, 1 still to be done."
    keep(bench, "2", (1500,), 0.5)
    there = bench.status()
    assert farewell(there) == "Stopped. 1 result, 1 still to be done: long.mp4 goes on at frame 1,500."
    assert whole.seconds_left is not None and there.seconds_left is not None
    assert whole.seconds_left - there.seconds_left == pytest.approx(0.35)
    capsys.readouterr()
    assert bench.command("status") == 0
    assert "  #2 videos/long.mp4 with alice (goes on at frame 1,500)" in capsys.readouterr().out

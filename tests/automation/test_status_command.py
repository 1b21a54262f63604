"""`status`, with and without a daemon, as text and as JSON."""

from __future__ import annotations

import json
import os

import pytest
from workbench import Bench

from facefusion.automation.snapshot import snapshot_from_dict


def test_status_tells_the_state_of_every_file_without_a_daemon(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench.command("status") == 0
    assert "no daemon is running" in capsys.readouterr().out
    bench.target("clip.mp4")
    (bench.inbox / "videos" / "x.part").touch()
    before = sorted(path.name for path in bench.root.rglob("*"))
    assert bench.command("status", "--all") == 0
    printed = capsys.readouterr().out
    assert "clip.mp4: new: looked at when the program runs" in printed
    assert "temporary name" in printed
    assert sorted(path.name for path in bench.root.rglob("*")) == before, "looking changes nothing"


def test_status_as_json_can_be_read_back_whatever_the_names(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.face(os.fsdecode(b"\xffrank"))
    bench.target(os.fsdecode(b"clip\xfe\n.mp4"))
    bench.target("bad.mp4", then="bad_source")
    assert bench.run_once() == 1
    assert bench.command("status", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    snapshot = snapshot_from_dict(document)
    assert snapshot == snapshot_from_dict(snapshot.as_dict())
    assert {file.path: file.state for file in snapshot.files} == {
        "faces/\\xffrank.jpg": "ready",
        "videos/clip\\xfe\\n.mp4": "done",
        "videos/bad.mp4": "failed",
    }
    assert snapshot.results[0].engine == snapshot.engine == "mesh"
    assert snapshot.failures[0].category == "face_detection"


def test_status_of_a_running_daemon_shows_progress(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.face()
    bench.target("clip.mp4", seconds=4.0, frames=100)
    bench.target("next.mp4")
    with bench.start() as daemon:
        daemon.wait_until(lambda: any(job.frames_per_second for job in bench.status().running))
        assert bench.command("status") == 0
        printed = capsys.readouterr().out
        (job,) = bench.status().running
    assert f"process {daemon.process.pid}" in printed
    assert "frames/s" in printed
    assert "Next:" in printed
    assert job.frames_total == 100
    assert job.seconds_left is not None
    assert 0 < job.frames_done <= 100


def test_the_next_jobs_are_told_in_the_order_in_which_they_run(bench: Bench) -> None:
    bench.configure(pairing="all")
    bench.face("anna")
    bench.face("ben")
    bench.target("0 long.mp4", seconds=60.0, frames=6000)
    for number in range(1, 4):
        bench.target(f"{number}.mp4")
    with bench.start() as daemon:
        daemon.wait_until(lambda: any(job.frames_done for job in bench.status().running))
        daemon.wait_until(lambda: bench.status().counts.queued == 7)
        faces = [job.face for job in bench.status().waiting]
        assert faces == ["anna"] * 3 + ["ben"] * 4 or faces == ["ben"] * 3 + ["anna"] * 4
        bench.configure(group_videos_by_face=False)
        bench.command("first", bench.status().waiting[-1].id)  # the list is made anew
        daemon.wait_until(lambda: bench.status().waiting[0].priority == 1)
        daemon.wait_until(lambda: bench.status().waiting[1].face != bench.status().waiting[2].face)


def test_status_works_while_the_settings_are_broken(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.target("clip.mp4")
    (bench.root / "automation_config.json").write_text("{")
    assert bench.command("status") == 0
    printed = capsys.readouterr().out
    assert "automation_config.json, line 1" in printed
    assert "clip.mp4" in printed

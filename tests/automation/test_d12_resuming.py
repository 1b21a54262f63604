"""D12 through real daemons and workers, killed late in a video: it goes on at its last finished part."""

from __future__ import annotations

import shutil
import signal
from collections import Counter
from pathlib import Path
from typing import Any, get_args, get_type_hints

import av
import numpy as np
import pytest
from resuming_session import EVERY
from workbench import Bench

from facefusion.automation.commands import main
from facefusion.automation.database import Database
from facefusion.automation.finishing import keep_name
from facefusion.automation.job import JobState
from facefusion.automation.jobs import JobQueue
from facefusion.automation.statustext import STAGES
from facefusion.checkup.benchmark_media import make_clip
from facefusion.jobspec import SwapProgress
from facefusion.media.segments import Keeping
from facefusion.models.samples import Samples
from facefusion.trust.identity import known_authorities
from facefusion.trust.verify import Verdict, examine

FRAMES = 40
SESSION = ("--session", "resuming_session:ResumingSession")
REPORT = "clip__astronaut.json"


@pytest.fixture(scope="module")
def clip(samples: Samples, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    make_clip(samples.group, path, width=320, height=180, frames=FRAMES)
    return path


def prepared(root: Path, samples: Samples, clip: Path) -> Bench:
    made = Bench(root, quality_preset="fast", engine="mesh")
    shutil.copy(samples.astronaut, made.inbox / "faces" / "astronaut.png")
    shutil.copy(clip, made.inbox / "videos" / "clip.mp4")
    return made


@pytest.fixture
def bench(tmp_path: Path, samples: Samples, clip: Path) -> Bench:
    return prepared(tmp_path, samples, clip)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, samples: Samples, clip: Path) -> Bench:
    """The same job, never interrupted."""
    made = prepared(tmp_path_factory.mktemp("undisturbed"), samples, clip)
    run_once(made)
    return made


def blow(bench: Bench, frame: int, whom: str) -> None:
    """Hold out a blow at this frame, or at the end (-1): see `resuming_session`."""
    (bench.root / "blow.json").write_text(f'{{"frame": {frame}, "whom": "{whom}"}}')


def kill(bench: Bench, frame: int) -> None:
    """Kill the whole program there."""
    blow(bench, frame, "program")
    run_once(bench, -signal.SIGKILL)


def kept(bench: Bench) -> list[Path]:
    return sorted(bench.outbox.glob(".facefusion-work-*/kept-*/*"))


def painted(bench: Bench) -> list[int]:
    return [int(line) for line in (bench.root / "painted.txt").read_text().split()]


def painted_twice(bench: Bench) -> list[int]:
    return [number for number, times in Counter(painted(bench)).items() if times > 1]


def decoded(path: Path) -> tuple[list[Any], list[Any], list[bytes]]:
    """Pictures, their times, packets of sound."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    with av.open(str(path)) as container:
        sound = [bytes(packet) for packet in container.demux(audio=0) if packet.size]
    return [frame.to_ndarray(format="bgr24") for frame in frames], [frame.time for frame in frames], sound


def run_once(bench: Bench, expected: int = 0) -> None:
    with bench.start("--once", *SESSION) as daemon:
        status, printed = daemon.ended(240)
    assert status == expected, f"{printed}\n{bench.status()}"


def check(bench: Bench, undisturbed: Bench, resumed_at: int | None) -> dict[str, Any]:
    """The result is that of the undisturbed job, to the last bit of its pictures; its report.

    How often the gate looks depends on its scores, and these a little on the mark in the pictures, which is
    another for each result. So both jobs name their first result alike (`resuming_session`).
    """
    assert bench.results() == ["clip__astronaut.mp4"]
    assert bench.leftovers() == [], "what was kept is gone with the job"
    report, other = bench.report(REPORT), undisturbed.report(REPORT)
    assert report["outcome"] == "done"
    for key in ("frames", "frames_swapped", "tracks", "media", "models", "engine", "provider"):
        assert report["swap"][key] == other["swap"][key], key
    assert report["swap"]["frames"] == FRAMES
    assert report["gate"] == other["gate"], (
        "it has seen what it would have seen in one go, and thought the same"
    )
    assert report["gate"]["verdict"] == "passed"
    # Four looks in the first second and one after it, if none of them is suspicious.
    assert report["gate"]["output"]["frames"] >= 5
    assert report["provenance"]["result_id"] == other["provenance"]["result_id"], "it keeps its first name"
    said = [warning for warning in report["warnings"] if "interrupted and went on at frame" in warning]
    if resumed_at is None:
        assert report["swap"]["resumed"] is None
        assert said == []
    else:
        assert report["swap"]["resumed"]["frame"] == resumed_at
        assert report["seconds"] > report["swap"]["resumed"]["seconds_before"] > 0
        assert len(said) == 1
        assert f"at frame {resumed_at};" in said[0]
    result = bench.outbox / "clip__astronaut.mp4"
    (frames, times, sound), (before, before_times, before_sound) = (
        decoded(result),
        decoded(undisturbed.outbox / "clip__astronaut.mp4"),
    )
    assert (len(frames), times, sound) == (FRAMES, before_times, before_sound)
    for one, two in zip(frames, before, strict=True):
        np.testing.assert_array_equal(one, two)
    found = examine(result, known_authorities(bench.root / ".automation"))
    assert found.verdict is Verdict.INTACT
    assert found.mark is not None
    assert f"{found.mark.payload:08x}" == report["provenance"]["result_id"][:8]
    assert found.mark.further == (), "one mark from the first frame to the last"
    return report


@pytest.mark.slow
def test_d12_a_worker_killed_at_nine_tenths_goes_on_there(bench: Bench, undisturbed: Bench) -> None:
    blow(bench, 37, "worker")
    run_once(bench)
    report = check(bench, undisturbed, 4 * EVERY)
    assert report["attempts"] == 2
    assert set(painted(bench)) == set(range(FRAMES))
    assert min(painted_twice(bench)) >= 32


@pytest.mark.slow
def test_d12_stopped_and_killed_while_the_file_is_closed_nothing_finished_is_painted_again(
    bench: Bench, undisturbed: Bench
) -> None:
    blow(bench, 20, "nobody")
    with bench.start(*SESSION) as daemon:
        daemon.wait_until((bench.root / "reached").exists, 60)
        daemon.stop()
    assert [path.name for path in kept(bench) if path.suffix] == ["000000.part", "000001.part"]
    folder = kept(bench)[0].parent
    assert [path.stat().st_mode & 0o777 for path in (folder, folder.parent)] == [0o700, 0o700]
    assert all(path.stat().st_mode & 0o77 == 0 for path in kept(bench))
    begun = Keeping(folder).earlier_facts()["result_id"]

    kill(bench, -1)
    assert len([path for path in kept(bench) if path.suffix]) == 5
    before = painted(bench)

    run_once(bench)
    report = check(bench, undisturbed, FRAMES)
    assert report["attempts"] == 2, "the signal counts for nothing, the kill for one"
    assert report["provenance"]["result_id"] == begun
    assert set(painted(bench)) == set(range(FRAMES))
    assert painted(bench) == before, "there was nothing left to paint"
    assert min(painted_twice(bench)) >= 16


@pytest.mark.slow
def test_a_damaged_part_and_what_follows_is_made_anew_and_that_is_in_the_log(
    bench: Bench, undisturbed: Bench
) -> None:
    kill(bench, 37)
    assert [path.name for path in kept(bench)] == [*(f"00000{n}.part" for n in range(4)), "unfinished"]
    second = kept(bench)[1]
    content = bytearray(second.read_bytes())
    content[len(content) // 2] ^= 0xFF
    second.write_bytes(content)
    run_once(bench)
    check(bench, undisturbed, EVERY)
    log = bench.root / ".automation" / "log" / "worker.log"
    assert "What was kept of 8 pictures on does not fit" in log.read_text()
    assert (painted(bench).count(5), painted(bench).count(12)) == (1, 2)


# -- which folders stay, with a session that does not need models --------------------------------------------


@pytest.fixture
def open_job(tmp_path: Path) -> tuple[Bench, Path]:
    """A job that waits to go on, one that is done, and folders that both and others might have left."""
    bench = Bench(tmp_path, max_retries=0)
    bench.face()
    bench.target("done.mp4")
    bench.target("long.mp4", then="crash_once", marker=str(tmp_path / "crashed"), seconds=3)
    assert bench.run_once() == 1
    database = Database(bench.root / ".automation" / "queue.sqlite3")
    queue = JobQueue(database)
    (failed,) = queue.in_state(JobState.FAILED)
    (done,) = queue.in_state(JobState.DONE)
    queue.retry([failed.id])
    work = bench.outbox / f".facefusion-work-{database.fact('installation')}"
    database.close()
    for name in (keep_name(failed), keep_name(done), "kept-99", "7-1"):
        (work / name).mkdir(parents=True)
        (work / name / "000000.part").write_bytes(b"a part")
    return bench, work / keep_name(failed)


def test_a_start_keeps_what_belongs_to_a_job_that_goes_on_and_nothing_else(
    open_job: tuple[Bench, Path],
) -> None:
    bench, folder = open_job

    def look() -> bool:
        names = {path.name for path in folder.parent.iterdir()} if folder.parent.exists() else set()
        return folder.name in names and not names & {"kept-99", "7-1"}

    bench.run_until(look)
    assert folder.exists(), "stopped before it was done"
    assert not any(path.name in ("kept-99", "7-1") for path in folder.parent.iterdir())


@pytest.mark.parametrize("how", ["purge", "cancel", "done"])
def test_nothing_is_kept_of_what_is_purged_cancelled_or_done(open_job: tuple[Bench, Path], how: str) -> None:
    bench, folder = open_job
    if how == "purge":
        assert main(["--root", str(bench.root), "purge", "--yes"]) == 0
        assert not folder.exists()
        return
    if how == "cancel":
        assert main(["--root", str(bench.root), "cancel", folder.name.removeprefix("kept-")]) == 0
    bench.run_once()
    assert not folder.exists()
    assert bench.leftovers() == []


def test_status_has_words_for_every_stage() -> None:
    assert set(get_args(get_type_hints(SwapProgress)["stage"])) <= set(STAGES)
    assert STAGES["resuming"] == "looking again at the part that is done"

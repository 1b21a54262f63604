"""The benchmark measures the right things and reports them as ratios. (No timing decides a test.)"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from facefusion import pipeline
from facefusion.automation.commands import main
from facefusion.checkup.benchmark import WORK_PREFIX, PerformanceBenchmark, look_at
from facefusion.checkup.benchmark_media import lengthen, make_clip, transcode
from facefusion.checkup.benchmark_report import BatchTiming, BenchmarkReport, JobOverTranscode
from facefusion.config import AutomationConfig
from facefusion.errors import ContentBlockedError, FaceFusionError, MediaFormatError
from facefusion.media.probe import probe
from facefusion.pipeline import SwapProgress, SwapRequest, SwapResult
from facefusion.system import measure
from facefusion.system.measure import PeakMemory, Run, Series, alternate, measure_run, table

ENDLESS = """
import os, sys, time
from pathlib import Path
import facefusion.models
from facefusion.automation.commands import main
from facefusion.checkup import benchmark

def endless(bench, clip, repeats):
    os.write(2, b"INFO: a library speaks")
    bench._say("measuring")
    for _ in range(600):
        time.sleep(0.1)  # a signal that comes just before a long one would be seen at its end only

class Samples:
    group = astronaut = Path(sys.argv[1], "face.png")

Samples.group.write_bytes(b"face")
facefusion.models.ensure_samples = lambda folder: Samples
benchmark.make_clip = lambda picture, clip, **size: None
benchmark.Outlook.expect = lambda outlook, clip, jobs: None
benchmark.PerformanceBenchmark.job_over_transcode = endless
raise SystemExit(main(["--root", sys.argv[1], "benchmark", "--no-batches"]))
"""


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clip")
    picture = folder / "picture.png"
    cv2.imwrite(str(picture), np.random.default_rng(0).integers(0, 255, (90, 120, 3), np.uint8))
    make_clip(picture, folder / "clip.mp4", width=160, height=96, frames=40)
    return folder / "clip.mp4"


def test_a_made_clip_is_an_ordinary_video_with_sound(clip: Path) -> None:
    info = probe(clip)
    assert (info.width, info.height, info.frames, info.codec) == (160, 96, 40, "h264")
    assert [stream.codec for stream in info.streams] == ["aac"]


def test_a_picture_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(b"no picture")
    with pytest.raises(MediaFormatError, match=r"x\.png"):
        make_clip(tmp_path / "x.png", tmp_path / "clip.mp4")


def test_the_plain_transcode_keeps_every_frame_and_the_sound(clip: Path, tmp_path: Path) -> None:
    options = {"preset": "ultrafast", "crf": "30"}
    result = tmp_path / "result.mp4"
    assert transcode(clip, result, encoder="libx264", pix_fmt="yuv420p", gop=25, options=options) == 40
    info = probe(result)
    assert info.frames == 40
    assert info.duration == pytest.approx(probe(clip).duration, abs=0.05)
    assert [stream.codec for stream in info.streams] == ["aac"]


def test_a_clip_can_be_lengthened_without_encoding(clip: Path, tmp_path: Path) -> None:
    lengthen(clip, tmp_path / "long.mp4", 5)
    info = probe(tmp_path / "long.mp4")
    assert info.frames == 200
    assert info.duration == pytest.approx(8.0, abs=0.1)


def test_works_are_measured_in_turn_in_both_orders_and_the_warm_up_does_not_count() -> None:
    order: list[str] = []
    works: dict[str, Callable[[], object]] = {
        "a": lambda: order.append("a"),
        "b": lambda: order.append("b"),
    }
    series = alternate(works, repeats=2, warmups=1)
    assert order == ["a", "b", "b", "a", "a", "b"]
    assert {name: len(found.runs) for name, found in series.items()} == {"a": 2, "b": 2}


def test_a_run_knows_its_memory_and_processor_time() -> None:
    def work() -> None:
        block = np.ones(64 << 20, np.uint8)
        time.sleep(0.1)
        assert block.any()

    idle = measure_run(lambda: time.sleep(0.05))
    run = measure_run(work)
    # The peak is the process\'s own high-water mark; what ran before may have set it already.
    assert run.peak_rss >= idle.peak_rss > 32 << 20
    assert idle.cpu < idle.wall


def test_memory_of_a_process_that_ends_is_no_error() -> None:
    with PeakMemory(interval=0.001) as memory:
        time.sleep(0.02)
    assert memory.peak > 0
    assert len(memory.samples) > 2


def test_medians_and_ratios_are_computed_from_the_runs() -> None:
    job = Series("job", (Run(2.0, 4.0, 100), Run(9.0, 9.0, 300), Run(2.2, 4.4, 200)))
    floor = Series("transcode", (Run(1.0, 2.0, 10), Run(1.1, 2.2, 10), Run(5.0, 5.0, 10)))
    found = JobOverTranscode("clip", 22, "libx264", job, floor)
    assert found.ratio == pytest.approx(2.0)
    assert found.cpu_ratio == pytest.approx(2.0)
    assert found.frames_per_second == pytest.approx(10.0)
    assert job.peak_rss == 300
    assert floor.spread == pytest.approx(5.0)
    batch = BatchTiming(20, 10.0, 25.0, 9.5, 0.1)
    text = BenchmarkReport("machine", "settings", (found,), (batch,)).text()
    assert "2.00" in text and "2.50" in text and "1.05" in text


def test_a_table_can_be_pasted_into_a_document() -> None:
    lines = table(("a", "long header"), [("1", "2"), ("three", "4")]).splitlines()
    assert lines[0] == "| a     | long header |"
    assert lines[1] == "|-------|-------------|"
    assert len({len(line) for line in lines}) == 1


def test_the_machine_is_described_in_one_line() -> None:
    assert "cores" in measure.machine_line()
    assert "\n" not in measure.machine_line()


class CopyingSession:
    """Stands in for the engine: copies the target."""

    made = 0
    open_sessions = 0

    def __init__(self, outcome: str = "done") -> None:
        CopyingSession.made += 1
        CopyingSession.open_sessions += 1
        self.outcome = outcome

    def swap(
        self,
        request: SwapRequest,
        on_progress: pipeline.ProgressCallback,
        should_stop: pipeline.StopRequested,
    ) -> SwapResult:
        assert not should_stop()
        assert request.label is not None and request.marker is not None
        on_progress(SwapProgress("preparing", 0, 40, 0.0, None))
        on_progress(SwapProgress("swapping", 1, 40, 10.0, 1.0))
        if self.outcome == "done":
            shutil.copyfile(request.target, request.output)
        return SwapResult(
            outcome=self.outcome,  # type: ignore[arg-type]
            engine="mesh",
            models={},
            provider="cpu",
            frames=40,
            frames_swapped=40,
            tracks=(),
            timings={},
            media={},
        )

    def close(self) -> None:
        CopyingSession.open_sessions -= 1


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PerformanceBenchmark:
    monkeypatch.setattr(pipeline, "planned_suffix", lambda target, config: target.suffix)
    monkeypatch.setattr(CopyingSession, "made", 0)
    face = tmp_path / "face.png"
    face.write_bytes(b"face")
    work = tmp_path / "work"
    work.mkdir()
    return PerformanceBenchmark(CopyingSession, [face], AutomationConfig(quality_preset="fast"), work)


def test_a_whole_job_is_compared_with_a_transcode_by_the_same_encoder(
    bench: PerformanceBenchmark, clip: Path, tmp_path: Path
) -> None:
    found = bench.job_over_transcode(clip, repeats=2)
    assert found.clip == "160x96, 40 frames"
    assert found.encoder == "libx264 ultrafast crf 23"
    assert len(found.job.runs) == len(found.transcode.runs) == 2
    assert CopyingSession.made == 1, "the session stays warm"
    assert CopyingSession.open_sessions == 0
    assert list((tmp_path / "work").iterdir()) == []


def test_a_batch_shares_one_session_and_single_runs_do_not(
    bench: PerformanceBenchmark, clip: Path, tmp_path: Path
) -> None:
    one, three = bench.batches([clip], sizes=(1, 3))
    assert (one.size, three.size) == (1, 3)
    assert one.second_start is None and three.second_start is not None
    assert CopyingSession.made == (1 + 1) + (1 + 3)
    assert CopyingSession.open_sessions == 0
    assert list((tmp_path / "work").iterdir()) == []


def test_a_clip_without_a_face_is_not_measured(
    bench: PerformanceBenchmark, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "_make_session", lambda: CopyingSession("no_face"))
    with pytest.raises(FaceFusionError, match="No face was found"):
        bench.batches([clip], sizes=(1,))
    assert CopyingSession.open_sessions == 0


def test_what_a_person_gives_to_be_measured_passes_the_gate_first(clip: Path, tmp_path: Path) -> None:
    config = AutomationConfig()
    look_at(tmp_path, config, None, None)
    for given, face in ((clip, None), (None, clip)):
        with pytest.raises(ContentBlockedError):  # there is no model to judge it
            look_at(tmp_path, config, given, face)


def test_before_the_use_policy_is_accepted_only_the_samples_are_measured(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "automation_config.json").write_text('{"quality_preset": "fast"}')
    assert main(["--root", str(tmp_path), "benchmark", "--clip", str(clip)]) != 0
    assert "use policy" in capsys.readouterr().err


def test_what_was_measured_before_an_interruption_is_summed_up(
    bench: PerformanceBenchmark, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(bench, "_say", told.append)
    swap, calls = CopyingSession.swap, []

    def swap_thrice(*given: Any) -> SwapResult:
        calls.append(given)
        if len(calls) > 3:
            raise KeyboardInterrupt
        return swap(*given)

    monkeypatch.setattr(CopyingSession, "swap", swap_thrice)
    bench.outlook.expect(clip, 6)
    with pytest.raises(KeyboardInterrupt):
        bench.job_over_transcode(clip, repeats=5)
    (found,) = bench.jobs
    assert len(found.job.runs) == 2, "after one that does not count"
    assert told[0].startswith("clip.mp4, 160x96 (1.6 s): 5 jobs and 5 plain transcodes")
    assert re.search(r"job 1 of 5: .* s, \d+ frames/s; about .* left", "\n".join(told))
    assert "Interrupted; what was measured until then" in BenchmarkReport("", "", (found,), (), True).text()


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGTERM to be caught")
def test_a_benchmark_that_is_ended_leaves_nothing_behind(tmp_path: Path) -> None:
    """Nor does one that was killed, once another has run."""
    work = tmp_path / "tmp"
    work.mkdir()
    old = work / f"{WORK_PREFIX}{2**30}-old"
    old.mkdir()
    words = [sys.executable, "-c", ENDLESS, str(tmp_path)]
    ended = subprocess.Popen(
        words,
        env={**os.environ, "TMPDIR": str(work)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert ended.stdout is not None and ended.stderr is not None
    try:
        said = [ended.stderr.readline() for _ in range(3)]
        assert said == [
            "Making video 1 of 2 of the sample picture: 1280x720, 250 frames\n",
            "Making video 2 of 2 of the sample picture: 1920x1080, 250 frames\n",
            "measuring\n",
        ], "no library says a word"
        assert not old.exists()
        assert len(list(work.glob(f"{WORK_PREFIX}*"))) == 1
        ended.terminate()
        assert ended.wait(20) == 130
        assert ended.stdout.read() == "Interrupted; nothing was measured.\n"
    finally:
        ended.kill()
        ended.stdout.close()
        ended.stderr.close()
    assert list(work.glob(f"{WORK_PREFIX}*")) == []

"""The whole way with the real engine and real codecs: what a person gets."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from workbench import REPOSITORY, Bench

from facefusion.automation.snapshot import read_snapshot
from facefusion.automation.speeds import measured_speeds
from facefusion.checkup.benchmark_media import make_clip
from facefusion.models.samples import Samples
from facefusion.trust.claim import LABEL
from facefusion.trust.credentials import State
from facefusion.trust.identity import known_authorities
from facefusion.trust.verify import Verdict, examine

FRAMES = 20


@pytest.fixture(scope="module")
def clips(samples: Samples, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A camera moving over faces, twice; and over a wall."""
    folder = tmp_path_factory.mktemp("clips")
    made = []
    for seed in range(2):
        made.append(folder / f"clip{seed}.mp4")
        make_clip(samples.group, made[-1], width=640, height=360, frames=FRAMES, seed=seed)
    wall = folder / "wall.png"
    cv2.imwrite(
        str(wall), np.tile(np.linspace(60, 190, 800, dtype=np.uint8), (600, 1))[..., None].repeat(3, 2)
    )
    made.append(folder / "wall.mp4")
    make_clip(wall, made[-1], width=640, height=360, frames=FRAMES)
    return made


def once(bench: Bench) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "simple_auto_processor.py", "--root", str(bench.root), "--once"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def frames_of(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]


@pytest.mark.slow
def test_videos_photos_and_failures_side_by_side(tmp_path: Path, samples: Samples, clips: list[Path]) -> None:
    bench = Bench(tmp_path, quality_preset="fast")
    shutil.copy(samples.astronaut, bench.inbox / "faces" / "astronaut.png")
    shutil.copy(clips[0].with_name("wall.png"), bench.inbox / "faces" / "wall.png")
    (bench.inbox / "faces" / "words.jpg").write_text("no picture")
    for clip in clips:
        shutil.copy(clip, bench.inbox / "videos" / clip.name)
    shutil.copy(samples.group, bench.inbox / "photos" / "group.jpg")
    (bench.inbox / "videos" / "cut off.mp4").write_bytes(clips[0].read_bytes()[:5000])
    (bench.inbox / "videos" / "a picture.mp4").write_bytes(samples.group.read_bytes())

    done = once(bench)

    assert done.returncode == 1, done.stdout + done.stderr
    assert bench.results() == ["clip0__astronaut.mp4", "clip1__astronaut.mp4", "group__astronaut.jpg"]
    faces = {file.path: (file.state, file.reason) for file in bench.status().files if file.kind == "face"}
    assert {path: state for path, (state, _) in faces.items()} == {
        "faces/astronaut.png": "ready",
        "faces/wall.png": "refused",
        "faces/words.jpg": "refused",
    }, "what shows no face does not count for the rule of the only face"
    assert "no face" in faces["faces/wall.png"][1]
    for clip in clips[:2]:
        before, after = frames_of(clip), frames_of(bench.outbox / f"{clip.stem}__astronaut.mp4")
        assert len(after) == len(before) == FRAMES
        changed = [
            np.abs(a.astype(int) - b.astype(int)).max(axis=2) > 40 for a, b in zip(before, after, strict=True)
        ]
        assert np.mean([mask.sum() > 100 for mask in changed]) > 0.5, "faces are replaced"
        report = bench.report(f"{clip.stem}__astronaut.json")
        assert report["swap"]["engine"] == "mesh"
        assert report["swap"]["frames"] == FRAMES
        assert report["swap"]["frames_swapped"] > FRAMES / 2
    assert bench.report("wall__astronaut.json")["outcome"] == "no_face"
    failures = {
        path.stem: bench.report(f"failed/{path.name}")["failure"]["category"]
        for path in (bench.outbox / "failed").iterdir()
    }
    assert failures == {"cut off__astronaut": "format_error", "a picture__astronaut": "format_error"}
    assert bench.leftovers() == []
    check_speeds(bench)
    check_marks(bench)
    check_that_no_picture_is_left(bench, samples.astronaut)


def check_speeds(bench: Bench) -> None:
    """What results say of themselves is enough to estimate others by."""
    speeds = measured_speeds(bench.processor().workspace, "fast")
    assert len(speeds("mesh", "video")) == 2
    assert len(speeds("mesh", "photo")) == 1


def check_marks(bench: Bench) -> None:
    """Every result is signed by this installation, labelled and marked, and its report says the same."""
    authorities = known_authorities(bench.root / ".automation")
    for name in bench.results():
        found = examine(bench.outbox / name, authorities)
        assert (found.verdict, found.label) == (Verdict.INTACT, LABEL), name
        assert found.credentials is not None
        assert found.credentials.state is State.OWN
        report = bench.report(f"{Path(name).stem}.json")
        assert report["provenance"]["manifest_id"] == found.credentials.manifest_id
        assert found.mark is not None
        assert f"{found.mark.payload:08x}" == report["provenance"]["result_id"][:8]
        assert report["gate"]["verdict"] == "passed"


def check_that_no_picture_is_left(bench: Bench, face: Path) -> None:
    """Neither in state, log and reports, nor of the source picture in the results."""
    content = face.read_bytes()
    piece = content[len(content) // 2 :][:64]
    results = {bench.outbox / name for name in bench.results()}
    files = [
        path
        for path in (*bench.outbox.rglob("*"), *(bench.root / ".automation").rglob("*"))
        if path.is_file()
    ]
    assert len(files) > len(results)
    for path in files:
        stored = path.read_bytes()
        assert piece not in stored, path
        if path not in results:
            for magic in (b"JFIF", b"IHDR", b"WEBPVP8", b"ftyp"):
                assert magic not in stored, path


@pytest.mark.slow
def test_a_running_daemon_swaps_what_is_dropped_and_shows_its_progress(
    tmp_path: Path, samples: Samples, clips: list[Path]
) -> None:
    bench = Bench(tmp_path, quality_preset="fast")
    daemon = subprocess.Popen(
        [sys.executable, "simple_auto_processor.py", "--root", str(bench.root)],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        shutil.copy(samples.astronaut, bench.inbox / "faces" / "astronaut.png")
        shutil.copy(clips[0], bench.inbox / "videos" / "dropped.mp4")
        deadline_printed = wait(daemon, bench, "dropped__astronaut.json")
    finally:
        daemon.send_signal(signal.SIGINT)
        try:
            printed = daemon.communicate(timeout=30)[0]
        finally:
            daemon.kill()  # nothing where it has ended
    assert deadline_printed
    assert daemon.returncode == 0, printed
    assert "Traceback" not in printed
    assert "Done videos/dropped.mp4" in printed
    assert "\nStopped. 1 result.\n" in printed, "nothing is left"
    snapshot = read_snapshot(bench.root / ".automation")
    assert snapshot is not None
    assert snapshot.results[0].engine == "mesh"
    assert snapshot.results[0].frames == FRAMES


def wait(daemon: subprocess.Popen[str], bench: Bench, name: str) -> bool:
    import time

    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and daemon.poll() is None:
        if (bench.outbox / name).exists():
            return True
        time.sleep(0.1)
    return False


@pytest.mark.slow
def test_a_source_picture_without_a_face_is_named_and_its_target_waits_for_a_better_one(
    tmp_path: Path, samples: Samples, clips: list[Path]
) -> None:
    bench = Bench(tmp_path, quality_preset="fast")
    cv2.imwrite(str(bench.inbox / "faces" / "grey.png"), np.full((400, 400, 3), 128, np.uint8))
    shutil.copy(clips[0], bench.inbox / "videos" / "clip.mp4")
    assert once(bench).returncode == 1
    assert bench.file("faces/grey.png").state == "refused"
    waiting = bench.file("videos/clip.mp4")
    assert (waiting.state, "grey.png shows no face" in waiting.reason) == ("waiting", True)
    # A better picture under the same name sets it going.
    (bench.inbox / "faces" / "grey.png").unlink()
    shutil.copy(samples.astronaut, bench.inbox / "faces" / "grey.png")
    assert once(bench).returncode == 0
    assert bench.results() == ["clip__grey.mp4"]
    assert not any((bench.outbox / "failed").iterdir())

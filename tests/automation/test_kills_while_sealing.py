"""Killed anywhere after the swap: what bears a result's name is whole and signed."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from workbench import Bench, Running

from facefusion.trust.credentials import State, read_credentials
from facefusion.trust.identity import known_authorities

SESSION = ("--session", "copying_session:CopyingSession")
PUBLISHING = ("sealing", "beside", "placed")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "clip.mkv"
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        video.width, video.height, video.pix_fmt = 160, 120, "yuv420p"
        for shade in range(10):
            frame = av.VideoFrame.from_ndarray(np.full((120, 160, 3), shade * 20, np.uint8), format="rgb24")
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
    return path


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    made = Bench(tmp_path)
    made.face()
    return made


def results(bench: Bench) -> Iterator[Path]:
    if bench.outbox.exists():
        for path in bench.outbox.iterdir():
            if path.suffix in (".mkv", ".jpg"):
                yield path


def check(bench: Bench) -> None:
    """Whatever bears the name of a result is signed, whole, and has its signature beside it if need be."""
    authorities = known_authorities(bench.root / ".automation")
    for path in results(bench):
        beside = path.with_name(f"{path.name}.c2pa")
        found = read_credentials(path, authorities, beside.read_bytes() if path.suffix == ".mkv" else None)
        assert found is not None, f"{path.name} is not signed"
        assert found.state is State.OWN, f"{path.name}: {found.failures}"


def watch(bench: Bench, daemon: Running) -> int:
    """Check again and again until the daemon ends; its exit status."""
    while daemon.process.poll() is None:
        check(bench)
        time.sleep(0.002)
    check(bench)
    return daemon.ended()[0]


def check_the_end(bench: Bench, targets: set[str]) -> None:
    check(bench)
    expected = {f"{name}__alice.{suffix}" for name, suffix in (target.split(".") for target in targets)}
    beside = {f"{name}.c2pa" for name in expected if name.endswith(".mkv")}
    assert set(bench.results()) == expected | beside, "each once, nothing else"
    assert bench.leftovers() == []
    for target in targets:
        report = bench.report(f"{target.split('.')[0]}__alice.json")
        assert report["outcome"] == "done"
        assert report["provenance"]["sidecar"] in {*beside, None}
        assert (report["provenance"]["sidecar"] is not None) == target.endswith(".mkv")


def test_a_worker_that_is_killed_at_any_step_of_signing_costs_an_attempt_and_nothing_else(
    bench: Bench, clip: Path
) -> None:
    for number, name in enumerate(["kill at signing", "kill at checked", "kill at beside", "plain"]):
        # An empty element at the end: the same clip is another file.
        (bench.inbox / "videos" / f"{name}.mkv").write_bytes(clip.read_bytes() + b"\xec\x81%c" % number)
    Image.new("RGB", (120, 90), (200, 90, 30)).save(bench.inbox / "photos" / "kill at signed.jpg")
    targets = {path.name for path in bench.inbox.glob("*/*") if path.parent.name != "faces"}
    with bench.start("--once", *SESSION) as daemon:
        assert watch(bench, daemon) == 0
    check_the_end(bench, targets)
    for target in targets:
        attempts = bench.report(f"{target.split('.')[0]}__alice.json")["attempts"]
        assert attempts == (1 if target == "plain.mkv" else 2), target


@pytest.mark.parametrize("step", PUBLISHING)
def test_a_daemon_that_is_killed_at_any_step_of_publishing_leaves_one_signed_result(
    bench: Bench, clip: Path, step: str
) -> None:
    (bench.inbox / "videos" / "clip.mkv").write_bytes(clip.read_bytes())
    with bench.start("--once", "--kill-at", step, *SESSION) as daemon:
        assert watch(bench, daemon) == -signal.SIGKILL
    check(bench)
    with bench.start("--once", *SESSION) as daemon:
        assert watch(bench, daemon) == 0
    check_the_end(bench, {"clip.mkv"})

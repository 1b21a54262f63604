"""Damaged files dropped into the inbox: the daemon and its worker give each one clear outcome and live on."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from face_material import moving, write_clip
from media_mutants import mutants
from PIL import Image

REPOSITORY = Path(__file__).resolve().parents[2]
SEED = 20260117
STALL_SECONDS = 30
CLEAR = {"done", "no_face", "format_error", "memory_error", "verification_error", "input_error", "duplicate"}
"""What a damaged file may come to. A crash of the worker or a standstill is neither."""


@pytest.fixture(scope="module")
def originals(man, tmp_path_factory):
    """One healthy file of many kinds, each showing a face."""
    folder = tmp_path_factory.mktemp("originals")
    views, _ = moving(man, 6, size=(192, 144), face_pixels=80)
    paths = [
        write_clip(folder / "a.mp4", views, sound=True),
        write_clip(folder / "b.mov", views),
        write_clip(folder / "c.mkv", views, sound=True),
        write_clip(folder / "d.webm", views, codec="libvpx-vp9"),
        write_clip(folder / "e.ts", views, sound=True),
        write_clip(folder / "f.avi", views, codec="mpeg4", stamps=range(0, 240, 40)),
        write_clip(folder / "g.mp4", views, codec="libx265"),
    ]
    images = [Image.fromarray(np.ascontiguousarray(view[..., ::-1])) for view in views]
    for name in ("h.jpg", "i.png", "j.webp", "k.tiff", "l.bmp", "m.avif"):
        images[0].save(folder / name)
        paths.append(folder / name)
    for name in ("n.gif", "o.webp", "p.png"):
        images[0].save(folder / name, save_all=True, append_images=images[1:3], duration=40)
        paths.append(folder / name)
    return paths


@dataclass
class Batch:
    """What became of the files of one run of the daemon."""

    returncode: int
    printed: str
    seconds: float
    outcomes: dict[str, str] = field(default_factory=dict)
    unclear: dict[str, Any] = field(default_factory=dict)


def run_batch(root: Path, face: Path, files: list[tuple[str, bytes]], seconds: float) -> Batch:
    """Drop the files, run the daemon once, and see what it says about each."""
    for part in ("faces", "videos", "photos"):
        (root / "inbox" / part).mkdir(parents=True)
    settings = {
        "accept_use_policy": 1,
        "engine": "mesh",
        "quality_preset": "fast",
        "max_retries": 1,
        "limits": {"settle_seconds": 0.2, "stall_seconds": STALL_SECONDS, "free_disk_megabytes": 0},
    }
    (root / "automation_config.json").write_text(json.dumps(settings))
    shutil.copy(face, root / "inbox" / "faces" / f"face{face.suffix}")
    for name, content in files:
        (root / "inbox" / "videos" / name).write_bytes(content)
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "simple_auto_processor.py", "--root", str(root), "--once"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=seconds,
        check=False,
    )
    batch = Batch(done.returncode, done.stdout + done.stderr, time.monotonic() - started)
    told = status(root)
    for name, _ in files:
        answer, text = outcome_of(root, told, name)
        batch.outcomes[name] = answer
        if answer not in CLEAR or len(text) < 15:
            batch.unclear[name] = (answer, text)
    return batch


def status(root: Path) -> dict[str, dict[str, Any]]:
    """What the daemon says about every file of the inbox, by name."""
    said = subprocess.run(
        [sys.executable, "simple_auto_processor.py", "--root", str(root), "status", "--json"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return {Path(file["path"]).name: file for file in json.loads(said.stdout)["files"]}


def outcome_of(root: Path, told: dict[str, dict[str, Any]], name: str) -> tuple[str, str]:
    """Outcome and sentence for one file: exactly one report, or the reason why there is no job."""
    stem = Path(name).stem
    done = root / "outbox" / f"{stem}__face.json"
    # An empty file fails before it has a face.
    names = (f"{stem}__face.json", f"{stem}.json")
    failures = [path for name in names if (path := root / "outbox" / "failed" / name).exists()]
    if done.exists() + len(failures) > 1:
        return "several", "more than one report"
    if done.exists():
        report = json.loads(done.read_text())
        results = [
            path for path in done.parent.glob(f"{stem}__face.*") if path.suffix not in (".json", ".c2pa")
        ]
        if (report["outcome"] == "done") != (len(results) == 1):
            return "torn", f"{report['outcome']} with {results}"
        return report["outcome"], "it says what was done"
    if failures:
        failure = json.loads(failures[0].read_text())["failure"]
        return failure["category"], f"{failure['message']} {failure['remedy']}"
    file = told.get(name, {})
    if str(file.get("reason", "")).startswith("same content as"):
        return "duplicate", file["reason"]
    return f"no job: {file.get('state')}", str(file.get("reason", ""))


def judge(batches: list[Batch]) -> Counter[str]:
    counted = Counter(outcome for batch in batches for outcome in batch.outcomes.values())
    for batch in batches:
        assert batch.unclear == {}, counted
        assert batch.returncode == 1, batch.printed[-2000:]
        assert "Traceback" not in batch.printed, batch.printed[-4000:]
    total = sum(counted.values())
    # The damage is neither harmless nor always fatal.
    assert counted["done"] > total / 20, counted
    assert counted["format_error"] > total / 20, counted
    return counted


def leftovers(root: Path) -> list[Path]:
    return [path for path in (root / "outbox").rglob("*") if path.name.startswith(".")]


@pytest.mark.slow
def test_sixty_four_damaged_files_through_the_daemon(originals, samples, tmp_path):
    files = list(mutants(originals, 64, SEED))
    judge([run_batch(tmp_path / "root", samples.astronaut, files, 300)])
    assert leftovers(tmp_path / "root") == []


@pytest.mark.soak
def test_two_thousand_damaged_files_through_the_daemon(originals, samples, tmp_path, request):
    if "soak" not in request.config.option.markexpr:
        pytest.skip("runs for many minutes; only with -m soak")
    count = int(os.environ.get("DAMAGED_FILES", "2000"))
    files = list(mutants(originals, count, SEED + 1))
    batches = []
    for first in range(0, count, 250):
        root = tmp_path / f"root{first}"
        batches.append(run_batch(root, samples.astronaut, files[first : first + 250], 1800))
        print(first, f"{batches[-1].seconds:.0f} s", Counter(batches[-1].outcomes.values()), flush=True)
        for name, unclear in batches[-1].unclear.items():
            print("  unclear:", name, unclear, flush=True)
        assert leftovers(root) == []
        if not batches[-1].unclear:
            shutil.rmtree(root)
    print(judge(batches))

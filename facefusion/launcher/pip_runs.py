"""Running pip: what it does in a few words, and what went wrong in a sentence. Standard library alone."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from facefusion.errors import FaceFusionError, NetworkError, StorageError

# Settings that would make pip install somewhere else, or Python import from somewhere else.
_MISLEADING = ("PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_REQUIRE_HASHES", "PYTHONHOME")

INSTALLING = "Installing collected packages"
"""What pip says before it changes anything."""


def run_pip(command: Sequence[str], log_file: Path) -> None:
    """Run pip, showing on a terminal what it does; all that it says goes to the log.

    Raises:
        NetworkError, StorageError, FaceFusionError: it failed; see `explain_pip`.
    """
    options = ["--disable-pip-version-check", "--no-input", "--retries", "3"]
    options += ["--progress-bar", "off"] if "install" in command else []
    with log_file.open("w", encoding="utf-8") as log:
        process = subprocess.Popen(
            [*command, *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=clean_environment(),
            text=True,
            encoding="utf-8",
            errors="replace",
        )
        try:
            assert process.stdout is not None
            with StatusLine(sys.stderr) as status:
                for line in process.stdout:
                    log.write(line)
                    step = pip_step(line)
                    if step:
                        status.show(step)
            code = process.wait()
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
    if code != 0:
        raise explain_pip(log_file.read_text(encoding="utf-8"), log_file)


def clean_environment() -> dict[str, str]:
    """The environment without what would lead pip or Python out of `.venv`."""
    return {key: value for key, value in os.environ.items() if key not in _MISLEADING}


def pip_step(line: str) -> str | None:
    """What a line of pip's output means to a person, if anything."""
    if match := re.match(r"Collecting ([\w.-]+)", line):
        return f"looking for {match.group(1)}"
    if match := re.match(r"\s*Downloading (?:.*/)?([\w.]+)-.* \(([\d.]+ \w?B)\)", line):
        return f"downloading {match.group(1).replace('_', '-')} ({match.group(2)})"
    if line.startswith(INSTALLING):
        return f"installing {line.count(',') + 1} packages (about a minute) ..."
    return None


def explain_pip(said: str, log_file: Path) -> FaceFusionError:
    """Turn what pip said when it failed into an error with a remedy."""
    text = said.casefold()
    errors = [line.strip() for line in said.splitlines() if line.startswith("ERROR")]
    last_words = (errors[0] if errors else said.strip().splitlines()[-1] if said.strip() else "nothing")[:300]
    if "no space left" in text or "errno 28" in text:
        return StorageError(
            "The disk became full during set-up.", remedy="Free about 1.5 GB, then start again."
        )
    unreachable = (
        "name resolution|name or service not known|getaddrinfo|nodename nor servname|failed to establish"
        "|connection (refused|reset|aborted|broken|to .* timed out)|read timed out|network is unreachable"
        "|proxyerror|certificate_verify_failed|could not fetch url|max retries exceeded|http error [45]"
        "|[45]\\d\\d (client|server) error"
    )
    none_at_all = re.search(r"from versions: (none)?\)", text)
    if re.search(unreachable, text) or none_at_all:
        return NetworkError(
            f"The package index could not be reached, or lacks what is needed. pip said: {last_words}",
            remedy=(
                "Check the connection. Behind a proxy, set HTTPS_PROXY; for a mirror, run "
                "`python3 -m pip config set global.index-url <address>`. Then start again: "
                "what has been downloaded is kept."
            ),
        )
    if "no matching distribution" in text or "could not find a version" in text:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        return FaceFusionError(
            f"For Python {version} on this computer a package does not exist. pip said: {last_words}",
            remedy="Start with another Python, for example `python3.12 launch_automation.py`.",
        )
    return FaceFusionError(
        f"The set-up failed. pip said: {last_words}",
        remedy=f"The whole text is in {log_file}. Start again; if it fails again, please report it.",
    )


class StatusLine:
    """One line that says what is being done: rewritten on a terminal, left out elsewhere."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._active = stream.isatty()

    def show(self, text: str) -> None:
        """Replace the line."""
        if self._active:
            width = max(20, shutil.get_terminal_size().columns - 3)
            self._stream.write(f"\r\x1b[K  {text[:width]}")
            self._stream.flush()

    def __enter__(self) -> StatusLine:
        return self

    def __exit__(self, *_: object) -> None:
        if self._active:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

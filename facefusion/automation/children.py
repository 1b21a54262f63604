"""What every child process of the daemon begins with, seen from both sides."""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from facefusion.automation.logs import DiscreetStream
from facefusion.automation.workspace import program_dir
from facefusion.trust.privacy import PRIVATE

LOG_BYTES = 1_000_000

# -- the parent's side ---------------------------------------------------------------------------------------


def child_environment(threads: int, device: str | None = None) -> dict[str, str]:
    """Environment of a child: it finds the program, reports to nobody, and its libraries keep to their share.

    Args:
        threads: of each library that does not ask this program.
        device: the graphics processor that it may see; None for all.
    """
    environment = dict(os.environ)
    environment["PYTHONPATH"] = os.pathsep.join(
        filter(None, (str(program_dir()), os.environ.get("PYTHONPATH")))
    )
    environment["ORT_DISABLE_TELEMETRY"] = "1"
    environment["OMP_NUM_THREADS"] = environment["OPENBLAS_NUM_THREADS"] = str(threads)
    # glibc: many threads allocate frames; with an arena for each of them, freed memory is not given back.
    environment.setdefault("MALLOC_ARENA_MAX", "2")
    environment.setdefault("MALLOC_TRIM_THRESHOLD_", "65536")
    environment.setdefault("MALLOC_MMAP_THRESHOLD_", "262144")
    if device is not None:
        environment["CUDA_VISIBLE_DEVICES"] = device
    return environment


def private_log(path: Path) -> BinaryIO:
    """A log for appending; a long one is put aside first, replacing the one before.

    Raises:
        OSError: it cannot be opened.
    """
    with contextlib.suppress(OSError):
        if path.stat().st_size > LOG_BYTES:
            path.replace(path.with_name(f"{path.name}.1"))
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab")


# -- the child's side ----------------------------------------------------------------------------------------


def take_over_stdout() -> TextIO:
    """Keep standard output for messages; whatever libraries print goes to the log, by the rules of the log.

    What the process writes from here on can be read by this user alone.
    """
    os.umask(PRIVATE)
    stream = os.fdopen(os.dup(1), "w", encoding="utf-8", newline="\n")
    os.dup2(2, 1)
    sys.stdin.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    faulthandler.enable()
    sys.stdout = DiscreetStream(sys.stdout)
    sys.stderr = DiscreetStream(sys.stderr)
    return stream


def load_factory(name: str) -> Callable[..., Any]:
    """What `module:callable` names."""
    module, _, attribute = name.partition(":")
    factory: Callable[..., Any] = getattr(importlib.import_module(module), attribute)
    return factory

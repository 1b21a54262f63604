"""`launch_automation.py test`: everything that must be green. Standard library alone."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

from facefusion.launcher.environment import REFERENCE, RUNTIME, TESTS, Environment
from facefusion.launcher.pip_runs import clean_environment

SIDE_BY_SIDE = ("-n", "logical", "--maxprocesses", "4", "--dist", "worksteal")
"""Many tests wait for real processes; so one runs on each core, and at most four, for each takes memory."""


def run_checks(environment: Environment, pytest_arguments: Sequence[str]) -> int:
    """Install what tests need and run them.

    Args:
        environment: where to install and run.
        pytest_arguments: given, only pytest runs, with these; else ruff, mypy and pytest run, all tests side
            by side.

    Returns:
        Exit status of the first check that failed; 0 if none did. pytest runs last, so that its closing
        line is the last one printed.

    Raises:
        NetworkError, StorageError, FaceFusionError: see `Environment.ensure`.
    """
    has_reference = (environment.repository / REFERENCE).is_file()
    environment.ensure(RUNTIME, TESTS, *([REFERENCE] if has_reference else []))
    checks = [("ruff", ["check", "."]), ("mypy", []), ("pytest", list(SIDE_BY_SIDE))]
    if pytest_arguments:
        checks = [("pytest", list(pytest_arguments))]
    failed: dict[str, int] = {}
    for tool, arguments in checks:
        if tool == "pytest" and failed:
            print(f"Not clean: {', '.join(failed)} (see above).", flush=True)
        if len(checks) > 1:
            print(f"== {tool} ==", flush=True)
        command = [str(environment.python), "-m", tool, *arguments]
        status = subprocess.run(
            command, cwd=environment.repository, env=clean_environment(), check=False
        ).returncode
        sys.stdout.flush()
        if status:
            failed[tool] = status
    return next(iter(failed.values()), 0)

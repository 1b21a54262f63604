"""A session that copies its target instead of swapping, under the real sealing.

A target called `kill at STEP` has the worker killed there, the first time it comes to that step.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from scripted_session import ScriptedSession, SwapRequest, SwapResult  # before all that loads libraries

from facefusion.config import AutomationConfig
from facefusion.trust.oversight import Alive, Case, Oversight


class OpenGate:
    """The targets are patterns; there is nothing to look at."""

    @property
    def result(self) -> dict[str, Any]:
        return {"verdict": "passed", "model": {"name": "none"}}

    def inspector(self) -> None:
        return None

    def require_passed(self) -> None:
        pass


class CopyingOversight(Oversight):
    def open(
        self, target: Path, faces: Sequence[Path], config: AutomationConfig, alive: Alive = lambda: None
    ) -> Case:
        killed = self._state_dir / f"was killed for {target.stem}"

        def at(step: str) -> None:
            if target.stem == f"kill at {step}" and not killed.exists():
                killed.touch()
                os.kill(os.getpid(), signal.SIGKILL)

        gate: Any = OpenGate()
        return Case(self._state_dir, target, "image/jpeg", None, gate, at)


class CopyingSession:
    make_oversight = CopyingOversight

    def __init__(self, models_dir: Path, *, threads: int) -> None:
        pass

    def warm_up(self) -> None:
        pass

    def close(self) -> None:
        pass

    def swap(
        self, request: SwapRequest, on_progress: Callable[[Any], None], should_stop: Callable[[], bool]
    ) -> SwapResult:
        shutil.copy(request.target, request.output)
        return ScriptedSession._result("done", 10, 10, {})

"""The real session and the real oversight, with parts of few pictures and one blow at a chosen moment.

`blow.json` in the root says when and whom: `{"frame": 36, "whom": "worker"}`, with frame -1 for the end, when
the file is complete but for its label. It is struck once; `painted.txt` beside it lists the frames painted.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from facefusion import targets
from facefusion.media import writer
from facefusion.pipeline import SwapProgress, SwapRequest, SwapResult, SwapSession

EVERY = 8


class ResumingSession(SwapSession):
    def swap(
        self,
        request: SwapRequest,
        on_progress: Callable[[SwapProgress], None],
        should_stop: Callable[[], bool],
    ) -> SwapResult:
        assert request.keeping is not None, "videos are kept"
        root = request.target.parents[2]
        hold_out_a_blow(root)
        keeping = dataclasses.replace(request.keeping, every=EVERY)
        return super().swap(dataclasses.replace(request, keeping=keeping), on_progress, should_stop)


def hold_out_a_blow(root: Path) -> None:
    plan = root / "blow.json"
    blow = json.loads(plan.read_text()) if plan.exists() else {"frame": None}
    write, paint, add_box = writer.VideoWriter.write, targets._paint, writer.add_box

    def strike() -> None:
        plan.unlink(missing_ok=True)
        if blow["whom"] == "worker":
            os.kill(os.getpid(), signal.SIGKILL)
        elif blow["whom"] == "program":
            os.killpg(os.getpgid(0), signal.SIGKILL)
        else:
            (root / "reached").touch()
            while True:  # until somebody stops the program
                signal.pause()

    def counted(self: Any, frame: Any) -> None:
        if frame.index == blow["frame"]:
            strike()
        write(self, frame)

    def noted(frame: Any, *more: Any) -> list[int]:
        with (root / "painted.txt").open("a") as stream:
            stream.write(f"{getattr(frame, 'index', 0)}\n")
        return paint(frame, *more)

    def labelled(*given: Any) -> None:
        if blow["frame"] == -1:
            strike()
        add_box(*given)

    writer.VideoWriter.write = counted  # type: ignore[method-assign]
    targets._paint = noted
    writer.add_box = labelled

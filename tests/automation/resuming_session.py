"""The real session and the real oversight, with parts of few pictures and one blow at a chosen moment.

`blow.json` in the root says when and whom: `{"frame": 36, "whom": "worker"}`, with frame -1 for the end, when
the file is complete but for its label. It is struck once; `painted.txt` beside it lists the frames painted.
"""

from __future__ import annotations

import dataclasses
import json
import os
import random
import signal
import uuid
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from facefusion import targets
from facefusion.media import writer
from facefusion.pipeline import SwapRequest, SwapResult, SwapSession
from facefusion.trust import oversight

EVERY = 8


def numbered_oversight(state_dir: Path, models_dir: Path) -> oversight.Oversight:
    """The program's own, with names of results that follow from how many were begun in this root.

    So the first result of every root bears the same mark, and what is made of it can be compared bit by bit.
    """
    begun = state_dir / "begun.txt"

    def name() -> uuid.UUID:
        with begun.open("a") as stream:
            stream.write("x")
        return uuid.UUID(int=random.Random(begun.stat().st_size).getrandbits(128), version=4)

    oversight.uuid = SimpleNamespace(uuid4=name, UUID=uuid.UUID)  # type: ignore[assignment]
    return oversight.Oversight(state_dir, models_dir)


class ResumingSession(SwapSession):
    make_oversight = numbered_oversight

    def swap(self, request: SwapRequest, *others: Any) -> SwapResult:
        assert request.keeping is not None, "videos are kept"
        root = request.target.parents[2]
        hold_out_a_blow(root)
        keeping = dataclasses.replace(request.keeping, every=EVERY)
        return super().swap(dataclasses.replace(request, keeping=keeping), *others)


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

"""Attempts at one job, one after the other, that are interrupted at a chosen frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from facefusion.config import AutomationConfig
from facefusion.errors import CancelledError
from facefusion.media.segments import Keeping
from facefusion.pipeline import SwapProgress, SwapRequest, SwapResult, SwapSession

EVERY = 8
"""Pictures in a part; the clip has 40 of them."""


class Witness:
    """Marks every frame in one corner, and remembers which frames it was shown."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.seen: list[float] = []
        self.fresh = 0
        self._stop_at = stop_at

    def mark(self, frame: Any) -> None:
        frame.planes[0][:4, :4] = 200

    def inspect(self, frame: Any, seconds: float) -> None:
        self.seen.append(seconds)
        self.fresh += 1
        if len(self.seen) == self._stop_at:
            raise CancelledError("a blow")

    def memory(self) -> Mapping[str, Any]:
        return {"seen": self.seen}

    def recall(self, memory: Mapping[str, Any]) -> None:
        self.seen = list(memory["seen"])


@dataclass
class Attempts:
    """Attempts at one job, one after the other."""

    session: SwapSession
    target: Path
    face: Path
    folder: Path
    witness: Witness = field(default_factory=Witness)
    progress: list[SwapProgress] = field(default_factory=list)

    @property
    def output(self) -> Path:
        return self.folder / f"result{self.target.suffix}"

    @property
    def parts(self) -> list[Path]:
        return sorted((self.folder / "kept").glob("*"))

    def run(
        self,
        stop_at: int | None = None,
        *,
        facts: Mapping[str, Any] | None = None,
        every: int | None = EVERY,
        keep: bool = True,
        inspector: Any = None,
        again: bool = False,
        **settings: Any,
    ) -> SwapResult:
        self.output.unlink(missing_ok=True)
        self.witness, self.progress = Witness(stop_at), []
        request = SwapRequest(
            target=self.target,
            faces=(self.face,),
            face_digest="man",
            output=self.output,
            config=AutomationConfig.model_validate({"quality_preset": "fast", "engine": "mesh", **settings}),
            marker=self.witness,
            inspector=inspector or self.witness,
            keeping=Keeping(self.folder / "kept", facts or {"target": "one"}, every) if keep else None,
            again=again,
        )
        return self.session.swap(request, self.progress.append, lambda: False)

    def interrupt(self, stop_at: int, **more: Any) -> None:
        with pytest.raises(CancelledError, match="a blow"):
            self.run(stop_at, **more)

"""Going on inside a video: on what finished parts depend, and what has to be known behind them.

The next attempt reads the target from its beginning again. Faces are followed over the part that is done, so
that tracks, smoothing and slow means are what they were; but nothing is painted or encoded there.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import av

from facefusion import __version__
from facefusion.bookkeeping import Ledger
from facefusion.errors import StorageError
from facefusion.flow import Stopwatch
from facefusion.jobspec import RememberingInspector, SwapRequest
from facefusion.media.plan import OutputPlan
from facefusion.media.probe import MediaInfo
from facefusion.media.segments import Segments
from facefusion.swap.contract import EngineIdentity, SwapEngine
from facefusion.system.hardware import free_disk
from facefusion.system.health import least_disk
from facefusion.wording import size

LEAST_PARTS = 3
"""A video of fewer parts is done anew as quickly."""
_WITHOUT_EFFECT = {
    *("schema_reference", "limits", "watch_interval", "max_retries", "workers", "inbox", "outbox"),
    *("pairing", "group_videos_by_face", "require_face_consent", "accept_use_policy"),
}
"""Settings that no picture of a result depends on."""


class Attempt:
    """One attempt at a target: what is counted and timed, kept for the next one and taken over from the last.

    Args:
        request: the job.

    Attributes:
        segments: keeps finished parts, once `keep` found that to be worth it.
        resumed: for `SwapResult.resumed`; None for an attempt from the beginning.
    """

    def __init__(self, request: SwapRequest) -> None:
        self.request = request
        self.ledger = Ledger()
        self.watch = Stopwatch()
        self.segments: Segments | None = None
        self.resumed: dict[str, Any] | None = None
        self._began = time.monotonic()
        self._before = 0.0
        self._identity: Callable[[], EngineIdentity] | None = None

    def keep(
        self,
        info: MediaInfo,
        plan: OutputPlan,
        engine: SwapEngine,
        tools: tuple[object, ...],
        alive: Callable[[], object],
    ) -> None:
        """Keep finished parts, if that is asked for and worth it.

        Args:
            info: the target.
            plan: how the result is written.
            engine: what swaps.
            tools: what finds and chooses faces; their kinds count.
            alive: called again and again while kept parts are checked; may raise to stop.
        """
        keeping, inspector = self.request.keeping, self.request.inspector
        if keeping is None or plan.encode is None:
            return
        if inspector is not None and not isinstance(inspector, RememberingInspector):
            return  # it would not know what it saw
        every = keeping.every or plan.encode.gop
        if not worth_keeping(info, every):
            return
        self._identity = lambda: engine.identity
        fingerprint = json.dumps(_facts(self.request, plan, engine.identity, tools, every), sort_keys=True)
        self.segments = Segments(keeping, fingerprint, every, alive)

    def require_room(self, info: MediaInfo, done: int = 0) -> None:
        """Return only if the disk is not certainly too small for the result; better now than in an hour.

        Args:
            info: the target.
            done: pictures that are finished.

        Raises:
            StorageError: it is.
        """
        output, keeping = self.request.output, self.request.keeping
        kept = 0 if keeping is None else keeping.size  # given up for the result where room is short
        written = output.stat().st_size if output.exists() else 0
        needed = least_disk(info, done=done, written=max(kept, written))
        there = free_disk(output.parent) + kept + written
        if needed > there:
            raise StorageError(
                f"{self.request.target.name} needs at least {size(needed)} on the disk of the outbox, "
                f"probably more; there are {size(there)} for it.",
                remedy="Free some space; it waits, and work goes on by itself.",
            )

    def memory(self) -> dict[str, Any]:
        """What an attempt has to know that goes on here; JSON-able."""
        inspector = self.request.inspector
        return {
            "ledger": self.ledger.memory(),
            "inspector": inspector.memory() if isinstance(inspector, RememberingInspector) else None,
            "provider": self._provider(),
            "seconds": round(self._before + time.monotonic() - self._began, 3),
            "timings": dict(self.watch.seconds),
        }

    def take_up(self, frames: int) -> None:
        """Go on behind so many finished frames; nothing if there are none."""
        if self.segments is None or frames == 0:
            return
        memory, inspector = self.segments.memory, self.request.inspector
        self.ledger.recall(memory["ledger"])
        if isinstance(inspector, RememberingInspector):
            inspector.recall(memory["inspector"])
        for stage, seconds in memory["timings"].items():
            self.watch.seconds[stage] = self.watch.seconds.get(stage, 0.0) + seconds
        self._before = memory["seconds"]
        self.resumed = {"frame": frames, "seconds_before": self._before}
        self.ledger.warnings.append(
            f"The work was interrupted and went on at frame {frames:,}; what was finished before was kept."
        )
        if memory["provider"] != self._provider():
            self.ledger.warnings.append(f"Up to there it was done on {memory['provider']}.")

    def _provider(self) -> str:
        return "" if self._identity is None else self._identity().provider


def worth_keeping(info: MediaInfo, every: int) -> bool:
    """Whether a video with parts of so many pictures is long enough to be done in parts."""
    return info.frames is None or info.frames >= LEAST_PARTS * every


def _facts(
    request: SwapRequest,
    plan: OutputPlan,
    identity: EngineIdentity,
    tools: tuple[object, ...],
    every: int,
) -> dict[str, Any]:
    """Everything that determines a result, but for what whoever ordered it has said."""
    return {
        "program": __version__,
        "libraries": [av.__version__, *map(str, sorted(av.library_versions.items()))],
        "face": request.face_digest,
        "settings": request.config.model_dump(mode="json", exclude=_WITHOUT_EFFECT),
        "reference": [_digest(Path(picture)) for picture in request.config.reference.pictures],
        "plan": repr(replace(plan, warnings=())),
        "engine": [identity.name, identity.processors, sorted(identity.models.items())],
        "tools": [type(tool).__name__ for tool in tools],
        "every": every,
    }


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return ""

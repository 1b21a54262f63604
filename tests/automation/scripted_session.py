"""A session that does what the target file tells it to: `{"then": "crash", "frames": 5, "seconds": 0.1}`.

Stands in for codecs and engines where a test needs a fault at a certain place; everything around it (files,
processes, signals, database) is real.

In the worker this module also takes the place of `facefusion.pipeline`, whose libraries take a second to
load: a hundred workers are started by these tests. `test_worker_contract.py` holds the two side by side.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facefusion.config import AutomationConfig
from facefusion.errors import (
    CancelledError,
    EngineError,
    FaceNotFoundError,
    MediaFormatError,
    ModelMissingError,
    StorageError,
)
from facefusion.jobspec import SwapProgress, SwapRequest, SwapResult


@dataclass(frozen=True)
class Keeping:
    folder: Path
    facts: Any = None
    every: int | None = None

    def earlier_facts(self) -> dict[str, Any]:
        return {}


def planned_suffix(target: Path, config: AutomationConfig) -> str:
    return target.suffix.lower()


if "facefusion.automation.worker_process" in str(getattr(sys.modules["__main__"], "__spec__", "")):
    sys.modules["facefusion.pipeline"] = sys.modules[__name__]


class NoOversight:
    """These targets are no media: there is nothing to look at, and nothing that could be signed."""

    label = marker = inspector = result_id = None

    def __init__(self, state_dir: Path, models_dir: Path) -> None:
        pass

    def open(self, *_: Any) -> NoOversight:
        return self

    def close(self, work: Path, result: Mapping[str, Any]) -> dict[str, Any]:
        return {}


def scripted_look(models_dir: Path) -> Callable[[Path], tuple[str, str]]:
    """Judges pictures by what is written in them; writes down their names where there is a list for that."""
    if (models_dir / "missing").exists():
        raise ModelMissingError("There are no models.")

    def look(picture: Path) -> tuple[str, str]:
        if (looked_at := models_dir / "looked at").exists():
            with looked_at.open("a") as stream:
                stream.write(f"{picture.name}\n")
        match picture.read_bytes():
            case b"a crash":
                os.kill(os.getpid(), signal.SIGSEGV)
            case b"a wall, seen after a long look":
                time.sleep(1.0)
                return f"{picture.name} shows no face that could be found.", ""
            case b"a wall":
                return f"{picture.name} shows no face that could be found.", ""
            case b"a small face":
                return "", "small (150 pixels, 250 or more are best); grainy"
        return "", ""

    return look


class ScriptedSession:
    make_oversight = NoOversight

    def __init__(self, models_dir: Path, *, threads: int) -> None:
        self.threads = threads
        self.prepared: list[str] = []

    def warm_up(self) -> None:
        pass

    def close(self) -> None:
        pass

    def swap(
        self,
        request: SwapRequest,
        on_progress: Callable[[SwapProgress], None],
        should_stop: Callable[[], bool],
    ) -> SwapResult:
        try:
            script = json.loads(request.target.read_text())
        except ValueError as error:
            raise MediaFormatError(f"{request.target.name} is damaged.") from error
        if request.face_digest not in self.prepared:
            self.prepared.append(request.face_digest)
        frames, seconds = int(script.get("frames", 4)), float(script.get("seconds", 0.02))
        self._at_start(script, request)
        with request.output.open("wb") as work:
            for frame in range(frames):
                if should_stop():
                    work.close()
                    request.output.unlink()
                    raise CancelledError("stopped")
                time.sleep(seconds / frames)
                work.write(os.fsencode(request.target.name) + f" frame {frame}\n".encode())
                on_progress(
                    SwapProgress(
                        "swapping", frame + 1, frames, frames / seconds, seconds * (1 - frame / frames)
                    )
                )
            if script.get("shows_preset"):
                work.write(request.config.quality_preset.encode())
            work.write(json.dumps(script).encode())
        self._at_end(script, request)
        if script.get("then") == "no_face":
            request.output.unlink()
            return self._result("no_face", frames, 0, {})
        media = {
            "prepared": len(self.prepared),
            "pid": os.getpid(),
            "preset": request.config.quality_preset,
            "device": os.environ.get("CUDA_VISIBLE_DEVICES"),
            "again": request.again,
        }
        return self._result("done", frames, frames, media)

    def _at_start(self, script: dict[str, Any], request: SwapRequest) -> None:
        match script.get("then"):
            case "crash":
                os.kill(os.getpid(), signal.SIGSEGV)
            case "out_of_memory":
                os.kill(os.getpid(), signal.SIGKILL)
            case "kill_the_program":
                os.killpg(os.getpgid(0), signal.SIGKILL)
            case "hang":
                time.sleep(600)
            case "crash_once":
                marker = Path(script["marker"])
                if not marker.exists():
                    marker.touch()
                    os.kill(os.getpid(), signal.SIGSEGV)
            case "bad_source" if request.faces[0].read_bytes().hex() != script.get("unless"):
                raise FaceNotFoundError("No face in the source picture.")
            case "engine_error":
                raise EngineError("The engine failed on this input.")
            case "bug":
                raise ZeroDivisionError("a fault of ours")
            case "disk_full":
                if Path(script["marker"]).exists():
                    raise OSError(errno.ENOSPC, "No space left on device", str(request.output))
            case "storage_error":
                if Path(script["marker"]).exists():
                    raise StorageError("The disk is full.")

    def _at_end(self, script: dict[str, Any], request: SwapRequest) -> None:
        match script.get("then"):
            case "no_output":
                request.output.unlink()
            case "empty_output":
                request.output.write_bytes(b"")
            case "noise":
                print("a library prints on standard output")
                os.write(1, b"and a native one as well\n")

    @staticmethod
    def _result(outcome: Any, frames: int, swapped: int, media: dict[str, Any]) -> SwapResult:
        return SwapResult(
            outcome=outcome,
            engine="mesh",
            models={"model.tflite": "0" * 64},
            provider="cpu",
            frames=frames,
            frames_swapped=swapped,
            tracks=({"id": 0, "first": 0, "last": frames - 1, "swapped": swapped},),
            timings={"swap": 0.01},
            media=media,
            warnings=(),
        )

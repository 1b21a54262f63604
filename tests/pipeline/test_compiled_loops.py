"""Loops that run in every frame are compiled at set-up, not in the middle of somebody's first job."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from facefusion.pipeline import compile_loops

REPOSITORY = Path(__file__).resolve().parents[2]

JOB = """
import json, sys
from pathlib import Path

from facefusion.config import AutomationConfig
from facefusion.faces import kernels as faces
from facefusion.media import imprint, kernels as media
from facefusion.pipeline import SwapRequest, SwapSession, compile_loops
from facefusion.swap.mesh import kernels as mesh

def forms():
    loops = [(room, name) for room in (faces, media, imprint, mesh) for name in vars(room)]
    found = {f"{room.__name__}.{name}": getattr(room, name) for room, name in loops}
    return {name: len(loop.signatures) for name, loop in found.items() if hasattr(loop, "signatures")}

models, clip, face, output = map(Path, sys.argv[1:])
compile_loops()
ahead = forms()
config = AutomationConfig.model_validate({"quality_preset": "fast", "engine": "mesh"})
session = SwapSession(models, threads=1)
done = session.swap(SwapRequest(clip, (face,), "face", output, config), lambda progress: None, lambda: False)
more = {name: count - ahead.get(name, 0) for name, count in forms().items() if count != ahead.get(name, 0)}
print(json.dumps({"outcome": done.outcome, "loops": len(ahead), "more": more}))
"""


def test_a_job_finds_every_loop_compiled(
    models_dir: Path, short_clip: Path, face_file: Path, tmp_path: Path
) -> None:
    compile_loops()  # as set-up does: now they lie on disk
    words = [str(path) for path in (models_dir, short_clip, face_file, tmp_path / "result.mp4")]
    done = subprocess.run(
        [sys.executable, "-c", JOB, *words],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["outcome"] == "done"
    assert said["loops"] > 10
    assert said["more"] == {}

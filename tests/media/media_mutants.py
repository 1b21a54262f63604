"""Damage media files in seeded ways, and run each through the media room in a child process.

As a program (`python media_mutants.py`) this is the child: it reads a path a line and answers with a line.
"""

from __future__ import annotations

import json
import os
import random
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import facefusion

SECONDS = 20.0
"""A file that takes longer has hung."""


def mutate(data: bytes, rng: random.Random) -> bytes:
    """One damaged copy: cut, flipped, zeroed, swapped, repeated, overwritten or with changed numbers."""
    damaged = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 5))):
        size = len(damaged)
        if size < 16:
            break
        kind = rng.randrange(9)
        # Headers are where the decisions are made: half of all damage goes there.
        at = rng.randrange(min(size, 600)) if rng.random() < 0.5 else rng.randrange(size)
        length = rng.choice((1, 4, 32, 400, max(1, size // 10)))
        end = min(size, at + length)
        if kind == 0:
            del damaged[at:]
        elif kind == 1:
            for _ in range(rng.choice((1, 3, 20, 200))):
                place = rng.randrange(at, size)
                damaged[place] ^= 1 << rng.randrange(8)
        elif kind == 2:
            damaged[at:end] = bytes(end - at)
        elif kind == 3:
            damaged[at:end] = rng.randbytes(end - at)
        elif kind == 4:
            del damaged[at:end]
        elif kind == 5:
            damaged[at:at] = damaged[at:end]
        elif kind == 6:
            other = rng.randrange(size)
            piece = bytes(damaged[other : other + length])
            damaged[at : at + len(piece)] = piece
        elif kind == 7:
            damaged[at : at + 4] = rng.choice(
                (b"\xff" * 4, b"\x7f" + b"\xff" * 3, b"\0" * 4, b"\x80\0\0\0", b"\0\0\0\1")
            )
        else:
            damaged[at:at] = rng.randbytes(length)
    return bytes(damaged)


def mutants(sources: list[Path], count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Name and content of `count` damaged files."""
    originals = [(path, path.read_bytes()) for path in sources]
    for number in range(count):
        path, data = originals[number % len(originals)]
        rng = random.Random(f"{seed}/{number}")
        yield f"{number:05d}{path.suffix}", mutate(data, rng)


class Child:
    """The child process; started anew after a crash or a hang."""

    def __init__(self, work: Path) -> None:
        self._work = work
        self._process: subprocess.Popen[str] | None = None

    def examine(self, path: Path) -> dict[str, Any]:
        """Outcome of one file: `outcome` is done, a category, `unexpected`, `crash` or `hang`."""
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(self._work)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                bufsize=1,
                env={**os.environ, "PYTHONPATH": str(Path(facefusion.__file__).parents[1])},
            )
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{path}\n")
        process.stdin.flush()
        # Starting the child takes its own time: importing, loading kernels.
        ready, _, _ = select.select([process.stdout], [], [], SECONDS + 10)
        line = process.stdout.readline() if ready else ""
        if line:
            return dict(json.loads(line))
        self.close()
        code = process.returncode
        return {"outcome": "crash" if ready else "hang", "detail": f"exit {code}"}

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def examine(path: Path, work: Path) -> dict[str, str]:
    """What the worker does with a target, without faces."""
    from media_job import settings

    from facefusion.errors import FaceFusionError
    from facefusion.media.open import open_reader, open_writer
    from facefusion.media.photos import read_photo, write_photo
    from facefusion.media.plan import plan_output
    from facefusion.media.probe import probe
    from facefusion.media.verify import verify_photo, verify_video

    out = work / "result"
    out.unlink(missing_ok=True)
    try:
        info = probe(path)
        plan = plan_output(info, settings())
        if info.kind == "photo":
            photo = read_photo(path)
            write_photo(out, photo, plan)
            verify_photo(out, photo.frame.width, photo.frame.height)
        else:
            with open_reader(path, info) as reader, open_writer(out, info, plan) as writer:
                for frame in reader:
                    writer.write(frame)
                writer.commit()
            verify_video(out, writer.expected())
    except FaceFusionError as error:
        if out.exists() and error.category != "verification_error":
            return {"outcome": "unexpected", "detail": f"left a file after {error.message}"}
        return {"outcome": str(error.category), "detail": error.message}
    except BaseException as error:
        return {"outcome": "unexpected", "detail": f"{type(error).__name__}: {error}"}
    return {"outcome": "done", "detail": ""}


if __name__ == "__main__":
    for given in sys.stdin:
        print(json.dumps(examine(Path(given.rstrip("\n")), Path(sys.argv[1]))), flush=True)

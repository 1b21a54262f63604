"""What the benchmark programs share: the package on the path, common options, media to measure with."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

if TYPE_CHECKING:
    from facefusion.checkup.benchmark import PerformanceBenchmark
    from facefusion.config import AutomationConfig
    from facefusion.pipeline import SwapRequest, SwapSession
    from facefusion.system.measure import Series

SIZES = {"360p": (640, 360), "720p": (1280, 720), "1080p": (1920, 1080), "2160p": (3840, 2160)}


@dataclass(frozen=True)
class Setting:
    """What one program measures with."""

    benchmark: PerformanceBenchmark
    clips: list[Path]
    face: Path
    config: AutomationConfig
    work_dir: Path
    models_dir: Path
    threads: int

    def request(self, clip: Path) -> SwapRequest:
        """An order for one clip without any oversight, in an empty folder of its own."""
        from facefusion.pipeline import SwapRequest, planned_suffix

        folder = self.work_dir / "job"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        work = folder / f"work{planned_suffix(clip, self.config)}"
        return SwapRequest(clip, (self.face,), str(self.face), work, self.config)


def swap(session: SwapSession, request: SwapRequest) -> Any:
    """Run one job to its end."""
    return session.swap(request, lambda progress: None, lambda: False)


def compare(
    setting: Setting,
    headers: Sequence[str],
    repeats: int,
    works: Callable[[SwapSession, Path], Mapping[str, Callable[[], object]]],
    extra: Callable[[Path], Sequence[str]] = lambda clip: (),
) -> None:
    """Measure two kinds of job on every clip, in turn in one warm session, and print a table.

    Args:
        setting: what to measure with.
        headers: of the columns: clip, those of `extra`, seconds of the first kind, of the second, and ratios
            by the clock and by the processor.
        repeats: measured runs of each kind.
        works: the two kinds of job for a session and a clip.
        extra: further cells of a clip, asked for once it has been measured.
    """
    from facefusion.pipeline import SwapSession
    from facefusion.system.measure import alternate, table

    def row(clip: Path) -> Sequence[str]:
        first, second = alternate(works(session, clip), repeats=repeats).values()
        return clip.name, *extra(clip), *cells(first, second)

    def cells(first: Series, second: Series) -> Iterator[str]:
        yield from (f"{series.wall:.2f}" for series in (first, second))
        yield from (f"{second.wall / first.wall:.3f}", f"{second.cpu / first.cpu:.3f}")

    session = SwapSession(setting.models_dir, threads=setting.threads)
    rows = [row(clip) for clip in setting.clips]
    session.close()
    print(f"{repeats} runs of each kind in turn after one of each; medians")
    print()
    print(table(headers, rows))


def parser(description: str, *, sizes: list[str], seconds: float) -> argparse.ArgumentParser:
    """Options that every program understands."""
    options = argparse.ArgumentParser(description=description)
    options.add_argument(
        "--input", type=Path, nargs="+", help="videos; made from a sample picture if left out"
    )
    options.add_argument("--face", type=Path, help="picture of a face; a sample picture if left out")
    options.add_argument("--size", nargs="+", choices=SIZES, default=sizes, help="of made clips")
    options.add_argument("--seconds", type=float, default=seconds, help="length of made clips")
    options.add_argument("--preset", choices=["fast", "balanced", "best"], default="balanced")
    options.add_argument("--engine", choices=["auto", "mesh", "neural"], default="auto")
    options.add_argument("--faces", choices=["largest", "all"], default="largest")
    options.add_argument("--models", type=Path, default=ROOT / "models", help="folder with model files")
    options.add_argument(
        "--threads", type=int, default=0, help="cores for a session; 0 = all that may be used"
    )
    return options


@contextmanager
def prepared(arguments: argparse.Namespace, *, count: int = 1) -> Iterator[Setting]:
    """Samples, clips (`count` for each size) and a `PerformanceBenchmark` in a folder that goes away."""
    from facefusion.checkup.benchmark import PerformanceBenchmark
    from facefusion.checkup.benchmark_media import RATE, make_clip
    from facefusion.config import AutomationConfig
    from facefusion.models import ensure_samples
    from facefusion.pipeline import SwapSession
    from facefusion.system.hardware import detect_cores
    from facefusion.system.measure import machine_line

    config = AutomationConfig(
        quality_preset=arguments.preset, engine=arguments.engine, face_selector_mode=arguments.faces
    )
    threads = arguments.threads or detect_cores().usable
    samples = ensure_samples(arguments.models)
    face = arguments.face or samples.astronaut
    print(machine_line())
    print(
        f"profile {arguments.preset}, engine {arguments.engine}, faces {arguments.faces}, {threads} threads"
    )
    with TemporaryDirectory(prefix="benchmark-") as folder:
        work_dir = Path(folder)
        clips = list(arguments.input or [])
        if not clips:
            for size in arguments.size:
                width, height = SIZES[size]
                for number in range(count):
                    clip = work_dir / f"made-{size}-{number}.mp4"
                    frames = round(arguments.seconds * RATE)
                    make_clip(samples.group, clip, width=width, height=height, frames=frames, seed=number)
                    clips.append(clip)
        benchmark = PerformanceBenchmark(
            lambda: SwapSession(arguments.models, threads=threads), [face], config, work_dir, say=tell
        )
        yield Setting(benchmark, clips, face, config, work_dir, arguments.models, threads)


def tell(text: str) -> None:
    """Progress goes to the error stream, so that the table alone can be redirected."""
    print(f"  {text}", file=sys.stderr, flush=True)

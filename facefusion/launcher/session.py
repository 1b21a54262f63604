"""A working daemon under the eyes of the launcher: until it is stopped, or once for the demonstration."""

from __future__ import annotations

import contextlib
import shlex
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Protocol

from rich.console import Console
from rich.text import Text

from facefusion.automation.parting import STOP_HINT, drop_hint, farewell, places
from facefusion.automation.processor import SimpleAutoProcessor
from facefusion.automation.snapshot import Snapshot
from facefusion.automation.workspace import Workspace, program_dir
from facefusion.config import AutomationConfig, save_config
from facefusion.errors import StorageError
from facefusion.launcher.demo import make_demo_media
from facefusion.launcher.installing import install
from facefusion.launcher.text import near, safe
from facefusion.launcher.view import ShowSnapshot, watch_daemon
from facefusion.models.samples import ensure_samples, samples_installed
from facefusion.reports.records import JobRecord
from facefusion.wording import duration

STOPPED = 130
DEMO_SETTINGS = "demo_settings.json"


class Processor(Protocol):
    """What the launcher needs of `SimpleAutoProcessor`."""

    def run(self, on_snapshot: ShowSnapshot | None = None) -> int:
        """Watch until stopped."""

    def process_videos_batch(
        self, pairs: Iterable[tuple[Path | str, Path | str]], on_snapshot: ShowSnapshot | None = None
    ) -> list[JobRecord]:
        """Process given pairs, without the inbox."""


MakeProcessor = Callable[[Path, Path | None], Processor]
"""From the root and a settings file (None: the root's own)."""


class LastSnapshot:
    """Passes snapshots on and keeps the last one."""

    def __init__(self, show: ShowSnapshot) -> None:
        self.snapshot: Snapshot | None = None
        self._show = show

    def __call__(self, snapshot: Snapshot) -> None:
        """Keep it, pass it on."""
        self.snapshot = snapshot
        self._show(snapshot)


def watch(console: Console, workspace: Workspace, make_processor: MakeProcessor = SimpleAutoProcessor) -> int:
    """Run the daemon until it is stopped, then say what came of it.

    Raises:
        ConfigError, StorageError: the daemon cannot start.
    """
    processor = make_processor(workspace.root, None)
    with watch_daemon(console, [drop_hint(workspace), STOP_HINT], full_screen=True) as show:
        last = LastSnapshot(show)
        status = processor.run(last)
    console.print(farewell(last.snapshot), markup=False)
    _print_places(console, places(workspace))
    return status


def run_demo(
    console: Console,
    workspace: Workspace,
    config: AutomationConfig,
    make_processor: MakeProcessor = SimpleAutoProcessor,
) -> int:
    """Swap the faces of a sample clip and a sample photo, and say what lies where.

    The samples are handed to the queue directly. The inbox is left alone: a second face in it would make
    the person's own targets ask which face is meant.

    Returns:
        0 if both results are there, 1 if one failed or there was no room, 130 if it was stopped.

    Raises:
        FaceFusionError: samples cannot be fetched, or the daemon cannot start.
    """
    if not samples_installed(workspace.models_dir):
        console.print("Fetching sample pictures; they come out of the packages scikit-image and insightface.")
    samples = install(console, lambda tell: ensure_samples(workspace.models_dir, on_progress=tell))
    media = make_demo_media(samples)
    console.print(
        "Demonstration: the face of one person goes into a clip and a photo of another.", style="bold"
    )
    pairs = [(media.face, media.clip), (media.face, media.photo)]
    began = time.time()
    with (
        _demo_settings(workspace, config) as settings,
        watch_daemon(console, ["Stop with Ctrl-C or q."], full_screen=False) as show,
    ):
        last = LastSnapshot(show)
        records = make_processor(workspace.root, settings).process_videos_batch(pairs, last)
    succeeded = [_print_record(console, record) for record in records]
    if records and all(record.finished_at < began for record in records):
        console.print("    (from an earlier demonstration: what is done is not done again)", style="dim")
    sources = [("Source face", media.face), ("Original clip", media.clip), ("Original photo", media.photo)]
    _print_places(console, [*((title, near(path)) for title, path in sources), *places(workspace)])
    if len(records) < len(pairs):
        if last.snapshot is not None and last.snapshot.paused:
            console.print(f"Not finished: {safe(last.snapshot.paused)}", markup=False)
            return 1
        console.print("Stopped before it was finished; the same command goes on with it.")
        return STOPPED
    if not all(succeeded):
        return 1
    place = "" if workspace.root == program_dir() else f" --root {shlex.quote(near(workspace.root))}"
    console.print(f"Now your own: python3 launch_automation.py{place}", style="bold", markup=False)
    return 0


@contextlib.contextmanager
def _demo_settings(workspace: Workspace, config: AutomationConfig) -> Iterator[Path]:
    """Settings of the demonstration: the person's own, also where they are not saved."""
    path = workspace.state_dir / DEMO_SETTINGS
    try:
        save_config(config, path)
    except OSError as error:
        raise StorageError(f"{safe(str(path))} cannot be written ({error.strerror}).") from error
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def _print_record(console: Console, record: JobRecord) -> bool:
    """One line on what came of a job; True if its result is there."""
    if record.outcome == "done" and record.output is not None:
        swap = record.swap or {}
        frames = int(swap.get("frames", 0))
        what = "photo" if record.target_kind == "photo" else f"{frames} frames in {duration(record.seconds)}"
        line = Text("  ✓ ", style="green").append(near(record.output), style="default")
        console.print(line.append(f"   {what}, {swap.get('engine', '')} engine", style="dim"))
        return True
    reason = record.failure.message if record.failure else "no face was found"
    console.print(
        Text("  ✗ ", style="red").append(f"{safe(record.target.name)}: {safe(reason)}", style="default")
    )
    if record.failure:
        console.print(f"    {safe(record.failure.remedy)}", markup=False)
    return False


def _print_places(console: Console, told: Iterable[tuple[str, str]]) -> None:
    for title, path in told:
        console.print(Text(f"  {title:<15}", style="dim").append(path, style="default"))

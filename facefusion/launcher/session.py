"""A working daemon under the eyes of the launcher: until it is stopped, or once for the demonstration."""

from __future__ import annotations

import contextlib
import filecmp
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.text import Text

from facefusion.automation.snapshot import ResultView, Snapshot
from facefusion.automation.workspace import Workspace
from facefusion.config import AutomationConfig
from facefusion.errors import InputFileError, StorageError
from facefusion.launcher.demo import DemoMedia, make_demo_media
from facefusion.launcher.installing import install
from facefusion.launcher.text import count, duration, near, safe
from facefusion.launcher.view import ShowSnapshot, watch_daemon
from facefusion.models.samples import ensure_samples
from facefusion.reports.analytics import HTML_FILE

DEMO_FACE = "demo_astronaut"
STOP_HINT = "Stop with Ctrl-C or q; what is in work is kept or begun again at the next start."

RunDaemon = Callable[[Workspace, AutomationConfig, ShowSnapshot, bool], int]
"""Runs the daemon in this process: where, how, whom to tell, whether only once. Answers an exit status."""


@dataclass(frozen=True)
class Watched:
    """Remembers the last snapshot that passes by."""

    last: list[Snapshot]

    def passing(self, show: ShowSnapshot) -> ShowSnapshot:
        """What to give the daemon."""

        def remember(snapshot: Snapshot) -> None:
            self.last[:] = [snapshot]
            show(snapshot)

        return remember


def run_processor(workspace: Workspace, config: AutomationConfig, show: ShowSnapshot, once: bool) -> int:
    """The real daemon, in this process."""
    raise NotImplementedError


def watch(console: Console, workspace: Workspace, config: AutomationConfig, run_daemon: RunDaemon) -> int:
    """Run the daemon until it is stopped, then say what came of it."""
    inbox = near(workspace.inbox, workspace.root)
    hints = [
        f"Drop faces into {inbox}/faces, videos into {inbox}/videos, photos into {inbox}/photos."
        f"  Results: {near(workspace.outbox, workspace.root)}",
        STOP_HINT,
    ]
    watched = Watched([])
    with watch_daemon(console, workspace.root, hints, full_screen=True) as show:
        status = run_daemon(workspace, config, watched.passing(show), False)
    counts = watched.last[0].counts if watched.last else None
    told = "Stopped."
    if counts:
        told += (
            f" {count(counts.done, 'result')}, {counts.failed:,} failed, {counts.open:,} still to be done."
        )
    console.print(told)
    _print_places(console, workspace)
    return status


def run_demo(console: Console, workspace: Workspace, config: AutomationConfig, run_daemon: RunDaemon) -> int:
    """Put sample pictures into the inbox, process them once, take them out again and show what came of it.

    Raises:
        FaceFusionError: samples cannot be fetched or placed, or the daemon cannot start.
    """
    samples = install(console, lambda tell: ensure_samples(workspace.models_dir, on_progress=tell))
    media = make_demo_media(samples)
    watched = Watched([])
    console.print("Demonstration: one face goes into a clip and a photo with six people.")
    # All six: the point is to see what happens.
    config = config.model_copy(update={"face_selector_mode": "all", "pairing": "auto"})
    with (
        demo_in_inbox(media, workspace.inbox),
        watch_daemon(console, workspace.root, ["Stop with Ctrl-C."], full_screen=False) as show,
    ):
        run_daemon(workspace, config, watched.passing(show), True)
    results = _demo_results(watched.last[0] if watched.last else None)
    _print_demo(console, workspace, media, results)
    return 0 if len(results) == 2 else 1


@contextlib.contextmanager
def demo_in_inbox(media: DemoMedia, inbox: Path) -> Iterator[None]:
    """The sample files lie in the inbox under names of their own while this is open.

    They are taken out again, so that the person's own faces and targets pair as if there had been no
    demonstration: a second face in `faces/` would make every target ask which one is meant.

    Raises:
        InputFileError: another file has one of the names.
        StorageError: the inbox cannot be written.
    """
    places = {
        inbox / "faces" / f"{DEMO_FACE}.png": media.face,
        inbox / "videos" / DEMO_FACE / "demo_clip.mp4": media.clip,
        inbox / "photos" / DEMO_FACE / "demo_photo.jpg": media.photo,
    }
    for place, sample in places.items():
        if place.exists() and not filecmp.cmp(place, sample, shallow=False):
            raise InputFileError(
                f"The demonstration needs the name {safe(str(place))}, and another file has it.",
                remedy="Move that file away and start again.",
            )
    try:
        _copy_all(places)
        yield
    finally:
        for place in places:
            with contextlib.suppress(OSError):  # gone already, or the person put something beside it
                place.unlink()
                if place.parent.name == DEMO_FACE:
                    place.parent.rmdir()


def _copy_all(places: dict[Path, Path]) -> None:
    try:
        for place, sample in places.items():
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(sample, place)
    except OSError as error:
        raise StorageError(f"{safe(str(place))} cannot be written ({error.strerror}).") from error


def _demo_results(snapshot: Snapshot | None) -> list[ResultView]:
    if snapshot is None:
        return []
    return [
        result
        for result in snapshot.results
        if result.face == DEMO_FACE and result.output is not None and Path(result.output).is_file()
    ]


def _print_demo(console: Console, workspace: Workspace, media: DemoMedia, results: list[ResultView]) -> None:
    here = workspace.root
    for result in results:
        what = "photo" if result.frames == 1 else f"{result.frames} frames in {duration(result.seconds)}"
        console.print(f"  {near(result.output or '', here)}   {what}, {result.engine} engine", markup=False)
    console.print("\nWhat lies where", style="bold")
    rows = [
        ("source face", media.face),
        ("original clip", media.clip),
        ("original photo", media.photo),
        ("results", workspace.outbox),
        ("analytics", workspace.analytics_dir / HTML_FILE),
    ]
    for title, path in rows:
        console.print(Text(f"  {title:<15}", style="dim").append(near(path, here), style="default"))
    if len(results) == 2:
        console.print("\nNow your own: python3 launch_automation.py", style="bold")


def _print_places(console: Console, workspace: Workspace) -> None:
    report = workspace.analytics_dir / HTML_FILE
    console.print(f"Results: {near(workspace.outbox, workspace.root)}", markup=False)
    if report.exists():
        console.print(f"Report: {near(report, workspace.root)}", markup=False)

"""Shows the installation of models and sample pictures."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn

from facefusion.launcher.text import safe
from facefusion.models.manager import InstallCallback, InstallProgress

T = TypeVar("T")


def install(console: Console, work: Callable[[InstallCallback], T]) -> T:
    """Run an installation and show its progress; silent where everything is already there.

    Args:
        console: a terminal gets a bar, anything else one line for each step.
        work: is given the callback that it has to tell its progress to.

    Raises:
        FaceFusionError: whatever `work` raises.
    """
    if not console.is_terminal:
        return work(_LineTeller(console))
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        DownloadColumn(),
        TransferSpeedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bars:
        return work(_BarTeller(bars))


class _LineTeller:
    """One line when a download begins, and one for what is out of the ordinary."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._subject = ""

    def __call__(self, progress: InstallProgress) -> None:
        if progress.step == "installed":
            return
        if progress.step == "downloading":
            if progress.subject == self._subject:
                return
            self._subject = progress.subject
            text = f"Downloading {progress.subject} ({progress.bytes_total / 1e6:.1f} MB) ..."
        else:
            text = progress.text
        self._console.print(safe(text), markup=False)


class _BarTeller:
    """One bar for each download, and a line for what is out of the ordinary."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, progress: InstallProgress) -> None:
        if progress.step == "downloading":
            if progress.subject not in self._tasks:
                self._tasks[progress.subject] = self._bars.add_task(
                    f"Downloading {safe(progress.subject)}", total=progress.bytes_total
                )
            self._bars.update(self._tasks[progress.subject], completed=progress.bytes_done)
        elif progress.step != "installed":
            self._bars.console.print(safe(progress.text), markup=False)

"""`simple_auto_processor.py` without a command: watch until stopped, or process once what is there."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable, Iterable, Sequence

from facefusion.automation.display import SnapshotCallback
from facefusion.automation.lock import holder
from facefusion.automation.parting import STOP_HINT, drop_hint, farewell, places
from facefusion.automation.processor import EXIT_DONE, EXIT_FAILED, EXIT_NO_FACE, SimpleAutoProcessor
from facefusion.automation.snapshot import Snapshot
from facefusion.automation.statustext import summary_lines
from facefusion.automation.terminal import InstallLines, log_to_terminal, terminal_width
from facefusion.automation.worker import DEFAULT_FACTORY
from facefusion.automation.workspace import printable

LiveView = Callable[[Sequence[str], bool], contextlib.AbstractContextManager[SnapshotCallback]]
"""Opens a live view at the terminal: from hints at its foot, and whether it takes the whole screen."""

_VERDICTS = {
    EXIT_DONE: "Everything is done.",
    EXIT_NO_FACE: "Everything was processed; in some targets no face was found.",
    EXIT_FAILED: "Not everything could be done; see above.",
}
_NOTHING_NEW = (
    "Everything else is done; what stands above without a result is from earlier runs, nothing new."
)


def watch(given: argparse.Namespace, processor: SimpleAutoProcessor) -> int:
    """Watch until stopped, or process once what is there: with a live view at a terminal, else in lines."""
    processor.settings.require_good()
    if given.accept_use_policy is not None:
        from facefusion.trust import policy

        processor.workspace.prepare_state()
        policy.accept(processor.workspace.state_dir, given.accept_use_policy, "command line")
        print(f"Use policy (version {given.accept_use_policy}): accepted.")
        if (pid := holder(processor.workspace.state_dir)) is not None:
            print(f"The daemon that works on this folder (process {pid}) goes on with it.")
            return EXIT_DONE
    _install_models(processor)
    live: LiveView | None = given.live_view if sys.stdout.isatty() else None
    if live is None:
        log_to_terminal()
    run = _run_once if given.once else _run
    status, told = run(processor, live)
    with contextlib.suppress(OSError):  # the terminal may be gone
        for line in (*told, *(f"  {title:<9}{path}" for title, path in places(processor.workspace))):
            print(line, flush=True)
    return status


def _run(processor: SimpleAutoProcessor, live: LiveView | None) -> tuple[int, Iterable[str]]:
    """Exit status, and what is to be said then."""
    seen = _Latest()
    if live is not None:
        with live([drop_hint(processor.workspace), STOP_HINT], True) as show:
            status = processor.run(seen.passed_on(show))
    else:
        told = f"Watching {printable(processor.workspace.inbox)}; Ctrl-C stops."
        status = processor.run(seen, on_ready=lambda: print(told, flush=True))
    return status, [farewell(seen.snapshot)]


def _run_once(processor: SimpleAutoProcessor, live: LiveView | None) -> tuple[int, Iterable[str]]:
    seen = _Latest()
    if live is not None:
        with live(["Stop with Ctrl-C or q."], False) as show:
            status = processor.run_once(seen.passed_on(show))
    else:
        status = processor.run_once(seen)
    assert seen.snapshot is not None
    lines = summary_lines(seen.snapshot, all_files=False, width=terminal_width())
    earlier = status == EXIT_DONE and (seen.snapshot.failed or seen.snapshot.counts.no_face)
    return status, [*lines, _NOTHING_NEW if earlier else _VERDICTS[status]]


class _Latest:
    """Keeps the latest snapshot."""

    def __init__(self) -> None:
        self.snapshot: Snapshot | None = None

    def __call__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot

    def passed_on(self, show: SnapshotCallback) -> SnapshotCallback:
        """Keeps it, and shows it."""

        def see(snapshot: Snapshot) -> None:
            self(snapshot)
            show(snapshot)

        return see


def _install_models(processor: SimpleAutoProcessor) -> None:
    """The first start fetches what the engine needs; a session of another make needs none of it."""
    if processor.options.session_factory == DEFAULT_FACTORY:
        from facefusion.models.manager import ModelManager

        ModelManager(processor.workspace.models_dir).ensure_models_available(
            ["mesh"], on_progress=InstallLines()
        )

"""A snapshot as plain text for a terminal or a log."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import PurePath

from facefusion.automation.snapshot import (
    DaemonState,
    FailureView,
    InboxFile,
    JobView,
    QueueCounts,
    ResultView,
    Snapshot,
)

WIDTH = 100
RESULTS_SHOWN = 5
FILES_SHOWN = 40
QUIET_STATES = frozenset({"done", "ready", "ignored", "vanished"})
"""Files of these states are only counted, unless all are asked for."""

_STATES: dict[DaemonState, str] = {
    "stopped": "no daemon is running",
    "starting": "starting",
    "watching": "watching the inbox, nothing to do",
    "processing": "at work",
    "paused": "paused",
    "stopping": "stopping",
}


def status_lines(snapshot: Snapshot, *, all_files: bool) -> Iterator[str]:
    """The state in a few paragraphs.

    Args:
        snapshot: to be told.
        all_files: list every file, not only those about which there is something to say.
    """
    pid = f" (process {snapshot.daemon_pid})" if snapshot.daemon_pid is not None else ""
    yield f"{snapshot.root}: {_STATES[snapshot.state]}{pid}"
    for trouble in filter(None, (snapshot.paused, snapshot.config_problem, *snapshot.notices)):
        yield from _wrapped("  ! ", trouble)
    yield f"Jobs: {_counts(snapshot.counts)}{_estimate(snapshot)}"
    yield from _section("Running", map(_running, snapshot.running))
    yield from _section("Next", map(_waiting, snapshot.waiting[:RESULTS_SHOWN]))
    yield from _section("Results", map(_result, snapshot.results[:RESULTS_SHOWN]))
    yield from _section("Failures", (line for f in snapshot.failures[:RESULTS_SHOWN] for line in _failure(f)))
    yield from _files(snapshot.files, all_files=all_files)


def duration(seconds: float) -> str:
    """`8 s`, `3 min 20 s`, `2 h 05 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def _counts(counts: QueueCounts) -> str:
    named = {
        "running": counts.running,
        "waiting": counts.queued,
        "blocked": counts.blocked,
        "done": counts.done,
        "without a face": counts.no_face,
        "failed": counts.failed,
        "cancelled": counts.cancelled,
    }
    return ", ".join(f"{number} {name}" for name, number in named.items() if number) or "none yet"


def _estimate(snapshot: Snapshot) -> str:
    if not snapshot.counts.open or snapshot.seconds_left is None:
        return ""
    return f"; about {duration(snapshot.seconds_left)} left"


def _running(job: JobView) -> str:
    text = f"#{job.id} {job.target} with {job.face}: {job.stage}"
    if job.frames_done:
        total = f" of {job.frames_total}" if job.frames_total else ""
        text += f", frame {job.frames_done}{total}"
    if job.frames_per_second:
        text += f", {job.frames_per_second:.1f} frames/s"
    if job.seconds_left is not None and job.stage != "publishing":
        text += f", {duration(job.seconds_left)} left"
    return text + (f" (attempt {job.attempt} of {job.attempts_allowed})" if job.attempt > 1 else "")


def _waiting(job: JobView) -> str:
    text = f"#{job.id} {job.target} with {job.face}"
    return f"{text}: {job.state}{' - ' + job.note if job.note else ''}" if job.note else text


def _result(result: ResultView) -> str:
    if result.output is None:
        return f"#{result.id} {result.target} with {result.face}: no face was found in it"
    rate = result.frames / result.seconds if result.seconds > 0 else 0.0
    text = f"#{result.id} {PurePath(result.output).name}: {result.frames} frames, {rate:.1f} frames/s"
    text += f", {result.engine} on {result.provider}"
    return text + (f"; {len(result.warnings)} remarks in its report" if result.warnings else "")


def _failure(failure: FailureView) -> Iterator[str]:
    yield f"#{failure.id} {failure.target}: {failure.message} [{failure.category}]"
    if failure.remedy:
        yield f"   -> {failure.remedy}"


def _files(files: tuple[InboxFile, ...], *, all_files: bool) -> Iterator[str]:
    states = Counter(file.state for file in files)
    if not files:
        yield "Inbox: empty"
        return
    yield "Inbox: " + ", ".join(f"{number} {state.replace('_', ' ')}" for state, number in states.items())
    shown = [file for file in files if all_files or file.state not in QUIET_STATES]
    shown.sort(key=lambda file: (file.state, file.path))
    limit = len(shown) if all_files else FILES_SHOWN
    for file in shown[:limit]:
        yield from _wrapped("  ", f"{file.state.replace('_', ' '):<10} {file.path}: {file.reason}")
    if len(shown) > limit:
        yield f"  ... and {len(shown) - limit} more; `status --all` lists every file"


def _section(title: str, lines: Iterable[str]) -> Iterator[str]:
    listed = list(lines)
    if listed:
        yield f"{title}:"
        for line in listed:
            yield from _wrapped("  ", line)


def _wrapped(indent: str, text: str) -> list[str]:
    deeper = " " * (len(indent) + 2 + len(text) - len(text.lstrip()))
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=indent,
        subsequent_indent=deeper,
        break_long_words=False,
        drop_whitespace=True,
    ) or [indent.rstrip()]

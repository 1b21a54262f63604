"""A snapshot as plain text for a terminal or a log.

Nothing is said twice: a file whose job stands in one of the lists above is only counted in the last one.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import repeat
from pathlib import Path

from facefusion.automation.catalogue import SAME
from facefusion.automation.kinds import FOREIGN
from facefusion.automation.snapshot import (
    STATE_WORDS,
    DaemonState,
    FailureView,
    InboxFile,
    JobView,
    ResultView,
    Snapshot,
)
from facefusion.automation.workspace import program_dir
from facefusion.wording import POOR_SOURCE, count, duration, near, progress, wrap

SHOWN = 5
FILES_SHOWN = 40
REMARK_WIDTH = 160
SOON_SECONDS = 0.5
"""Less than this is not told as time that is left."""
ALIKE = 3
"""So many files with one reason stand below it, instead of each with the same sentence."""
QUIET_STATES = frozenset({"queued", "running", "done", "ready", "ignored", "vanished"})
"""Files of these states are only counted, unless all are asked for."""

_STATES: dict[DaemonState, str] = {
    "stopped": "no daemon is running",
    "starting": "starting",
    "watching": "watching the inbox, nothing to do",
    "processing": "at work",
    "paused": "paused",
    "stopping": "stopping",
}
STAGES: Mapping[str, str] = {
    "starting": "starting",
    "preparing": "preparing the face",
    "resuming": "looking again at the part that is done",
    "swapping": "",
    "finishing": "writing the file",
    "publishing": "checking and publishing",
}
"""What a running job does; nothing needs to be said where frames are counted."""


def status_lines(snapshot: Snapshot, *, all_files: bool, width: int | None = None) -> Iterator[str]:
    """The state in a few paragraphs.

    Args:
        snapshot: to be told.
        all_files: list every file, not only those about which there is something to say.
        width: of the terminal, in cells; None for one line for each thing, however long.
    """
    pid = f" (process {snapshot.daemon_pid})" if snapshot.daemon_pid is not None else ""
    yield from _rows("", f"{snapshot.root}: {_STATES[snapshot.state]}{pid}", width)
    if how := _how(snapshot):
        yield from _rows("", how, width)
    held = {job.note for job in snapshot.waiting if job.state == "blocked"}
    notices = (notice for notice in snapshot.notices if notice not in held)  # that stands below
    for trouble in filter(None, (snapshot.paused, snapshot.config_problem, *notices)):
        yield from _rows("  ! ", trouble, width)
    if snapshot.state == "stopped" and snapshot.counts.open:
        yield from _rows("  ! ", f"Jobs are waiting: start it with `{_start_command(snapshot.root)}`.", width)
    yield from summary_lines(snapshot, all_files=all_files, width=width)


def summary_lines(snapshot: Snapshot, *, all_files: bool, width: int | None = None) -> Iterator[str]:
    """Jobs and files, without the daemon. See `status_lines`."""
    yield from _rows("", f"Jobs: {_counts(snapshot)}{_estimate(snapshot)}", width)
    queued = [job for job in snapshot.waiting if job.state == "queued"]
    held = [job for job in snapshot.waiting if job.state == "blocked"]
    # Blocked jobs stand in both lists of the snapshot.
    failed = [failure for failure in snapshot.failures if failure.outcome != "blocked"]
    counts = snapshot.counts
    if snapshot.state == "stopped":
        title, entries = "Interrupted; the next start goes on with it", map(_job, snapshot.running)
    else:
        title, entries = "In work", map(_running, snapshot.running)
    yield from _section(title, entries, width)
    yield from _section("Next", map(_job, queued[:SHOWN]), width, counts.queued - SHOWN)
    yield from _held_back(held, counts.blocked, width)
    yield from _section(
        "Failed (`retry` tries all again, `retry NUMBER` one)",
        map(_failure, failed[:SHOWN]),
        width,
        snapshot.failed - SHOWN,
    )
    if snapshot.failures_gone:
        gone = count(snapshot.failures_gone, "failed job")
        whose = "whose file is" if snapshot.failures_gone == 1 else "whose files are"
        yield from _rows("", f"Not counted: {gone} {whose} no longer in the inbox", width)
    latest = snapshot.results[:SHOWN]
    yield from _section(
        f"Latest results in {near(snapshot.outbox)}",
        map(_result, latest, remarks(latest), repeat(Path(snapshot.outbox))),
        width,
        counts.done + counts.no_face - SHOWN,
    )
    told = {
        *(job.id for job in (*snapshot.running, *queued[:SHOWN], *held)),
        *(failure.id for failure in failed[:SHOWN]),
        *(result.id for result in latest),
    }
    yield from _files(snapshot, told, all_files=all_files, width=width)


def _how(snapshot: Snapshot) -> str:
    """What runs: engine, where, profile."""
    engine = f"{snapshot.engine} engine on {snapshot.provider}" if snapshot.engine else ""
    profile = f"profile {snapshot.quality_preset}" if snapshot.quality_preset else ""
    if profile and snapshot.left_out:
        profile += f" without {' and '.join(snapshot.left_out)}"
    return ", ".join(filter(None, (engine, profile)))


def _start_command(root: str) -> str:
    place = "" if root == str(program_dir()) else f" --root {shlex.quote(root)}"
    return f"python3 simple_auto_processor.py{place}"


def _counts(snapshot: Snapshot) -> str:
    counts = snapshot.counts
    named = {
        _in_work(snapshot): counts.running,
        "waiting": counts.queued,
        "held back": counts.blocked,
        "failed": snapshot.failed,
        "done": counts.done,
        "without a face": counts.no_face,
        "cancelled": counts.cancelled,
    }
    return ", ".join(f"{number:,} {name}" for name, number in named.items() if number) or "none yet"


def _in_work(snapshot: Snapshot) -> str:
    """What jobs are that were begun and have not ended."""
    return "interrupted" if snapshot.state == "stopped" else STATE_WORDS["running"]


def _estimate(snapshot: Snapshot) -> str:
    if not snapshot.counts.open or (snapshot.seconds_left or 0.0) < SOON_SECONDS:
        return ""
    return f"; about {duration(snapshot.seconds_left or 0.0)} left"


def _job(job: JobView) -> str:
    going_on = f" (goes on at frame {job.frames_done:,})" if job.frames_done else ""
    again = f" (attempt {job.attempt} of {job.attempts_allowed}: {job.note})" if job.note else ""
    return f"#{job.id} {job.target} with {job.face}{going_on}{again}"


def _held_back(jobs: list[JobView], number: int, width: int | None) -> Iterator[str]:
    """Jobs that wait for one and the same thing stand below one sentence."""
    by_reason: dict[str, list[str]] = {}
    for job in jobs:
        by_reason.setdefault(job.note, []).append(f"#{job.id} {job.target} with {job.face}")
    if len(by_reason) > 1 or not all(by_reason):
        told = (
            f"{name}: {note or 'held back'}" for note, names in by_reason.items() for name in names[:SHOWN]
        )
        yield from _section(
            "Held back", told, width, number - sum(len(n[:SHOWN]) for n in by_reason.values())
        )
        return
    for note, names in by_reason.items():
        yield from _section(f"Held back: {note}", names[:SHOWN], width, number - SHOWN, stop="")


def _running(job: JobView) -> str:
    facts = [STAGES.get(job.stage, job.stage)]
    facts += progress_facts(job)
    if job.attempt > 1:
        facts.append(f"attempt {job.attempt} of {job.attempts_allowed}")
    if job.note:
        facts.append(job.note)
    return f"#{job.id} {job.target} with {job.face}: {', '.join(filter(None, facts))}"


def progress_facts(job: JobView) -> list[str]:
    """How far a running job is: frames, speed, time left; each only where there is something to say."""
    facts = []
    counts = job.stage != "preparing"  # there a number only says that the worker is alive
    if counts and (job.frames_done or job.frames_total):
        facts.append(progress(job.frames_done, job.frames_total, "frame"))
    if job.frames_per_second:
        facts.append(f"{job.frames_per_second:.{1 if job.frames_per_second < 10 else 0}f} frames/s")
    if job.seconds_left and job.seconds_left >= SOON_SECONDS:
        facts.append(f"{duration(job.seconds_left)} left")
    return facts


def _result(result: ResultView, remark: str, outbox: Path) -> str:
    if result.output is None:
        return f"#{result.id} {result.target} with {result.face}: no face in it, so there is no result"
    what = count(result.frames, "frame") if result.frames > 1 else "photo"
    told = f"#{result.id} {near(result.output, outbox)}: {what} in {duration(result.seconds)}"
    return "\n".join(filter(None, [told, remark]))


def remarks(results: Iterable[ResultView]) -> list[str]:
    """What was done differently from what was asked, of each result: the first sentence, how many others.

    What is said of the source face is said with its first result alone. Without a result there is nothing
    that it could be about.
    """
    told: set[tuple[str, str]] = set()
    found = []
    for result in results:
        known = {about for about in result.about_face if (result.face, about) in told}
        news = [warning for warning in result.warnings if warning not in known]
        if result.output is None or not news:
            found.append("")
            continue
        told.add((result.face, news[0]))
        others = len(news) - 1
        more = f" (and {count(others, 'more remark')} in its report)" if others else ""
        first, *rest = wrap(news[0], REMARK_WIDTH)
        found.append(f"Remark: {first}{' ...' if rest else ''}{more}")
    return found


def _failure(failure: FailureView) -> str:
    face = f" with {failure.face}" if failure.face else ""  # of a file that is refused there is none
    told = f"#{failure.id} {failure.target}{face}: {failure.message}"
    return f"{told}\n-> {failure.remedy}" if failure.remedy else told


def _files(snapshot: Snapshot, told: set[str], *, all_files: bool, width: int | None) -> Iterator[str]:
    files = snapshot.files
    if not files:
        yield "Inbox: empty"
        return
    states: Counter[str] = Counter(file.state for file in files)
    known_as = {**STATE_WORDS, "running": _in_work(snapshot)}
    counted = [f"{states[state]:,} {words}" for state, words in known_as.items() if states[state]]
    if states["ready"]:
        counted.insert(0, count(states["ready"], "face picture"))
    yield from _rows("", f"Inbox: {', '.join(counted)}", width)
    if not all_files:
        yield from _foreign([file for file in files if file.reason.startswith(FOREIGN)], width)
        yield from _known([file for file in files if file.reason.startswith(SAME)], width)
    shown = [
        file
        for file in files
        if all_files
        or file.reason.startswith(POOR_SOURCE)
        or (file.state not in QUIET_STATES and told.isdisjoint(file.jobs))
    ]
    order = list(STATE_WORDS)
    shown.sort(key=lambda file: (order.index(file.state) if file.state in order else len(order), file.path))
    limit = len(shown) if all_files else FILES_SHOWN
    by_reason: dict[str, list[str]] = {}
    for file in shown[:limit]:
        by_reason.setdefault(_why(file), []).append(file.path)
    for reason, paths in by_reason.items():
        if len(paths) < ALIKE:
            for path in paths:
                yield from _rows("  ", f"{path}: {reason}", width)
        else:
            yield from _rows("  ", f"{count(len(paths), 'file')}: {_of_each(reason)}", width)
            for path in paths:
                yield from _rows("      ", path, width)
    if len(shown) > limit:
        yield from _rows("  ", f"and {len(shown) - limit:,} more; `status --all` lists every file", width)


def _of_each(reason: str) -> str:
    """A reason that was worded for one file, above several."""
    reason = reason.replace("new: ", "new, ")  # one colon in a sentence is enough
    return reason.replace("Move it into", "Move each into").replace("begin its name", "begin each name")


def _foreign(files: list[InboxFile], width: int | None) -> Iterator[str]:
    """Dropped files that nothing can be made of: somebody may wait for them."""
    if not files:
        return
    names = sorted(file.path for file in files)[:ALIKE]
    more = len(files) - len(names)
    others = f" and {more:,} more (`status --all` lists them)" if more else ""
    yield from _rows("  ", f"ignored, {FOREIGN}: {', '.join(names)}{others}", width)


def _known(files: list[InboxFile], width: int | None) -> Iterator[str]:
    """Files whose content has a job under another name: the latest, each with its result."""
    quiet = [file for file in files if file.state in QUIET_STATES]  # the others are listed anyway
    for file in quiet[-SHOWN:]:
        yield from _rows("  ", f"{file.path}: {file.reason}", width)
    if len(quiet) > SHOWN:
        more = count(len(quiet) - SHOWN, "more file")
        yield from _rows("  ", f"{more} with the content of others (`status --all` lists them)", width)


def _why(file: InboxFile) -> str:
    # The other reasons say themselves what the state is.
    return f"{file.state}: {file.reason}" if file.state in ("refused", "ignored") else file.reason


def _section(
    title: str, entries: Iterable[str], width: int | None, more: int = 0, stop: str = ":"
) -> Iterator[str]:
    texts = list(entries)
    if not texts:
        return
    yield from _rows("", f"{title}{stop}", width)
    for text in texts:
        first, *others = text.split("\n")
        yield from _rows("  ", first, width)
        for other in others:
            yield from _rows("      ", other, width)
    if more > 0:
        yield f"  and {more:,} more"


def _rows(indent: str, text: str, width: int | None) -> Iterator[str]:
    """The text in rows that begin with the indent; further rows are indented deeper."""
    if width is None:
        yield indent + text
        return
    deeper = " " * len(indent) + "    " * bool(indent)
    for number, row in enumerate(wrap(text, max(20, width - len(deeper)))):
        yield (deeper if number else indent) + row

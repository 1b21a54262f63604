"""The live picture of a working daemon, drawn from one `Snapshot`."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.text import Text

from facefusion.automation.kinds import FOREIGN
from facefusion.automation.snapshot import (
    FailureView,
    InboxFile,
    JobView,
    RepeatView,
    ResultView,
    Snapshot,
)
from facefusion.automation.statustext import SOON_SECONDS, STAGES, progress_facts, remarks
from facefusion.launcher.text import near, safe
from facefusion.wording import count, cut, duration, listed, wrap

SOFT = "grey58"
LONG_START_SECONDS = 4.0
ROOMY_WIDTH = 100
FACTS_WIDTH, SPEED_WIDTH = 41, 14
"""Of a row of the latest results: all but number and name; the speed, which only a wide screen shows."""
RESULTS_LEAST = 3
WRAPPED_HEIGHT = 20
"""A screen with fewer rows than this shows the beginning of each hint."""
FACES_NAMED = 5
IGNORED_NAMED = 3
REPEATS_SHOWN = 3
MOST_ROWS = 100
"""No screen has more rows; the inbox may hold far more files."""
EMPTY = "Drop a picture of a face and a video; what happens with them is shown here."
STATE_STYLES = {
    "watching": ("green", "watching the inbox"),
    "processing": ("cyan", "working"),
    "paused": ("yellow", "paused"),
    "starting": ("cyan", "starting"),
    "stopping": ("yellow", "stopping: finishing what can be kept"),
    "stopped": ("grey58", "stopped"),
}


@dataclass(frozen=True)
class Section:
    """A titled part of the picture, one line of text to a row of the screen.

    Attributes:
        least: rows that it keeps even where space is short.
        minor: places of lines that are left out before any other.
    """

    title: str
    lines: Sequence[Text]
    least: int = 2
    minor: frozenset[int] = frozenset()

    def first(self, amount: int) -> Sequence[Text]:
        """So many lines, minor ones only where all others have room."""
        spare = max(0, amount - (len(self.lines) - len(self.minor)))
        kept = set(sorted(self.minor)[:spare])
        lines = [line for place, line in enumerate(self.lines) if place not in self.minor - kept]
        return lines[:amount]


class Dashboard:
    """A rich renderable that always shows the latest snapshot.

    Args:
        hints: lines at the foot: where to drop files, how to stop.
        full_screen: fill the height of the screen, with the hints at its foot.
    """

    def __init__(self, hints: Sequence[str], *, full_screen: bool) -> None:
        self.snapshot: Snapshot | None = None
        self._hints = hints
        self._full_screen = full_screen

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = options.max_width
        height = console.size.height - 1
        if self.snapshot is None:
            yield Text("Starting ...", style=SOFT)
            return
        head = self._head(self.snapshot, width)[: max(2, height // 3)]
        foot = list(_foot(self._hints, width, height))
        sections = [section for section in self._sections(self.snapshot, width) if section.lines]
        if not sections and self.snapshot.state == "watching":
            sections = [Section("Nothing to do yet", [Text(f"  {EMPTY}", style=SOFT)])]
        room = height - len(head) - len(foot) - 1
        body = list(_fit(sections, room))
        if self._full_screen:
            body += [Text("")] * (room - len(body))
        yield Group(*head, *body, Text(""), *foot)

    def _head(self, snapshot: Snapshot, width: int) -> list[Text]:
        colour, words = STATE_STYLES[snapshot.state]
        line = Text(no_wrap=True, overflow="ellipsis")
        line.append(" FaceFusion ", style="bold reverse")
        line.append("  ● ", style=colour).append(words, style=f"bold {colour}")
        facts, between = "", "   "
        narrow = width < ROOMY_WIDTH
        for fact in map(safe, _facts(snapshot, narrow)):  # there may be no room for the last ones
            if cell_len(facts + between + fact) <= width - line.cell_len:
                facts, between = facts + between + fact, " · " if narrow else "  ·  "
        line.append(facts, style=SOFT)
        lines = [line, Text("─" * width, style="grey30")]
        if told := "  ·  ".join(map(safe, _means(snapshot))):
            lines.append(Text("  " + told, style=SOFT, no_wrap=True, overflow="ellipsis"))
        for trouble in (snapshot.paused, snapshot.config_problem):
            if trouble:
                lines += [
                    Text("  ! " + row if first else "    " + row, style="yellow")
                    for first, row in _rows(trouble, width - 4)
                ]
        held = {job.note for job in snapshot.waiting}
        for notice in [notice for notice in snapshot.notices if notice not in held][:3]:
            lines += [Text("  " + row, style=SOFT) for _, row in _rows(notice, width - 3)]
        return lines

    def _sections(self, snapshot: Snapshot, width: int) -> Iterable[Section]:
        outbox = Path(snapshot.outbox)
        running = [line for job in snapshot.running for line in job_lines(job, width)]
        yield Section("In work", running, least=2)
        yield Section(_queue_title(snapshot), queue_lines(snapshot.waiting, width), least=1)
        waiting = [entry for entry in snapshot.files if entry.state in ("waiting", "preparing")]
        yield Section("Waiting in the inbox", waiting_lines(waiting, width), least=2)
        failed = [failure for failure in snapshot.failures if failure.outcome != "blocked"]
        told = {failure.id for failure in failed}
        refused = [e for e in snapshot.files if e.state == "refused" and told.isdisjoint(e.jobs)]
        yield Section("Refused", waiting_lines(refused, width), least=2)
        held = [job for job in snapshot.waiting if job.state == "blocked"]
        yield Section("Held back", held_lines(held, width), least=2)
        ignored = [entry for entry in snapshot.files if entry.state == "ignored" and entry.stuck]
        yield Section("Ignored", ignored_lines(ignored, width), least=1)
        rows, minor = result_lines(snapshot.results, snapshot.repeats, outbox, width)
        yield Section(f"Latest results in {near(outbox)}", rows, RESULTS_LEAST, minor)
        failures = [failure_lines(failure, width) for failure in failed]
        least = len(failures[0]) if failures else 0  # what happened is of little use without what helps
        yield Section("Latest failures", [row for rows in failures for row in rows], least)


def _facts(snapshot: Snapshot, narrow: bool) -> Iterable[str]:
    """The headline, first what somebody may have to see to; in fewer words for a narrow screen."""
    counts = snapshot.counts
    if snapshot.failed:
        yield f"{snapshot.failed:,} failed"
    if counts.blocked:
        yield f"{counts.blocked:,} held back"
    if snapshot.seconds_left is not None and snapshot.seconds_left >= SOON_SECONDS and counts.open:
        yield f"{'' if narrow else 'about '}{duration(snapshot.seconds_left)} left"
    yield count(counts.done, "result")
    if counts.no_face:
        yield f"{counts.no_face:,} {'no' if narrow else 'without a'} face"


def _foot(hints: Sequence[str], width: int, height: int) -> Iterable[Text]:
    """The hints, whole where the screen has rows for that."""
    for hint in hints:
        for row in wrap(hint, width) if height >= WRAPPED_HEIGHT else [hint]:
            yield Text(row, style=SOFT, no_wrap=True, overflow="ellipsis")


def _means(snapshot: Snapshot) -> Iterable[str]:
    """What the work is done with."""
    if snapshot.engine:
        yield f"{snapshot.engine} engine"
    if faces := ready_faces(snapshot.files):
        yield f"faces: {listed(faces, FACES_NAMED)}"
    if snapshot.quality_preset:
        without = f" without {listed(snapshot.left_out)}" if snapshot.left_out else ""
        yield f"profile {snapshot.quality_preset}{without}"


def ready_faces(files: Sequence[InboxFile]) -> list[str]:
    """Names of the faces that can be used, in order; a folder of pictures is one face."""
    ready = (Path(entry.path) for entry in files if entry.kind == "face" and entry.state == "ready")
    return sorted({safe(path.parts[1] if len(path.parts) > 2 else path.stem) for path in ready})


def job_lines(job: JobView, width: int) -> list[Text]:
    """Two rows of a running job: what, and how far."""
    tail = Text("  with ", style=SOFT).append(
        cut(safe(job.face), max(8, min(24, width // 4))), style="default"
    )
    stage = STAGES.get(job.stage, job.stage)
    if job.stage == "starting" and job.seconds > LONG_START_SECONDS:
        stage += " (the very first start takes longer)"
    if stage:
        tail.append(f"   {stage}", style=SOFT)
    if job.attempt > 1:
        tail.append(f"   attempt {job.attempt} of {job.attempts_allowed}", style="yellow")
    room = max(12, width - 2 - tail.cell_len)
    number = f"#{job.id} "
    head = Text("  ").append(number, style=SOFT)
    head.append(cut(near(job.target), max(12, room - len(number))), style="bold").append_text(tail)
    facts = progress_facts(job)
    if job.seconds_left is None and job.seconds > 0:
        facts.append(f"{duration(job.seconds)} so far")
    share = min(1.0, job.frames_done / job.frames_total) if job.frames_total else None
    told = "   ".join(facts)
    row = Text("  ").append_text(bar(share, max(10, min(40, width - cell_len(told) - 14))))
    row.append(f" {share:4.0%}   " if share is not None else "        ", style="bold")
    row.append(told, style=SOFT)
    return [head, row]


def bar(share: float | None, width: int) -> Text:
    """A bar of `width` cells; without a share it is an empty track."""
    filled = 0.0 if share is None else share * width
    whole = int(filled)
    text = Text("━" * whole, style="cyan")
    if whole < width:
        text.append(
            "╸" if filled - whole >= 0.5 else "─", style="cyan" if filled - whole >= 0.5 else "grey30"
        )
        text.append("─" * (width - whole - 1), style="grey30")
    return text


def queue_lines(waiting: Sequence[JobView], width: int) -> list[Text]:
    """One row for each face in the queue's order, with the targets that will get it."""
    lines = []
    queued = [job for job in waiting if job.state == "queued"]
    for face, jobs in groupby(queued, key=lambda job: job.face):
        targets = [f"#{job.id} {near(job.target)}" for job in jobs]
        name = cut(safe(face), 18)
        line = Text("  ").append(f"{name:<18}  ")
        told, room = "", width - 40
        shown = 0
        for target in targets:
            piece = (", " if told else "") + cut(target, max(12, room))
            if told and cell_len(told + piece) > room:
                break
            told += piece
            shown += 1
        line.append(told, style=SOFT)
        if shown < len(targets):
            line.append(f" and {len(targets) - shown} more", style=SOFT)
        lines.append(line)
    return lines


def waiting_lines(files: Sequence[InboxFile], width: int) -> list[Text]:
    """Files that are not in the queue, each with what it waits for or why it is refused."""
    names = [cut(safe(entry.path), max(16, width // 3)) for entry in files[:MOST_ROWS]]
    column = max(map(cell_len, names), default=0)
    lines = []
    for name, entry in zip(names, files, strict=False):
        for first, row in _rows(entry.reason, width - column - 5):
            line = Text("  ").append(set_cell_size(name if first else "", column))
            line.append("  " + row, style="yellow" if entry.state == "refused" else SOFT)
            lines.append(line)
    return lines


def held_lines(held: Sequence[JobView], width: int) -> list[Text]:
    """Jobs that are held back; those that wait for one and the same thing stand above one sentence."""
    by_note: dict[str, list[str]] = {}
    for job in held:
        by_note.setdefault(job.note or "held back", []).append(f"#{job.id} {near(job.target)}")
    lines = []
    for note, names in by_note.items():
        lines.append(Text("  ").append(cut(listed(names), width - 3)))
        lines += [Text("      " + row, style="yellow") for _, row in _rows(note, width - 7)]
    return lines


def ignored_lines(files: Sequence[InboxFile], width: int) -> list[Text]:
    """Files that nothing can be made of, in one row: somebody may wait for them."""
    if not files:
        return []
    told = listed([safe(entry.path) for entry in files], IGNORED_NAMED)
    return [Text("  ").append(cut(told, max(16, width - 36))).append(f"  {FOREIGN}", style=SOFT)]


def result_lines(
    results: Sequence[ResultView], repeats: Sequence[RepeatView], outbox: Path, width: int
) -> tuple[list[Text], frozenset[int]]:
    """Finished jobs, one row each, and below it what is to be remarked about it.

    Between them, in one row each, what was dropped last with content that is known.

    Returns:
        The rows, and the places of the remarks among them.
    """
    digits = max((len(result.id) for result in results), default=0)
    room = width - digits - 2 - (FACTS_WIDTH if width < ROOMY_WIDTH else FACTS_WIDTH + SPEED_WIDTH)
    names = [cut(_name(result, outbox), max(16, room)) for result in results]
    column = max(map(cell_len, names), default=0)
    entries = [(repeat.at, [_repeat_line(repeat)]) for repeat in repeats[:REPEATS_SHOWN]]
    for result, name, remark in zip(results, names, remarks(results), strict=True):
        label = f"{'#' + result.id:<{digits + 1}} "
        lines = [_result_line(result, label, set_cell_size(name, column), width)]
        if remark:
            lines += [Text("          " + row, style=SOFT) for _, row in _rows(remark, width - 12)]
        entries.append((result.finished_at, lines))
    entries.sort(key=lambda entry: -entry[0])
    rows: list[Text] = []
    minor: set[int] = set()
    for _, lines in entries:
        minor |= set(range(len(rows) + 1, len(rows) + len(lines)))
        rows += lines
    return rows, frozenset(minor)


def _repeat_line(repeat: RepeatView) -> Text:
    line = Text(f"  {_clock(repeat.at)}  ", style=SOFT)
    return line.append("= ", style="green").append(safe(repeat.told), style=SOFT)


def _name(result: ResultView, outbox: Path) -> str:
    return near(result.target) if result.output is None else near(result.output, outbox)


def _result_line(result: ResultView, label: str, name: str, width: int) -> Text:
    line = Text(f"  {_clock(result.finished_at)}  ", style=SOFT)
    if result.output is None:
        line.append("○ ", style="yellow").append(label, style=SOFT).append(name, style="default")
        return line.append("  no face in it, so no result", style=SOFT)
    line.append("✓ ", style="green").append(label, style=SOFT).append(name, style="default")
    facts = [f"{count(result.frames, 'frame') if result.frames > 1 else 'photo':>12}"]
    facts.append(f"{duration(result.seconds):>8}")
    if width >= ROOMY_WIDTH and result.frames > 1 and result.seconds > 0:
        facts.append(f"{result.frames / result.seconds:5.0f} frames/s")
    return line.append("  " + "  ".join(facts), style=SOFT)


def failure_lines(failure: FailureView, width: int) -> list[Text]:
    """One failed job: what happened, and in the next row what helps."""
    line = Text(f"  {_clock(failure.finished_at)}  ", style=SOFT)
    line.append("✗ ", style="red").append(f"#{failure.id} {cut(near(failure.target), max(16, width // 2))}")
    lines = [line]
    lines += [Text("          " + row) for _, row in _rows(failure.message, width - 12)]
    lines += [
        Text("        → " + row if first else "          " + row, style=SOFT)
        for first, row in _rows(failure.remedy, width - 12)
    ]
    return lines


def _queue_title(snapshot: Snapshot) -> str:
    return f"Next: {count(snapshot.counts.queued, 'job')}, face by face"


def _fit(sections: Sequence[Section], room: int) -> Iterable[Text]:
    """Give every section one row, then its least, then all in turn; what does not fit is counted.

    Where even the least is too much, the empty rows between sections go first.
    """
    roomy = room >= sum(2 + min(section.least, len(section.lines)) for section in sections)
    granted = [1] * len(sections)
    left = room - (3 if roomy else 2) * len(sections)
    for wanted in ([section.least for section in sections], [len(section.lines) for section in sections]):
        growing = True
        while left > 0 and growing:
            growing = False
            for index, section in enumerate(sections):
                if left > 0 and granted[index] < min(wanted[index], len(section.lines)):
                    granted[index] += 1
                    left -= 1
                    growing = True
    rows: list[Text] = []
    for section, amount in zip(sections, granted, strict=True):
        hidden = len(section.lines) - amount
        title = Text(section.title, style="bold")
        if hidden:
            title.append(f"   ({hidden} more {'row' if hidden == 1 else 'rows'})", style=SOFT)
        rows += [Text("")] * roomy + [title, *section.first(amount)]
    for row in rows:
        row.no_wrap, row.overflow = True, "ellipsis"
    return rows[: max(room, 0)]


def _rows(text: str, width: int) -> Iterable[tuple[bool, str]]:
    """Words wrapped to rows; says of each whether it is the first."""
    return [(index == 0, row) for index, row in enumerate(wrap(safe(text), max(20, width)))]


def _clock(seconds: float) -> str:
    return time.strftime("%H:%M", time.localtime(seconds))

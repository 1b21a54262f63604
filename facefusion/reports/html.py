"""`report.html`: usage and errors as one page that needs no other file, no script and no network.

Names of faces and files come from whoever dropped them. Every text goes through `html.escape`, links are
percent-encoded, and the page's own content policy forbids scripts and requests altogether.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from html import escape
from pathlib import Path
from urllib.parse import quote

from facefusion.reports.charts import jobs_by_day, since_first_work, speed_by_day
from facefusion.reports.error_analysis import ErrorReport
from facefusion.reports.style import STYLE
from facefusion.reports.usage import LatestJob, Share, Stage, UsageReport
from facefusion.wording import count, duration

STAGE_COLOURS = 6


def render_report(usage: UsageReport, errors: ErrorReport, *, beside: Path) -> str:
    """The whole page.

    Args:
        usage: figures of the period.
        errors: failures of the same period.
        beside: folder in which the page will lie; results in its outbox are linked relative to it.
    """
    period = "today" if usage.days == 1 else f"the last {usage.days} days"
    days = since_first_work(usage.per_day)
    sections = [
        *_figures(usage),
        jobs_by_day(days, usage.days),
        f'<div class="c6 column">{_categories(errors)}{speed_by_day(days)}</div>',
        _stages(usage.stages),
        _shares("Faces", "Jobs for each source face", usage.faces),
        _shares("Formats", "What was dropped", usage.formats),
        _shares(
            "Engines and profiles",
            "What really ran",
            [*_named(usage.engines, "{} engine"), *_named(usage.profiles, "profile {}")],
        ),
        _latest_results(usage.latest_results, beside),
        _latest_failures(usage.latest_failures),
    ]
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Face swaps: {period}</title>
<style>{STYLE}</style>
</head>
<body>
<main>
<header><h1>Face swaps, {period}</h1><p>Written {escape(_moment(usage.generated_at))}</p></header>
<div class="grid">
{"".join(sections) if usage.jobs else _empty()}
</div>
<footer>Times are local to this computer. The same figures for programs: usage.json and errors.json.</footer>
</main>
</body>
</html>
"""


def _figures(usage: UsageReport) -> list[str]:
    rate = usage.frames_per_second
    average = usage.average_seconds
    amount, unit = _short_time(average) if average is not None else ("–", "")
    other = [
        f"{number:,} {word}"
        for number, word in (
            (usage.no_face, "without a face"),
            (usage.failed, "failed"),
            (usage.blocked, "held back"),
            (usage.cancelled, "cancelled"),
        )
        if number
    ]
    return [
        _success(usage),
        _figure("Results", f"{usage.done:,}", "", ", ".join(other) or "nothing failed"),
        _figure(
            "Video speed",
            "–" if rate is None else f"{rate:,.{1 if rate < 10 else 0}f}",
            "frames/s",
            f"{count(usage.frames, 'frame')} written",
        ),
        _figure("Time for one result", amount, unit, f"{duration(usage.work_seconds)} of work in all"),
    ]


def _success(usage: UsageReport) -> str:
    rate = usage.success_rate or 0.0
    around = 2 * math.pi * 40
    # 99.6 % is not "100 %": rounding must not hide the one that failed.
    percent = "–" if usage.success_rate is None else f"{math.floor(100 * rate + 1e-9)}%"
    narrow = ' style="font-size:21px"' if rate == 1 else ""
    tried = usage.jobs - usage.cancelled
    what = f"{usage.done:,} of {count(tried, 'job')}"
    if usage.no_face:
        nobody = "shows no face" if usage.no_face == 1 else "show no face"
        what += f" have a result; {usage.no_face:,} {nobody}, which is no failure"
    return f"""<section class="card c3 figure rate">
<svg viewBox="0 0 100 100" role="img" aria-label="Success rate {percent}">
<circle class="ring ring-track" cx="50" cy="50" r="40"/>
<circle class="ring ring-done" cx="50" cy="50" r="40" stroke-dasharray="{around * rate:.2f} {around:.2f}"
 transform="rotate(-90 50 50)"{' stroke-linecap="round"' if 0 < rate < 0.97 else ""}/>
<text class="big" x="50" y="58" text-anchor="middle"{narrow}>{percent}</text></svg>
<div><div class="name">Success</div><div class="more">{what}</div></div>
</section>
"""


def _figure(name: str, value: str, unit: str, more: str) -> str:
    return f"""<section class="card c3 figure"><div class="name">{name}</div>
<div class="value">{value}<small>{unit}</small></div><div class="more">{more}</div></section>
"""


def _categories(errors: ErrorReport) -> str:
    if not errors.total:
        body = '<p class="well"><b>✓</b>Nothing failed in this time.</p>'
    else:
        body = "".join(
            f'<div class="remedy"><span class="count">{entry.count:,}</span>'
            f"<strong>{escape(entry.label)}</strong>"
            f"{''.join(f'<p>{_prose(remedy)}</p>' for remedy in entry.remedies)}</div>"
            for entry in errors.categories
        )
        body = f'<div class="remedies">{body}</div>'
    told = f"{count(errors.total, 'failure')} by category"
    return f"""<section class="card"><h2>What failed, and what helps</h2>
<p class="hint">{told if errors.total else "Failures by category"}</p>
{body}</section>
"""


def _stages(stages: Sequence[Stage]) -> str:
    if not stages:
        body = '<p class="nothing">No timings yet.</p>'
    else:
        shown = _merge_small(stages)
        stack = "".join(
            f'<b style="flex:{stage.share:.4f};background:var(--s{index})"'
            f' title="{escape(_words(stage.stage))} {_percent(stage.share)}"></b>'
            for index, stage in enumerate(shown)
        )
        lines = "".join(
            f'<div><i style="background:var(--s{index})"></i><span>{escape(_words(stage.stage))}</span>'
            f"<em>{duration(stage.seconds)}</em><em>{_percent(stage.share)}</em></div>"
            for index, stage in enumerate(shown)
        )
        body = f'<div class="stack">{stack}</div><div class="stages">{lines}</div>'
    return f"""<section class="card c6"><h2>Where the time goes</h2>
<p class="hint">Time by stage; stages that run side by side each count in full</p>{body}</section>
"""


def _merge_small(stages: Sequence[Stage]) -> list[Stage]:
    shown = list(stages[: STAGE_COLOURS - 1])
    rest = stages[STAGE_COLOURS - 1 :]
    if len(rest) == 1:
        shown.append(rest[0])
    elif rest:
        shown.append(Stage("everything else", sum(s.seconds for s in rest), sum(s.share for s in rest)))
    return shown


def _shares(title: str, hint: str, shares: Iterable[Share]) -> str:
    entries = list(shares)
    most = max((entry.jobs for entry in entries), default=1)
    body = "".join(
        f'<div class="bar"><div class="row"><span title="{escape(entry.name)}">{escape(entry.name)}</span>'
        f"<span>{count(entry.jobs, 'job')}</span></div>"
        f'<div class="lane"><b style="width:{100 * entry.jobs / most:.1f}%"></b></div></div>'
        for entry in entries
    )
    return f"""<section class="card c4"><h2>{title}</h2><p class="hint">{hint}</p>
<div class="bars">{body}</div></section>
"""


def _named(shares: Iterable[Share], words: str) -> list[Share]:
    return [replace(share, name=words.format(share.name)) for share in shares]


def _latest_results(jobs: Sequence[LatestJob], beside: Path) -> str:
    if not jobs:
        return ""
    rows = "".join(
        f'<tr><td class="when">{_moment(job.finished_at)}</td><td class="name">{_linked(job, beside)}</td>'
        f'<td class="name">{_breakable(job.face)}</td><td>{_chip(job)}{_remarks(job, beside)}</td>'
        f'<td class="number">{_amount(job)}</td>'
        f'<td class="number">{duration(job.seconds)}</td></tr>'
        for job in jobs
    )
    return f"""<section class="card"><h2>Latest results</h2><p class="hint">Newest first</p>
<div class="scroll"><table><tr><th>Finished</th><th>Result</th><th>Face</th><th>Outcome</th>
<th class="number">Frames</th><th class="number">Time</th></tr>{rows}</table></div></section>
"""


def _amount(job: LatestJob) -> str:
    """Frames of a video; their unit is shown where the table has no head."""
    if job.kind == "photo":
        return "photo"
    number, unit = count(job.frames, "frame").split()
    return f'{number}<span class="unit"> {unit}</span>'


def _latest_failures(jobs: Sequence[LatestJob]) -> str:
    if not jobs:
        return ""
    rows = "".join(
        f'<tr><td class="when">{_moment(job.finished_at)}</td><td class="name">{_breakable(job.target)}</td>'
        f'<td class="name">{_breakable(job.face)}</td><td>{_chip(job)}</td>'
        f"<td>{_prose(job.message or '')}<p>{_prose(job.remedy or '')}</p></td></tr>"
        for job in jobs
    )
    return f"""<section class="card"><h2>Latest failures</h2><p class="hint">Each with what helps</p>
<div class="scroll"><table><tr><th>Finished</th><th>File</th><th>Face</th><th>Category</th>
<th>What happened</th></tr>
{rows}</table></div></section>
"""


def _empty() -> str:
    return """<section class="card"><h2>No jobs yet</h2>
<p class="nothing">Drop a picture of a face into inbox/faces and a video into inbox/videos.
This page fills itself with what happens then.</p></section>
"""


def _linked(job: LatestJob, beside: Path) -> str:
    if job.output is None:
        return _breakable(job.target)
    return _link(Path(job.output), Path(job.output).name, beside)


def _remarks(job: LatestJob, beside: Path) -> str:
    """How many remarks the report of a result holds, linked to it."""
    if not job.warnings or job.output is None:
        return ""
    report = Path(job.output).with_suffix(".json")
    return f' <span class="remarks">{_link(report, count(job.warnings, "remark"), beside)}</span>'


def _link(path: Path, shown: str, beside: Path) -> str:
    if path.is_relative_to(beside.parent):
        address = quote(Path(os.path.relpath(path, beside)).as_posix())
    elif path.is_absolute() and path.exists():  # in an outbox that the settings named before
        address = path.as_uri()
    else:
        return _breakable(shown)
    return f'<a href="{escape(address)}">{_breakable(shown)}</a>'


def _breakable(name: str) -> str:
    """A name that may be broken where its parts end, and not within a word."""
    return re.sub(r"([_\-]+)(?=\w)", r"\1<wbr>", escape(name))


def _chip(job: LatestJob) -> str:
    words = {"done": "done", "no_face": "no face"}.get(job.outcome) or job.label or job.outcome
    return f'<span class="chip {escape(job.outcome)}">{escape(words)}</span>'


def _prose(text: str) -> str:
    """A sentence of the program, its `code` marks set as code."""
    pieces = escape(text).split("`")
    if len(pieces) % 2 == 0:  # an unpaired mark: leave the text as it is
        return escape(text)
    return "".join(f"<code>{piece}</code>" if index % 2 else piece for index, piece in enumerate(pieces))


def _words(stage: str) -> str:
    return stage.replace("_", " ").capitalize()


def _percent(share: float) -> str:
    return "< 1%" if 0 < share < 0.005 else f"{share:.0%}"


def _short_time(seconds: float) -> tuple[str, str]:
    """A length of time as one number and its unit, for large print."""
    if seconds < 100:
        return f"{seconds:.1f}", "s"
    if seconds < 6000:
        return f"{seconds / 60:.1f}", "min"
    return f"{seconds / 3600:,.1f}", "h"


def _moment(iso: str) -> str:
    """ISO time as the computer's own date and time of day."""
    local = datetime.fromisoformat(iso).astimezone()
    return f"{local.day} {local:%b, %H:%M}"

"""The two charts of `report.html`: jobs by day as bars, speed by day as a line. SVG without scripts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date

from facefusion.reports.usage import Day
from facefusion.wording import count

CHART_WIDTH, CHART_HEIGHT = 1060, 230
PLOT_LEFT, PLOT_TOP, PLOT_BOTTOM = 34, 18, 204
LEAST_DAYS = 14


def since_first_work(days: Sequence[Day]) -> Sequence[Day]:
    """Without the empty days of a young installation, but never less than a fortnight."""
    first = next((index for index, day in enumerate(days) if day.done + day.no_face + day.failed), 0)
    return days[max(0, min(first, len(days) - LEAST_DAYS)) :]


def jobs_by_day(days: Sequence[Day], period: int) -> str:
    """Jobs of each day as a stacked bar, in a card across the page.

    Args:
        days: to be shown.
        period: how many days the page is about; those before the shown ones are empty.
    """
    lead = f"The last {len(days)} days, as nothing was done before; up" if len(days) < period else "Up"
    frames = count(max((day.frames for day in days), default=0), "frame")
    return f"""<section class="card"><div class="head"><div><h2>Jobs by day</h2>
<p class="hint">{lead} to {frames} in a day; point at a bar for its figures</p></div>
<div class="legend"><span><i style="background:var(--done)"></i>Done</span>
<span><i style="background:var(--none)"></i>No face in the target</span>
<span><i style="background:var(--failed)"></i>Failed</span></div></div>
{_bars(days)}</section>
"""


def _bars(days: Sequence[Day]) -> str:
    top, step = _scale(max((day.done + day.no_face + day.failed for day in days), default=0))
    height = PLOT_BOTTOM - PLOT_TOP
    slot = (CHART_WIDTH - PLOT_LEFT) / len(days)
    width = min(slot * 0.68, 44.0)
    parts = []
    for value in range(0, top + 1, step):
        y = PLOT_BOTTOM - height * value / top
        parts.append(
            f'<line class="grid-line" x1="{PLOT_LEFT}" x2="{CHART_WIDTH}" y1="{y:.1f}" y2="{y:.1f}"/>'
        )
        parts.append(f'<text x="{PLOT_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value:,}</text>')
    every = max(1, math.ceil(len(days) / 10))
    for index, day in enumerate(days):
        left = PLOT_LEFT + slot * index + (slot - width) / 2
        bottom = float(PLOT_BOTTOM)
        stacked = [
            (kind, number)
            for kind, number in (("done", day.done), ("none", day.no_face), ("failed", day.failed))
            if number
        ]
        for kind, number in stacked:
            tall = height * number / top
            bottom -= tall
            is_top = kind == stacked[-1][0]
            parts.append(_column(left, bottom, width, tall, kind, is_top))
        if (len(days) - 1 - index) % every == 0:
            middle = left + width / 2
            anchor = "end" if index == len(days) - 1 and len(days) > 10 else "middle"
            at = left + width if anchor == "end" else middle
            parts.append(
                f'<text x="{at:.1f}" y="{PLOT_BOTTOM + 20}" text-anchor="{anchor}">{_day(day.day)}</text>'
            )
        if stacked:
            parts.append(
                f'<text class="sum" x="{left + width / 2:.1f}" y="{bottom - 5:.1f}" text-anchor="middle">'
                f"{sum(number for _, number in stacked):,}</text>"
            )
        told = f"{_day(day.day)}: {day.done:,} done, {day.no_face:,} without a face, {day.failed:,} failed"
        parts.append(
            f'<rect class="hover" x="{PLOT_LEFT + slot * index:.1f}" y="{PLOT_TOP}" width="{slot:.1f}"'
            f' height="{height}" rx="4"><title>{told}; {count(day.frames, "frame")}</title></rect>'
        )
    return (
        '<div class="scroll latest"><svg class="chart wide" role="img" aria-label="Jobs by day"'
        f' viewBox="0 0 {CHART_WIDTH} {CHART_HEIGHT}">{"".join(parts)}</svg></div>'
    )


def _column(left: float, top: float, width: float, tall: float, kind: str, rounded: bool) -> str:
    """One piece of a stacked bar; only the uppermost has round corners."""
    radius = min(4.0, tall, width / 2) if rounded else 0.0
    gap = 0.0 if rounded else 1.0  # a hair of background between the pieces
    return (
        f'<path class="fill-{kind}" d="M{left:.1f} {top + tall:.1f}V{top + radius + gap:.1f}'
        f"q0 -{radius:.1f} {radius:.1f} -{radius:.1f}h{width - 2 * radius:.1f}"
        f'q{radius:.1f} 0 {radius:.1f} {radius:.1f}V{top + tall:.1f}z"/>'
    )


def _scale(largest: int) -> tuple[int, int]:
    """Upper end and step of an axis with three to five round steps."""
    if largest <= 4:
        return 4, 1
    size = 10 ** math.floor(math.log10(largest))
    step = next(s for s in (size // 5 or 1, size // 2 or 1, size, 2 * size, 5 * size) if largest / s <= 5)
    return math.ceil(largest / step) * step, step


def speed_by_day(days: Sequence[Day]) -> str:
    """Frames by seconds of work for each day, as a line; days without work are left out."""
    worked = [(index, day, day.frames / day.seconds) for index, day in enumerate(days) if day.seconds > 0]
    if len(worked) < 2:
        return ""
    width, bottom, height = 500, 104, 92
    top, step = _scale(math.ceil(max(speed for _, _, speed in worked)))
    points = [
        (PLOT_LEFT + 6 + (width - PLOT_LEFT - 12) * index / (len(days) - 1), bottom - height * speed / top)
        for index, _, speed in worked
    ]
    grid = "".join(
        f'<line class="grid-line" x1="{PLOT_LEFT}" x2="{width}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text x="{PLOT_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value:,}</text>'
        for value in range(0, top + 1, 2 * step)
        for y in [bottom - height * value / top]
    )
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    area = f"{points[0][0]:.1f},{bottom} {line} {points[-1][0]:.1f},{bottom}"
    dots = "".join(
        f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="3">'
        f"<title>{_day(day.day)}: {speed:,.1f} frames/s</title></circle>"
        for (x, y), (_, day, speed) in zip(points, worked, strict=True)
    )
    return f"""<section class="card"><h2>Speed by day</h2><p class="hint">Frames a second, over whole jobs</p>
<svg class="chart small" viewBox="0 0 {width} 116" role="img" aria-label="Speed by day">{grid}
<polygon class="area" points="{area}"/><polyline class="line" points="{line}"/>{dots}</svg></section>
"""


def _day(text: str) -> str:
    day = date.fromisoformat(text)
    return f"{day.day} {day:%b}"

"""What is said before and after the daemon has worked, whoever started it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from facefusion.automation.snapshot import Snapshot
from facefusion.automation.workspace import Workspace, printable
from facefusion.reports.analytics import HTML_FILE
from facefusion.wording import count, listed, near

STOP_HINT = "Stop with Ctrl-C or q; what is in work is kept or begun again at the next start."
"""For a live view; elsewhere nobody listens to keys."""


def drop_hint(workspace: Workspace) -> str:
    """Where files go in and come out."""
    inbox, outbox = near(printable(workspace.inbox)), near(printable(workspace.outbox))
    return f"Drop files into {inbox} (faces, videos, photos); results come out in {outbox}."


def farewell(snapshot: Snapshot | None) -> str:
    """What came of it, when the daemon was stopped.

    Args:
        snapshot: the last one; None if there was none.
    """
    if snapshot is None:
        return "Stopped."
    counts = snapshot.counts
    facts = [count(counts.done, "result")]
    if snapshot.failed:
        facts.append(f"{snapshot.failed:,} failed")
    if counts.blocked:
        facts.append(f"{counts.blocked:,} held back")
    if not counts.open:
        return f"Stopped. {', '.join(facts)}."
    facts.append(f"{counts.open:,} still to be done")
    going_on = [
        f"{Path(job.target).name} goes on at frame {job.frames_done:,}"
        for job in snapshot.waiting
        if job.state == "queued" and job.frames_done
    ]
    return f"Stopped. {', '.join(facts)}{': ' if going_on else ''}{listed(going_on)}."


def places(workspace: Workspace) -> Sequence[tuple[str, str]]:
    """Where results and the report lie, those that are there: title and path."""
    told = [("Results", workspace.outbox), ("Report", workspace.analytics_dir / HTML_FILE)]
    return [(title, near(printable(path))) for title, path in told if path.exists()]

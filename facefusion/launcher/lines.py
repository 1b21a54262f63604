"""The same events for a log or a pipe: one line each, no control characters."""

from __future__ import annotations

import time
from collections.abc import Callable

from facefusion.automation.catalogue import BEING_PAIRED
from facefusion.automation.snapshot import STATE_WORDS, InboxFile, ResultView, Snapshot
from facefusion.automation.statustext import progress_facts
from facefusion.launcher.text import near, safe
from facefusion.wording import count, duration

PROGRESS_SECONDS = 10.0
FILES_IN_FULL = 20
"""So many waiting files are named one by one; more are counted, so that a flood stays a few lines."""


class LineView:
    """Writes what changed from one snapshot to the next.

    Args:
        write: takes one line without its end.
        clock: seconds since the epoch; given by tests.
    """

    def __init__(self, write: Callable[[str], None], *, clock: Callable[[], float] = time.time) -> None:
        self._write = write
        self._clock = clock
        self._began = clock()
        self._notices: tuple[str, ...] = ()
        self._said: dict[str, object] = {}
        self._jobs: dict[str, float] = {}
        self._ended: set[tuple[str, float]] = set()
        self._files: tuple[InboxFile, ...] | None = None
        self._reasons: dict[str, str] = {}
        self._states: dict[str, str] = {}
        self._about_faces: dict[tuple[str, str], tuple[str, float]] = {}

    def show(self, snapshot: Snapshot) -> None:
        """Tell what is new."""
        ends = snapshot.state in ("stopping", "stopped")
        if not ends:
            self._tell_state(snapshot)
        self._tell_files(snapshot)
        self._tell_jobs(snapshot)
        self._tell_ends(snapshot)
        if ends:  # what was done until then comes first
            self._tell_state(snapshot)

    def _tell_state(self, snapshot: Snapshot) -> None:
        if self._changed("state", snapshot.state) and snapshot.state != "paused":
            self._say(snapshot.state)
        if self._changed("paused", snapshot.paused) and snapshot.paused:
            self._say(f"paused: {snapshot.paused}")
        if self._changed("config", snapshot.config_problem) and snapshot.config_problem:
            self._say(f"settings: {snapshot.config_problem}")
        for notice in snapshot.notices:
            if notice not in self._notices:
                self._say(notice)
        self._notices = snapshot.notices

    def _tell_files(self, snapshot: Snapshot) -> None:
        if snapshot.files is self._files:
            return
        self._files = snapshot.files
        failed = {failure.id for failure in snapshot.failures}
        reasons = {}
        for entry in snapshot.files:
            if entry.state in ("waiting", "refused") and failed.isdisjoint(entry.jobs):
                reasons[entry.path] = f"{entry.state} {entry.path}: {entry.reason}"
            elif entry.state == "ignored" and entry.stuck:
                reasons[entry.path] = f"ignored {entry.path}: {entry.reason}"
            elif entry.state == "cancelled" and self._was_open(entry):
                reasons[entry.path] = f"{entry.path}: {entry.reason}"
        self._states = {
            entry.path: self._states.get(entry.path, "") if entry.reason == BEING_PAIRED else entry.state
            for entry in snapshot.files
        }
        news = [path for path, reason in reasons.items() if self._reasons.get(path) != reason]
        for path in news[:FILES_IN_FULL]:
            self._say(reasons[path])
        if len(news) > FILES_IN_FULL:
            self._say(f"waiting: {count(len(news) - FILES_IN_FULL, 'more file')} (see `status`)")
        self._reasons = reasons

    def _was_open(self, entry: InboxFile) -> bool:
        """Whether something was to be done with it a moment ago; else what came of it is history."""
        return self._states.get(entry.path) in ("queued", "running", "blocked")

    def _tell_jobs(self, snapshot: Snapshot) -> None:
        now = self._clock()
        running = {job.id for job in snapshot.running}
        self._jobs = {key: told for key, told in self._jobs.items() if key in running}
        for job in snapshot.running:
            if job.id not in self._jobs:
                again = f" (attempt {job.attempt} of {job.attempts_allowed})" if job.attempt > 1 else ""
                self._say(f"started {near(job.target)} with {job.face}{again}")
                self._jobs[job.id] = now
            elif now - self._jobs[job.id] >= PROGRESS_SECONDS and job.frames_done:
                self._jobs[job.id] = now
                self._say(f"progress {near(job.target)}: {', '.join(progress_facts(job))}")

    def _tell_ends(self, snapshot: Snapshot) -> None:
        first = self._changed("first look", False)
        ends: list[tuple[float, str, str]] = []
        for result in reversed(snapshot.results):  # the first one first
            if result.output is None:
                told = f"no face {near(result.target)}: no face was found in it, so there is no result"
            else:
                what = count(result.frames, "frame") if result.frames > 1 else "photo"
                how = f"{what}, {duration(result.seconds)}, {result.engine} engine"
                told = f"done {near(result.output)} ({how})"
                told += "".join(f"; {warning}" for warning in self._news_about(result))
            ends.append((result.finished_at, result.id, told))
        ends += [
            (
                failure.finished_at,
                failure.id,
                f"{STATE_WORDS[failure.outcome]} {near(failure.target)}: {failure.message} {failure.remedy}",
            )
            for failure in snapshot.failures
        ]
        ends += [(repeat.at, repeat.told, repeat.told) for repeat in snapshot.repeats]
        for finished_at, job_id, told in sorted(ends):
            if (job_id, finished_at) in self._ended:
                continue
            # What ended before this start is history, not news.
            if not (first and finished_at < self._began):
                self._say(told)
        self._ended = {(job_id, finished_at) for finished_at, job_id, _ in ends}

    def _news_about(self, result: ResultView) -> list[str]:
        """Its warnings; what is about the source face only with the first of its results in this run."""
        if result.finished_at < self._began:
            return []
        key = (result.id, result.finished_at)
        about = set(result.about_face)
        first = {told: self._about_faces.setdefault((result.face, told), key) for told in about}
        return [told for told in result.warnings if first.get(told, key) == key]

    def _changed(self, key: str, value: object) -> bool:
        changed = key not in self._said or self._said[key] != value
        self._said[key] = value
        return changed

    def _say(self, told: str) -> None:
        moment = time.strftime("%H:%M:%S", time.localtime(self._clock()))
        self._write(f"{moment} {safe(told)}")

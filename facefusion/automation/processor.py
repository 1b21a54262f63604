"""`SimpleAutoProcessor`: the folder daemon as one object."""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from facefusion.automation.content import examine, signature_of
from facefusion.automation.daemon import Daemon, Options
from facefusion.automation.display import SnapshotCallback
from facefusion.automation.job import ENDED, JobRequest, JobState
from facefusion.automation.lock import holder
from facefusion.automation.logs import daemon_log
from facefusion.automation.offline import offline_snapshot
from facefusion.automation.pairing import Picture, group_by_face, make_face
from facefusion.automation.settings import Settings
from facefusion.automation.sightings import Signature
from facefusion.automation.snapshot import Snapshot, read_snapshot
from facefusion.automation.workspace import Workspace, printable, program_dir
from facefusion.config import CONFIG_FILE
from facefusion.errors import InputFileError, StorageError, VanishedError
from facefusion.media.sniff import PICTURE_SUFFIXES
from facefusion.reports.records import JobRecord
from facefusion.trust.privacy import private_files

logger = logging.getLogger(__name__)

F = TypeVar("F", bound=Hashable)
V = TypeVar("V")

EXIT_DONE, EXIT_FAILED, EXIT_NO_FACE = 0, 1, 3
PATIENCE_SECONDS = 30.0
"""`run_once` gives up on files that still change when everything else has been done for this long; the time
in which files are read and pictures looked at does not count."""
PAUSE_PATIENCE_SECONDS = 5.0


class SimpleAutoProcessor:
    """Turns what is dropped into `inbox/` into swapped videos and photos in `outbox/`.

    Example:
        >>> processor = SimpleAutoProcessor("/home/me/swaps")
        >>> processor.run_once()
        0

    Args:
        root: folder with settings, inbox and outbox; the program's own folder if None.
        config_path: settings file; `automation_config.json` in `root` if None. Relative folders in it count
            from `root`.
        models_dir: installed model files; the program's `models/` if None.
        options: see `Options`.
    """

    def __init__(
        self,
        root: Path | str | None = None,
        config_path: Path | str | None = None,
        *,
        models_dir: Path | None = None,
        options: Options | None = None,
    ) -> None:
        base = Path(root) if root is not None else program_dir()
        self.settings = Settings(Path(config_path) if config_path is not None else base / CONFIG_FILE)
        self.workspace = Workspace.of(base, self.settings.current, models_dir)
        self.options = options or Options()
        self._stop = threading.Event()
        self._wake: Callable[[], None] = lambda: None

    def run(
        self, on_snapshot: SnapshotCallback | None = None, on_ready: Callable[[], object] = lambda: None
    ) -> int:
        """Watch the inbox until stopped by a signal or `request_stop`.

        Args:
            on_snapshot: called in this thread whenever the state has changed, at most four times a second,
                and a last time with the state `stopped`.
            on_ready: called once, when nothing stands in the way any more.

        Returns:
            Exit status, 0.

        Raises:
            ConfigError: the settings are wrong, another daemon works on this root, or inbox and outbox lie in
                each other.
            StorageError: the state folder cannot be written.
        """
        with self._daemon(self.options, on_snapshot) as daemon:
            on_ready()
            while not self._stop.is_set():
                daemon.turn()
        return EXIT_DONE

    def run_once(self, on_snapshot: SnapshotCallback | None = None) -> int:
        """Process what lies in the inbox and return.

        Returns:
            0 if nothing is left to be done; 1 if a target failed in this run, or is held back or waits for
            something; 3 if none of that, but in some target this run found no face. What failed in an
            earlier run and was not tried again does not count.

        Raises:
            ConfigError, StorageError: see `run`.
        """
        latest: list[Snapshot] = []

        def see(snapshot: Snapshot) -> None:
            latest[:] = [snapshot]
            if on_snapshot is not None:
                on_snapshot(snapshot)

        began = time.time()
        with self._daemon(replace(self.options, watch=False), see) as daemon:
            self._until_done(daemon)
            try:
                without_result = daemon.queue.in_state(JobState.FAILED, JobState.NO_FACE)
            except StorageError as error:  # the queue was damaged meanwhile
                logger.error("Nobody can say what came of this run: %s", error.message)
                return EXIT_FAILED
        # What was interrupted before may be found to have failed while the daemon starts: of this run, too.
        ended = {job.id: job.state for job in without_result if (job.finished_at or 0.0) >= began}
        return exit_status(latest[-1], ended)

    def process_videos_batch(
        self, pairs: Iterable[tuple[Path | str, Path | str]], on_snapshot: SnapshotCallback | None = None
    ) -> list[JobRecord]:
        """Process given pairs, wherever they lie, grouped by face; the inbox and its jobs are left alone.

        Args:
            pairs: (face, target); a face is a picture or a folder of pictures.
            on_snapshot: see `run`.

        Returns:
            One record for each different pair of contents, in the order of the pairs. There is none for what
            is left for the next start, because the program was stopped, met a fault of its own, or could
            not place results for some seconds (no room, no outbox); the log says which.

        Raises:
            VanishedError, InputFileError: a file of a pair is not there or may not be read.
            ConfigError, StorageError: see `run`.
        """
        groups = self.group_videos_by_face((Path(face), Path(target)) for face, target in pairs)
        wishes = [_wish(face, target) for face, targets in groups.items() for target in targets]
        with self._daemon(replace(self.options, watch=False, scan=False), on_snapshot) as daemon:
            asked = daemon.queue.request(wishes, lambda job: bool(job.output and Path(job.output).exists()))
            ids = list(dict.fromkeys(answer.job_id for answer in asked))
            failed = [job.id for job in daemon.queue.jobs(ids).values() if job.state is JobState.FAILED]
            daemon.queue.retry(failed)
            daemon.crew.only = frozenset(ids)
            patience = _Patience(PAUSE_PATIENCE_SECONDS)
            while not self._stop.is_set():
                jobs = daemon.queue.jobs(ids)
                if all(map(daemon.is_over, jobs.values())):
                    break
                daemon.turn()
                if patience.at_end(daemon.held_up):
                    logger.warning("Left for the next time, because work is paused: %s", daemon.paused)
                    break
            jobs = daemon.queue.jobs(ids)
            return [daemon.finisher.record(jobs[i]) for i in ids if jobs[i].state in ENDED]

    @staticmethod
    def group_videos_by_face(pairs: Iterable[tuple[F, V]]) -> dict[F, list[V]]:
        """Targets by face, faces in the order of their first target, each pair once.

        Jobs are run group by group, so that a face is prepared once.

        >>> SimpleAutoProcessor.group_videos_by_face([("a", "1.mp4"), ("b", "2.mp4"), ("a", "3.mp4")])
        {'a': ['1.mp4', '3.mp4'], 'b': ['2.mp4']}
        """
        return group_by_face(pairs)

    def status(self) -> Snapshot:
        """The state of every file and job: from the daemon that runs on this root, or else as found now.

        Raises:
            StorageError: the state folder cannot be read.
        """
        pid = holder(self.workspace.state_dir)
        if pid is None:
            return offline_snapshot(self.workspace, self.settings)
        told = read_snapshot(self.workspace.state_dir)
        if told is not None and told.daemon_pid == pid:
            return told
        return replace(offline_snapshot(self.workspace, self.settings), state="starting", daemon_pid=pid)

    def request_stop(self) -> None:
        """Have `run` or `run_once` return soon; may be called from any thread or signal handler."""
        self._stop.set()
        self._wake()

    @contextlib.contextmanager
    def _daemon(self, options: Options, on_snapshot: SnapshotCallback | None) -> Iterator[Daemon]:
        self.settings.require_good()
        self.workspace.check()
        self.workspace.prepare_state()
        with (
            private_files(),
            daemon_log(self.workspace.log_dir),
            # Outermost but the log: a second signal while the daemon shuts down must find its handler.
            self._signals(),
            Daemon(self.workspace, self.settings, options, on_snapshot) as daemon,
        ):
            self._wake = lambda: daemon.loop.post(lambda: None)
            try:
                yield daemon
            except Exception:
                logger.exception("The daemon ends because of a fault of its own.")
                raise
            finally:
                self._wake = lambda: None

    def _until_done(self, daemon: Daemon) -> None:
        files, pause = _Patience(PATIENCE_SECONDS), _Patience(PAUSE_PATIENCE_SECONDS)
        while not self._stop.is_set():
            daemon.turn()
            if daemon.idle:
                return
            if pause.at_end(daemon.held_up):
                return
            if files.at_end(daemon.waits_for_files_only, counts=not daemon.intake.examining):
                for unsettled in daemon.intake.unsettled:
                    logger.warning("Left for the next time: %s.", unsettled)
                return

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Stop on SIGINT, SIGTERM and when the terminal is closed; a second one ends the program at once."""
        if threading.current_thread() is not threading.main_thread():
            yield  # signals belong to the main thread; whoever runs us elsewhere calls `request_stop`
            return

        def stop(number: int, _: object) -> None:
            if self._stop.is_set() and number != getattr(signal, "SIGHUP", None):
                raise KeyboardInterrupt
            self.request_stop()

        names = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
        numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
        # What is ignored stays so: that is how `nohup` and a shell's `&` ask for it.
        heeded = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
        before = {number: signal.signal(number, stop) for number in heeded}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class _Patience:
    """How long a state is borne.

    Args:
        seconds: without interruption.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._borne = 0.0
        self._since: float | None = None

    def at_end(self, holds: bool, *, counts: bool = True) -> bool:
        """Whether the state, which holds or does not, has lasted too long.

        Args:
            holds: whether it is so at the moment.
            counts: False while it is so for a good reason; that time is borne besides.
        """
        now = time.monotonic()
        if not holds:
            self._borne = 0.0
        elif counts and self._since is not None:
            self._borne += now - self._since
        self._since = now if holds else None
        return self._borne > self._seconds


def exit_status(snapshot: Snapshot, ended: Mapping[int, JobState]) -> int:
    """What `run_once` answers for the state it left behind.

    Args:
        snapshot: of that state.
        ended: jobs that this run has brought to an end without a result.
    """
    targets = [file for file in snapshot.files if file.kind in ("video", "photo")]
    states = {file.state for file in targets}
    if snapshot.paused or states - {"done", "no_face", "failed", "cancelled", "ignored", "vanished"}:
        return EXIT_FAILED
    outcomes = {ended.get(int(job)) for file in targets for job in file.jobs}
    if JobState.FAILED in outcomes:
        return EXIT_FAILED
    return EXIT_NO_FACE if JobState.NO_FACE in outcomes else EXIT_DONE


def _wish(face: Path, target: Path) -> JobRequest:
    pictures = sorted(face.iterdir()) if face.is_dir() else [face]
    pictures = [p for p in pictures if p.suffix.lower() in PICTURE_SUFFIXES]
    if not pictures:
        raise InputFileError(f"{printable(face)} is neither a picture nor a folder with pictures.")
    contents = {path: _content(path.absolute()) for path in (target, *pictures)}
    made = make_face(face.stem, [Picture(str(path), contents[path][0]) for path in pictures])
    assert made.sha256 is not None
    return JobRequest(
        target_sha256=contents[target][0],
        face_sha256=made.sha256,
        target_kind="photo" if target.suffix.lower() in PICTURE_SUFFIXES else "video",
        target_bytes=contents[target][1].size,
        face_name=made.name,
        inputs=tuple((str(path.absolute()), contents[path][1]) for path in (target, *pictures)),
    )


def _content(path: Path) -> tuple[str, Signature]:
    signature = signature_of(path)
    if signature is None:
        raise VanishedError(f"{printable(path)} is not there.")
    found = examine(path.parent.resolve(), path.name, signature)
    if found.verdict != "read":
        raise InputFileError(f"{printable(path)}: {found.reason}.")
    return found.sha256, signature

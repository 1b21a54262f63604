"""A root folder to run the daemon on, in this process or in one of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from facefusion.automation import crew, daemon, display, room, settings
from facefusion.automation.daemon import Options
from facefusion.automation.processor import SimpleAutoProcessor
from facefusion.automation.snapshot import InboxFile, Snapshot, read_snapshot

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
FACTORY = "scripted_session:ScriptedSession"
LOOK = "scripted_session:scripted_look"

PATIENCE_SECONDS = 60.0
"""For what should happen at once: a bound for what hangs, also on a machine with much else to do."""

# The daemon's own pace is made for people; tests look more often.
daemon.HOUSEKEEPING_SECONDS = room.FIRST_PAUSE_SECONDS = 0.1
room.CHECK_SECONDS = 0.3
crew.STOP_SECONDS = 2.0
display.FILE_SECONDS = settings.LOOK_SECONDS = 0.1

# Worker processes find the scripted session by this.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(HERE), os.environ.get("PYTHONPATH"))))


class Bench:
    """One root with short waiting times and an accepted use policy."""

    def __init__(self, root: Path, **settings: Any) -> None:
        self.root = root
        self.inbox = root / "inbox"
        self.outbox = root / "outbox"
        for folder in ("faces", "videos", "photos"):
            (self.inbox / folder).mkdir(parents=True, exist_ok=True)
        self._settings: dict[str, Any] = {}
        self.configure(accept_use_policy=1, watch_interval=1, **settings)

    def configure(self, **settings: Any) -> None:
        limits = {
            "settle_seconds": 0.2,
            "free_disk_megabytes": 0,
            **self._settings.get("limits", {}),
            **settings.pop("limits", {}),
        }
        self._settings = {**self._settings, **settings, "limits": limits}
        path = self.root / "automation_config.json"
        path.write_text(json.dumps(self._settings))

    # -- dropping -------------------------------------------------------------------------------------------

    def face(self, name: str = "alice", content: bytes | None = None) -> Path:
        path = self.inbox / "faces" / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if content is not None else b"the face of " + os.fsencode(name))
        return path

    def target(self, name: str, **script: Any) -> Path:
        """A target that tells the scripted session what to do; its name makes its content unique."""
        path = self.inbox / name if "/" in name else self.inbox / "videos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"name": name, **script}))
        return path

    # -- running --------------------------------------------------------------------------------------------

    def processor(self, **options: Any) -> SimpleAutoProcessor:
        return SimpleAutoProcessor(self.root, options=Options(session_factory=FACTORY, **options))

    def run_once(self, **options: Any) -> int:
        return self.processor(**options).run_once()

    def command(self, *words: str) -> int:
        """The command line on this root; its exit status."""
        from facefusion.automation.commands import main

        return main([*words, "--root", str(self.root)], options=Options(session_factory=FACTORY))

    def run_until(
        self,
        condition: Callable[[], bool],
        seconds: float = PATIENCE_SECONDS,
        on_snapshot: Callable[[Snapshot], None] = lambda snapshot: None,
        **options: Any,
    ) -> list[Snapshot]:
        """Run the daemon in this thread until something has happened; what it showed meanwhile."""
        processor, shown, happened = self.processor(**options), [], []

        def look() -> None:
            deadline = time.monotonic() + seconds
            try:
                while time.monotonic() < deadline and not happened:
                    if condition():
                        happened.append(True)
                    time.sleep(0.02)
            finally:
                processor.request_stop()

        def see(snapshot: Snapshot) -> None:
            shown.append(snapshot)
            on_snapshot(snapshot)

        watcher = threading.Thread(target=look)
        watcher.start()
        processor.run(see)
        watcher.join()
        assert happened, f"did not happen in {seconds} s: {shown[-1]}"
        return shown

    def start(self, *arguments: str) -> Running:
        return Running(self, arguments)

    # -- looking --------------------------------------------------------------------------------------------

    def status(self) -> Snapshot:
        return self.processor().status()

    def status_of_daemon(self) -> Snapshot:
        """What the running daemon wrote last, also while the settings file is broken."""
        snapshot = read_snapshot(self.root / ".automation")
        assert snapshot is not None
        return snapshot

    def file(self, path: str) -> InboxFile:
        found = [file for file in self.status().files if file.path == path]
        assert len(found) == 1, f"{path}: {found}"
        return found[0]

    def results(self) -> list[str]:
        """Names in the outbox without reports, folders and work."""
        return sorted(
            path.name
            for path in self.outbox.iterdir()
            if path.is_file() and path.suffix not in (".json", ".md")
        )

    def leftovers(self) -> list[str]:
        """Whatever a finished run may not leave behind."""
        return [
            str(path)
            for path in self.outbox.rglob("*")
            if path.name.startswith(".") or path.suffix == ".part"
        ]

    def report(self, name: str) -> dict[str, Any]:
        document: dict[str, Any] = json.loads((self.outbox / name).read_text())
        return document


class Running:
    """A daemon in a process of its own."""

    def __init__(self, bench: Bench, arguments: tuple[str, ...]) -> None:
        self.bench = bench
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "daemon_script.py"), str(bench.root), *arguments],
            cwd=REPOSITORY,
            env={**os.environ, "PYTHONPATH": os.pathsep.join((str(HERE), str(REPOSITORY)))},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # a target may have its whole process group killed
        )

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        assert self.process.stdout is not None
        if not self.process.stdout.closed:
            self.process.communicate()

    def wait_until(self, condition: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if self.process.poll() is not None:
                raise AssertionError(f"the daemon has ended: {self.process.communicate()[0]}")
            if time.monotonic() > deadline:
                self.process.send_signal(signal.SIGUSR1)
                time.sleep(0.2)
                self.process.kill()
                where = self.process.communicate()[0]
                raise AssertionError(f"did not happen in {seconds} s: {self.bench.status()}\n{where}")
            time.sleep(0.02)

    def wait_for_state(self, path: str, state: str, seconds: float = PATIENCE_SECONDS) -> InboxFile:
        def reached() -> bool:
            return any(f.path == path and f.state == state for f in self.bench.status().files)

        self.wait_until(reached, seconds)
        return self.bench.file(path)

    def wait_for_result(self, name: str, seconds: float = PATIENCE_SECONDS) -> None:
        self.wait_until(lambda: (self.bench.outbox / name).exists(), seconds)

    def wait_until_watching(self) -> None:
        self.wait_until(lambda: self.bench.status().state == "watching")

    def stop(self, number: int = signal.SIGTERM, seconds: float = PATIENCE_SECONDS) -> str:
        """Signal it and wait for its end; what it printed."""
        self.process.send_signal(number)
        return self.process.communicate(timeout=seconds)[0]

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()

    def ended(self, seconds: float = 2 * PATIENCE_SECONDS) -> tuple[int, str]:
        """Exit status and what it printed."""
        printed = self.process.communicate(timeout=seconds)[0]
        return self.process.returncode, printed

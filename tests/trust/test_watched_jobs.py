"""Through a real daemon and real workers: what is refused, what becomes of it, and when work goes on."""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from facefusion.automation.commands import main
from facefusion.automation.daemon import Options
from facefusion.automation.processor import SimpleAutoProcessor
from facefusion.automation.snapshot import InboxFile
from facefusion.checkup.benchmark_media import make_clip
from facefusion.models.manager import ModelManager
from facefusion.models.samples import Samples
from facefusion.trust import policy
from facefusion.trust.audit import check_audit, face_mark
from facefusion.trust.rules import GATE_MODEL

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
LOOK = "scripted_session:scripted_look"


class Root:
    """One root with an accepted policy, and what can be seen of it from outside."""

    def __init__(self, root: Path, **settings: Any) -> None:
        self.root, self.outbox, self.state = root, root / "outbox", root / ".automation"
        for folder in ("faces", "videos", "photos"):
            (root / "inbox" / folder).mkdir(parents=True)
        self.configure(**settings)

    def configure(self, **settings: Any) -> None:
        document = {
            "accept_use_policy": 1,
            "quality_preset": "fast",
            "engine": "mesh",
            "limits": {"settle_seconds": 0.2, "free_disk_megabytes": 0},
            **settings,
        }
        (self.root / "automation_config.json").write_text(json.dumps(document))

    def inbox(self, path: str) -> Path:
        return self.root / "inbox" / path

    def run_once(self, models_dir: Path | None = None, factory: str | None = None) -> int:
        options = Options()
        if factory is not None:
            look = LOOK if factory == "watched_sessions:Stating" else None
            options = Options(session_factory=factory, look_factory=look)
        return SimpleAutoProcessor(self.root, models_dir=models_dir, options=options).run_once()

    def file(self, path: str) -> InboxFile:
        (found,) = [file for file in SimpleAutoProcessor(self.root).status().files if file.path == path]
        return found

    def failure(self) -> dict[str, Any]:
        (report,) = (self.outbox / "failed").iterdir()
        document: dict[str, Any] = json.loads(report.read_text())
        return document

    def audit(self) -> list[dict[str, Any]]:
        assert check_audit(self.state).ok
        return [json.loads(line) for line in (self.state / "audit.jsonl").read_text().splitlines()]

    def results(self) -> list[Path]:
        return [path for path in self.outbox.iterdir() if path.is_file() and path.suffix != ".json"]

    def work(self) -> list[Path]:
        return [path for path in self.outbox.rglob(".*") if path.name != ".gitkeep"]


@pytest.fixture(autouse=True)
def findable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Worker processes find the sessions of these tests by this."""
    places = (str(HERE), str(HERE.parent / "automation"), os.environ.get("PYTHONPATH", ""))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, places)))


@pytest.fixture
def photo_root(tmp_path: Path, samples: Samples) -> Root:
    root = Root(tmp_path / "root")
    shutil.copy(samples.astronaut, root.inbox("faces/anna.png"))
    shutil.copy(samples.group, root.inbox("photos/group.jpg"))
    return root


@pytest.fixture
def own_models(models_dir: Path, tmp_path: Path) -> Path:
    """A models folder that a test may harm."""
    folder = tmp_path / "models"
    shutil.copytree(models_dir, folder, ignore=shutil.ignore_patterns("samples", ".*", "*.whl"))
    return folder


# ---- the gate fails closed --------------------------------------------------------------------------------


@pytest.mark.slow
def test_without_its_model_every_job_is_blocked_until_it_is_there(photo_root: Root, own_models: Path) -> None:
    file = own_models / ModelManager(own_models).registry.find(GATE_MODEL).file
    whole = file.read_bytes()
    file.write_bytes(whole[:-1000])
    assert photo_root.run_once(own_models) == 1
    failure = photo_root.failure()
    assert failure["outcome"] == "blocked"
    assert failure["failure"]["category"] == "content_blocked"
    assert "cannot work" in failure["failure"]["message"]
    assert "models install" in failure["failure"]["remedy"]
    assert photo_root.results() == []
    assert photo_root.work() == []
    shown = photo_root.file("photos/group.jpg")
    assert shown.state == "blocked"
    assert "models install" in shown.reason
    (noted,) = photo_root.audit()
    assert (noted["event"], noted["finding"]) == ("blocked", "gate unavailable")

    file.unlink()
    assert photo_root.run_once(own_models) == 1, "neither damaged nor missing lets anything through"
    assert photo_root.results() == []

    file.write_bytes(whole)
    assert photo_root.run_once(own_models) == 0, "with the model in place the job goes on by itself"
    assert [path.name for path in photo_root.results()] == ["group__anna.jpg"]
    assert photo_root.audit()[-1]["event"] == "done"


# ---- what is refused --------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["Target", "Output"])
def test_nothing_of_what_is_refused_is_kept(tmp_path: Path, samples: Samples, stage: str) -> None:
    root = Root(tmp_path / "root")
    shutil.copy(samples.astronaut, root.inbox("faces/anna.png"))
    clip = root.inbox("videos/beach.mp4")
    make_clip(samples.group, clip, width=320, height=180, frames=30)
    assert root.run_once(factory=f"watched_sessions:Refusing{stage}") == 1
    failure = root.failure()
    assert failure["outcome"] == "blocked"
    assert failure["failure"]["category"] == "content_blocked"
    assert "refused by the content gate" in failure["failure"]["message"]
    assert failure["failure"]["detail"].startswith("FEMALE_BREAST_EXPOSED 0.91 at ")
    assert failure["swap"] is None
    assert (failure["target"]["sha256"], failure["face"]["sha256"]) == ("", "")
    assert root.results() == []
    assert root.work() == []
    assert root.file("videos/beach.mp4").state == "blocked"
    (noted,) = root.audit()
    assert set(noted) == {"line", "event", "time", "job", "run", "policy", "category", "finding", "previous"}
    log = "".join(path.read_text() for path in (root.state / "log").iterdir())
    assert "[numbers]" not in log
    kept = [path for path in root.root.rglob("*") if path.is_file() and "inbox/" not in str(path)]
    assert not [path for path in kept if path.suffix in (".mp4", ".jpg", ".png", ".npy", ".part")]
    assert clip.exists(), "what is the person's own stays where it is"
    # Tried again it is refused again; no restart lets it through.
    assert root.run_once(factory=f"watched_sessions:Refusing{stage}") == 1
    assert len(root.audit()) == 1


# ---- consent ----------------------------------------------------------------------------------------------


def consent(path: Path, expires: datetime.date | None = None, basis: str = "permission") -> Path:
    lines = [f'basis = "{basis}"', 'scope = "a film"', 'reference = "contract 17"']
    path.write_text("\n".join([*lines, *([f"expires = {expires}"] if expires else [])]))
    return path


@pytest.fixture
def stated(tmp_path: Path) -> Iterator[Root]:
    root = Root(tmp_path / "root")
    root.inbox("faces/alice.jpg").write_bytes(b"the face of alice")
    root.inbox("videos/clip.mp4").write_text(json.dumps({"name": "clip"}))
    yield root


YESTERDAY = datetime.date.today() - datetime.timedelta(days=1)
TOMORROW = datetime.date.today() + datetime.timedelta(days=1)


def test_an_expired_consent_blocks_and_a_renewed_one_lets_go_on(stated: Root) -> None:
    file = consent(stated.inbox("faces/alice.consent.toml"), YESTERDAY)
    assert stated.run_once(factory="watched_sessions:Stating") == 1
    failure = stated.failure()
    assert (failure["outcome"], failure["failure"]["category"]) == ("blocked", "consent_blocked")
    assert f"expired on {YESTERDAY}" in failure["failure"]["message"]
    shown = stated.file("videos/clip.mp4")
    assert shown.state == "blocked"
    assert "alice.consent.toml" in shown.reason
    listed = stated.file("faces/alice.consent.toml")
    assert (listed.state, listed.reason) == ("ignored", "consent for the face alice")

    assert stated.run_once(factory="watched_sessions:Stating") == 1, "nothing changed, nothing is tried"
    assert len(stated.audit()) == 1

    consent(file, TOMORROW)
    assert stated.run_once(factory="watched_sessions:Stating") == 0
    assert not any((stated.outbox / "failed").iterdir())
    report = json.loads((stated.outbox / "clip__alice.json").read_text())
    told = {"basis": "permission", "scope": "a film", "expires": TOMORROW.isoformat()}
    assert report["consent"] == stated.audit()[-1]["consent"] == told


def test_a_running_daemon_notices_a_changed_consent(stated: Root) -> None:
    import threading
    import time

    file = consent(stated.inbox("faces/alice.consent.toml"), YESTERDAY)
    options = Options(session_factory="watched_sessions:Stating", look_factory=LOOK)
    processor = SimpleAutoProcessor(stated.root, options=options)
    happened: list[str] = []

    def look() -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if not happened and any((stated.outbox / "failed").glob("*.json")):
                happened.append("blocked")
                consent(file, TOMORROW)
            if (stated.outbox / "clip__alice.json").exists():
                happened.append("done")
                break
            time.sleep(0.02)
        processor.request_stop()

    watcher = threading.Thread(target=look)
    watcher.start()
    processor.run()
    watcher.join()
    assert happened == ["blocked", "done"]


def test_studios_can_require_consent(stated: Root) -> None:
    stated.configure(require_face_consent=True)
    assert stated.run_once(factory="watched_sessions:Stating") == 1
    assert "no consent file for alice.jpg" in stated.failure()["failure"]["message"]
    consent(stated.inbox("faces/alice.consent.toml"))
    assert stated.run_once(factory="watched_sessions:Stating") == 0


# ---- the use policy ---------------------------------------------------------------------------------------


def test_until_the_policy_is_accepted_every_job_is_blocked(stated: Root) -> None:
    stated.configure(accept_use_policy=0)
    assert stated.run_once(factory="watched_sessions:Stating") == 1
    assert stated.file("videos/clip.mp4").state == "blocked"
    assert "use policy" in stated.file("videos/clip.mp4").reason
    assert policy.recorded_acceptance(stated.state) is None
    stated.configure(accept_use_policy=1)
    assert stated.run_once(factory="watched_sessions:Stating") == 0
    record = policy.recorded_acceptance(stated.state)
    assert record is not None
    assert (record.version, record.interface) == (1, "settings")
    assert record.text_sha256 == policy.text_sha256()


# ---- a whole run ------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_run_is_private_and_leaves_the_home_folder_clean(photo_root: Root, tmp_path: Path) -> None:
    root, home = photo_root, tmp_path / "home"
    home.mkdir()
    environment = {key: value for key, value in os.environ.items() if not key.startswith("XDG_")}
    environment |= {"HOME": str(home), "USERPROFILE": str(home)}
    environment.pop("ORT_DISABLE_TELEMETRY", None)
    done = subprocess.run(
        [sys.executable, "simple_auto_processor.py", "--root", str(root.root), "--once"],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        umask=0o022,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(home.rglob("*")) == []

    def rights(path: Path) -> int:
        return path.stat().st_mode & 0o777

    for path in (root.state, *root.state.rglob("*")):
        assert rights(path) & 0o077 == 0, path
    result, report = root.outbox / "group__anna.jpg", root.outbox / "group__anna.json"
    for shared in (result, report, root.outbox / "analytics" / "report.html"):
        assert rights(shared) == 0o644, shared
    assert rights(root.outbox / "failed") == 0o755
    assert root.work() == []

    document = json.loads(report.read_text())
    assert document["gate"]["verdict"] == "passed"
    (noted,) = root.audit()
    assert noted["event"] == "done"
    assert noted["output"] == hashlib.sha256(result.read_bytes()).hexdigest()
    assert noted["target"] == hashlib.sha256(root.inbox("photos/group.jpg").read_bytes()).hexdigest()
    assert noted["manifest"] == document["provenance"]["manifest_id"]
    face = hashlib.sha256(root.inbox("faces/anna.png").read_bytes()).hexdigest()
    assert noted["face"] == face_mark(root.state, face)
    assert face not in (root.state / "audit.jsonl").read_text()
    assert noted["gate"]["verdict"] == "passed"
    assert noted["models"] == document["swap"]["models"]
    assert noted["policy"] == policy.CURRENT_VERSION
    assert main(["--root", str(root.root), "audit", "check"]) == 0

    # Purged, the log is whole and tells of no face any more.
    assert main(["--root", str(root.root), "purge", "--everything", "--yes"]) == 0
    assert check_audit(root.state).ok
    assert not (root.state / "faces.key").exists()
    left = {path.name for path in root.state.iterdir()}
    assert not left & {"queue.sqlite3", "usage.sqlite3", "log", "status.json", "inbox.json"}
    assert face_mark(root.state, face) != noted["face"]
    assert result.exists()

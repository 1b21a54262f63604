"""Installing, checking and finding model files.

One `ModelManager` belongs to one models folder. It downloads only what is asked for and missing, proves
every file before it gets its name, and never reads a file twice that has not changed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from pathlib import Path

from facefusion.errors import ModelMissingError, NetworkError, StorageError
from facefusion.models.download import Downloader, Patience
from facefusion.models.installer import Installer, vendor_checksum
from facefusion.models.ledger import Ledger, Record, exclusive, measure
from facefusion.models.licences import LicenceBook, LicenceQuestion
from facefusion.models.registry import Download, Model, Registry, registry_for
from facefusion.models.status import InstallCallback, InstallProgress, ModelStatus, ModelUpdate, judge

__all__ = ["InstallCallback", "InstallProgress", "ModelManager", "ModelStatus", "ModelUpdate"]


class ModelManager:
    """Model files of one folder.

    Args:
        models_dir: the folder; made when something is installed.
        registry: other than the shipped one with the folder's own additions (`own_models.toml`).
        patience: of downloads, other than the usual one.

    Raises:
        ConfigError: the folder's `own_models.toml` is wrong.
    """

    def __init__(
        self, models_dir: Path, *, registry: Registry | None = None, patience: Patience | None = None
    ) -> None:
        self.models_dir = models_dir
        self.registry = registry or registry_for(models_dir)
        self.licences = LicenceBook(models_dir)
        self._patience = patience
        self._ledger = Ledger(models_dir)

    def ensure_models_available(
        self,
        processors_or_names: Iterable[str],
        *,
        on_progress: InstallCallback | None = None,
        ask_licence: LicenceQuestion | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> dict[str, Path]:
        """Install what is missing or damaged of what the given engines, processors or models need.

        Files that a person put into the folder by hand are taken if their content is right; so is a
        wheel that lies there. Several files of one archive cost one download. An interrupted download goes
        on where it stopped.

        Args:
            processors_or_names: e.g. `["mesh"]`, `["face_landmark"]`, `["inswapper_128"]`.
            on_progress: told about every step.
            ask_licence: asked once for each licence that has not been accepted yet; None means nobody is
                there to ask.
            should_stop: asked often; answering true ends the work with `CancelledError`.

        Returns:
            Path of each model by its name.

        Raises:
            ConfigError: a name is not known.
            NetworkError: a download failed at every place; the message names them.
            StorageError: the folder cannot be written, or the disk is full.
            ModelMissingError: a licence is not accepted, or an archive did not contain what it should.
            CancelledError: asked to stop.
        """
        wanted = self.registry.expand(processors_or_names)
        todo = [status for status in self._examine(wanted) if status.state != "ok"]
        if todo:
            self.licences.require((status.model for status in todo), ask_licence)
            self._install(
                wanted, on_progress or _ignore, Downloader(patience=self._patience, should_stop=should_stop)
            )
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

    def installed(self, kind: str) -> tuple[Model, ...]:
        """Installed, verified models of one kind (e.g. `swapper`), in the order in which one is chosen."""
        return tuple(s.model for s in self._examine(self.registry.of_kind(kind)) if s.state == "ok")

    def check(self, *, full: bool = False) -> tuple[ModelStatus, ...]:
        """Verify every model of the registry; `full` reads every file again, changed or not."""
        return self._examine(self._models(), full=full)

    def list(self) -> tuple[ModelStatus, ...]:
        """Every model of the registry and its state, without reading any file."""
        return tuple(self._judge(model, self._ledger.current(model.file)) for model in self._models())

    def check_model_updates(self, *, online: bool = False) -> tuple[ModelUpdate, ...]:
        """Installed models for which there is another file now.

        Args:
            online: also ask the vendors for their checksums, for models whose hash the registry does not
                fix. A vendor that cannot be reached is passed over.
        """
        downloader = Downloader(patience=self._patience or Patience(silence=10.0, attempts=1))
        updates = []
        for status in self.check():
            model, pin = status.model, self._ledger.pin(status.model.file)
            if status.state == "outdated":
                updates.append(ModelUpdate(model, status.sha256, model.sha256))
            elif online and status.state == "ok" and pin and isinstance(model.source, Download):
                with contextlib.suppress(NetworkError):
                    vendor = vendor_checksum(downloader, model.source.checksum_urls, model.name)
                    if vendor != pin.crc32:
                        updates.append(ModelUpdate(model, pin.sha256, vendor))
        return tuple(updates)

    def remove(self, name: str) -> None:
        """Remove a model's file and forget what its first installation was, so that another may follow.

        Raises:
            ConfigError: the name is not known.
            StorageError: the file cannot be removed.
        """
        file = self.registry.find(name).file
        try:
            (self.models_dir / file).unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(f"{self.models_dir / file} cannot be removed ({error.strerror}).") from error
        if self._ledger.get(file) or self._ledger.pin(file):
            self._ledger.remember({file: None}, {file: None})

    def _models(self) -> tuple[Model, ...]:
        return tuple(self.registry.models.values())

    def _examine(self, models: Iterable[Model], *, full: bool = False) -> tuple[ModelStatus, ...]:
        found: dict[str, ModelStatus] = {}
        learned: dict[str, Record | None] = {}
        for model in models:
            record = None if full else self._ledger.current(model.file)
            path = self.models_dir / model.file
            if record is None and path.is_file():
                try:
                    record = learned[model.file] = self._with_source(model, measure(path))
                except OSError as error:
                    text = f"{model.file} cannot be read ({error.strerror})."
                    found[model.name] = ModelStatus(model, path, "damaged", text)
                    continue
            found[model.name] = self._judge(model, record)
        if learned:
            self._ledger.remember(learned)
        return tuple(found.values())

    def _judge(self, model: Model, record: Record | None) -> ModelStatus:
        return judge(model, self.models_dir / model.file, record, self._ledger.pin(model.file))

    def _with_source(self, model: Model, record: Record) -> Record:
        """A file that was accepted before stays accepted when only its time has changed."""
        before = self._ledger.get(model.file)
        if before and before.sha256 == record.sha256:
            source = before.source
        else:
            known = any(record.sha256 == facts.sha256 for facts in model.accepted)
            source = "put there by hand" if known else ""
        return Record(record.size, record.mtime_ns, record.sha256, source)

    def _install(self, wanted: tuple[Model, ...], tell: InstallCallback, downloader: Downloader) -> None:
        def on_wait() -> None:
            text = "Another process is installing models; waiting for it."
            tell(InstallProgress("waiting", str(self.models_dir), 0, 0, text))

        with exclusive(self.models_dir, on_wait=on_wait):
            # Looked at again: whoever held the lock before may have done the work already.
            self._ledger = Ledger(self.models_dir)
            installer = Installer(self.models_dir, self._ledger, tell, downloader)
            installer.sweep()
            installer.install([status for status in self._examine(wanted) if status.state != "ok"])


def _ignore(_: InstallProgress) -> None:
    pass

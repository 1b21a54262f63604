"""Placing of results: complete, durable, and never over something else.

Work goes on in a hidden folder on the outbox's own file system. What is complete gets its final name in one
step that fails if the name is taken; then a number is added and said so.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import re
import shutil
import sys
import unicodedata
from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass
from pathlib import Path

from facefusion.automation.content import sha256_of
from facefusion.automation.pairing import without_face
from facefusion.automation.workspace import Workspace, printable
from facefusion.errors import FaceFusionError, StorageError
from facefusion.reports.documents import TEMPORARY_PREFIX
from facefusion.system.disk import sync_file, sync_folder
from facefusion.trust.privacy import share
from facefusion.trust.sidecars import sidecar_of

WORK_PREFIX = ".facefusion-work-"
RESERVING = ".reserving"
"""Suffix of a note beside a file that is getting its name: which name is reserved for it."""
STEM_BYTES = 150
FACE_BYTES = 60
"""Together with numbering and suffixes a result's name stays below the 255 bytes that a name may have."""

# EINVAL is what Windows says of exFAT, EXDEV what unions of several disks say.
_NO_LINKS = frozenset(
    {
        errno.EPERM,
        errno.ENOTSUP,
        errno.EOPNOTSUPP,
        errno.ENOSYS,
        errno.EMLINK,
        errno.EINVAL,
        errno.EXDEV,
    }
)
_UNFIT = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f]')

DiskFree = Callable[[Path], int]


@dataclass(frozen=True)
class Placed:
    """Where a result lies.

    Attributes:
        output: the result.
        report: where its report belongs; free when this was decided.
        warnings: what had to be done differently.
    """

    output: Path
    report: Path
    warnings: tuple[str, ...] = ()


class Outbox:
    """The outbox's file system.

    Args:
        workspace: whose outbox.
        installation: distinguishes the work folders of several installations that share an outbox.
        disk_free: bytes free for this user on the disk of a folder.
    """

    def __init__(self, workspace: Workspace, installation: str, disk_free: DiskFree | None = None) -> None:
        self.folder = workspace.outbox
        self.failed = workspace.failed_dir
        self.analytics = workspace.analytics_dir
        self.work_root = workspace.outbox / f"{WORK_PREFIX}{installation}"
        self._disk_free = disk_free or (lambda folder: shutil.disk_usage(folder).free)

    def require_folder(self) -> None:
        """Return only if the outbox is there; nothing is written.

        Raises:
            StorageError: it is gone.
        """
        with storage(self.folder):
            self.folder.stat()

    def require_room(self, megabytes: int) -> None:
        """Return only if results can be written.

        Raises:
            StorageError: the outbox is gone or read-only, or its disk has less than this free.
        """
        with storage(self.folder):
            self._make_work_root()
            free = self._disk_free(self.folder) // 1_000_000
            # Proves more than the rights of the folder: a disk mounted read-only, a share that went away.
            probe = self.work_root / ".probe"
            probe.touch()
            probe.unlink()
        if free < megabytes:
            raise StorageError(
                f"Only {free} MB are free on the disk of the outbox; {megabytes} MB are wanted.",
                remedy="Free some space, or lower `limits.free_disk_megabytes`; work goes on by itself.",
            )

    def make_work_dir(self, name: str) -> Path:
        """A fresh, empty folder for one attempt.

        Raises:
            StorageError: it cannot be made.
        """
        folder = self.work_root / name
        with storage(folder):
            self._make_work_root()
            if folder.exists():
                shutil.rmtree(folder)
            folder.mkdir(mode=0o700)
        return folder

    def keep_dir(self, name: str) -> Path:
        """Where a folder that outlives attempts may be made; `tidy` is to be told of it."""
        return self.work_root / name

    def remove_work_dir(self, name: str) -> None:
        """Remove the folder of an attempt; what cannot be removed now is removed at the next start."""
        shutil.rmtree(self.work_root / name, ignore_errors=True)

    def remove_work_dirs(self, names: Set[str]) -> None:
        """Remove those of these folders that are there."""
        for folder in _children(self.work_root) if names else ():
            if folder.name in names:
                self.remove_work_dir(folder.name)

    def tidy(self, keep: frozenset[str]) -> None:
        """Remove what an earlier run left unfinished.

        Args:
            keep: names of folders whose work is complete, or goes on.
        """
        for folder in _children(self.work_root):
            self._give_back_names(folder)
            if folder.name not in keep:
                shutil.rmtree(folder, ignore_errors=True)
        for place in (self.folder, self.failed, self.analytics):
            for file in _children(place):
                if file.name.startswith(TEMPORARY_PREFIX) and file.name.endswith(".part"):
                    with contextlib.suppress(OSError):
                        file.unlink()

    def _give_back_names(self, folder: Path) -> None:
        """Remove the empty files that reserved names for what lies here when the program was killed."""
        for note in _children(folder):
            if note.name.endswith(RESERVING):
                with contextlib.suppress(OSError):
                    name = Path(os.fsdecode(note.read_bytes()))
                    if name.parent in (self.folder, self.failed) and name.lstat().st_size == 0:
                        name.unlink()
                with contextlib.suppress(OSError):
                    note.unlink()

    def close(self) -> None:
        """Remove the folder for work if nothing is left in it."""
        with contextlib.suppress(OSError):
            self.work_root.rmdir()

    def place(
        self,
        work_file: Path,
        base: str,
        sidecar: Path | None = None,
        at: Callable[[str], None] = lambda step: None,
    ) -> Placed:
        """Give a complete work file its final name, `base` plus its own suffix.

        What belongs beside it gets its name first, and stays in the work folder too: a result is never seen
        without it, and after a kill in between it is recognised by its content.

        Args:
            work_file: complete.
            base: of the name.
            sidecar: file that is to lie beside the result.
            at: called with the name of each step that was taken (tests end the process there).

        Raises:
            StorageError: disk full, outbox gone or read-only; the work file is untouched.
        """
        suffix = work_file.suffix
        with storage(self.folder):
            for made in filter(None, (work_file, sidecar)):
                share(made)
            for number in itertools.count(1):
                name = numbered(base, number)
                output, report = self.folder / f"{name}{suffix}", self.folder / f"{name}.json"
                if os.path.lexists(report) or not self._place(work_file, output, sidecar, at):
                    if sidecar is not None and _is_same(sidecar, sidecar_of(output)):
                        sidecar_of(output).unlink()
                    continue
                sync_folder(self.folder)
                taken = f"The name {printable(base + suffix)} was taken; the result is {output.name}."
                return Placed(output, report, (printable(taken),) if number > 1 else ())
        raise AssertionError("unreachable")

    def _place(self, work_file: Path, output: Path, sidecar: Path | None, at: Callable[[str], None]) -> bool:
        if sidecar is not None:
            beside = sidecar_of(output)
            if os.path.lexists(output) or not (_is_same(sidecar, beside) or _copy(sidecar, beside)):
                return False
            sync_folder(self.folder)
            at("beside")
        return move_without_replacing(work_file, output)

    def find(self, base: str, suffix: str, sha256: str, size: int) -> Placed | None:
        """A result placed earlier, recognised by its content; some file systems write accents another way."""
        ours = re.compile(re.escape(_composed(base)) + r"(-\d+)?" + re.escape(_composed(suffix)))
        for file in _children(self.folder):
            if not ours.fullmatch(_composed(file.name)):
                continue
            with contextlib.suppress(FileNotFoundError):  # a dangling link, or just taken away
                if file.stat().st_size == size and sha256_of(file) == sha256:
                    return Placed(file, file.with_suffix(".json"))
        return None

    def free_report_name(self, base: str, *, failed: bool) -> Path:
        """A name for a report that stands alone."""
        folder = self.failed if failed else self.folder
        return next(
            path
            for number in itertools.count(1)
            if not os.path.lexists(path := folder / f"{numbered(base, number)}.json")
        )

    def _make_work_root(self) -> None:
        # Not `parents=True`: an outbox that is gone (a disk not mounted) must not be made anew elsewhere.
        self.work_root.mkdir(mode=0o700, exist_ok=True)


def result_base(target: str, face_name: str) -> str:
    """Name of a result without suffix: `<target stem>__<face>`, or the stem alone where there is no face.

    A target that asks for its face by name is called without it: `alice__clip.mp4` becomes `clip__alice`.
    Characters that some file system refuses, control characters and undecodable bytes become `_`; long names
    are cut between characters.
    """
    name = without_face(target, face_name)
    stem = name.rpartition(".")[0] or name
    fitted = _fit(stem, STEM_BYTES)
    return f"{fitted}__{_fit(face_name, FACE_BYTES)}" if face_name else fitted


def numbered(base: str, number: int) -> str:
    """`base`, `base-2`, `base-3` ..."""
    return base if number == 1 else f"{base}-{number}"


def move_without_replacing(source: Path, destination: Path) -> bool:
    """Give a file another name on the same file system; False if that name is taken.

    Raises:
        OSError: anything else.
    """
    try:
        if sys.platform == "win32":
            source.rename(destination)  # refuses a taken name there
            return True
        os.link(source, destination)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return _move_by_reservation(source, destination)
    source.unlink()
    return True


@contextlib.contextmanager
def storage(folder: Path) -> Iterator[None]:
    """Say errors of the operating system as trouble with a folder."""
    try:
        yield
    except FaceFusionError:
        raise
    except OSError as error:
        where = printable(Path(error.filename) if isinstance(error.filename, str) else folder)
        raise StorageError(f"{where} cannot be written: {error.strerror or error}.") from error


def _move_by_reservation(source: Path, destination: Path) -> bool:
    """For file systems without hard links (exFAT): reserve the name, then rename over our own reservation.

    A note about that comes first, so that a reservation does not outlive a kill; see `Outbox.tidy`.
    """
    if os.path.lexists(destination):
        return False
    note = source.with_name(f"{source.name}{RESERVING}")
    try:
        note.write_bytes(os.fsencode(destination))
        sync_file(note)
        os.close(os.open(destination, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        try:
            source.replace(destination)
        except OSError:
            with contextlib.suppress(OSError):
                destination.unlink()
            raise
    except FileExistsError:
        return False
    finally:
        with contextlib.suppress(OSError):
            note.unlink()
    return True


def _copy(source: Path, destination: Path) -> bool:
    """Give a file a second name, or a copy where the file system has no such thing; False if it is taken."""
    copy = source.with_name(f"{source.name}.copy")
    copy.unlink(missing_ok=True)
    try:
        os.link(source, copy)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        shutil.copy(source, copy)
        sync_file(copy)
    return move_without_replacing(copy, destination)


def _is_same(source: Path, destination: Path) -> bool:
    try:
        return destination.read_bytes() == source.read_bytes()
    except OSError:
        return False


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _fit(text: str, limit: int) -> str:
    decodable = "".join("_" if "\ud800" <= character <= "\udfff" else character for character in text)
    plain = "".join(
        "_" if unicodedata.category(character) in {"Cc", "Zl", "Zp"} else character
        for character in _UNFIT.sub("_", decodable)
    )
    cut = plain.encode()[:limit].decode("utf-8", "ignore") if len(plain.encode()) > limit else plain
    return cut.strip(" .") or "_"


def _children(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []

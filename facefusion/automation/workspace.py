"""Where everything of one installation lies, and that these places do not get in each other's way."""

from __future__ import annotations

import os
import unicodedata
from dataclasses import dataclass
from pathlib import Path

import facefusion
from facefusion.config import AutomationConfig
from facefusion.errors import ConfigError, StorageError
from facefusion.trust.privacy import make_shared_folder

STATE_DIR = ".automation"
INBOX_FOLDERS = ("faces", "videos", "photos")
_BIDI_CONTROLS = frozenset(map(chr, (*range(0x202A, 0x202F), *range(0x2066, 0x206A))))


def program_dir() -> Path:
    """The folder that holds the program: scripts, `models/`, and by default inbox and outbox."""
    return Path(facefusion.__file__).resolve().parent.parent


@dataclass(frozen=True)
class Workspace:
    """The folders of one root, absolute and with links resolved.

    Attributes:
        root: relative paths of the settings count from here.
        inbox: watched; nothing in it is changed.
        outbox: results, `failed/` and `analytics/`.
        state_dir: queue, lock, log; private (mode 0700).
        models_dir: installed model files, shared by all roots.
    """

    root: Path
    inbox: Path
    outbox: Path
    state_dir: Path
    models_dir: Path

    @classmethod
    def of(cls, root: Path, config: AutomationConfig, models_dir: Path | None = None) -> Workspace:
        """The places that `config` names, seen from `root`."""
        base = root.expanduser().resolve()
        return cls(
            root=base,
            inbox=(base / Path(config.inbox).expanduser()).resolve(),
            outbox=(base / Path(config.outbox).expanduser()).resolve(),
            state_dir=base / STATE_DIR,
            models_dir=models_dir or program_dir() / "models",
        )

    @property
    def database(self) -> Path:
        """The queue."""
        return self.state_dir / "queue.sqlite3"

    @property
    def log_dir(self) -> Path:
        """`daemon.log` and what workers print."""
        return self.state_dir / "log"

    @property
    def failed_dir(self) -> Path:
        """Reports of jobs that ended without a result."""
        return self.outbox / "failed"

    @property
    def analytics_dir(self) -> Path:
        """Usage and error reports."""
        return self.outbox / "analytics"

    def check(self) -> None:
        """Refuse places that are no folders, or in which results would be taken for targets.

        Compared are the folders themselves (device and inode), so links and bind mounts do not hide it.

        Raises:
            ConfigError: a file stands where inbox or outbox is to be, or they lie in each other.
        """
        for name, folder in (("inbox", self.inbox), ("outbox", self.outbox)):
            there = next(place for place in (folder, *folder.parents) if place.exists())
            if not there.is_dir():
                raise ConfigError(
                    f"The {name} cannot be {printable(folder)}: "
                    f"{printable(there.name)} is a file, not a folder.",
                    remedy=f"Set `{name}` in automation_config.json to a folder; "
                    "one that is not there is made.",
                )
        for inner, outer, what in (
            (self.outbox, self.inbox, "The outbox lies inside the inbox"),
            (self.inbox, self.outbox, "The inbox lies inside the outbox"),
        ):
            if _lies_in(inner, outer):
                raise ConfigError(
                    f"{what} ({printable(inner)} in {printable(outer)}): results would be processed again.",
                    remedy="Set `inbox` and `outbox` in automation_config.json to two separate folders.",
                )

    def prepare_state(self) -> None:
        """Make the private folders.

        Raises:
            StorageError: they cannot be made.
        """
        try:
            for folder in (self.state_dir, self.log_dir):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                folder.chmod(0o700)
        except OSError as error:
            raise StorageError(f"{printable(folder)} cannot be made: {error.strerror}.") from error

    def prepare_outbox(self) -> None:
        """Make the folders for results.

        Raises:
            StorageError: they cannot be made.
        """
        try:
            for folder in (self.outbox, self.failed_dir, self.analytics_dir):
                make_shared_folder(folder)
        except OSError as error:
            raise StorageError(f"{printable(folder)} cannot be made: {error.strerror}.") from error


def printable(path: Path | str) -> str:
    """A file name that can be shown on one line: control characters and undecodable bytes are escaped."""
    text = os.fspath(path)
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_shown, text))


def _shown(character: str) -> str:
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"
    if character in _BIDI_CONTROLS or unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"}:
        return character.encode("unicode_escape", "surrogatepass").decode("ascii")
    return character


def _lies_in(inner: Path, outer: Path) -> bool:
    identity = _identity(outer)
    places = (inner, *inner.parents)
    return outer in places or (identity is not None and identity in map(_identity, places))


def _identity(folder: Path) -> tuple[int, int] | None:
    try:
        status = folder.stat()
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if status.st_ino else None

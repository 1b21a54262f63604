"""What lies in the models folder for each model, and how far an installation is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from facefusion.models.ledger import Pin, Record
from facefusion.models.registry import Model

Step = Literal["waiting", "replacing", "downloading", "trouble", "installed"]
State = Literal["ok", "missing", "damaged", "outdated", "unverified", "unknown"]


@dataclass(frozen=True)
class ModelStatus:
    """What lies in the models folder for one model.

    Attributes:
        model: the entry of the registry.
        path: where its file lies or would lie.
        state: `ok`; `missing`; `damaged` (not the file it should be); `outdated` (an earlier version that
            was accepted once); `unverified` (right size, content not read yet; only from `list`); `unknown`
            (put there by hand, and there is nothing to check it with until the vendor's checksum is fetched).
        text: the state in a sentence.
        sha256: of the content where it was read, else empty.
    """

    model: Model
    path: Path
    state: State
    text: str
    sha256: str = ""


@dataclass(frozen=True)
class ModelUpdate:
    """An installed file for which there is a newer one.

    Attributes:
        model: the entry of the registry.
        installed: sha256 of the installed file.
        available: sha256 (or the vendor's CRC32, 8 digits) of the newer one.
    """

    model: Model
    installed: str
    available: str


@dataclass(frozen=True)
class InstallProgress:
    """How far an installation is.

    Attributes:
        step: `waiting` (another process installs), `replacing` (a damaged file was found),
            `downloading`, `trouble` (one place failed, the next is tried), `installed`.
        subject: model or package in question.
        bytes_done: of the present download.
        bytes_total: of the present download; 0 = not announced.
        text: the same for people.
    """

    step: Step
    subject: str
    bytes_done: int
    bytes_total: int
    text: str


InstallCallback = Callable[[InstallProgress], None]


def judge(model: Model, path: Path, record: Record | None, pin: Pin | None) -> ModelStatus:
    """The state of one model.

    Args:
        model: the entry of the registry.
        path: where its file lies or would lie.
        record: its content, if that has been read since it last changed.
        pin: what the first installation was, where nothing was known beforehand.
    """

    def status(state: State, text: str) -> ModelStatus:
        return ModelStatus(model, path, state, text, record.sha256 if record else "")

    if not path.is_file():
        return status("missing", f"The model {model.file} ({model.purpose}) is not installed.")
    sizes, hashes = _wanted(model, pin)
    wanted = " or ".join(str(size) for size in sorted(sizes))
    if record is None:
        size = path.stat().st_size
        if sizes and size not in sizes:
            return status("damaged", f"{model.file} has {size} bytes and should have {wanted}.")
        return status("unverified", f"{model.file} is there; its content has not been checked yet.")
    if record.sha256 in hashes:
        return status("ok", f"{model.file} is installed.")
    if not hashes:
        return status(
            "unknown", f"{model.file} was put there by hand; it is checked when `models install` is run."
        )
    if record.source and model.accepted:
        return status("outdated", f"{model.file} is an earlier version; a newer one is available.")
    if record.size not in sizes:
        what = f"it has {record.size} bytes and should have {wanted}"
    elif pin and not model.accepted:
        what = "its content is not that of the file that was installed first"
    else:
        what = "its content is not what it should be"
    return status("damaged", f"{model.file} is damaged: {what}.")


def _wanted(model: Model, pin: Pin | None) -> tuple[frozenset[int], frozenset[str]]:
    """Sizes and hashes the file may have; both empty if nothing is known."""
    if model.accepted:
        return (
            frozenset(facts.size for facts in model.accepted),
            frozenset(facts.sha256 for facts in model.accepted),
        )
    if pin:
        return frozenset({pin.size}), frozenset({pin.sha256})
    return frozenset(), frozenset()

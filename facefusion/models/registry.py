"""Models as data: what can be installed, where it comes from, how it is recognised, who needs it.

The table itself is `registry.toml` beside this module; here it becomes frozen dataclasses, checked
while it is read, so that a mistake in the table is found by the first test and not by a user.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any

from facefusion.errors import ConfigError

REGISTRY_FILE = Path(__file__).with_name("registry.toml")

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Licence:
    """The terms of a model, as shown before it is downloaded.

    Attributes:
        key: short name used in the table.
        title: name of the licence in words.
        url: where its text lies.
        commercial_use: whether the terms allow it.
    """

    key: str
    title: str
    url: str
    commercial_use: bool


@dataclass(frozen=True)
class Wheel:
    """A pinned wheel of the package index that carries files.

    The tags make pip fetch the same file on every host; size (bytes) and sha256 are the file's.
    """

    requirement: str
    python_version: str
    implementation: str
    abi: str
    platform: str
    size: int
    sha256: str


@dataclass(frozen=True)
class WheelMember:
    """A source: one member (path inside the archive) of a pinned wheel."""

    wheel: Wheel
    member: str

    def __str__(self) -> str:
        return f"{self.wheel.requirement}: {self.member}"


@dataclass(frozen=True)
class Model:
    """One installable file.

    Attributes:
        name: how the program calls it.
        file: path below the models folder, with forward slashes.
        purpose: what it does, in half a sentence.
        size: bytes.
        sha256: of the file, lower-case hex.
        licence: its terms.
        source: where it is taken from.
        needed_by: engines and processors that use it.
    """

    name: str
    file: str
    purpose: str
    size: int
    sha256: str
    licence: Licence
    source: WheelMember
    needed_by: tuple[str, ...]


@dataclass(frozen=True)
class Registry:
    """All known models, and which of them an engine or processor needs."""

    models: Mapping[str, Model]
    needs: Mapping[str, tuple[str, ...]]

    def find(self, name: str) -> Model:
        """The model called `name` (its file name is understood as well).

        Raises:
            ConfigError: no such model; the message lists the known ones.
        """
        if name in self.models:
            return self.models[name]
        for model in self.models.values():
            if name in (model.file, PurePosixPath(model.file).name):
                return model
        raise ConfigError(
            f"There is no model called {name!r}; known: {', '.join(sorted(self.models))}.",
            remedy="Run `python simple_auto_processor.py models list` to see the names.",
        )

    def expand(self, names: Iterable[str]) -> tuple[Model, ...]:
        """Models for a mix of model names and names of engines or processors, each once, in order.

        Raises:
            ConfigError: a name is neither.
        """
        wanted: dict[str, Model] = {}
        for name in names:
            for member in self.needs.get(name, (name,)):
                model = self.find(member)
                wanted[model.name] = model
        return tuple(wanted.values())


def parse_registry(text: str) -> Registry:
    """Turn the table's text into a `Registry`.

    Raises:
        ConfigError: the table contradicts itself; the message names the entry.
    """
    try:
        raw = tomllib.loads(text)
        licences = {key: Licence(key=key, **entry) for key, entry in raw["licences"].items()}
        wheels = {key: Wheel(**entry) for key, entry in raw.get("wheels", {}).items()}
        needs = {name: tuple(models) for name, models in raw.get("needs", {}).items()}
    except (tomllib.TOMLDecodeError, TypeError, KeyError) as error:
        raise ConfigError(f"The model table is damaged: {error!r}.") from error
    for key, wheel in wheels.items():
        _require(bool(_SHA256.fullmatch(wheel.sha256)) and wheel.size > 0, key, "size or sha256")
    models = {name: _model(name, entry, licences, wheels, needs) for name, entry in raw["models"].items()}
    for need, members in needs.items():
        for member in members:
            _require(member in models, need, f"unknown model {member!r}")
    files = [model.file.casefold() for model in models.values()]
    _require(len(files) == len(set(files)), "models", "two models share one file name")
    return Registry(models=MappingProxyType(models), needs=MappingProxyType(needs))


@cache
def load_registry() -> Registry:
    """The registry that ships with the program (read once; it is data and never changes)."""
    return parse_registry(REGISTRY_FILE.read_text(encoding="utf-8"))


def _model(
    name: str,
    entry: Mapping[str, Any],
    licences: Mapping[str, Licence],
    wheels: Mapping[str, Wheel],
    needs: Mapping[str, tuple[str, ...]],
) -> Model:
    known = {"file", "purpose", "size", "sha256", "licence", "wheel", "member"}
    _require(set(entry) == known, name, f"keys are {sorted(entry)}, wanted are {sorted(known)}")
    _require(bool(_SHA256.fullmatch(entry["sha256"])) and entry["size"] > 0, name, "size or sha256")
    _require(entry["licence"] in licences, name, f"unknown licence {entry['licence']!r}")
    _require(entry["wheel"] in wheels, name, f"unknown wheel {entry['wheel']!r}")
    file = PurePosixPath(entry["file"])
    _require(not file.is_absolute() and ".." not in file.parts, name, "file leaves the models folder")
    return Model(
        name=name,
        file=str(file),
        purpose=entry["purpose"],
        size=entry["size"],
        sha256=entry["sha256"],
        licence=licences[entry["licence"]],
        source=WheelMember(wheels[entry["wheel"]], entry["member"]),
        needed_by=tuple(need for need, members in needs.items() if name in members),
    )


def _require(condition: bool, where: str, what: str) -> None:
    if not condition:
        raise ConfigError(f"The model table is damaged at {where!r}: {what}.")

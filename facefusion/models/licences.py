"""Which licences of models a person has accepted; asked once, kept beside the models."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from facefusion.errors import LicenceNotAcceptedError, StorageError
from facefusion.models.registry import Licence, Model
from facefusion.system.disk import replace_text

LICENCES_FILE = "licences.json"

LicenceQuestion = Callable[[Licence, Sequence[Model]], bool]
"""Shows a licence and the models under it to a person; true = accepted."""


class LicenceBook:
    """The licences accepted for one models folder."""

    def __init__(self, models_dir: Path) -> None:
        self._path = models_dir / LICENCES_FILE

    def accepted(self) -> frozenset[str]:
        """Keys of accepted licences; what cannot be read counts as not accepted."""
        return frozenset(self._read())

    def accept(self, key: str) -> None:
        """Note that a licence was accepted now.

        Raises:
            StorageError: the note cannot be written.
        """
        notes = dict(self._read())
        notes[key] = datetime.now(UTC).isoformat(timespec="seconds")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            replace_text(self._path, json.dumps(notes, indent=2) + "\n")
        except OSError as error:
            raise StorageError(f"{self._path} cannot be written ({error.strerror}).") from error

    def require(self, models: Iterable[Model], ask: LicenceQuestion | None) -> None:
        """Return only if the licence of every one of these models is accepted; ask where it is not.

        Raises:
            ModelMissingError: there is nobody to ask, or the answer was no. The remedy says how to accept.
        """
        open_questions: dict[Licence, list[Model]] = {}
        known = self.accepted()
        for model in models:
            if model.asks_for_licence and model.licence.key not in known:
                open_questions.setdefault(model.licence, []).append(model)
        for licence, concerned in open_questions.items():
            if ask is None or not ask(licence, concerned):
                names = ", ".join(model.name for model in concerned)
                raise LicenceNotAcceptedError(
                    f"{names}: the licence has not been accepted ({licence.title}; {licence.url}).",
                    remedy=(
                        "Run `python3 simple_auto_processor.py models install "
                        f"{' '.join(model.name for model in concerned)} --accept-licence`."
                    ),
                )
            self.accept(licence.key)

    def _read(self) -> Mapping[str, str]:
        try:
            notes = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return notes if isinstance(notes, dict) else {}

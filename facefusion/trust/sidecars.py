"""Signatures that lie beside their file, because it cannot hold them: `clip.mkv` and `clip.mkv.c2pa`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

SUFFIX = ".c2pa"


def sidecar_of(path: Path) -> Path:
    """Where the signature of a file lies that cannot hold it itself."""
    return path.with_name(path.name + SUFFIX)


def has_sidecar(provenance: Mapping[str, Any] | None) -> bool:
    """Whether the signature of a result lies beside it, by what its job says of its provenance."""
    return provenance is not None and provenance["layers"]["content_credentials"] == "sidecar"

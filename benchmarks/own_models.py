"""Models folders for measuring and testing, with files that only the folder's own table vouches for."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path


def copy_models(source: Path, folder: Path) -> None:
    """Copy the model files that lie in a folder, without what was noted about them."""
    for file in source.iterdir():
        if file.is_file() and file.name[0] != "." and file.suffix != ".json":
            shutil.copy(file, folder / file.name)


def add_own_model(folder: Path, name: str, kind: str, file: str, content: bytes, contract: str) -> None:
    """Add a model to the folder's own table, which then vouches for this content of its file.

    Args:
        folder: of the models.
        name: of the model; one of the registry's is replaced.
        kind: as the registry calls it.
        file: its name; it need not be there yet.
        content: of the file.
        contract: inside of a TOML table.
    """
    entry = f"""
[models."{name}"]
kind = "{kind}"
file = "{file}"
purpose = "Made for measuring or testing"
licence = "mit"
urls = ["https://localhost/none"]
accepted = [{{ size = {len(content)}, sha256 = "{hashlib.sha256(content).hexdigest()}" }}]
contract = {{ {contract} }}
"""
    with (folder / "own_models.toml").open("a", encoding="utf-8") as table:
        table.write(entry)

"""The table of settings in README.md, made from the settings themselves.

`python -m facefusion.launcher.settings_table` brings the README up to date; a test compares the two.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from facefusion.config import json_schema
from facefusion.config_errors import allowed_values

BEGIN, END = "<!-- settings -->", "<!-- end of settings -->"


def settings_table() -> str:
    """Markdown: one row for each setting with its values, default and meaning."""
    schema = json_schema()
    rows = ["| setting | values | default | meaning |", "|---|---|---|---|"]
    for key, entry in _settings(schema, schema["properties"], ""):
        meaning = " ".join(entry["description"].split())
        default = json.dumps(entry.get("default"))
        rows.append(f"| `{key}` | {allowed_values(entry)} | `{default}` | {meaning} |")
    return "\n".join(rows) + "\n"


def _settings(
    schema: Mapping[str, Any], properties: Mapping[str, Any], prefix: str
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for key, entry in properties.items():
        if key.startswith("$"):
            continue
        if "$ref" in entry:
            section = schema["$defs"][entry["$ref"].rpartition("/")[2]]
            yield from _settings(schema, section["properties"], f"{prefix}{key}.")
        else:
            yield prefix + key, entry


def update_readme(readme: Path) -> None:
    """Replace the table between its two marks."""
    before, begin, rest = readme.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    readme.write_text(f"{before}{begin}\n{settings_table()}{end}{after}", encoding="utf-8")


if __name__ == "__main__":
    update_readme(Path(__file__).resolve().parents[2] / "README.md")

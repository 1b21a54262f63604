"""The table of settings in README.md, made from the settings themselves.

`python -m facefusion.launcher.settings_table` brings the README up to date; a test compares the two.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from facefusion.config import json_schema

BEGIN, END = "<!-- settings -->", "<!-- end of settings -->"


def settings_table() -> str:
    """Markdown: one row for each setting with its values, default and meaning."""
    schema = json_schema()
    rows = ["| setting | values | default | meaning |", "|---|---|---|---|"]
    for key, entry in _settings(schema, schema["properties"], ""):
        meaning = " ".join(entry["description"].split())
        rows.append(f"| `{key}` | {_values(entry)} | `{json.dumps(entry.get('default'))}` | {meaning} |")
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


def _values(entry: Mapping[str, Any]) -> str:
    """What is allowed, as short as it can be said."""
    if "anyOf" in entry:
        return " or ".join(_values(choice) for choice in entry["anyOf"])
    if "enum" in entry:
        return ", ".join(f"`{value}`" for value in entry["enum"])
    if "pattern" in entry:
        return ", ".join(f"`{value}`" for value in entry["pattern"].strip("^()$").split("|"))
    kind = entry.get("type", "")
    if kind == "array":
        return f"list of {_values(entry['items'])}"
    if kind in ("integer", "number"):
        low, high = entry.get("minimum"), entry.get("maximum")
        if high is not None:
            return f"{low:.16g} to {high:.16g}"
        return kind if low is None else f"{low:.16g} or more"
    return {"boolean": "`true`, `false`", "null": "`null`", "string": "text"}[kind]


def update_readme(readme: Path) -> None:
    """Replace the table between its two marks."""
    before, begin, rest = readme.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    readme.write_text(f"{before}{begin}\n{settings_table()}{end}{after}", encoding="utf-8")


if __name__ == "__main__":
    update_readme(Path(__file__).resolve().parents[2] / "README.md")

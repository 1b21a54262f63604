"""What is wrong in a settings file, in words: which line, which key, and what is allowed there."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Place = tuple[str | int, ...]

_TOKEN = re.compile(r'"(?:\\.|[^"\\])*"|[{}\[\]:,]')
_WORD = re.compile(r"[A-Za-z]\w*")
_PYTHON_WORDS = {"True": "true", "False": "false", "None": "null"}
_SHOWN_VALUE = 60


def broken_syntax(error: json.JSONDecodeError) -> str:
    """A sentence on text that is no JSON."""
    rest = error.doc[error.pos :]
    at = rest[:1]
    if not error.doc.strip():
        what = "the file is empty; write {} for the defaults"
    elif error.msg.startswith("Invalid \\escape"):
        what = 'a backslash must be written twice; in folder names "/" does as well'
    elif error.msg.startswith(("Unterminated string", "Invalid control character")):
        what = 'a closing " is missing'
    elif error.msg.startswith("Extra data"):
        what = "there is something after the closing brace"
    elif at == "'":
        what = "texts and names stand in double quotes"
    elif rest.startswith(("//", "/*", "#")):
        what = "comments are not possible here"
    elif error.msg.startswith("Illegal trailing comma") or (
        at in "}]" and error.doc[: error.pos].rstrip().endswith(",")
    ):
        what = "there is one comma too many before this"
    elif not at:
        what = "a closing brace is missing at the end"
    elif error.msg.startswith("Expecting ',' delimiter"):
        what = "a comma is missing before this"
    elif error.msg.startswith("Expecting ':' delimiter"):
        what = "a colon is missing after the name"
    elif error.msg.startswith("Expecting property name"):
        what = "the name of a setting in double quotes is missing"
    elif error.msg.startswith("Expecting value"):
        word = _WORD.match(rest)
        right = _PYTHON_WORDS.get(word.group(), f'"{word.group()}"') if word else ""
        what = f"write {right} instead of {word.group()}" if word else "a value is missing"
    else:
        what = error.msg
    return f"line {error.lineno}, column {error.colno}: {what}."


def wrong_values(problems: Sequence[Mapping[str, Any]], text: str, schema: Mapping[str, Any]) -> str:
    """Sentences on all wrong values.

    Args:
        problems: `pydantic.ValidationError.errors()`.
        text: of the file, valid JSON.
        schema: JSON Schema of the settings.
    """
    lines = key_lines(text)
    return _sentences((_line(lines, problem["loc"]), _explain(problem, schema)) for problem in problems)


def keys_twice(text: str) -> str:
    """Sentences on keys that stand twice in one object (of which JSON would silently take the last)."""
    seen: dict[Place, int] = {}
    twice = []
    for place, line in _keys(text):
        if place in seen and isinstance(place[-1], str):
            twice.append((line, f"`{_dotted(place)}` stands there twice, first in line {seen[place]}."))
        seen.setdefault(place, line)
    return _sentences(twice)


def key_lines(text: str) -> dict[Place, int]:
    """Line of every key, and of every text in a list, of valid JSON."""
    return dict(_keys(text))


def allowed_values(entry: Mapping[str, Any]) -> str:
    """What a setting may be, as short as it can be said, in Markdown.

    Args:
        entry: of the JSON Schema.
    """
    if "anyOf" in entry:
        return " or ".join(allowed_values(choice) for choice in entry["anyOf"])
    if "enum" in entry:
        return ", ".join(f"`{value}`" for value in entry["enum"])
    if "pattern" in entry:
        return ", ".join(f"`{value}`" for value in entry["pattern"].strip("^()$").split("|"))
    kind = entry.get("type", "")
    if kind == "array":
        return f"list of {allowed_values(entry['items'])}"
    if kind in ("integer", "number"):
        low, high = entry.get("minimum"), entry.get("maximum")
        if high is not None:
            return f"{low:.16g} to {high:.16g}"
        return kind if low is None else f"{low:.16g} or more"
    return {"boolean": "`true`, `false`", "null": "`null`", "string": "text"}.get(kind, "")


def _explain(problem: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    place = tuple(problem["loc"])
    key = _dotted(place)
    if problem["type"] == "extra_forbidden":
        return f"`{key}` is not a setting{_meant(place, schema)}"
    given = json.dumps(problem["input"], default=str, ensure_ascii=False)
    if len(given) > _SHOWN_VALUE:
        given = given[:_SHOWN_VALUE] + "..."
    entry = _entry(place, schema)
    if "properties" in entry:
        return f"`{key}` is {given}; allowed: an object in braces."
    if isinstance(place[-1], int) and len(place) > 1:
        return f"`{key}` holds {given}; allowed there: {allowed_values(entry)}."
    whole = " whole numbers" if entry.get("type") == "integer" and problem["type"] == "int_from_float" else ""
    if problem["type"] == "too_short":
        return f"`{key}` is empty; allowed: {allowed_values(entry)}."
    return f"`{key}` is {given}; allowed:{whole} {allowed_values(entry)}."


def _meant(place: Place, schema: Mapping[str, Any]) -> str:
    """`; did you mean `x`?`, or where the known ones are told."""
    paths = list(_paths(schema, schema))
    wanted = _dotted(place)
    last = {path.rpartition(".")[2]: path for path in paths}
    near = difflib.get_close_matches(wanted, paths, 1) or [
        last[name] for name in difflib.get_close_matches(str(place[-1]), last, 1, 0.75)
    ]
    return f"; did you mean `{near[0]}`?" if near else "; README.md and `config schema` list them all."


def _paths(schema: Mapping[str, Any], section: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, entry in section["properties"].items():
        yield prefix + key
        inner = _resolved(entry, schema)
        if "properties" in inner:
            yield from _paths(schema, inner, f"{prefix}{key}.")


def _entry(place: Place, schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The part of the schema that describes a place."""
    entry: Mapping[str, Any] = schema
    for step in place:
        if "properties" in entry and step in entry["properties"]:
            entry = _resolved(entry["properties"][step], schema)
        elif isinstance(step, int) and "items" in entry:
            entry = entry["items"]
    return entry


def _resolved(entry: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = str(entry.get("$ref", ""))
    section: Mapping[str, Any] = schema["$defs"][reference.rpartition("/")[2]] if reference else entry
    return section


def _dotted(place: Place) -> str:
    return ".".join(step for step in place if isinstance(step, str))


def _line(lines: Mapping[Place, int], place: Place) -> int | None:
    return next((lines[place[:end]] for end in range(len(place), 0, -1) if place[:end] in lines), None)


def _sentences(found: Iterator[tuple[int | None, str]] | Sequence[tuple[int | None, str]]) -> str:
    ordered = sorted(found, key=lambda entry: entry[0] or 0)
    return " ".join(
        f"{'line' if number == 0 else 'Line'} {line}: {told}" if line else told
        for number, (line, told) in enumerate(ordered)
    )


def _keys(text: str) -> Iterator[tuple[Place, int]]:
    """Keys and texts in lists, with their lines, in the order of the text."""
    path: list[str | int] = []
    line, position = 1, 0
    for found in _TOKEN.finditer(text):
        token = found.group()
        line += text.count("\n", position, found.start())
        position = found.start()
        if token in "{[":
            path.append("" if token == "{" else 0)
        elif token in "}]":
            path.pop()
        elif not path:
            continue
        elif token == "," and isinstance(path[-1], int):
            path[-1] += 1
        elif token[0] == '"' and isinstance(path[-1], int):
            yield tuple(path), line
        elif token[0] == '"' and text[found.end() :].lstrip()[:1] == ":":
            path[-1] = json.loads(token)
            yield tuple(path), line

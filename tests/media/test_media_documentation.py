"""docs/media.md names a test for every row, and every test it names exists."""

import re
from pathlib import Path

HERE = Path(__file__).parent
DOCUMENT = HERE.parents[1] / "docs" / "media.md"


def test_every_named_test_exists():
    named = set(re.findall(r"`(test_\w+)`", DOCUMENT.read_text(encoding="utf-8")))
    written = set()
    for path in HERE.parent.rglob("test_*.py"):
        written |= set(re.findall(r"^def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE))
    assert named - written == set()


def test_every_row_names_a_test():
    sections = DOCUMENT.read_text(encoding="utf-8").split("\n## ")
    for section in sections:
        if section.startswith(("Videos", "Long videos", "Pictures", "What is damaged")):
            rows = [line for line in section.splitlines() if line.startswith("|")][2:]
            assert rows
            for row in rows:
                assert "`test_" in row.split("|")[3], row

"""SECURITY.md names tests that are there, and every target that is fuzzed reads what it says."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "SECURITY.md").read_text("utf-8")


def test_every_test_that_it_names_is_there_and_tests_something() -> None:
    named = re.findall(r"`(tests/[\w/.]+)`", TEXT)
    assert len(named) > 20
    for name in named:
        path = ROOT / name
        files = [path] if path.is_file() else sorted(path.rglob("test_*.py"))
        assert files, name
        assert all(re.search(r"^def test_", one.read_text("utf-8"), re.M) for one in files), name


def test_every_promise_has_what_is_not_promised_beside_it() -> None:
    rows = [
        line.split(" | ")
        for line in TEXT.partition("## Promises")[2].partition("\n## ")[0].splitlines()
        if "**" in line
    ]
    assert len(rows) == 10
    assert all(len(row) == 3 and all(len(cell) > 20 for cell in row[:2]) and row[2].strip(" |") for row in rows)

"""The shape of the house: no circle of imports, rooms that a reader keeps in mind, short files and functions."""

import re
import statistics
from collections import Counter

import pytest

from helpers.source_tree import PACKAGES, REPOSITORY, STAGES, circles, function_lengths, modules

MOST_FILES = 15  # in one folder, including its __init__
MOST_LINES = 400  # of one file
WALKS = re.compile(r"^\d\. \*\*(.+?)\*\*: (.+?)$", re.MULTILINE)


def test_no_module_imports_itself_through_others() -> None:
    """The doors are left out: a package's `__init__` names its modules for type checkers."""
    graph = {name: module.imports - set(PACKAGES) for name, module in modules().items() if name not in PACKAGES}
    assert circles(graph) == []


def test_a_circle_would_be_found() -> None:
    graph = {"a": frozenset("b"), "b": frozenset("c"), "c": frozenset("a"), "d": frozenset("a")}
    assert circles(graph) == [["a", "b", "c"]]


def test_a_folder_holds_no_more_files_than_a_reader_keeps_in_mind() -> None:
    counts = Counter(
        path.parent.relative_to(REPOSITORY).as_posix()
        for top in (*STAGES, "tests")
        for path in (REPOSITORY / top).rglob("*.py")
    )
    assert {folder: count for folder, count in counts.items() if count > MOST_FILES} == {}


def test_no_file_is_too_long_for_a_reader() -> None:
    """Templates of C are left out (`*.in`): their numbers make them long."""
    lengths = {
        path.relative_to(REPOSITORY).as_posix(): path.read_text("utf-8").count("\n")
        for top in (*STAGES, "tests")
        for path in (REPOSITORY / top).rglob("*")
        if path.suffix in {".py", ".js", ".mjs", ".c", ".h", ".css", ".html"}
    }
    assert {path: lines for path, lines in lengths.items() if lines > MOST_LINES} == {}


def test_functions_fit_a_screen() -> None:
    lengths = [lines for lines, _ in function_lengths()]
    assert statistics.median(lengths) <= 8
    assert sorted(lengths)[int(0.9 * len(lengths))] <= 24
    assert sum(lines > 50 for lines in lengths) / len(lengths) <= 0.007


def test_a_room_is_a_sentence() -> None:
    silent = [
        module.name
        for module in modules().values()
        if module.path.name == "__init__.py" and not re.match(r'"""[^\n]{20,}', module.path.read_text("utf-8"))
    ]
    assert silent == []


def walks() -> dict[str, list[str]]:
    text = (REPOSITORY / "CONTRIBUTING.md").read_text("utf-8").replace("\n   ", " ")
    return {name: re.findall(r"`(pulsecast[a-z_.0-9]*)`", steps) for name, steps in WALKS.findall(text)}


@pytest.mark.parametrize("name", walks())
def test_a_walk_visits_modules_that_are_there_and_none_twice(name: str) -> None:
    steps = walks()[name]
    assert [step for step in steps if step not in modules()] == []
    assert len(set(steps)) == len(steps) >= 5


def test_there_are_four_walks() -> None:
    assert len(walks()) == 4

"""Counts of instructions: what a change is, and that they are counted at all where Valgrind is."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from pulsecast import records
from pulsecast.errors import MissingExtraError
from pulsecast_bench.instructions import BASELINE, WORKS, Counts, compared, count_instructions

BEFORE = Counts(
    compiler="cc 12", valgrind="valgrind-3", machine="x86_64", path="avx2", counts={"textbook": {"predict": 1000}}
)


def found(predict: int, **changes: str) -> Counts:
    return replace(BEFORE, counts={"textbook": {"predict": predict}}, **changes)


@pytest.mark.parametrize(
    ("predict", "changed"), [(1000, False), (1019, False), (981, False), (1021, True), (979, True)]
)
def test_more_than_two_percent_either_way_is_a_change(predict: int, changed: bool) -> None:
    lines, said = compared(found(predict), BEFORE)
    assert said is changed
    assert ("CHANGED by more than 2%" in lines[-1]) is changed


def test_another_compiler_is_shown_and_held_against_nothing() -> None:
    lines, changed = compared(found(2000, compiler="cc 13"), BEFORE)
    assert not changed
    assert lines[1] == "baseline: cc 12, x86_64: differences may be the compiler's"
    assert "+100.00%" in lines[-1]
    lines, changed = compared(found(2000), None)
    assert not changed
    assert lines[-1].endswith("no baseline")


def test_the_baseline_in_the_repository_holds_every_work_of_both_recipes() -> None:
    baseline = records.loads(Counts, BASELINE.read_bytes(), where=BASELINE.name)
    assert {recipe: tuple(counts) for recipe, counts in baseline.counts.items()} == {
        "textbook": tuple(WORKS),
        "recommended": tuple(WORKS),
    }
    assert all(count > 1000 for counts in baseline.counts.values() for count in counts.values())


def test_without_valgrind_the_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MissingExtraError, match="counted by Valgrind, which is not installed"):
        count_instructions([])


@pytest.mark.slow
def test_the_same_model_takes_the_same_instructions_and_an_answer_a_small_part_of_a_window(
    textbook_model: Path,
) -> None:
    if shutil.which("valgrind") is None or shutil.which("cc") is None:
        pytest.skip("no Valgrind or no C compiler")
    (counts,) = count_instructions([textbook_model]).counts.values()
    (again,) = count_instructions([textbook_model]).counts.values()
    assert counts == again
    assert counts["answer"] < 0.05 * counts["predict"]

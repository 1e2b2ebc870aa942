"""Counts of instructions: what a change is, and a real count if Valgrind is installed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from helpers.engines import require, require_tools
from helpers.native_models import require_c
from pulsecast.errors import MissingExtraError
from pulsecast.foundation import strict_json
from pulsecast_bench.native.instructions import BASELINE, SUBJECTS, Counts, compared, count_instructions

BEFORE = Counts(
    compiler="cc 12",
    valgrind="valgrind-3",
    machine="x86_64",
    path="avx2",
    shapes={"textbook": "50 steps"},
    counts={"textbook": {"predict": 1000}},
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


def test_another_shape_or_none_before_is_not_a_change() -> None:
    for now, before in ((found(2000), None), (replace(found(2000), shapes={"textbook": "60 steps"}), BEFORE)):
        lines, changed = compared(now, before)
        assert not changed
        assert lines[-1].endswith("no baseline for this shape")


def test_the_baseline_in_the_repository_holds_every_work_of_every_subject() -> None:
    baseline = strict_json.loads(Counts, BASELINE.read_bytes(), where=BASELINE.name)
    assert {name: set(counts) for name, counts in baseline.counts.items()} == {
        name: set(subject.works) for name, subject in SUBJECTS.items()
    }
    assert all(count > 1000 for counts in baseline.counts.values() for count in counts.values())


def test_without_valgrind_the_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MissingExtraError, match="counted by Valgrind, which is not installed"):
        count_instructions()


REPEATED = ("shapes", "counts")  # what is counted of each subject


@pytest.mark.slow
def test_counts_repeat_and_more_channels_take_more(monkeypatch: pytest.MonkeyPatch) -> None:
    require("sklearn")
    require_tools("valgrind")
    require_c()
    kept = {name: replace(SUBJECTS[name], works=("predict",)) for name in ("textbook", "recommended")}
    monkeypatch.setattr("pulsecast_bench.native.instructions.SUBJECTS", kept)
    found = count_instructions()
    monkeypatch.setattr("pulsecast_bench.native.instructions.SUBJECTS", {"textbook": kept["textbook"]})
    again = count_instructions()
    assert again == replace(found, **{name: {"textbook": getattr(found, name)["textbook"]} for name in REPEATED})
    assert found.counts["textbook"]["predict"] < found.counts["recommended"]["predict"]

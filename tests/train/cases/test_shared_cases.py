"""The smallest files of public bug reports, as they were found: the value that is right, or the refusal that is."""

from pathlib import Path
from typing import Any

import pytest

from helpers.logs.log_files import NOW_S, refusal
from pulsecast_train.logs.config import LogConfig
from pulsecast_train.logs.looking.look import look
from pulsecast_train.logs.reader import read_log

CASES = Path(__file__).resolve().parents[3].parent / "shared" / "cases" / "logs"
pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason="the public cases are not beside this repository")
DAY, HOUR = 86_400, 3600

# file -> the step in seconds, the first values, and how many there are
RIGHT: dict[str, tuple[int, list[float], int]] = {
    "backslash_metric.csv": (DAY, [1, 2, 3, 4, 5, 6, 7, 8, 9], 9),
    "bom2.csv": (DAY, [5, 5, 5], 3),
    "comma.tsv": (DAY, [0.125, 0.25, 0.9], 3),
    "cr.csv": (DAY, [5, 6], 2),
    "hh.csv": (HOUR, [1, 2, 3], 3),
    "hhmm.csv": (HOUR, [0, 1, 2, 3], 24),
    "hour.csv": (HOUR, [1, 2, 3, 4], 72),
    "midnight.csv": (DAY, [5, 5, 5], 7),
    "mu.csv": (HOUR, [1, 1, 1], 4),
    "semi.csv": (DAY, [5, 5, 5], 3),
}
# file of events -> step in which they are counted here, and how many rows it has
EVENTS = {"backslash.csv": ("1h", 12), "cut_tsv.tsv": ("1h", 8), "edited.ndjson": ("5m", 2)}


def stated(name: str, **more: Any) -> LogConfig:
    return LogConfig(timezone="America/Sao_Paulo" if name == "midnight.csv" else "UTC", **more)


@pytest.mark.parametrize("name", RIGHT)
def test_a_file_that_was_misread_or_refused_is_read_without_a_question(name: str) -> None:
    step_s, first, count = RIGHT[name]
    found = look(CASES / name, stated(name), now_s=NOW_S)
    (series,) = found.series
    assert (found.questions, found.problem, series.step_s, len(series.values)) == ((), "", step_s, count)
    assert series.values[: len(first), 0].tolist() == first


@pytest.mark.parametrize("name", EVENTS)
def test_no_row_of_events_vanishes(name: str) -> None:
    step, rows = EVENTS[name]
    found = read_log(CASES / name, stated(name, events=True, step=step), now_s=NOW_S)
    assert found.report.rows_read == rows
    look_at = look(CASES / name, stated(name), now_s=NOW_S)
    assert (look_at.questions, look_at.problem, look_at.config.events) == ((), "", True)


def test_what_only_the_user_knows_is_asked_or_refused_with_the_way_out() -> None:
    (question,) = look(CASES / "dot.csv", stated("dot.csv"), now_s=NOW_S).questions
    assert "which can be 1.051 or 1051" in question.what
    assert "--decimal" in refusal(CASES / "dot.csv", timezone="UTC")
    assert refusal(CASES / "month.csv", timezone="UTC").endswith("by days or weeks")

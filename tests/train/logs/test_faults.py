"""Reading a log with the faults of real ones gives the exact counts, or the exact sentence."""

import csv
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.logs import faults
from pulsecast.errors import DataError
from pulsecast.foundation.strict_json import dumps
from pulsecast_train.logs.config import LogConfig
from pulsecast_train.logs.data_report import DataReport
from pulsecast_train.logs.generator import generate_log
from pulsecast_train.logs.reader import read_log

NAB = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "nab_tweets"
NAMES = [f"Twitter_volume_{name}" for name in ("AMZN", "CRM")]  # the most events and the fewest
MORE = [f"Twitter_volume_{name}" for name in ("AAPL", "FB", "GOOG", "IBM", "PFE")]
needs_data = pytest.mark.skipif(not NAB.is_dir(), reason="the public counts are not beside this repository")
POINTS = 12 * 24 * 4  # four days of five minutes
MOST = 40  # of one five minutes: enough to distinguish them, few enough for a quick test


PUBLIC = [
    *(pytest.param(name, marks=needs_data) for name in NAMES),
    *(pytest.param(name, marks=(needs_data, pytest.mark.soak)) for name in MORE),
]


@pytest.fixture(scope="module", params=["generated", *PUBLIC])
def truth(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> faults.Truth:
    """Events drawn from the generator's counts, or from public ones."""
    if request.param == "generated":
        made = generate_log(tmp_path_factory.mktemp("log") / "log.csv", days=4, messy=False)
        return faults.drawn(made.counts.tolist(), 3600)
    with (NAB / f"{request.param}.csv").open(newline="") as file:
        counts = [min(int(float(row["value"])), MOST) for row in csv.DictReader(file)]
    return faults.drawn(counts[:POINTS], 300)


def read(folder: Path, data: bytes, **options: Any) -> tuple[list[float], DataReport]:
    path = folder / "log.csv"
    path.write_bytes(data)
    config = LogConfig(**{"id": "id", "user": "user", "events": True, "step": "1h", **options})
    (series,), report = read_log([path], config)
    assert series.start_s == faults.START_S
    assert "person-" not in dumps(report)
    assert "event-" not in dumps(report)
    return series.values[:, 0].tolist(), report


def found(report: DataReport) -> dict[str, int]:
    return {finding.policy: finding.rows for finding in report.findings}


def rng_of(name: str) -> np.random.Generator:
    return np.random.default_rng(int.from_bytes(hashlib.sha256(name.encode()).digest()[:4]))


Fault = Callable[[faults.Truth, np.random.Generator], faults.Truth]
HANDLED: dict[str, tuple[Fault, dict[str, Any]]] = {
    "nothing": (lambda truth, _: truth, {}),
    "exact duplicates": (faults.exact_duplicates, {}),
    "conflicting duplicates": (faults.conflicting_duplicates, {"on_conflict": "first"}),
    "a few rows out of order": (faults.out_of_order(0.0013), {}),
    "half of the rows out of order": (faults.out_of_order(0.5), {}),
    "newest first": (faults.newest_first, {}),
    "a lost block": (faults.lost_block, {}),
    "missing cells": (faults.missing_cells, {"missing": ("{}", "-1"), "metrics": ("n",)}),
    "mixed offsets": (faults.mixed_offsets, {}),
    "local time over a clock change": (faults.written(faults.local), {"timezone": "Europe/Berlin"}),
    "a twelve-hour clock": (faults.written(faults.twelve_hours), {"timezone": "UTC"}),
    "a few rows of a twelve-hour clock": (faults.some_written(0.01, faults.twelve_hours), {"timezone": "UTC"}),
    "a bot": (faults.bot, {}),
}


@pytest.mark.parametrize("name", HANDLED)
def test_a_handled_fault_leaves_the_exact_counts_and_is_counted(truth: faults.Truth, tmp_path: Path, name: str) -> None:
    fault, options = HANDLED[name]
    expected = fault(truth, rng_of(name))
    values, report = read(tmp_path, faults.text(expected.rows), **options)
    assert values == (expected.sums if "metrics" in options else expected.counts).tolist()
    assert report.rows_read == len(expected.rows)
    once = {row.id: row.user for row in expected.rows}
    busiest = {"top-user": int(np.unique(list(once.values()), return_counts=True)[1].max())}
    assert found(report) == busiest | expected.found
    lines = {finding.policy: finding.lines for finding in report.findings}
    assert {policy: lines[policy] for policy in expected.lines} == expected.lines


def test_byte_order_mark_carriage_returns_and_all_faults_at_once(truth: faults.Truth, tmp_path: Path) -> None:
    expected = truth
    policies: dict[str, int] = {}
    for fault in (faults.missing_cells, faults.mixed_offsets, faults.exact_duplicates, faults.out_of_order(0.0013)):
        expected = fault(expected, rng_of("all"))
        policies |= expected.found
    data = b"\xef\xbb\xbf" + faults.text(expected.rows).replace(b"\n", b"\r\n")
    values, report = read(tmp_path, data, missing=("{}", "-1"), metrics=("n",))
    assert values == expected.sums.tolist()
    repeated = found(report)["exact-duplicate"]
    assert repeated == policies["exact-duplicate"]
    assert found(report)["out-of-order"] == policies["out-of-order"]


def test_a_log_cut_in_its_last_row_loses_that_row_and_says_so(truth: faults.Truth, tmp_path: Path) -> None:
    data = faults.text([*truth.rows, truth.rows[-1]])
    cut = data[: data.rindex(b"\n", 0, len(data) - 1) + 8]  # seven bytes of the last row's timestamp are left
    if len(truth.rows) < 1000:  # one row is over 0.1 % of so few
        last = len(truth.rows) + 2
        with pytest.raises(DataError, match=rf"^1 of {last - 1} rows .* log\.csv line {last} \('2025-03'\)"):
            read(tmp_path, cut)
        return
    values, report = read(tmp_path, cut)
    assert values == truth.counts.tolist()
    unread = next(finding for finding in report.findings if finding.policy == "unparsable-timestamp")
    assert (unread.rows, unread.lines) == (1, (len(truth.rows) + 2,))


def test_a_bot_is_capped_on_request(truth: faults.Truth, tmp_path: Path) -> None:
    flooded = faults.bot(truth, rng_of("bot"))
    values, report = read(tmp_path, faults.text(flooded.rows), user_cap=100)
    hours = np.array([(row.t - faults.START_S) // 3600 for row in flooded.rows])
    users = np.array([row.user for row in flooded.rows])
    pairs, counts = np.unique(np.stack([hours, np.unique(users, return_inverse=True)[1]]), axis=1, return_counts=True)
    expected = np.bincount(pairs[0], weights=np.minimum(counts, 100), minlength=len(truth.counts))
    assert values == expected.tolist()
    assert found(report)["user-cap"] == np.maximum(counts - 100, 0).sum() >= 9000


def test_the_repeated_hour_in_autumn_is_refused_or_taken_as_chosen(truth: faults.Truth, tmp_path: Path) -> None:
    shift = 1_761_350_400 - faults.START_S  # 2025-10-25T00:00:00Z, the day before the clocks are put back
    rows = [faults.replace(row, t=row.t + shift, write=faults.local) for row in truth.rows]
    twice = range(1_761_436_800, 1_761_444_000)  # 00:00 to 02:00 UTC: 2 to 3 o'clock, two times
    first = next(i for i, row in enumerate(rows) if row.t in twice)
    cell = faults.local(rows[first].t)
    config = {"id": "id", "events": True, "step": "1h", "timezone": "Europe/Berlin"}
    (tmp_path / "log.csv").write_bytes(faults.text(rows))
    with pytest.raises(DataError) as caught:
        read_log([tmp_path / "log.csv"], LogConfig(**config))
    assert str(caught.value) == (
        f"log.csv line {first + 2}: {cell} exists twice in Europe/Berlin: its clock is put back then; choose "
        "--repeated-hour first or second, or write the log's timestamps in UTC or with an offset"
    )
    (series,), report = read_log([tmp_path / "log.csv"], LogConfig(**config, repeated_hour="first"))
    at = (twice.start - series.start_s) // 3600
    expected = truth.counts.copy()
    expected[at : at + 2] = expected[at : at + 2].sum(), 0
    assert series.values[:, 0].tolist() == expected.tolist()
    assert found(report)["repeated-hour"] == sum(row.t in twice for row in rows)


def test_latin_1_in_the_middle_is_refused_with_line_and_byte(truth: faults.Truth, tmp_path: Path) -> None:
    lines = faults.text(truth.rows).splitlines(keepends=True)
    at = len(lines) // 2
    lines[at] = lines[at].replace(b"hello", "señor".encode("latin-1"))
    data = b"".join(lines)
    with pytest.raises(DataError) as caught:
        read(tmp_path, data)
    assert str(caught.value) == (
        f"log.csv line {at + 1} is not UTF-8 text (0xf1 at byte {data.index(0xF1)}); save the file as UTF-8"
    )


def test_conflicting_duplicates_are_refused_with_both_lines(truth: faults.Truth, tmp_path: Path) -> None:
    clashing = faults.conflicting_duplicates(truth, rng_of("conflicting duplicates"))
    copies = {row.id: place for place, row in enumerate(clashing.rows[len(truth.rows) :], start=len(truth.rows) + 2)}
    first = next(i for i, row in enumerate(truth.rows) if row.id in copies)
    with pytest.raises(DataError) as caught:
        read(tmp_path, faults.text(clashing.rows))
    assert str(caught.value) == (
        f"log.csv line {first + 2} and log.csv line {copies[truth.rows[first].id]} have the same id and another time "
        "or other values; choose --on-conflict first or last"
    )


def second_value(cell: str) -> Fault:
    """Return a fault: the second row's value is `cell`."""
    return lambda truth, _: faults.replace(
        truth, rows=(truth.rows[0], faults.replace(truth.rows[1], n=cell), *truth.rows[2:])
    )


HALF_DAYS = (
    "log.csv line 2 and all rows after it have hours from 1 to 12, as on a 12-hour clock without AM and PM; "
    "write hours from 0 to 23, or choose --time-format to read them as they are"
)
NO_ZONE = "log.csv line 2: 2025-03-28 01:00:00 carries no time zone; name the log's with --timezone, such as UTC"
TEXT = (
    "log.csv line 3: n is '{}', not a finite number; correct the cell, or use --missing with that text if it marks a "
    "missing value"
)
NEGATIVE = (
    "log.csv line 3: n is -1, and a count is 0 or more; use --kind gauge, or --missing -1 if it marks a missing value"
)
TOTALS = (
    "log.csv: likes are totals that a post collects after the time in its row (of shares of news 8 % "
    "came within 6 hours, 76 % within a day), so a sum by that time reveals the future; choose --maturity, such as "
    "2d, or --maturity 0 if each value is final when its row is written"
)
REFUSED: dict[str, tuple[Fault, dict[str, Any], str]] = {
    "half days": (faults.written(faults.half_days), {"timezone": "UTC"}, HALF_DAYS),
    "no zone": (faults.written(faults.local), {}, NO_ZONE),
    "sentinels nobody declared": (second_value("{}"), {"metrics": ("n",)}, TEXT),
    "a sentinel that is a number": (second_value("-1"), {"metrics": ("n",)}, NEGATIVE),
    "totals of posts": (lambda truth, _: truth, {"metrics": ("likes",), "columns": {"likes": "n"}}, TOTALS),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_fault_that_is_refused_gets_its_exact_sentence(truth: faults.Truth, tmp_path: Path, name: str) -> None:
    fault, options, sentence = REFUSED[name]
    with pytest.raises(DataError) as caught:
        read(tmp_path, faults.text(fault(truth, rng_of(name)).rows), **options)
    assert str(caught.value) == sentence

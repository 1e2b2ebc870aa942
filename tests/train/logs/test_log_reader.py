"""A log becomes exact series and a report that counts every repair, or one sentence with the remedy."""

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from pulsecast.errors import DataError, PulsecastError, UsageError
from pulsecast.foundation.strict_json import dumps, loads
from pulsecast_train.logs.config import LogConfig
from pulsecast_train.logs.data_report import DataReport
from pulsecast_train.logs.reader import read_log
from pulsecast_train.series import Series

NOW_S = 1_770_000_000  # 2026-02-02
DAY_S = 1_736_121_600  # 2025-01-06T00:00:00Z
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def _write(content: str | bytes, name: str = "log.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return _write


def read(*paths: Path, **options: Any) -> tuple[tuple[Series, ...], DataReport]:
    series, report = read_log(paths, LogConfig(**options), now_s=NOW_S)
    assert loads(DataReport, dumps(report).encode(), where="report") == report
    return series, report


def hours(values: list[object], *, header: str = "timestamp,value") -> str:
    """Return a CSV of one sample an hour from DAY_S on."""
    rows = [f"2025-01-06T{hour:02}:00:00Z,{value}" for hour, value in enumerate(values)]
    return "\n".join([header, *rows]) + "\n"


def first_metric(series: Series) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in series.values[:, 0]]


def found(report: DataReport) -> dict[str, tuple[int, tuple[int, ...]]]:
    return {finding.policy: (finding.rows, finding.lines) for finding in report.findings}


# --- kinds of files -------------------------------------------------------------------------------------------------


def packed(text: str) -> bytes:
    return gzip.compress(text.encode(), mtime=0)


PLAIN = hours([1, 2, 3])
FILES: dict[str, tuple[str, str | bytes]] = {
    "csv": ("log.csv", PLAIN),
    "upper-case ending": ("log.CSV", PLAIN),
    "byte order mark": ("log.csv", "\ufeff" + PLAIN),
    "carriage returns": ("log.csv", PLAIN.replace("\n", "\r\n")),
    "no final newline": ("log.csv", PLAIN.rstrip("\n").removesuffix("3") + '"3"'),
    "blank lines at the end": ("log.csv", PLAIN + "\n\n"),
    "quoted": (
        "log.csv",
        PLAIN.replace("Z,", 'Z","').replace("2025", '"2025').replace("\n", '"\n').replace('value"', "value"),
    ),
    "tsv": ("log.tsv", PLAIN.replace(",", "\t")),
    "gzip": ("log.csv.gz", packed(PLAIN)),
    "tsv gzip": ("log.tsv.gz", packed(PLAIN.replace(",", "\t"))),
    "ndjson": (
        "log.ndjson",
        "".join(f'{{"timestamp": "2025-01-06T0{i}:00:00Z", "value": {i + 1}}}\n' for i in range(3)),
    ),
    "jsonl gzip": (
        "log.jsonl.gz",
        packed("".join(f'{{"value":{i + 1}.0,"ds":{DAY_S + 3600 * i}}}\n' for i in range(3))),
    ),
}


@pytest.mark.parametrize(("name", "content"), FILES.values(), ids=FILES.keys())
def test_every_kind_of_file_gives_the_same_series(write: Write, name: str, content: str | bytes) -> None:
    (series,), report = read(write(content, name))
    assert (series.name, series.metrics, series.start_s, series.step_s) == ("log", ("value",), DAY_S, 3600)
    assert first_metric(series) == [1, 2, 3]
    assert report.rows_read == 3
    assert report.findings == ()
    assert report.files[0].name == name


def test_parquet_is_read_with_its_own_types(tmp_path: Path) -> None:
    stamps = pl.from_epoch(pl.Series([DAY_S, DAY_S + 3600, DAY_S + 7200]), time_unit="s").dt.replace_time_zone("UTC")
    pl.DataFrame({"ds": stamps, "y": [1, None, 3], "note": ["a", "b", "c"]}).write_parquet(tmp_path / "log.parquet")
    (series,), report = read(tmp_path / "log.parquet")
    assert first_metric(series) == [1, 2, 3]
    assert found(report) == {"missing-cell": (1, (2,)), "filled-gap": (1, ())}


def test_the_report_has_the_hash_of_the_file_and_no_path(write: Write, tmp_path: Path) -> None:
    _, report = read(write(PLAIN))
    assert report.files[0].bytes == len(PLAIN)
    assert len(report.files[0].sha256) == 64
    assert str(tmp_path) not in dumps(report) + report.text()


def test_the_same_bytes_give_the_same_series_and_report(write: Write) -> None:
    path = write(hours([5, 1, "", 7, 2]))
    (first,), report = read(path)
    (again,), report_again = read(path)
    assert first.values.tobytes() == again.values.tobytes()
    assert report == report_again


# --- rows that are repaired and counted -----------------------------------------------------------------------------


def test_rows_out_of_order_are_sorted_and_counted(write: Write) -> None:
    lines = hours([1, 2, 3, 4]).splitlines()
    (series,), report = read(write("\n".join([lines[0], lines[2], lines[1], lines[4], lines[3]]) + "\n"))
    assert first_metric(series) == [1, 2, 3, 4]
    assert found(report) == {"out-of-order": (2, (3, 5))}


def test_exact_duplicates_of_samples_are_dropped(write: Write) -> None:
    text = hours([1, 2, 3])
    (series,), report = read(write(text + text.splitlines()[2] + "\n"))
    assert first_metric(series) == [1, 2, 3]
    assert found(report)["exact-duplicate"] == (1, (5,))


@pytest.mark.parametrize(("choice", "expected"), [("first", [1, 2, 3]), ("last", [1, 9, 3])])
def test_samples_that_disagree_are_kept_as_chosen(write: Write, choice: str, expected: list[float]) -> None:
    (series,), report = read(write(hours([1, 2, 3]) + "2025-01-06T01:00:00Z,9\n"), on_conflict=choice)
    assert first_metric(series) == expected
    assert found(report)["conflicting-duplicate"] == (1, (5,) if choice == "first" else (3,))


EVENTS = """at,who,n
2025-01-06T00:00:00Z,a1,1
2025-01-06T00:00:00Z,a2,1
2025-01-06T00:00:00Z,a1,1
2025-01-06T00:01:10Z,a3,2
2025-01-06T00:01:10Z,,2
2025-01-06T00:01:10Z,,2
2025-01-06T00:03:59.9Z,a4,7
"""


def test_an_event_with_an_id_is_counted_once_and_one_without_always(write: Write) -> None:
    (series,), report = read(write(EVENTS), time="at", id="who", events=True, step="1m")
    assert first_metric(series) == [2, 3, 0, 1]
    assert series.metrics == ("events",)
    assert found(report) == {"no-identity": (2, (6, 7)), "exact-duplicate": (1, (4,))}


def test_events_without_ids_that_share_their_second_are_all_kept_and_said_to_be(write: Write) -> None:
    (series,), report = read(write(EVENTS), time="at", events=True, step="1m")
    assert first_metric(series) == [3, 3, 0, 1]
    assert found(report) == {"same-instant-events": (4, (3, 4, 6))}


@pytest.mark.parametrize(("choice", "expected"), [("first", [1, 0, 1, 1]), ("last", [0, 1, 1, 1])])
def test_events_of_one_id_at_two_times_are_kept_as_chosen(write: Write, choice: str, expected: list[float]) -> None:
    rows = ["00:00:00Z,x", "00:01:05Z,x", "00:02:00Z,y", "00:03:59.9Z,z", "00:00:00Z,w", "00:00:00Z,w"]
    text = "at,who\n" + "".join(f"2025-01-06T{row}\n" for row in rows)
    (series,), report = read(write(text), time="at", id="who", events=True, step="1m", on_conflict=choice)
    assert first_metric(series) == [expected[0] + 1, *expected[1:]]
    assert found(report)["conflicting-duplicate"] == (1, (3,) if choice == "first" else (2,))


def test_metrics_of_events_are_summed_per_step(write: Write) -> None:
    (series,), report = read(write(EVENTS), time="at", id="who", metrics=("n",), events=True, step="1m")
    assert first_metric(series) == [2, 6, 0, 7]
    assert report.warnings == ()


def test_missing_cells_are_counted_and_short_gaps_filled(write: Write) -> None:
    values = [1, "", 3, -1, "{}", 6, " 7 ", "NaN", 9]
    (series,), report = read(write(hours(list(values))), missing=("-1", "{}", "NaN"))
    assert first_metric(series) == [1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert found(report) == {"missing-cell": (4, (3, 5, 6)), "filled-gap": (4, ())}


def test_long_gaps_split_the_series(write: Write) -> None:
    (series,), report = read(write(hours([1, 2, "", "", 5, 6])), max_gap=1)
    assert series.segments == ((0, 2), (4, 6))
    assert found(report)["gap"] == (2, ())
    assert (report.series[0].gaps, report.series[0].gap_steps) == (1, 2)


def test_a_few_rows_without_a_timestamp_are_dropped_and_counted(write: Write) -> None:
    rows = [f"{DAY_S + 60 * i},1" for i in range(2000)]
    rows[7], rows[1000] = ",1", "?,1"
    (series,), report = read(write("timestamp,value\n" + "\n".join(rows) + "\n"))
    assert len(series.values) == 2000
    assert found(report) == {"unparsable-timestamp": (2, (9, 1002)), "filled-gap": (2, ())}


# --- several series -------------------------------------------------------------------------------------------------


def test_several_files_are_series_named_by_their_stems_in_the_order_given(write: Write) -> None:
    series, report = read(write(hours([1, 2, 3]), "b.v2.csv"), write(hours([4, 5]), "a.csv"))
    assert [(one.name, first_metric(one)) for one in series] == [("b.v2", [1, 2, 3]), ("a", [4, 5])]
    assert [summary.name for summary in report.series] == ["b.v2", "a"]
    assert report.rows_read == 5


def test_a_column_of_names_makes_series_across_files(write: Write) -> None:
    head = "timestamp,value,tag\n"
    one = write(head + "".join(f"2025-01-06T0{h}:00:00Z,{h},{tag}\n" for h in range(3) for tag in "xy"), "1.csv")
    two = write(head + "".join(f"2025-01-06T0{h}:00:00Z,{h},x\n" for h in range(3, 6)), "2.csv")
    series, report = read(one, two, series="tag")
    assert [(each.name, first_metric(each)) for each in series] == [("x", [0, 1, 2, 3, 4, 5]), ("y", [0, 1, 2])]
    assert report.findings == ()


def test_several_metrics_are_columns_in_the_order_named(write: Write) -> None:
    text = "ds,a,b\n" + "".join(f"2025-01-06T0{h}:00:00Z,{h},{10 * h}\n" for h in range(3))
    (series,), _ = read(write(text), metrics=("b", "a"))
    assert series.metrics == ("b", "a")
    assert series.values.tolist() == [[0, 0], [10, 1], [20, 2]]


# --- what is refused ------------------------------------------------------------------------------------------------

JSON = '{"timestamp": "2025-01-06T00:00:00Z", "value": 1}\n'
REFUSED: dict[str, tuple[str, str | bytes, dict[str, Any], str]] = {
    "empty file": ("log.csv", "", {}, r"^log\.csv is empty$"),
    "blank file": ("log.csv", "\n\r\n", {}, r"^log\.csv is empty$"),
    "header only": ("log.csv", "timestamp,value\n", {}, r"^log\.csv has a header and no rows$"),
    "no time column": ("log.csv", "a,b\n1,2\n", {}, r"no column with a usual time name; choose --time from a, b$"),
    "two time columns": (
        "log.csv",
        "date,time,y\n1,2,3\n",
        {},
        r"several time columns \(date, time\); choose --time from",
    ),
    "no value column": ("log.csv", "ds,b\n1,2\n", {}, r"no column with a usual value name; choose --metric from b$"),
    "two value columns": ("log.csv", "ds,y,likes\n1,2,3\n", {}, r"several value columns \(y, likes\); choose --metric"),
    "no such column": (
        "log.csv",
        PLAIN,
        {"metrics": ("x",)},
        r"no column x; its columns are timestamp, value; if x has another name, pass --column x=NAME$",
    ),
    "no such time": ("log.csv", PLAIN, {"time": "when"}, r"no column when; its columns are timestamp, value$"),
    "naive": ("log.csv", PLAIN.replace("Z", ""), {}, r"^log\.csv line 2: .* carries no time zone; .*--timezone"),
    "text in numbers": ("log.csv", hours([1, "many"]), {}, r"^log\.csv line 3: value is 'many', not a finite number"),
    "both orders fit": (
        "log.csv",
        "ds,y\n1/1/2014,1\n4/5/2014,2\n",
        {"timezone": "UTC"},
        r"^log\.csv line 3: '4/5/2014' can be month/day or day/month and no row decides it; choose --time-format",
    ),
    "NaN": (
        "log.csv",
        hours([1, "NaN"]),
        {},
        r"line 3: value is 'NaN', not a finite number; correct the cell, or use --missing",
    ),
    "infinity": ("log.csv", hours([1, "inf"]), {}, r"line 3: value is 'inf', not a finite number"),
    "negative": (
        "log.csv",
        hours([1, 2, -1]),
        {},
        r"line 4: value is -1, and a count is 0 or more; use --kind gauge, or",
    ),
    "conflict": (
        "log.csv",
        hours([1, 2]) + "2025-01-06T00:00:00Z,9\n",
        {},
        r"^log\.csv line 2 and log\.csv line 4 have the same timestamp and other values; choose --on-conflict",
    ),
    "irregular": (
        "log.csv",
        "ds,y\n" + "".join(f"{DAY_S + s},1\n" for s in (0, 10, 700, 755, 5000)),
        {},
        r"^series log: the step cannot be inferred: .*; choose --step, such as 1h$",
    ),
    "no whole step": (
        "log.csv",
        hours([1, 2, 3]),
        {"step": "1d", "kind": "count"},
        r"^series log: no step of 1d is complete",
    ),
    "no value": ("log.csv", hours(["", "", ""]), {}, r"^series log: no step of 1h is complete and has a value"),
    "no name": (
        "log.csv",
        "ds,y,s\n1736121600,1,\n",
        {"series": "s"},
        r"line 2: s is empty; every row must name its series",
    ),
    "ragged": ("log.csv", PLAIN + "2025-01-06T03:00:00Z,4,5\n", {}, r"^log\.csv line 5 has 3 fields; the header has 2"),
    "open quote": (
        "log.csv",
        'timestamp,value\n"2025-01-06T00:00:00Z,1\n2,3\n',
        {},
        r"^log\.csv line 3: timestamp '2', read as epoch-s, lies in 1970 or before",
    ),
    "latin-1": (
        "log.csv",
        "timestamp,value\n1,caf\xe9\n".encode("latin-1"),
        {},
        r"^log\.csv line 2 is not UTF-8 text \(0xe9 at byte 21\); save",
    ),
    "binary": ("log.csv", b"PK\x03\x04\0\0\0\0", {}, r"^log\.csv is binary, not text; check its ending$"),
    "cut gzip": ("log.csv.gz", packed(PLAIN)[:-9], {}, r"^log\.csv\.gz is not a whole gzip file; copy it again$"),
    "no gzip": ("log.csv.gz", PLAIN, {}, r"^log\.csv\.gz is not a whole gzip file"),
    "no parquet": ("log.parquet", "PAR1 not", {}, r"^log\.parquet is not a whole Parquet file; write it again$"),
    "cut json": ("log.ndjson", JSON + JSON[:20], {}, r"^log\.ndjson line 2 is not a JSON object; write one per line$"),
    "json list": ("log.ndjson", "[1, 2]\n", {}, r"^log\.ndjson line 1 is not a JSON object"),
    "json object as value": (
        "log.ndjson",
        JSON + JSON.replace("1}", "{}}"),
        {},
        r"line 2: value is '\{\}', not a finite number",
    ),
    "json text as value": (
        "log.ndjson",
        JSON + JSON.replace("1}", '"x"}'),
        {},
        r"line 2: value is 'x', not a finite number",
    ),
}


@pytest.mark.parametrize(("name", "content", "options", "sentence"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_used_is_refused_in_one_sentence(
    write: Write, name: str, content: str | bytes, options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(DataError, match=sentence) as caught:
        read(write(content, name), **options)
    assert "\n" not in str(caught.value)


def test_a_directory_and_an_absent_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "logs.csv").mkdir()
    with pytest.raises(UsageError, match=r"^log\.xls has an unknown ending; known: \.csv, .* \.xlsx, "):
        read_log([tmp_path / "log.xls"], LogConfig())
    with pytest.raises(DataError, match=r"^logs\.csv is a folder; name the log files in it$"):
        read(tmp_path / "logs.csv")
    with pytest.raises(DataError, match=r"^gone\.csv cannot be read: No such file or directory$"):
        read(tmp_path / "gone.csv")


def test_files_that_do_not_belong_together_are_refused(write: Write, tmp_path: Path) -> None:
    hourly, daily = write(hours([1, 2, 3]), "h.csv"), write("ds,value\n1736121600,1\n1736208000,2\n", "d.csv")
    with pytest.raises(DataError, match=r"^series h has steps of 1h and series d of 1d; choose one --step$"):
        read(hourly, daily)
    other = write(hours([1, 2, 3], header="ds,likes"), "o.csv")
    with pytest.raises(DataError, match=r"^h\.csv has metrics value and o\.csv has likes; name them with --metric$"):
        read(hourly, other)
    (tmp_path / "sub").mkdir()
    with pytest.raises(UsageError, match="several files are called h"):
        read(hourly, write(PLAIN, "sub/h.csv"))
    with pytest.raises(UsageError, match="logs is empty; expected a path, or a list of paths"):
        read()


def test_no_id_of_a_user_or_event_is_in_an_error_or_report(write: Write) -> None:
    person = "user-4711"
    clash = f"at,who\n2025-01-06T00:00:00Z,{person}\n2025-01-06T00:09:00Z,{person}\n2025-01-06T00:09:59.9Z,z\n"
    with pytest.raises(PulsecastError, match=r"line 2 and .* line 3 have the same id and another time") as caught:
        read(write(clash), time="at", id="who", events=True, step="1m")
    assert person not in str(caught.value)
    _, report = read(write(clash), time="at", id="who", events=True, step="1m", on_conflict="first")
    assert person not in dumps(report) + report.text()


# --- warnings -------------------------------------------------------------------------------------------------------

WARNED = {
    "zeros": ([0, 0, 0, 0, 0, 5, 6], "is 0 at 71% of the steps"),
    "constant": ([3, 3, 3], "is 3 at every step"),
    "heavy tail": ([1, 2, 1, 2, 1, 201], "has a top value of 201, 134 times its median"),
}


@pytest.mark.parametrize(("values", "sentence"), WARNED.values(), ids=WARNED.keys())
def test_an_unusual_series_is_warned_of(write: Write, values: list[object], sentence: str) -> None:
    _, report = read(write(hours(values)))
    assert [warning for warning in report.warnings if sentence in warning] == list(report.warnings) != []


def test_a_running_total_declared_a_count_is_warned_of(write: Write) -> None:
    text = "ds,y\n" + "".join(f"{DAY_S + 3600 * i},{i // 2}\n" for i in range(60))
    _, report = read(write(text))
    assert report.warnings == (
        "series log: y never falls, as a running total does; for a running total choose --kind counter",
    )

"""The stated policies one by one: a repair is counted with its first lines, other faults are refused."""

import gzip
import io
import json
import zipfile
from pathlib import Path

import polars as pl
import pytest

from helpers.heard import Heard
from helpers.logs.log_files import DAY_S, found, hours, log, read, refusal, values
from pulsecast_train.logs import files as log_files
from pulsecast_train.logs import reader
from pulsecast_train.logs import tables as log_tables
from pulsecast_train.logs.config import METRIC_ALIASES, TIME_ALIASES, LogConfig
from pulsecast_train.logs.generator import GENERATED_LOG, generate_log
from pulsecast_train.logs.reader import read_log
from pulsecast_train.logs.text import blocks

# --- batches --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [5000, 20_000, 10**7])
@pytest.mark.parametrize("ending", [".csv", ".csv.gz", ".ndjson"])
def test_a_log_says_the_same_in_blocks_of_any_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, ending: str
) -> None:
    truth = generate_log(tmp_path / "log.csv", days=2)  # about 200 kB
    text = (tmp_path / "log.csv").read_bytes()
    if ending == ".ndjson":
        names = text.split(b"\n", 1)[0].decode().split(",")
        rows = [dict(zip(names, line.split(","), strict=True)) for line in text.decode().splitlines()[1:]]
        text = "".join(json.dumps({k: v or None for k, v in row.items()}) + "\n" for row in rows).encode()
    path = log(tmp_path, gzip.compress(text, mtime=0) if ending.endswith(".gz") else text, f"log{ending}")
    (whole,), report = read_log([path], GENERATED_LOG)
    monkeypatch.setattr(log_files, "BLOCK_BYTES", size)
    (series,), again = read_log([path], GENERATED_LOG)
    assert series.values[:, 0].tolist() == whole.values[:, 0].tolist() == truth.counts.tolist()
    assert again == report
    assert len(report.findings) == 3


@pytest.mark.parametrize("end", ["269", "269,02", '"269,02"', "269,02\n"])
def test_a_last_cell_that_may_be_cut_is_told_of_in_every_style_of_quotes(tmp_path: Path, end: str) -> None:
    rows = [f'2025-01-06T{hour:02}:00:00Z;"5\\" nail";{hour},5' for hour in range(8)]
    text = "\n".join(["timestamp;note;value", *rows, f'2025-01-06T08:00:00Z;"say \\"yes\\"";{end}'])
    _, report = read(log(tmp_path, text), timezone="UTC", kind="gauge")
    assert ("open-end" in found(report)) is (end in ("269", "269,02"))


@pytest.mark.parametrize("note", ["plain", '"say ""a,b"""', '"5\\" nail"'], ids=["no quotes", "doubled", "backslash"])
def test_a_rounded_id_is_refused_wherever_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, note: str) -> None:
    monkeypatch.setattr(log_files, "BLOCK_BYTES", 256)
    rows = [f"2025-01-06T00:00:{second:02}Z,{note},{10**9 + second}" for second in range(30)]
    path = log(tmp_path, "\n".join(["timestamp,note,key", *rows, f"2025-01-06T00:01:00Z,{note},1.7E+18"]) + "\n")
    said = refusal(path, id="key", events=True, step="1s")
    assert said.startswith("log.csv line 32: a cell of key is a number that lost its last digits")


# --- days without values ------------------------------------------------------------------------------------------


def business_days(weeks: int, *, first: str = "") -> str:
    rows = [f"2024-01-{1 + 7 * week + day:02d},{10 + day}" for week in range(weeks) for day in range(5)]
    return "\n".join(["timestamp,value", *filter(None, [first]), *rows]) + "\n"


@pytest.mark.parametrize("zone", ["UTC", "America/Los_Angeles", "Asia/Tokyo"])
def test_weekends_that_a_log_never_has_are_named(tmp_path: Path, zone: str) -> None:
    series, report = read(log(tmp_path, business_days(4)), timezone=zone)
    assert values(series)[:8] == pytest.approx([10, 11, 12, 13, 14, 14 - 4 / 3, 14 - 8 / 3, 10])
    assert any("no Saturday and Sunday has a value in the log, so all" in warning for warning in report.warnings)


def test_weekends_of_which_one_has_a_value_are_ordinary_gaps(tmp_path: Path) -> None:
    both = business_days(4).replace("2024-01-15", "2024-01-13,3\n2024-01-14,2\n2024-01-15")
    _, report = read(log(tmp_path, both), timezone="UTC")
    assert report.warnings == ()


# --- numbers beyond float64's whole ones --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["count", "counter"])
def test_whole_numbers_that_float64_rounds_are_told_of(tmp_path: Path, kind: str) -> None:
    path = log(tmp_path, hours([2**53 - 1, 2**53 + 1, 2**60 + 1]))
    _, report = read(path, kind=kind)
    assert found(report)["rounded-number"] == (2, (3, 4))
    _, report = read(log(tmp_path, hours([1, 2, 2**53 - 1])), kind=kind)
    assert "rounded-number" not in found(report)


# --- a last row that may be cut off ---------------------------------------------------------------------------------


def test_a_last_row_without_a_line_end_is_taken_and_told_of(tmp_path: Path) -> None:
    text = hours([150, 151, 153]).removesuffix("53\n")  # while it is written, or copied to a full disk
    series, report = read(log(tmp_path, text))
    assert values(series) == [150, 151, 1]
    assert [(one.policy, one.rows, one.lines) for one in report.findings] == [("open-end", 1, (4,))]
    assert (
        "1 open-end: row has no line end; if the file was still being written or copied, its last cell" in report.text()
    )


def test_a_cut_cell_before_columns_that_are_not_read_is_told_of_too(tmp_path: Path) -> None:
    lines = [f"{line},note {i},likes" for i, line in enumerate(hours([150, 151, 153]).splitlines())]
    whole = "\n".join(["timestamp,value,note,kind", *lines[1:]])
    for text, told in ((whole.removesuffix("53,note 3,likes"), True), (whole.removesuffix("3,likes"), False)):
        series, report = read(log(tmp_path, text), metrics=("value",))
        assert values(series) == [150, 151, 1 if told else 153]
        assert ("open-end" in {one.policy for one in report.findings}) == told


@pytest.mark.parametrize(
    "text",
    [
        hours([1, 2, 3]),
        hours([1, 2, 3]) + "\n\n",
        hours([1, 2, 3]).rstrip("\n") + ",",
        "".join(f"{line},note {i}\n" for i, line in enumerate(hours([1, 2, 3]).splitlines())).rstrip("\n"),
        hours([1, 2, 3]) + "Total,6",
    ],
    ids=["line end", "blank lines", "an empty field", "a column that is not read", "a total"],
)
def test_a_last_row_that_is_whole_or_not_read_is_not_told_of(tmp_path: Path, text: str) -> None:
    series, report = read(log(tmp_path, text))
    assert values(series) == [1, 2, 3]
    assert "open-end" not in {one.policy for one in report.findings}


def test_parquet_says_the_same_in_batches_of_any_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generate_log(tmp_path / "log.csv", days=2)
    pl.read_csv(tmp_path / "log.csv", infer_schema=False).write_parquet(tmp_path / "log.parquet")
    (whole,), report = read_log([tmp_path / "log.parquet"], GENERATED_LOG)
    monkeypatch.setattr(log_tables, "PARQUET_ROWS", 777)
    (series,), again = read_log([tmp_path / "log.parquet"], GENERATED_LOG)
    assert series.values.tolist() == whole.values.tolist()
    assert again == report


@pytest.mark.parametrize("size", [16, 40, 10**6])
def test_a_quoted_newline_ends_no_row_and_lines_are_those_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    text = (
        'timestamp,text,value\n2025-01-06T00:00:00Z,"two\nlines, ""quoted""\n",1\n2025-01-06T01:00:00Z,plain,2\n'
        '2025-01-06T02:00:00Z,"one more\r\n",3\n2025-01-06T03:00:00Z,x,\n2025-01-06T04:00:00Z,x,5\n'
    )
    monkeypatch.setattr(log_files, "BLOCK_BYTES", size)
    series, report = read(log(tmp_path, text))
    assert values(series) == [1, 2, 3, 4, 5]
    assert found(report)["missing-cell"] == (1, (8,))
    assert refusal(log(tmp_path, text.replace("x,5", "x,many"))).startswith("log.csv line 9: value is 'many', not a")


def test_blank_lines_in_json_are_not_rows_but_are_lines(tmp_path: Path) -> None:
    rows = [json.dumps({"ds": DAY_S + 3600 * i, "y": i if i != 3 else "?"}) for i in range(4)]
    path = log(tmp_path, "\n".join([rows[0], "", rows[1], " ", rows[2], rows[3]]) + "\n", "log.ndjson")
    assert refusal(path).startswith("log.ndjson line 6: y is '?', not a finite number")


def test_a_row_that_never_ends_is_refused_with_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_files, "BLOCK_BYTES", 1 << 17)
    monkeypatch.setattr(blocks, "MAX_ROW_BYTES", 1 << 20)
    text = hours([1, 2]) + '2025-01-06T02:00:00Z,"3\n' + "x\n" * (1 << 20)
    assert refusal(log(tmp_path, text)) == "log.csv line 4 does not end within 1 MB; close its quote"


def test_reading_a_long_log_is_heard_of_in_percent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [log(tmp_path, hours([1, 2, 3]), name) for name in ("a.csv", "b.csv")]
    heard = Heard()
    read_log(paths, LogConfig(), progress=heard)
    assert heard.steps == []  # finished before a bar is shown
    monkeypatch.setattr(reader, "SHOWN_FROM_BYTES", 1)
    read_log(paths, LogConfig(), progress=heard)
    assert heard.done("reading") == list(range(1, 101))


# --- files ----------------------------------------------------------------------------------------------------------


def zipped(**members: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(name.replace("__", "."), text)
    return buffer.getvalue()


@pytest.mark.parametrize("name", ["log.csv.zip", "log.zip"])
def test_a_zip_file_of_one_log_is_read(tmp_path: Path, name: str) -> None:
    series, report = read(log(tmp_path, zipped(whatever__csv=hours([1, 2, 3])), name))
    assert (series.name, values(series)) == ("log", [1, 2, 3])
    assert len(report.files[0].sha256) == 64


KNOWN = ".csv, .tsv, .ndjson, .jsonl, .parquet, .xlsx, .xlsm, and .gz or .zip behind those of text"
ZIPS = {
    "of two": (
        zipped(a__csv=hours([1]), b__csv=hours([2])),
        "log.zip holds 2 files (a.csv, b.csv); expected one: unpack it first",
    ),
    "cut": (zipped(a__csv=hours([1]))[:-30], "log.zip is not a whole zip file; copy it again"),
    "of nothing": (zipped(), "log.zip holds 0 files (nothing); expected one: unpack it first"),
    "of pictures": (zipped(a__png="x"), "log.zip has an unknown ending; known: " + KNOWN),
}


@pytest.mark.parametrize(("content", "sentence"), ZIPS.values(), ids=ZIPS.keys())
def test_any_other_zip_file_is_refused(tmp_path: Path, content: bytes, sentence: str) -> None:
    assert refusal(log(tmp_path, content, "log.zip")) == sentence


def test_a_header_with_hashes_names_its_columns_without_them(tmp_path: Path) -> None:
    text = hours([1, 2, 3], header="#timestamp,#value")
    assert values(read(log(tmp_path, text))[0]) == [1, 2, 3]
    for time in ("timestamp", "#timestamp"):
        assert read(log(tmp_path, text), time=time)[1].files[0].time_column == "timestamp"


def test_trailing_empty_columns_are_left_out(tmp_path: Path) -> None:
    text = hours([1, 2, 3]).replace("\n", ",,\n")
    series, report = read(log(tmp_path, text))
    assert (values(series), found(report)) == ([1, 2, 3], {})


def test_empty_fields_beyond_the_header_are_left_out_and_counted(tmp_path: Path) -> None:
    lines = hours([1, 2, 3, 4, 5, 6]).splitlines()
    text = "\n".join([lines[0], *(line + "," for line in lines[1:5]), *lines[5:], ""])
    series, report = read(log(tmp_path, text))
    assert values(series) == [1, 2, 3, 4, 5, 6]
    assert found(report) == {"extra-empty-fields": (4, (2, 3, 4))}
    assert refusal(log(tmp_path, text.replace("Z,4,", "Z,4,5"))) == (
        "log.csv line 5 has 3 fields; the header has 2; quote the extra one"
    )


def test_two_columns_of_one_name_are_refused_if_they_are_read(tmp_path: Path) -> None:
    text = hours(["1,7,8", "2,7,8"], header="timestamp,value,x,x")
    assert values(read(log(tmp_path, text))[0]) == [1, 2]
    assert refusal(log(tmp_path, text), metrics=("x",)) == "log.csv has 2 columns called x; give each its own name"


@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("size", [16, 10**6])
def test_latin_1_is_refused_with_line_and_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bom: bytes, size: int
) -> None:
    monkeypatch.setattr(log_files, "BLOCK_BYTES", size)
    data = bom + hours([1, 2, 3]).encode() + "2025-01-06T03:00:00Z,4,café\n".encode("latin-1")
    assert refusal(log(tmp_path, data)) == (
        f"log.csv line 5 is not UTF-8 text (0xe9 at byte {data.index(0xE9)}); save the file as UTF-8"
    )


def test_thousands_separators_are_read_and_counted(tmp_path: Path) -> None:
    text = hours([1, '"1,234"', '"12,345,678"', 4, '"1,000.5"'])
    series, report = read(log(tmp_path, text))
    assert values(series) == [1, 1234, 12_345_678, 4, 1000.5]
    assert found(report) == {"thousands-separator": (3, (3, 4, 6))}
    for cell in ("1,234,56", "1,2,3", ",1,2", "1,,234"):
        assert "not a finite number" in refusal(log(tmp_path, hours([1, f'"{cell}"'])))


def test_ids_of_any_size_are_distinguished(tmp_path: Path) -> None:
    ids = [2**64 + 1, 2**64 + 2, 2**63 - 1, 2**63 - 2, -(2**63), 9007199254740993, 9007199254740992]
    rows = [{"ds": DAY_S + i, "id": number, "v": 1} for i, number in enumerate([*ids, ids[0]])]
    rows[-1]["ds"] = DAY_S
    rows.append({"ds": DAY_S + 59.9, "id": 1, "v": 1})
    path = log(tmp_path, "".join(json.dumps(row) + "\n" for row in rows), "log.ndjson")
    series, report = read(path, id="id", events=True, step="1m")
    assert values(series) == [8]
    assert found(report)["exact-duplicate"] == (1, (8,))


# --- columns --------------------------------------------------------------------------------------------------------


def test_a_column_map_gives_one_name_to_columns_of_many(tmp_path: Path) -> None:
    old, new = hours([1, 2, 3], header="created_at,favorites"), hours([4, 5], header="when,ups")
    series, report = read_log([log(tmp_path, old, "a.csv")], LogConfig(columns={"likes": "favorites"}))
    assert series[0].metrics == ("likes",)
    assert report.files[0].columns == (
        "time created_at (usual name)",
        "metric likes (usual name)",
        "likes from favorites",
    )
    assert "; time created_at (usual name), metric likes (usual name), likes from favorites" in report.text()
    mapped = LogConfig(columns={"likes": "ups", "time": "when"}, metrics=("likes",))
    (other,), report = read_log([log(tmp_path, new, "b.csv")], mapped)
    assert (other.metrics, values(other)) == (("likes",), [4, 5])
    assert report.files[0].columns == (
        "time time (usual name)",
        "metric likes",
        "likes from ups",
        "time from when",
    )


def test_a_mapped_column_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert refusal(log(tmp_path, hours([1])), columns={"likes": "faves"}) == (
        "log.csv has no column faves; its columns are timestamp, value"
    )


@pytest.mark.parametrize("name", TIME_ALIASES)
def test_every_usual_name_of_a_time_is_found(tmp_path: Path, name: str) -> None:
    _, report = read(log(tmp_path, hours([1, 2], header=f"{name.upper()},value")))
    assert report.files[0].time_column == name.upper()


@pytest.mark.parametrize("name", METRIC_ALIASES)
def test_every_usual_name_of_a_value_is_found(tmp_path: Path, name: str) -> None:
    assert read(log(tmp_path, hours([1, 2], header=f"ds,{name}")))[0].metrics == (name,)


# --- time -----------------------------------------------------------------------------------------------------------


def test_day_and_month_are_settled_by_rows_far_below(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_files, "BLOCK_BYTES", 32)
    days = [f"{day}/2/2025 00:00,{day}" for day in range(1, 29)]
    series, report = read(log(tmp_path, "ds,y\n" + "\n".join(days) + "\n"), timezone="UTC", kind="gauge")
    assert values(series) == list(range(1, 29))
    assert (report.files[0].earliest, report.files[0].latest) == ("2025-02-01T00:00:00Z", "2025-02-28T00:00:00Z")
    assert found(report) == {"day-month-order": (16, (14, 15, 16))}


def test_a_day_with_a_clock_change_has_its_23_or_25_hours(tmp_path: Path) -> None:
    spring = [f"2025-03-30 {hour:02}:00:00,1" for hour in range(24) if hour != 2]
    series, _ = read(log(tmp_path, "ds,y\n" + "\n".join(spring) + "\n"), timezone="Europe/Berlin")
    assert values(series) == [1] * 23
    autumn = [f"2025-10-26 {hour:02}:30:00+0{offset}:00,1" for hour, offset in [(1, 2), (2, 2), (2, 1), (3, 1)]]
    series, report = read(log(tmp_path, "ds,y\n" + "\n".join(autumn) + "\n"))
    assert (values(series), found(report)) == ([1] * 4, {})
    local = "ds,y\n2025-10-26 01:30:00,1\n2025-10-26 02:30:00,1\n2025-10-26 04:30:00,1\n2025-10-26 05:30:00,1\n"
    series, report = read(
        log(tmp_path, local), timezone="Europe/Berlin", repeated_hour="second", step="1h", kind="gauge"
    )
    assert found(report)["repeated-hour"] == (1, (3,))
    assert "repeats and were taken as the second one" in report.text()


def test_a_leap_day_is_a_day(tmp_path: Path) -> None:
    series, _ = read(log(tmp_path, "ds,y\n2024-02-28,1\n2024-02-29,2\n2024-03-01,3\n"), timezone="UTC")
    assert values(series) == [1, 2, 3]


def test_seconds_and_milliseconds_in_one_column_are_refused(tmp_path: Path) -> None:
    text = "ds,y\n" + "".join(f"{DAY_S + 60 * i},1\n" for i in range(5)) + f"{(DAY_S + 300) * 1000},1\n"
    assert refusal(log(tmp_path, text)) == (
        f"log.csv line 7: timestamp '{(DAY_S + 300) * 1000}', read as epoch-s, lies in the future; seconds and "
        "milliseconds are mixed or mistaken: choose --time-format"
    )


# --- warnings -------------------------------------------------------------------------------------------------------


def test_a_log_that_was_cut_while_it_was_written_is_warned_of(tmp_path: Path) -> None:
    rhythm = [10 + 8 * (hour % 24 > 8) for hour in range(20 * 24)]
    assert read(log(tmp_path, hours(list(rhythm))))[1].warnings == ()
    rhythm[-24:] = [2] * 24
    (warning,) = read(log(tmp_path, hours(list(rhythm))))[1].warnings
    assert warning == (
        "series log: value ends with 24 steps that add up to less than half of any such stretch before; if the log was "
        "cut while it was written, leave its end out"
    )

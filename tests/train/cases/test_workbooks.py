"""Workbooks (.xlsx) as people have them: right, or refused with the way out; a stranger's file harms nothing."""

import datetime
import zipfile
from pathlib import Path
from typing import Any

import pytest

from helpers.engines import require
from helpers.logs.log_files import NOW_S, found, read, refusal, values
from helpers.logs.workbooks import MAIN, Broken, Formula, in_this_process, workbook
from pulsecast.errors import DataError, MissingExtraError
from pulsecast.stages.child_process import run_module
from pulsecast_train.logs.config import LogConfig
from pulsecast_train.logs.looking.look import look
from pulsecast_train.logs.workbooks import child, sheet

HOUR = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)
HOURS = [HOUR + datetime.timedelta(hours=i) for i in range(48)]
DAYS = [datetime.date(2024, 1, 1) + datetime.timedelta(days=i) for i in range(8)]
NAMES = ["date", "value"]
EIGHT = [1.5, 1.051, 1051, 0, 3, 2.25, 1202, 7]  # 1.051 as a number has a decimal mark, whatever the column says
LATER = [(day, i) for i, day in enumerate(DAYS)]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    require("python_calamine")
    sheet._kept.clear()
    in_this_process(monkeypatch)


def book(folder: Path, rows: Any, name: str = "log.xlsx", **what: Any) -> Path:
    return workbook(folder / name, {"Data": rows}, **what)


def daily(cells: Any) -> list[list[Any]]:
    return [NAMES, *([day, cell] for day, cell in zip(DAYS, cells, strict=False))]


READ: dict[str, tuple[list[list[Any]], dict[str, Any]]] = {
    "dates and numbers": (daily(EIGHT), {}),
    "days since 1904": (daily(EIGHT), {"since_1904": True}),
    "a title and a blank row above": ([["Weekly report"], [], *daily(EIGHT)], {}),
    "a blank column before": ([["", *row] for row in daily(EIGHT)], {}),
    "computed formulas": (daily([Formula(cell) for cell in EIGHT]), {}),
    "a column without a name": ([[*row, "x" if i == 3 else ""] for i, row in enumerate(daily(EIGHT))], {}),
    "uncomputed formulas that nobody reads": ([[*row, Formula(None)] for row in daily(EIGHT)], {}),
    "errors that nobody reads": ([[*row, Broken("#REF!")] for row in daily(EIGHT)], {}),
    "a merged title": ([["Weekly report"], *daily(EIGHT)], {"merged": ["A1:B1"]}),
    "a total below": ([*daily(EIGHT), ["Total", Formula(2271.801)]], {}),
    "text with quotes, line ends, backslashes": (
        [[*row, ["text", 'a, "b"\nc\\', '5" x', '\\"'][i % 4]] for i, row in enumerate(daily(EIGHT))],
        {},
    ),
    "dates as text": ([NAMES, *([str(day), cell] for day, cell in zip(DAYS, EIGHT, strict=True))], {}),
    "numbers as text with a decimal comma": (daily(["1,5", "1,051", "1051", "0", "3", "2,25", "1202", "7"]), {}),
}


@pytest.mark.parametrize("name", READ)
def test_a_sheet_is_read_as_the_table_that_it_shows(name: str, tmp_path: Path) -> None:
    rows, what = READ[name]
    series, report = read(book(tmp_path, rows, **what), timezone="UTC", kind="gauge")
    assert (values(series), series.step_s) == (EIGHT, 86_400)
    assert (series.start_s, report.files[0].time_column) == (HOUR.timestamp(), "date")


@pytest.mark.parametrize("since_1904", [False, True])
def test_fractions_of_days_are_the_hours_that_they_mean(since_1904: bool, tmp_path: Path) -> None:
    rows = [NAMES, *([hour, i] for i, hour in enumerate(HOURS))]
    series, _ = read(book(tmp_path, rows, since_1904=since_1904), timezone="UTC")
    assert (series.start_s, series.step_s, values(series)) == (HOUR.timestamp(), 3600, list(range(48)))


def test_dates_and_times_of_day_in_two_columns_are_joined(tmp_path: Path) -> None:
    rows = [["date", "hour", "value"], *([hour.date(), hour.time(), i] for i, hour in enumerate(HOURS))]
    seen = look(book(tmp_path, rows), LogConfig(timezone="UTC"), now_s=NOW_S)
    assert (seen.questions, seen.problem, seen.config.time_of_day) == ((), "", "hour")
    assert values(seen.series[0]) == list(range(48))


def test_ids_keep_their_zeros_and_all_their_digits(tmp_path: Path) -> None:
    rows = [["created_at", "key"], *([hour, f"{i:03}"] for i, hour in enumerate(HOURS)), [HOURS[1], "001"]]
    rows += [[HOURS[1] + datetime.timedelta(minutes=1), "1"]]
    series, report = read(book(tmp_path, rows), timezone="UTC", events=True, step="1d", id="key")
    assert (report.rows_read, values(series)) == (50, [25])  # one copy, and the last day is not covered
    rounded = [["created_at", "key"], *([hour, 1.7e18 + 1e5 * i] for i, hour in enumerate(HOURS))]
    path = book(tmp_path, rounded, "rounded.xlsx")
    assert "lost its last digits" in refusal(path, timezone="UTC", events=True, step="1d", id="key")


REFUSED: dict[str, tuple[list[list[Any]], dict[str, Any], str]] = {
    "an error": (daily([1, 2, Broken("#DIV/0!"), 4]), {}, "log.xlsx row 4: value is '#DIV/0!', not a finite number"),
    "an error in a time": ([NAMES, *LATER[:4], [Broken("#N/A"), 5]], {}, "row 6: date is the error #N/A; correct"),
    "formulas without a value": (daily([1, 2, Formula(None), 4]), {}, "row 4: value is a formula whose value was not"),
    "a zero in place of a value": (
        daily([Formula(0), Formula(0)]),
        {"stale": True},
        "row 2: value is a formula whose value was not computed; open the workbook in a spreadsheet program and save",
    ),
    "a merged time": (
        [NAMES, [DAYS[0], 1], ["", 2], [DAYS[1], 3]],
        {"merged": ["A2:A3"]},
        "row 3: date is part of the merged cells A2:A3; undo the merge and fill each cell",
    ),
    "merged values": (daily([5, "", 7]), {"merged": ["B2:B3"]}, "row 3: value is part of the merged cells B2:B3"),
    "days without a format": (
        [NAMES, *([45_292 + i, i] for i in range(4))],
        {},
        "if it is a spreadsheet's number of 2024-01-01, write it as a date",
    ),
    "text among dates": (
        [NAMES, *LATER[:4], ["13/01/2024", 5]],
        {},
        "row 6: date is '13/01/2024', and most cells of the column are of the other kind, dates or not; a spreadsheet",
    ),
    "a date among texts": (
        [NAMES, [DAYS[0], 0], *([f"{13 + i}/01/2024", i] for i in range(5))],
        {},
        "row 2: date is '2024-01-01', and most cells of the column are of the other kind",
    ),
    "a date among numbers": (daily([1, 2, DAYS[0], 4]), {}, "row 4: value is '2024-01-01', and most cells"),
    "a number among dates": ([NAMES, *LATER[:4], [45_296, 5]], {}, "row 6: date is '45296', and most cells"),
    "text with groups among numbers": (
        daily([1.5, 2, "1.051", 4]),
        {},
        "row 4: value is the text '1.051' among numbers, which can have a decimal mark or one between thousands",
    ),
    "text with a decimal comma among fractions": (
        daily([1.5, "2,5", 3]),
        {},
        "row 2: value has a decimal dot, and other cells have a decimal comma",
    ),
    "groups in text alone": (daily(["987", "1.051", "1.202"]), {}, "and no other cell decides it; choose --decimal"),
    "no sheet with cells": ([], {}, "log.xlsx has no sheet with cells"),
    "a hidden sheet alone": (daily(EIGHT), {"hidden": ["Data"]}, "name a hidden one with --sheet: Data"),
    "words alone": ([["Report"], ["of the week"]], {}, "log.xlsx"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_cell_that_says_nothing_for_certain_is_refused_with_its_row(name: str, tmp_path: Path) -> None:
    rows, what, sentence = REFUSED[name]
    assert sentence in refusal(book(tmp_path, rows, **what), timezone="UTC", kind="gauge")


def test_an_error_that_means_missing_can_be_named(tmp_path: Path) -> None:
    path = book(tmp_path, daily([1, 2, Broken("#DIV/0!"), 4]))
    assert values(read(path, timezone="UTC", kind="gauge", missing=("#DIV/0!",), max_gap=0)[0]) == [1, 2, None, 4]
    seen = look(book(tmp_path, daily([1, 2, Broken("#N/A"), 4, 5])), LogConfig(timezone="UTC"), now_s=NOW_S)
    assert (seen.problem, seen.config.missing) == ("", ("#N/A",))


def test_several_sheets_are_asked_about_and_a_hidden_one_is_not_among_them(tmp_path: Path) -> None:
    sheets = {"Notes": [], "Jan": daily(EIGHT), "Feb": daily([9] * 8), "Old": daily([8] * 8)}
    path = workbook(tmp_path / "log.xlsx", sheets, hidden=["Old"])
    seen = look(path, LogConfig(timezone="UTC", kind="gauge"), now_s=NOW_S)
    (question,) = seen.questions
    assert "log.xlsx has 2 sheets with cells (Jan, Feb); choose --sheet" in question.what
    assert "--sheet Jan" in seen.command
    assert 'sheet = "Jan"' in seen.toml
    for name, expected in (("Jan", EIGHT), ("Feb", [9] * 8), ("Old", [8] * 8)):
        assert values(read(path, timezone="UTC", kind="gauge", sheet=name)[0]) == expected
    assert "has no sheet 'Mar'; its sheets are Notes, Jan, Feb, Old" in refusal(path, sheet="Mar")


def test_roles_are_proposed_behind_the_choice_of_a_sheet(tmp_path: Path) -> None:
    rows = [["Tag", "Anzahl"], *LATER]
    path = workbook(tmp_path / "log.xlsx", {"Jan": rows, "Feb": rows})
    seen = look(path, LogConfig(timezone="UTC"), now_s=NOW_S)
    assert (len(seen.questions), seen.problem, seen.config.time, seen.config.metrics) == (1, "", "Tag", ("Anzahl",))


def test_hidden_rows_are_read_and_said(tmp_path: Path) -> None:
    series, report = read(book(tmp_path, daily(EIGHT), hidden_rows=[3, 4]), timezone="UTC", kind="gauge")
    assert (values(series), found(report)["hidden-rows"]) == (EIGHT, (2, ()))


def test_a_separator_of_another_log_means_nothing_to_a_workbook(tmp_path: Path) -> None:
    path = book(tmp_path, [["sep=;"], *daily(EIGHT)])
    assert values(read(path, timezone="UTC", kind="gauge", separator=";")[0]) == EIGHT


# --- strangers' files -------------------------------------------------------------------------------------------------

_ENTITIES = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b SYSTEM "file:///etc/passwd">]>'
HOSTILE: dict[str, tuple[dict[str, Any], str]] = {
    "entities": ({"before": _ENTITIES}, "declares a document type"),
    "no book": ({"more": {"xl/workbook.xml": "<workbook"}}, "is not a whole workbook"),
    "a sheet that is cut": ({"more": {"xl/worksheets/sheet1.xml": f"<worksheet {MAIN}><sheetData><row"}}, "log.xlsx"),
    "a place that is none": (
        {"more": {"xl/worksheets/sheet1.xml": f'<worksheet {MAIN}><sheetData><c r="1A"/></sheetData></worksheet>'}},
        "log.xlsx",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_part_is_refused(name: str, tmp_path: Path) -> None:
    what, sentence = HOSTILE[name]
    assert sentence in refusal(book(tmp_path, daily(EIGHT), **what), timezone="UTC")


def test_what_is_no_workbook_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "log.xlsx"
    whole = book(tmp_path, daily(EIGHT)).read_bytes()
    for content in (b"", b"PK\x05\x06", b"<html>", whole[: len(whole) // 2]):
        path.write_bytes(content)
        assert refusal(path, timezone="UTC").startswith("log.xlsx ")
    with zipfile.ZipFile(book(tmp_path, daily(EIGHT)), "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("xl/workbook.xml", "<workbook/>")
    assert "holds a part twice" in refusal(path, timezone="UTC")


def test_a_workbook_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pulsecast_train.logs.workbooks import parts

    monkeypatch.setattr(parts, "MAX_UNPACKED_BYTES", 1 << 10)
    assert "unpacks to over" in refusal(book(tmp_path, daily(EIGHT)), timezone="UTC")


FAR = (
    f'<worksheet {MAIN}><sheetData><row r="1"><c r="A1"><v>1</v></c></row>'
    '<row r="1048576"><c r="XFD1048576"><v>1</v></c></row></sheetData></worksheet>'
)


def test_cells_that_lie_far_apart_end_the_child_and_not_this_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sheet, "run_module", run_module)
    path = book(tmp_path, [], more={"xl/worksheets/sheet1.xml": FAR})
    said = refusal(path, timezone="UTC")
    assert said.startswith("log.xlsx ")
    assert "save" in said
    series, _ = read(book(tmp_path, daily(EIGHT), "whole.xlsx"), timezone="UTC", kind="gauge")
    assert values(series) == EIGHT


def test_a_sheet_of_too_many_cells_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "MOST_CELLS", 10)
    assert "has a sheet of 9 rows and 2 columns; at most" in refusal(book(tmp_path, daily(EIGHT)), timezone="UTC")


def test_without_the_reader_of_workbooks_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r'log.xlsx is a workbook; to read it: pip install "pulsecast\[xlsx\]"'):
        read(book(tmp_path, daily(EIGHT)), timezone="UTC")


def test_a_workbook_is_not_packed_again(tmp_path: Path) -> None:
    path = book(tmp_path, daily(EIGHT), "log.xlsx")
    packed = path.rename(tmp_path / "log.xlsx.gz")
    with pytest.raises(Exception, match="unknown ending; known"):
        read(packed, timezone="UTC")


def test_a_changed_workbook_is_read_anew(tmp_path: Path) -> None:
    path = book(tmp_path, daily(EIGHT))
    assert values(read(path, timezone="UTC", kind="gauge")[0]) == EIGHT
    book(tmp_path, daily([*EIGHT[:7], 8]))
    assert values(read(path, timezone="UTC", kind="gauge")[0]) == [*EIGHT[:7], 8]
    with pytest.raises(DataError):
        read(path, timezone="UTC", kind="gauge", sheet="No")

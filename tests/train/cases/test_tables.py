"""Tables as people have them: quotes, separators, headers, encodings; right, or refused with the way out."""

from pathlib import Path
from typing import Any

import pytest

from helpers.logs.log_files import DAY_S, found, log, read, refusal, values
from helpers.logs.small_tables import DAYS, daily, table

QUOTED: dict[str, tuple[str, list[str]]] = {
    "backslashes": ("log.csv", ['a 5\\" nail', "hi", "x, y", "hi", 'a 6\\" nail', "hi"]),
    "backslashes before the last cell": ("log.csv", ["hi", "hi", "hi", "hi", "hi", 'a \\" \\\\']),
    "doubled": ("log.csv", ['a 5"" nail', "hi", 'a, ""b""', "hi", '""', "hi"]),
    "a folder of Windows at the end": ("log.csv", ["C:\\", "hi", "D:\\", "hi", "E:\\", "hi"]),
    "a tab inside": ("log.tsv", ["a\tb", "hi", '5"" nail', "hi", "hi", "hi"]),
}


@pytest.mark.parametrize("name", QUOTED)
def test_quotes_within_text_lose_no_row(name: str, tmp_path: Path) -> None:
    file, texts = QUOTED[name]
    separator = "\t" if file.endswith("tsv") else ","
    rows = [(day, f'"{text}"', i) for i, (day, text) in enumerate(zip(DAYS, texts, strict=False), 1)]
    path = log(tmp_path, table(rows, header="date,text,value", separator=separator), file)
    series, report = read(path, timezone="UTC")
    assert (values(series), report.rows_read) == ([1, 2, 3, 4, 5, 6], 6)


def test_quotes_that_are_text_lose_no_row(tmp_path: Path) -> None:
    rows = [
        (day, text, i)
        for i, (day, text) in enumerate(zip(DAYS, ["hi", '5" screen', "a", 'b"', '"c', "d"], strict=False))
    ]
    for file, separator in (("log.tsv", "\t"), ("log.csv", ",")):
        path = log(tmp_path, table(rows, header="date,text,value", separator=separator), file)
        assert values(read(path, timezone="UTC")[0]) == [0, 1, 2, 3, 4, 5]


def test_quoted_times_and_ids_with_backslashes_are_read(tmp_path: Path) -> None:
    rows = [(f'"{day}"', f'"id\\"{i}"', i) for i, day in enumerate(DAYS)]
    path = log(tmp_path, table(rows, header="date,key,value"))
    series, report = read(path, timezone="UTC", id="key", events=True, step="1d", metrics=("value",))
    assert (series.values.sum(), report.rows_read) == (36, 10)  # the last day is not covered


AMBIGUOUS_QUOTES = {
    "a cell of several whole rows": (
        table([(DAYS[0], '"a', 1), (DAYS[1], "b", 2), (DAYS[2], 'c"', 3)], header="date,text,value"),
        "log.csv line 2 begins a quoted cell of several lines, and each of these is a whole row by itself",
    ),
    "an open quote": (
        table([(DAYS[0], '"a, b"', 1), (DAYS[1], '"c, d', 2), (DAYS[2], "e", 3)], header="date,text,value"),
        "log.csv line 3 is not a well-formed row of 3 cells",
    ),
}


@pytest.mark.parametrize("name", AMBIGUOUS_QUOTES)
def test_quotes_that_could_hide_rows_are_refused_with_their_line(name: str, tmp_path: Path) -> None:
    text, sentence = AMBIGUOUS_QUOTES[name]
    assert sentence in refusal(log(tmp_path, text), timezone="UTC")


# --- separators, headers, encodings ---------------------------------------------------------------------------------

FIVE = daily([1, 2, 3, 4, 5])
BODY = FIVE.split("\n", 1)[1]
FILES: dict[str, str | bytes] = {
    "semicolons": FIVE.replace(",", ";"),
    "tabs": FIVE.replace(",", "\t"),
    "bars": FIVE.replace(",", "|"),
    "two byte order marks": "\ufeff\ufeff" + FIVE,
    "lone carriage returns": FIVE.replace("\n", "\r"),
    "UTF-16": FIVE.encode("utf-16"),
    "UTF-16, big end first": "\ufeff".encode("utf-16-be") + FIVE.encode("utf-16-be"),
    "UTF-32": FIVE.encode("utf-32"),
    "sep=": "sep=;\n" + FIVE.replace(",", ";"),
    "sep= with a mark": "\ufeffsep=,\r\n" + FIVE.replace("\n", "\r\n"),
    "a preamble": "Report of the week\nMade on 2024-02-01\n\n" + FIVE,
    "a preamble of comments": "# source: x\n# a, b, c\n" + FIVE,
    "a blank first line": "\n" + FIVE,
    "units below the header": FIVE.replace("date,value\n", "date,value\n(UTC),(posts)\n"),
    "a group above the header": ",engagement\n" + FIVE,
    "a total": FIVE + "Total,15\n",
    "a total without a word": FIVE + ",15\n",
    "a total in words": FIVE + "Grand total,fifteen\n",
    "decimal commas and semicolons": daily(["1,0", "2,0", "3,0", "4,0", "5,0"], separator=";"),
}


@pytest.mark.parametrize("name", FILES)
def test_usual_exports_are_read(name: str, tmp_path: Path) -> None:
    series, report = read(log(tmp_path, FILES[name]), timezone="UTC")
    assert (values(series), series.step_s) == ([1, 2, 3, 4, 5], 86_400)
    assert report.files[0].time_column == "date"


def test_lines_that_are_left_out_are_said(tmp_path: Path) -> None:
    assert found(read(log(tmp_path, FILES["a preamble"]), timezone="UTC")[1]) == {"preamble": (2, ())}
    assert found(read(log(tmp_path, FILES["a total"]), timezone="UTC")[1]) == {"no-time": (1, (7,))}


def test_lines_in_messages_are_those_of_the_file(tmp_path: Path) -> None:
    text = "Report\n\n" + FIVE.replace(",4", ",many")
    assert refusal(log(tmp_path, text), timezone="UTC").startswith("log.csv line 7: value is 'many'")


NOT_TABLES = {
    "a web page": ("<!DOCTYPE html>\n<html><body>Sign in, please</body></html>\n", "log.csv is a web page or XML"),
    "no header": (BODY, "log.csv line 1 holds values and not names: write a first line"),
    "an unnamed header below a title": (
        "Weekly report\n" + FIVE.replace("date,value", "Tag,Anzahl"),
        "log.csv line 1 has another number of cells than the lines after it; line 2 may be the header",
    ),
    "two separators": ("date;x,value;y\n" + "1;2,3;4\n" * 3, "log.csv"),
}


@pytest.mark.parametrize("name", NOT_TABLES)
def test_what_is_no_clear_table_is_refused_with_the_way_out(name: str, tmp_path: Path) -> None:
    text, sentence = NOT_TABLES[name]
    assert sentence in refusal(log(tmp_path, text), timezone="UTC")


def test_lines_and_the_separator_can_be_stated(tmp_path: Path) -> None:
    text = "a;b\nTag;Anzahl\n" + BODY.replace(",", ";")
    options: dict[str, Any] = {"timezone": "UTC", "time": "Tag", "metrics": ("Anzahl",)}
    assert values(read(log(tmp_path, text), separator=";", skip_lines=1, **options)[0]) == [1, 2, 3, 4, 5]
    assert values(read(log(tmp_path, text), skip_lines=1, **options)[0]) == [1, 2, 3, 4, 5]


def test_unread_fields_of_ndjson_may_hold_anything(tmp_path: Path) -> None:
    odd = ["false", "1700003700.0", "[1]", '{"a": 1}', '"x"', "null"]
    rows = [f'{{"created_utc": {DAY_S + 3600 * i}, "edited": {cell}, "score": {i}}}' for i, cell in enumerate(odd)]
    series, _ = read(log(tmp_path, "\n".join(rows), "log.ndjson"), metrics=("score",))
    assert (values(series), series.start_s) == ([0, 1, 2, 3, 4, 5], DAY_S)

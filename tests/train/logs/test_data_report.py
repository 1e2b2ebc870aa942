"""The report is a record and a text; neither holds a path."""

import io
from dataclasses import replace

import pytest

from pulsecast.foundation.strict_json import dumps, loads
from pulsecast.stages.progress import LineProgress
from pulsecast_train.logs.data_report import DataReport, FileRecord, Finding, SeriesSummary

FILE = FileRecord(name="a.csv", sha256="ab" * 32, bytes=1234, rows=10, time_column="ts", time_format="iso-8601")
SUMMARY = SeriesSummary(
    name="a",
    metrics=("y",),
    first="2025-01-06T00:00:00Z",
    last="2025-01-06T08:00:00Z",
    step_s=3600,
    steps=9,
    filled=1,
    gaps=0,
    gap_steps=0,
    edges_dropped=2,
    minimum=0.0,
    median=4.5,
    maximum=1e4,
)
REPORT = DataReport(
    files=(FILE,),
    rows_read=10,
    findings=(
        Finding(policy="out-of-order", sentence="rows were sorted", rows=5, file="a.csv", lines=(3, 4, 9)),
        Finding(policy="filled-gap", sentence="series a: filled", rows=1),
    ),
    series=(SUMMARY,),
    warnings=("series a: y is odd",),
)


def test_a_report_survives_json() -> None:
    assert loads(DataReport, dumps(REPORT).encode(), where="report.json") == REPORT


def test_the_text_says_it_all() -> None:
    assert REPORT.text() == (
        "10 rows from 1 file\n"
        "  a.csv: 10 rows, 1,234 bytes, sha256 abababababab, time in ts (iso-8601)\n"
        "  series a (y): 9 steps of 1h, 2025-01-06T00:00:00Z to 2025-01-06T08:00:00Z; "
        "1 filled, 0 gaps (0 steps), 2 edge steps cut; min 0, median 4.5, max 10000\n"
        "found\n"
        "  5 out-of-order: rows were sorted [a.csv lines 3, 4, 9, ...]\n"
        "  1 filled-gap: series a: filled\n"
        "warning: series a: y is odd\n"
    )


def test_it_is_told_line_by_line_and_a_name_stays_in_its_line() -> None:
    file = io.StringIO()
    REPORT.tell(LineProgress(file))
    assert file.getvalue() == REPORT.text()
    forged = replace(REPORT, warnings=("series a\nwarning: none",))
    file = io.StringIO()
    forged.tell(LineProgress(file))
    assert file.getvalue().splitlines()[-1] == "warning: series a\\nwarning: none"


def test_a_path_is_not_a_file_name() -> None:
    with pytest.raises(ValueError, match="is a path; the report holds names only"):
        FileRecord(name="logs/a.csv", sha256="", bytes=1, rows=1, time_column="t", time_format="typed")


def test_a_finding_names_at_most_three_lines() -> None:
    with pytest.raises(ValueError, match="4 lines"):
        Finding(policy="p", sentence="s", rows=9, lines=(1, 2, 3, 4))

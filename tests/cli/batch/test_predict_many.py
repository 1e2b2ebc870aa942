"""`predict` of many files: what makes a batch of it, what it prints, and how it ends."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import pytest

from helpers.engines import require

require("typer", "polars")

import polars as pl  # noqa: E402

from helpers import plain  # noqa: E402
from helpers.logs import batches  # noqa: E402
from helpers.logs.workbooks import in_this_process, workbook  # noqa: E402
from pulsecast_cli.app import run as run_arguments  # noqa: E402
from pulsecast_train import prediction  # noqa: E402


def run(*arguments: object) -> int:
    return run_arguments([str(argument) for argument in arguments])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: two logs and one that is too short."""
    monkeypatch.setattr(prediction, "run_tasks", batches.run_here)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "logs").mkdir()
    for number in (1, 2):
        batches.write_csv(tmp_path / f"logs/{number}.csv", batches.counts(number))
    batches.write_csv(tmp_path / "logs/short.csv", batches.counts(3, 40))
    return tmp_path


def test_a_pattern_is_written_to_a_table_and_what_failed_is_said_at_the_end(
    calendar_bundle: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ("predict", calendar_bundle, "--input", "logs/*.csv", "--out", "out.parquet")
    assert run(*command) == 1
    said = capsys.readouterr()
    assert said.out.splitlines() == [
        f"out.parquet: 4 rows, 2 series of 3 files, by numpy on {said.err.split('numpy on ')[1].split(',')[0]}",
        "notes: out.parquet.notes.csv: 1 not forecast",
    ]
    assert said.err.splitlines()[-1] == (
        "not forecast: logs/short.csv: series short ends with 40 unbroken steps; this model takes 73: bring a longer "
        "log, or fill longer gaps with --max-gap"
    )
    assert pl.read_parquet("out.parquet")["file"].to_list() == ["logs/1.csv"] * 2 + ["logs/2.csv"] * 2
    assert run(*command, "--force", "--skip-bad", "--format", "json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["batch"]["failures"][0]["file"] == "logs/short.csv"
    assert (document["batch"]["rows"], document["batch"]["level"]) == (4, 0.9)


def test_a_workbook_is_forecast_as_the_csv_file_of_its_numbers(
    calendar_bundle: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require("python_calamine")
    in_this_process(monkeypatch)
    values = batches.counts(1)
    start = datetime.datetime.fromtimestamp(plain.START_S, datetime.UTC)
    times = [start + datetime.timedelta(seconds=plain.STEP_S * i) for i in range(len(values))]
    workbook(
        folder / "logs/book.xlsx", {"Data": [["timestamp", "value"], *zip(times, map(float, values), strict=True)]}
    )
    inputs = ("--input", "logs/1.csv", "--input", "logs/book.xlsx")
    assert run("predict", calendar_bundle, *inputs, "--out", "out.parquet", "--timezone", "UTC", "--jobs", 1) == 0
    found = pl.read_parquet("out.parquet")
    assert found["file"].to_list() == ["logs/1.csv"] * 2 + ["logs/book.xlsx"] * 2
    assert found["forecast"][:2].to_list() == found["forecast"][2:].to_list()
    assert found["time"][:2].to_list() == found["time"][2:].to_list()


def test_without_failures_it_ends_with_0_and_several_inputs_are_one_batch(calendar_bundle: Path, folder: Path) -> None:
    inputs = ("--input", "logs/2.csv", "--input", "logs/[12].csv")
    assert run("predict", calendar_bundle, *inputs, "--out", "out.csv", "--jobs", 1) == 0
    rows = Path("out.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["file"] + ["logs/2.csv"] * 2 + ["logs/1.csv"] * 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--input", "logs/*.csv"), ": pulsecast predict BUNDLE --input 'logs/*.csv' --out forecasts.parquet\n"),
        (("--input", "logs/1.csv", "--jobs", "2"), "predict BUNDLE --input logs/1.csv --out forecasts.parquet\n"),
        (("--input", "logs/*.csv", "--out", "page.html"), "written to a table, .parquet or .csv"),
        (("--input", "logs/1.csv", "--out", "a.parquet", "--clock", "Europe/Berlin"), "times of a table are in UTC"),
        (("--input", "logs"), "logs is a folder; name its files with a pattern in quotes, such as 'logs/*.csv'"),
        (("--input", "logs/*.txt", "--out", "a.parquet"), "logs/*.txt matches no file"),
        (("--input", "logs/*.csv", "--out", "a.parquet", "--jobs", "-1"), "jobs is -1; expected at least 0"),
        (("--input", "logs/*.csv", "--out", "a.parquet", "--series-by-file"), "no table of names"),
        (("--input", "logs/9.csv"), "there is no file logs/9.csv"),
    ],
)  # fmt: skip
def test_what_is_missing_or_contradicts_is_said_with_a_command_that_works(
    words: tuple[str, ...], message: str, calendar_bundle: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("predict", calendar_bundle, *words) == 2
    assert message.replace("BUNDLE", str(calendar_bundle)) in capsys.readouterr().err


def test_one_log_without_such_an_option_is_forecast_as_ever(
    calendar_bundle: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("predict", calendar_bundle, "--input", "logs/1.csv", "--out", "out.csv") == 0
    assert capsys.readouterr().out == Path("out.csv").read_text()
    assert Path("out.csv").read_text().startswith("series,time,step,forecast,lower,upper\n1,")

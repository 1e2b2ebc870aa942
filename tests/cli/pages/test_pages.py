"""`predict --out`, `anomalies --out` and the warning of `predict`: pages, pictures and tables with dates."""

import csv
import datetime
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from helpers import plain
from helpers.engines import require
from helpers.logs.log_files import hours

require("typer", "polars", "matplotlib")

from pulsecast.computing import intervals  # noqa: E402
from pulsecast_cli.app import run as run_arguments  # noqa: E402

START = datetime.datetime.fromtimestamp(plain.START_S, datetime.UTC)


def run(*arguments: object) -> int:
    return run_arguments([str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def day_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that forecasts six hours ahead, with intervals."""
    folder = tmp_path_factory.mktemp("day") / "bundle"
    plain.write_bundle(folder, plain.make_model(replace(plain.CHANGE_SPEC, horizon=6)))
    return folder


def write(path: Path, values: np.ndarray) -> Path:
    rows = [f"{plain.START_S + plain.STEP_S * i},{value:g}" for i, value in enumerate(values)]
    path.write_text("\n".join(["timestamp,value", *rows]) + "\n")
    return path


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return write(tmp_path / "mentions.csv", plain.series())


def texts(page: str) -> list[str]:
    return [text.strip() for text in re.findall(r"<t[dh][^>]*>([^<]*)</t[dh]>", page)]


def test_predict_writes_the_printed_numbers_as_a_table_a_page_and_a_picture(
    day_bundle: Path, log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    usual = ("predict", day_bundle, "--input", log, "--backend", "numpy", "--interval", "0.8")
    assert run(*usual, "--out", tmp_path / "next.csv") == 0
    printed = capsys.readouterr().out
    assert (tmp_path / "next.csv").read_text() == printed
    rows = list(csv.DictReader(printed.splitlines()))
    assert len(rows) == 6
    assert run(*usual, "--out", tmp_path / "next.html", "--clock", "Asia/Kathmandu") == 0
    page = (tmp_path / "next.html").read_text()
    first = START + datetime.timedelta(hours=plain.STEPS, minutes=345)
    assert texts(page)[:8] == [
        "from, Asia/Kathmandu", "value", "lower", "upper",
        f"{first:%a %d %b %H:%M}", *(f"{float(rows[0][name]):,.0f}" for name in ("forecast", "lower", "upper")),
    ]  # fmt: skip
    assert f"{first:%a %d %b %H:%M}: value {float(rows[0]['forecast']):,.0f}, and with 80 % between" in page
    assert "80 % of steps" in page
    assert run(*usual, "--out", tmp_path / "next.png") == 0
    width = int.from_bytes((tmp_path / "next.png").read_bytes()[16:20], "big")
    assert width == 1152  # twice what a phone shows


def test_a_bound_that_an_engine_gives_as_minus_0_is_told_as_0(
    day_bundle: Path, log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def from_minus_0(split: object, forecasts: np.ndarray, *_: object) -> intervals.Interval:
        return intervals.Interval(forecasts, np.full(forecasts.shape, -0.0), forecasts + 1)

    monkeypatch.setattr(intervals, "split_interval", from_minus_0)
    usual = ("predict", day_bundle, "--input", log, "--backend", "numpy", "--interval", "0.8")
    assert run(*usual, "--out", tmp_path / "next.html") == 0
    assert [row["lower"] for row in csv.DictReader(capsys.readouterr().out.splitlines())] == ["0"] * 6
    assert not [text for text in texts((tmp_path / "next.html").read_text()) if re.fullmatch(r"-0(\.0*)?", text)]
    assert run(*usual, "--format", "json") == 0
    assert "-0.0" not in capsys.readouterr().out


def test_bounds_are_wider_at_a_higher_level_and_an_unknown_one_lists_those_there_are(
    day_bundle: Path, log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    widths = []
    for level in ("0.5", "0.95"):
        assert run("predict", day_bundle, "--input", log, "--interval", level) == 0
        row = next(csv.DictReader(capsys.readouterr().out.splitlines()))
        widths.append(float(row["upper"]) - float(row["lower"]))
    assert widths[0] < widths[1]
    assert run("predict", day_bundle, "--input", log, "--interval", "0.77") != 0
    assert "interval is 0.77; this model has intervals for 0.5, " in capsys.readouterr().err


REFUSED = {
    "another suffix": (("--out", "next.pdf"), "out is next.pdf; expected a name that ends in .html, .png or .csv"),
    "a picture of every step": (
        ("--every", "--out", "next.png"),
        "shows the forecast after the last step: leave --every",
    ),
    "a level that is none": (("--interval", "90"), "interval is 90.0; expected a number between 0 and 1, such as 0.9"),
    "an unknown clock": (("--clock", "Berlin"), "clock is 'Berlin'; expected a name such as UTC or Europe/Berlin"),
}


@pytest.mark.parametrize(("options", "sentence"), REFUSED.values(), ids=REFUSED)
def test_predict_refuses_before_it_reads(
    day_bundle: Path, log: Path, options: tuple[str, ...], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("predict", day_bundle, "--input", log, *options) != 0
    told = capsys.readouterr().err
    assert sentence in told
    assert "forecasting with" not in told


def test_an_existing_file_stays_unless_forced(day_bundle: Path, log: Path, tmp_path: Path) -> None:
    (tmp_path / "next.html").write_text("mine")
    command = ("predict", day_bundle, "--input", log, "--out", tmp_path / "next.html")
    assert run(*command) != 0
    assert (tmp_path / "next.html").read_text() == "mine"
    assert run(*command, "--force") == 0
    assert "What comes" in (tmp_path / "next.html").read_text()


def test_predict_says_of_a_log_in_other_units_that_its_forecasts_say_nothing(
    day_bundle: Path, log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("predict", day_bundle, "--input", log) == 0
    assert "far outside" not in capsys.readouterr().err
    other = write(tmp_path / "thousands.csv", 1000 * plain.series())
    assert run("predict", day_bundle, "--input", other, "--every") == 0
    told = [line for line in capsys.readouterr().err.splitlines() if "far outside" in line]
    windows = plain.STEPS - 73 + 1
    sentence = (
        f"warning: series thousands: {windows} of {windows} windows lie far outside what training saw, so do not trust "
        "their forecasts: the units may be others, or the series"
    )
    assert told == [sentence]


def test_anomalies_judges_days_and_weeks_and_says_how_large_a_step_is_flagged(
    small_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = plain.series()
    values[30 * 24 : 31 * 24] *= 2
    log = write(tmp_path / "mentions.csv", values)
    command = ("anomalies", small_bundle, "--input", log, "--backend", "numpy", "--rate", "0.005")
    assert run(*command, "--format", "json", "--out", tmp_path / "steps.json") == 0
    found = json.loads(capsys.readouterr().out)["series"][0]
    odd = START + datetime.timedelta(days=30)
    assert [day["first"] for day in found["days"] if day["verdict"] == "higher"] == [f"{odd:%Y-%m-%d}"]
    last = json.loads((tmp_path / "steps.json").read_text())["steps"][-1]
    assert (
        f"of which {last['forecast']:,.4g} is expected, as at the end, is flagged above {last['upper']:,.4g}"
        in (found["words"][0])
    )
    assert run(*command, "--out", tmp_path / "page.html") == 0
    printed, page = capsys.readouterr().out, (tmp_path / "page.html").read_text()
    sentence = f"{odd:%a %d %b %Y}: higher than usual, "
    assert sentence in printed
    assert sentence in page
    assert f"{odd:%a %d %b %Y}" in texts(page)
    assert run(*command, "--out", tmp_path / "page.png") == 0
    assert (tmp_path / "page.png").read_bytes().startswith(b"\x89PNG")


def test_inspect_says_how_wide_the_intervals_are(day_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("inspect", day_bundle) == 0
    lines = capsys.readouterr().out.splitlines()
    at = lines.index("intervals, from 96 held-out windows")
    shown = re.fullmatch(
        r" +50 %  within a factor of (\S+) at step 1, within a factor of (\S+) at step 6", lines[at + 1]
    )
    assert shown is not None
    assert 1 < float(shown[1]) < 1.2


def test_a_short_log_has_no_day_to_judge(
    plain_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "short.csv"
    log.write_text(hours([float(value) for value in plain.series()[:130]]))
    assert run("anomalies", plain_bundle, "--input", log, "--backend", "numpy", "--rate", "0.05") == 0
    printed = capsys.readouterr().out
    assert "no day could be judged yet: 6 seen, and each needs some like it before it" in printed

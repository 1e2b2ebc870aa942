"""`pulsecast rhythm` and `pulsecast anomalies`: their options, output and files."""

import csv
import datetime
import errno
import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from helpers import plain
from helpers.engines import require
from pulsecast.forecasting.departures import REASONS

require("typer", "polars")

from pulsecast_cli import app as application  # noqa: E402


def run(*arguments: object) -> int:
    return application.run([str(argument) for argument in arguments])


def write_log(path: Path, values: np.ndarray) -> Path:
    stamps = [
        datetime.datetime.fromtimestamp(plain.START_S + plain.STEP_S * i, datetime.UTC) for i in range(len(values))
    ]
    rows = [f"{stamp:%Y-%m-%dT%H:%M:%SZ},{value:g}" for stamp, value in zip(stamps, values, strict=True)]
    path.write_text("timestamp,value\n" + "\n".join(rows) + "\n")
    return path


@pytest.fixture
def bursting(tmp_path: Path) -> Path:
    """A log of the series that the plain bundles are fitted on, with one step five times as high."""
    values = plain.series()
    values[700] *= 5
    return write_log(tmp_path / "log.csv", values)


def test_anomalies_names_the_step_and_writes_every_judged_one(
    small_bundle: Path, bursting: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "steps.csv"
    options = ("--input", bursting, "--backend", "numpy", "--rate", "0.005", "--out", out)
    assert run("anomalies", small_bundle, *options, "--format", "json") == 0
    document = json.loads(capsys.readouterr().out)
    burst = datetime.datetime.fromtimestamp(plain.START_S + 700 * plain.STEP_S, datetime.UTC)
    assert (document["schema_version"], document["false_alarm_rate"]) == (1, 0.005)
    worst = max(document["anomalies"], key=lambda row: row["score"])
    assert worst["time"] == f"{burst:%Y-%m-%dT%H:%M:%SZ}"
    assert worst["value"] > worst["upper"] > worst["forecast"] > worst["lower"]
    # a day for the first median and 199 distances from medians come before the first that is judged
    assert document["judged"] == plain.STEPS - 24 - 199
    assert document["flagged"] == len(document["anomalies"]) < 0.02 * document["judged"]
    with out.open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == document["judged"]
    assert [row["time"] for row in rows if row["anomalous"] == "1"] == [row["time"] for row in document["anomalies"]]


def test_anomalies_in_text_end_with_what_was_promised(
    small_bundle: Path, bursting: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ("anomalies", small_bundle, "--input", bursting, "--backend", "numpy", "--rate", "0.05")
    assert run(*command) == 0
    lines = capsys.readouterr().out.splitlines()
    assert run(*command, "--format", "json") == 0
    flagged = json.loads(capsys.readouterr().out)["anomalies"]
    assert lines[0].split() == ["series", "time", "value", "forecast", "lower", "upper", "score", "alarm", "reason"]
    shown = [line.split() for line in lines if line.startswith("log ")]
    assert [(cells[1], *cells[-2:]) for cells in shown] == [
        (row["time"], "yes" if row["alarm"] else "-", row["reason"]) for row in flagged
    ]
    counts = Counter(row["reason"] for row in flagged)
    told = [f"{name}: {text} ({counts[name]})" for name, text in REASONS.items() if counts[name]]
    assert [line for line in lines if line in told] == told
    alarms = sum(row["alarm"] for row in flagged)
    assert 0 < alarms < len(flagged)  # both kinds are shown
    assert f"of 857 judged steps are flagged ({len(flagged) / 857:.2%}), {alarms} alarms; of" in lines[-1]
    assert lines[-1].endswith("of ordinary ones up to 5.00% do, about 43 here")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            ("--rate", "0.0001"),
            "a false-alarm rate of 0.0001 takes 9999, and a day or a window before them, until a step",
        ),
        (("--rate", "2"), "false-alarm rate is 2.0; expected a number between 0 and 1"),
        (("--out", "steps.txt"), "out is steps.txt; expected a name that ends in .csv, .json, .html or .png"),
    ],
)
def test_anomalies_refuses_in_one_sentence(
    small_bundle: Path, bursting: Path, options: tuple[str, ...], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("anomalies", small_bundle, "--input", bursting, "--backend", "numpy", *options) != 0
    assert sentence in capsys.readouterr().err


ODD = {
    "a running total": (np.cumsum(plain.series()), "value never falls, as a running total does"),
    "nothing at the end": (np.where(np.arange(plain.STEPS) < plain.STEPS // 3, plain.series(), 0), "is 0 at 67% of"),
}


@pytest.mark.parametrize("command", ["predict", "anomalies"])
@pytest.mark.parametrize(("values", "sentence"), ODD.values(), ids=ODD.keys())
def test_a_log_that_is_not_what_it_seems_is_warned_of(
    small_bundle: Path,
    tmp_path: Path,
    command: str,
    values: np.ndarray,
    sentence: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    log = write_log(tmp_path / "log.csv", values)
    run(command, small_bundle, "--input", log, "--backend", "numpy")
    warned = [
        line
        for line in capsys.readouterr().err.splitlines()
        if line.startswith("warning: series log") and "far outside" not in line
    ]
    assert len(warned) == 1
    assert sentence in warned[0]


def test_an_unknown_zone_is_refused_before_the_log_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "broken.csv"
    log.write_text("not a log\n")
    assert run("rhythm", log, "--clock", "Mars/Phobos") == 2
    assert "clock is 'Mars/Phobos'; expected a name" in capsys.readouterr().err


def test_rhythm_says_it_in_words_and_draws_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    require("statsmodels", "matplotlib")
    log, page, picture = write_log(tmp_path / "log.csv", plain.series()), tmp_path / "r.html", tmp_path / "r.png"
    assert run("rhythm", log, "--out", page) == 0
    text, told = capsys.readouterr()
    assert told.startswith("900 rows from 1 file\n  log.csv: 900 rows, ")
    assert "\\n" not in text + told
    assert "log, 2025-01-06T00:00:00Z to 2025-02-12T11:00:00Z, by the clock of UTC" in text
    assert "Day: a strong rhythm" in text
    html = page.read_text()
    assert html.count("<svg ") == 3
    assert {"0.5", "2"} <= set(re.findall(r"<text[^>]*>([^<]*)</text>", html))
    assert "1.41" not in html
    assert "Day: a strong rhythm" in html
    assert "Mean week" in html
    assert run("rhythm", log, "--out", page) == 2  # it is there
    assert "pass --force to replace it" in capsys.readouterr().err
    assert run("rhythm", log, "--out", picture, "--clock", "Europe/Berlin", "--format", "json") == 0
    found = json.loads(capsys.readouterr().out)["rhythms"][0]
    # 110 sin + 40 sin of twice that is highest at 3 h UTC, an hour later by the clock there
    assert (found["zone"], found["day"]["sure"], found["day"]["peak"]) == ("Europe/Berlin", True, 4)
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log.csv", "r.html", "r.png"]


def test_rhythm_refuses_other_kinds_of_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = write_log(tmp_path / "log.csv", plain.series())
    assert run("rhythm", log, "--out", tmp_path / "r.pdf") == 2
    assert "out is r.pdf; expected a name that ends in .html or .png" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["predict", "anomalies", "evaluate"])
def test_a_metric_of_another_name_is_answered_with_the_option_that_maps_it(
    command: str, small_bundle: Path, bursting: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bursting.write_text(bursting.read_text().replace("timestamp,value", "timestamp,likes"))
    on = (bursting, "--bundle", small_bundle) if command == "evaluate" else (small_bundle, "--input", bursting)
    assert run(command, *on) == 1
    sentence = "has likes; this model takes value: pass --column value=likes, if it was trained on this"
    assert sentence in capsys.readouterr().err
    if command == "predict":
        assert run(command, *on, "--column", "value=likes", "--backend", "numpy") == 0


@pytest.mark.parametrize("rate", [0, 1, 2])
def test_a_rate_that_is_none_is_refused_before_anything_is_read(
    rate: float, small_bundle: Path, bursting: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("anomalies", small_bundle, "--input", bursting, "--rate", rate) == 2
    assert capsys.readouterr().err == (
        f"error[usage]: false-alarm rate is {rate:.1f}; expected a number between 0 and 1, such as 0.001\n"
    )


@pytest.mark.parametrize("ending", ["html", "png"])
def test_a_picture_that_does_not_fit_the_disk_is_named_and_leaves_nothing(
    ending: str, bursting: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    require("matplotlib", "statsmodels")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    out = tmp_path / f"week.{ending}"
    out.write_text("an older one")
    monkeypatch.setattr("os.fsync", full)
    assert run("rhythm", bursting, "--out", out, "--force") == 1
    said = f"error[failed]: {out} could not be written and is as it was: No space left on device\n"
    assert capsys.readouterr().err.endswith(said)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log.csv", out.name]
    assert out.read_text() == "an older one"

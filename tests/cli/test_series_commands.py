"""The commands on a bundle of several series: which one a log is of is said, or asked; it is never guessed."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest

from helpers import plain
from helpers.engines import require
from helpers.logs import many
from pulsecast import POOL, load

require("typer", "polars", "sklearn")

from pulsecast_cli.app import run as run_arguments  # noqa: E402

FIRST = plain.STEPS - 150  # enough for a window and some residuals


def run(*arguments: object) -> int:
    return run_arguments([str(argument) for argument in arguments])


def write_alone(path: Path, name: str) -> Path:
    """Write a log of one series, which nothing in it names."""
    rows = (f"{plain.START_S + plain.STEP_S * h},{v:.0f}" for h, v in enumerate(many.values_of(name)))
    path.write_text("\n".join(["timestamp,value", *rows]) + "\n")
    return path


def forecast(bundle: Path, name: str, series: object) -> list[tuple[float, float, float]]:
    """Return (forecast, lower, upper) of each step after the log of a series, as an app would get them."""
    model = load(bundle)
    spec = model.manifest.spec
    values = many.values_of(name)[-spec.context :]
    found = model.predict(
        values, timestamps=plain.START_S + plain.STEP_S * (plain.STEPS - 1), series=series, interval=0.9
    )
    return [tuple(float(part[0, k]) for part in found) for k in range(spec.horizon)]  # type: ignore[misc]


def answers(out: str) -> dict[str, list[tuple[float, ...]]]:
    found: dict[str, list[tuple[float, ...]]] = {}
    for row in csv.DictReader(io.StringIO(out)):
        found.setdefault(row["series"], []).append(tuple(float(row[name]) for name in ("forecast", "lower", "upper")))
    return found


def same(found: list[tuple[float, ...]], expected: list[tuple[float, float, float]]) -> None:
    np.testing.assert_allclose(found, expected, rtol=1e-5)  # six digits are printed


def test_predict_takes_series_by_the_names_in_the_log_and_unknown_ones_by_the_pool(
    many_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("predict", many_bundle, "--input", many.write_log(tmp_path / "log.csv")) == 0
    found = answers(capsys.readouterr().out)
    assert list(found) == list(many.SIZES)
    for name in many.SIZES:
        same(found[name], forecast(many_bundle, name, name))
    log = many.write_log(tmp_path / "other.csv", rename={"large": "larger"})
    assert run("predict", many_bundle, "--input", log) == 2
    assert "no series 'larger' in this bundle; there is 'large'; for a series that" in capsys.readouterr().err
    assert run("predict", many_bundle, "--input", log, "--pool", "--format", "json") == 0
    captured = capsys.readouterr()
    assert "by the pool, as series that training never saw: larger\n" in captured.err
    document = json.loads(captured.out)
    assert document["forecast_as"] == {"larger": None, "middle": "middle", "small": "small"}
    made = [(row["forecast"], row["lower"], row["upper"]) for row in document["forecasts"] if row["series"] == "larger"]
    same(made, forecast(many_bundle, "large", POOL))


def test_predict_asks_for_the_series_of_a_log_that_does_not_name_it(
    many_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alone = ("predict", many_bundle, "--input", write_alone(tmp_path / "small.csv", "small"))
    assert run(*alone) == 1
    assert (
        "named the series of the training log: for a log of one series pass --series-column ''"
        in capsys.readouterr().err
    )
    unnamed = (*alone, "--series-column", "")
    assert run(*unnamed) == 2  # although the file is called as a series is
    assert (
        "pass the name of one, --series 'large', --pool for a series that training never saw" in capsys.readouterr().err
    )
    assert run(*unnamed, "--series", "small") == 0
    same(answers(capsys.readouterr().out)["small"], forecast(many_bundle, "small", "small"))
    assert run(*unnamed, "--pool") == 0
    same(answers(capsys.readouterr().out)["small"], forecast(many_bundle, "small", POOL))


@pytest.mark.parametrize("command", ["predict", "anomalies"])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--series", "small", "--pool"), "a name and the pool are given"),
        (
            ("--series", "small"),
            "'small' is the name of one series, and the log holds 3: 'large', 'middle', 'small'; leave",
        ),
    ],
    ids=["both", "several"],
)
def test_what_contradicts_is_refused(
    command: str, options: tuple[str, ...], message: str, many_bundle: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    assert run(command, many_bundle, "--input", many.write_log(tmp_path / "log.csv"), *options) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("command", ["predict", "anomalies"])
def test_a_bundle_of_one_series_takes_no_name(
    command: str, calendar_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = write_alone(tmp_path / "log.csv", "middle")
    for option in (("--series", "middle"), ("--pool",)):
        assert run(command, calendar_bundle, "--input", log, "--step", "1h", *option) == 2
        assert "has no table of names: leave --series and --pool out" in capsys.readouterr().err


def test_anomalies_judges_each_series_by_its_own_row(
    many_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = many.write_log(tmp_path / "log.csv", rename={"large": "new"}, names=("large", "small"), first=FIRST)
    command = ("anomalies", many_bundle, "--input", log, "--rate", "0.05", "--pool")
    assert run(*command, "--out", tmp_path / "judged.csv") == 0
    with (tmp_path / "judged.csv").open() as file:
        rows = list(csv.DictReader(file))
    for name, known_as, written in (("large", POOL, "new"), ("small", "small", "small")):
        detector = load(many_bundle).detector(series=known_as, false_alarm_rate=0.05)
        made = [
            detector.push([value], timestamp=plain.START_S + plain.STEP_S * hour).forecast
            for hour, value in enumerate(many.values_of(name))
            if hour >= FIRST
        ]
        shown = [float(row["forecast"] or "nan") for row in rows if row["series"] == written]
        np.testing.assert_allclose(shown, made[-len(shown) :], rtol=1e-5)


def test_inspect_shows_names_and_how_the_scales_differ(many_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = load(many_bundle).series
    assert table is not None
    assert run("inspect", many_bundle) == 0
    out = capsys.readouterr().out
    assert "time int64 (batch,), series int64 (batch,), raw units" in out
    assert "3 series, and the pool: large, middle, small\n" in out
    row = next(line for line in out.splitlines() if line.startswith("range of the forecast column"))
    assert row.split()[-3:] == [f"{value:,.6g}" for value in sorted(table.unit[1:])]
    assert run("inspect", many_bundle, "--format", "json") == 0
    series = json.loads(capsys.readouterr().out)["series"]
    assert series["names"] == ["large", "middle", "small"]
    assert series["scale"]["largest"] == pytest.approx(float(table.scale[1:].max()))

"""Several series in one model: a table with a row for each, and row 0 for a series that training never saw."""

import dataclasses
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from helpers.engines import TRAIN, require
from helpers.heard import Heard, StopAfter, StoppedError

require(*TRAIN)

from pulsecast import limits  # noqa: E402
from pulsecast.bundle.manifest import HeldOut  # noqa: E402
from pulsecast.computing import reference  # noqa: E402
from pulsecast.computing.intervals import LEVELS, conformal_radius  # noqa: E402
from pulsecast.errors import DataError, UsageError  # noqa: E402
from pulsecast.model.accuracy import Accuracy  # noqa: E402
from pulsecast.model.series import LEAST_SPREAD  # noqa: E402
from pulsecast.model.windows import Windows  # noqa: E402
from pulsecast.stages.model_directory import ACCURACY_NAME, ModelDirectory, read_model_directory  # noqa: E402
from pulsecast.stages.progress import SILENT, Progress  # noqa: E402
from pulsecast_train.fitting.pooling import chosen_windows  # noqa: E402
from pulsecast_train.fitting.preparing import prepare_pool  # noqa: E402
from pulsecast_train.logs.config import LogConfig  # noqa: E402
from pulsecast_train.logs.data_report import MOST_RECORDED, DataReport, SeriesSummary  # noqa: E402
from pulsecast_train.logs.reader import ReadLog  # noqa: E402
from pulsecast_train.recipes.train_config import RunConfig, TrainConfig  # noqa: E402
from pulsecast_train.run import Trained, train  # noqa: E402
from pulsecast_train.series import Series  # noqa: E402

STEPS, CUT, START_S = 500, 400, 1_736_121_600
SIZES = {"large": 20_000, "middle": 300, "small": 5}
SMALL = TrainConfig(units=(4,), window=12, epochs=2, batch_size=47)  # 329 windows of a series: no smaller last batch
LOG = LogConfig(step="1h", timezone="UTC", series="topic")
TRAINED_ROUNDING = 1e-5  # of a series' range: Keras in float32 against the float64 reference


def values_of(name: str) -> NDArray[np.float64]:
    """An hourly series (STEPS,) with a daily rhythm, in counts."""
    hours, random = np.arange(STEPS), np.random.default_rng(SIZES[name])
    return np.round(SIZES[name] * np.exp(0.5 * np.sin(2 * np.pi * hours / 24) + random.normal(0, 0.15, STEPS)))


def write_log(path: Path, names: tuple[str, ...] = tuple(SIZES)) -> Path:
    rows = [f"{START_S + 3600 * h},{name},{v:.0f}" for name in names for h, v in enumerate(values_of(name))]
    path.write_text("\n".join(["timestamp,topic,value", *rows]) + "\n")
    return path


def run(log: Path, out: Path, *, progress: Progress = SILENT, **changes: object) -> Trained:
    config = replace(SMALL, **changes)  # type: ignore[arg-type]
    return train(log, out=out, log=LOG, training=config, progress=progress)


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_log(tmp_path_factory.mktemp("log") / "log.csv")


@pytest.fixture(scope="module")
def pooled(log: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """The model of three series."""
    return run(log, tmp_path_factory.mktemp("pool") / "model")


@pytest.fixture(scope="module")
def model(pooled: Trained) -> ModelDirectory:
    return read_model_directory(pooled.path)


def heldout(model: ModelDirectory, name: str) -> tuple[Windows, NDArray[np.float64]]:
    """All windows of a series whose target lies in its held-out part, and what followed (n, 1)."""
    values, ends = values_of(name), np.arange(CUT, STEPS)
    steps = ends[:, np.newaxis] - np.arange(model.record.spec.context, 0, -1)
    row = list(SIZES).index(name) + 1
    windows = Windows(
        values=values[steps].astype(np.float32)[:, :, np.newaxis],
        time=START_S + 3600 * (ends - 1),
        series=np.full(len(ends), row),
    )
    return windows, values[ends][:, np.newaxis]


def forecasts(model: ModelDirectory, windows: Windows) -> NDArray[np.float64]:
    spec, scaling = model.record.spec, model.scaling
    return np.asarray(reference.forecast(spec, scaling, model.weights, windows), np.float64)


@pytest.mark.slow
def test_a_pool_is_one_model_directory_with_a_row_for_each_series(pooled: Trained, model: ModelDirectory) -> None:
    record, table = model.record, model.table
    assert table is not None
    assert (Path(pooled), pooled.record) == (pooled.path, record)
    assert table.names.names == ("large", "middle", "small")
    logs = {name: np.log1p(values_of(name)[:CUT]) for name in SIZES}
    spread = np.sqrt(np.mean([one.var() for one in logs.values()]))  # the series are of equal length
    np.testing.assert_allclose(table.offset[:, 0], [0, *(one.mean() for one in logs.values())], rtol=1e-6)
    np.testing.assert_allclose(table.scale[:, 0], [spread, *(one.std() for one in logs.values())], rtol=1e-6)
    ranges = [np.ptp(values_of(name)[:CUT]) for name in SIZES]
    np.testing.assert_array_equal(table.unit, [np.median(ranges), *ranges])
    first = record.scaler.features[0]
    assert (first.transform, first.scale) == ("log1p", float(table.scale[0, 0]))
    assert first.offset == pytest.approx(np.mean(list(logs.values())), rel=1e-6)
    assert (first.low, first.high) == (values_of("small")[:CUT].min(), values_of("large")[:CUT].max())


@pytest.mark.slow
def test_row_0_forecasts_by_the_window_rule(model: ModelDirectory) -> None:
    """By hand: the same network, each window scaled by its own mean and spread and the spread inside a series."""
    windows, trained = model.heldout.windows, model.heldout.trained
    assert model.table is not None
    assert model.heldout.unit is not None
    chosen = np.flatnonzero(windows.series == 0)
    assert len(chosen) == 42  # a seventh of three hundred
    for at in chosen[::7]:
        one = windows.take([int(at)])
        level = np.log1p(one.values[0, :, 0].astype(np.float64))
        offset = level.mean()
        scale = np.sqrt(max(level.std(), LEAST_SPREAD) * float(model.table.scale[0, 0]))
        by_hand = dataclasses.replace(
            model.table,
            offset=np.array([[0.0], [offset], [0], [0]]),
            scale=np.array([[1.0], [scale], [1], [1]]),
            linear=None,  # then all rows have row 0's
        )
        as_row_1 = dataclasses.replace(one, series=np.array([1]))
        expected = reference.forecast(model.record.spec, by_hand, model.weights, as_row_1)
        assert abs(float(trained[at, 0] - expected[0, 0])) / model.heldout.unit[at] < TRAINED_ROUNDING
        np.testing.assert_allclose(forecasts(model, one), expected, rtol=1e-9)


@pytest.mark.slow
def test_each_row_has_a_linear_path_of_its_own_and_row_0_that_of_the_weights(model: ModelDirectory) -> None:
    assert model.table is not None
    assert model.table.linear is not None
    np.testing.assert_array_equal(model.table.linear[0], model.weights.linear)  # type: ignore[arg-type]
    assert len(np.unique(model.table.linear[:, 0, 0])) == len(SIZES) + 1
    windows, _ = heldout(model, "large")
    shared = dataclasses.replace(model, table=dataclasses.replace(model.table, linear=None))
    assert np.abs(forecasts(model, windows) / forecasts(shared, windows) - 1).max() > 0.01


@pytest.mark.slow
def test_the_heldout_windows_are_of_every_row_and_the_rows_alternate(model: ModelDirectory) -> None:
    found = model.heldout
    assert found.windows.series is not None
    assert found.unit is not None
    assert found.windows.series[:8].tolist() == [0, 1, 2, 3, 1, 2, 3, 1]
    assert np.bincount(found.windows.series).tolist() == [42, 100, 100, 100]
    error = np.abs(found.trained - forecasts(model, found.windows)) / found.unit[:, np.newaxis]
    assert error.max() < TRAINED_ROUNDING
    for at in range(len(found.truth)):  # those of row 0 too have truth and unit of the series that they are from
        name = list(SIZES)[int(np.argmin(np.abs(np.log(found.windows.values[at].mean() / list(SIZES.values())))))]
        assert found.unit[at] == np.ptp(values_of(name)[:CUT])
        assert found.truth[at, 0] in values_of(name)[CUT:]
    rows = model.calibration.series
    assert rows is not None
    assert np.unique(rows).tolist() == [1, 2, 3]
    assert np.ptp(np.bincount(rows)[1:]) <= 2


@pytest.mark.slow
def test_each_row_has_the_radii_of_its_own_heldout_windows(model: ModelDirectory) -> None:
    split, table = model.record.intervals, model.table
    assert split is not None
    assert table is not None
    assert table.radii is not None
    assert split.levels == LEVELS  # a hundred windows of each series are enough for all
    np.testing.assert_array_equal(table.radii[0], split.radii)
    for row, name in enumerate(SIZES, 1):
        windows, truth = heldout(model, name)
        residuals = np.abs(np.log1p(truth) - np.log1p(forecasts(model, windows)))[:, 0]
        expected = [conformal_radius(residuals, level) for level in LEVELS]
        np.testing.assert_allclose(table.radii[row, :, 0], expected, rtol=1e-4, atol=1e-6)
    every = [heldout(model, name) for name in SIZES]
    unseen = [forecasts(model, dataclasses.replace(windows, series=np.zeros(100, int))) for windows, _ in every]
    residuals = np.abs(np.log1p(np.concatenate([t for _, t in every])) - np.log1p(np.concatenate(unseen)))[:, 0]
    np.testing.assert_allclose(split.at(0.9), conformal_radius(residuals, 0.9), rtol=1e-4)
    assert split.windows == 300


@pytest.mark.slow
def test_the_errors_of_each_series_are_kept_and_shown(pooled: Trained, model: ModelDirectory) -> None:
    windows, truth = heldout(model, "middle")
    found = pooled.by_series["middle"].forecasts
    last = windows.values[:, -1].astype(np.float64)
    expected = {
        "model": forecasts(model, windows),
        "unseen": forecasts(model, dataclasses.replace(windows, series=np.zeros(100, int))),
        "last_value": last,
    }
    for name, made in expected.items():
        assert found[name].mae == pytest.approx(np.abs(made - truth).mean(), rel=1e-5)
        assert found[name].bias == pytest.approx((made - truth).mean(), rel=1e-3)
    written = json.loads((pooled.path / ACCURACY_NAME).read_text())
    assert written["middle"]["forecasts"]["model"]["mae"] == found["model"].mae
    own = [pooled.by_series[name].forecasts["model"].mae for name in SIZES]
    assert pooled.record.heldout.forecasts["model"].mae == pytest.approx(np.mean(own), rel=1e-9)
    row = next(line for line in repr(pooled).splitlines() if line.startswith("middle"))
    ratios = (f"{found[name].mae / found['last_value'].mae:.3f}" for name in ("model", "unseen"))
    assert row.split() == ["middle", "100", f"{found['model'].mae:,.4g}", *ratios]
    assert "(geometric means over 3 series)" in repr(pooled)
    assert "<td>middle</td>" in pooled._repr_html_()


@pytest.mark.slow
def test_train_on_the_command_line_has_the_errors_of_each_series(
    pooled: Trained, log: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    require("typer")
    from pulsecast_cli.app import run as run_arguments

    monkeypatch.setattr("pulsecast_train.train", lambda *_, **__: pooled)
    command = ["train", str(log), "--out", "model", "--series-column", "topic", "--step", "1h"]
    assert run_arguments(command) == 0
    assert capsys.readouterr().out == f"{pooled!r}\nnext: pulsecast export model --out BUNDLE\n"
    assert run_arguments([*command, "--format", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert list(document["series"]) == ["large", "middle", "small"]
    assert (
        document["series"]["small"]["forecasts"]["unseen"]["mae"] == pooled.by_series["small"].forecasts["unseen"].mae
    )


def judged(mae: float, last: float) -> HeldOut:
    named = {"model": mae, "unseen": 2 * mae, "last_value": last}
    return HeldOut(windows=100, forecasts={n: Accuracy(mae=value, rmse=value, bias=0.0) for n, value in named.items()})


@pytest.mark.slow
def test_of_many_series_the_first_are_shown_and_all_are_judged(pooled: Trained) -> None:
    many = {f"s{i}": judged(0.25 if i % 2 else 1.0, 1.0) for i in range(24)} | {"flat": judged(0.1, 0.0)}
    lines = repr(replace(pooled, by_series=many)).splitlines()
    assert [line.split()[0] for line in lines[-22:-2]] == [f"s{i}" for i in range(20)]
    assert lines[-2] == "and 5 more: accuracy.json"
    assert lines[-1] == (
        "MAE is 0.500 of the last value's, 1.000 if unseen (geometric means over 24 series); the model does NOT beat "
        "it on 13"
    )


@pytest.mark.slow
def test_a_killed_pool_goes_on_and_ends_in_the_same_weights(log: Path, model: ModelDirectory, tmp_path: Path) -> None:
    with pytest.raises(StoppedError):
        run(log, tmp_path / "model", progress=StopAfter())
    heard = Heard()
    run(log, tmp_path / "model", progress=heard)
    assert heard.done("epoch") == [2]
    np.testing.assert_array_equal(
        read_model_directory(tmp_path / "model").weights.head_kernel, model.weights.head_kernel
    )
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.slow
def test_one_series_and_one_scale_for_all_need_no_table(log: Path, tmp_path: Path) -> None:
    alone = run(write_log(tmp_path / "log.csv", ("small",)), tmp_path / "alone", pool=True, epochs=1)
    common = run(log, tmp_path / "common", pool=False, epochs=1)
    for found in (alone, common):
        assert (found.record.series, dict(found.by_series)) == (None, {})
        assert not (found.path / ACCURACY_NAME).exists()
    assert common.record.scaler.features[0].high == values_of("large")[:CUT].max()
    with pytest.raises(UsageError, match="common exists; pass --force to replace it"):
        run(log, tmp_path / "common")


def test_a_recipe_without_a_rule_for_unseen_series_is_not_pooled(tmp_path: Path) -> None:
    """Before the log is read: there is none."""
    with pytest.raises(UsageError, match="recipe textbook cannot pool series: only standard scores of log1p have a ru"):
        train("log.csv", out=tmp_path / "m", training=TrainConfig(recipe="textbook", pool=True))


def prepared_of(names: list[str], steps: int = STEPS) -> object:
    values = values_of("small")[:steps, np.newaxis]
    series = [Series(name=n, metrics=("value",), start_s=START_S, step_s=3600, values=values) for n in names]
    report = DataReport(files=(), rows_read=0, findings=(), series=(), warnings=())
    return prepare_pool(ReadLog(tuple(series), report), RunConfig(train=SMALL))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a", ""], "'' is not printable text of 1 to 500 characters; name them otherwise, or train without --pool"),
        (["a", "b\x1b[2J"], r"'b\\x1b\[2J' is not printable text"),
        (["a", "long" * 200], "'longlonglonglonglonglonglonglonglonglong' is not printable text"),
        (["a", "b", "a"], "1 of 3 names stand more than once"),
        (["a", "b", "c", "d"], "4 series; at most 3 are read"),
    ],
    ids=["empty", "control", "long", "twice", "too many"],
)
def test_names_that_no_table_may_hold_are_refused(
    names: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SERIES", 3)
    with pytest.raises(DataError, match=f"series of one pool: .*{message}"):
        prepared_of(names)


def test_every_series_that_is_too_short_is_named() -> None:
    with pytest.raises(DataError, match=r"series a: 200 steps give .* windows held out.*; series b: 200 steps give"):
        prepared_of(["a", "b"], 200)


def test_of_more_series_than_windows_each_still_has_one() -> None:
    rows = np.repeat(np.arange(1, 1001), 70)
    found = chosen_windows(rows, 100)
    counts = np.bincount(found.rows)
    assert counts[1:].tolist() == [1] * 1000
    assert counts[0] == 1000 // 7
    assert found.rows[:3].tolist() == [0, 1, 2]
    np.testing.assert_array_equal(rows[found.positions][found.rows > 0], found.rows[found.rows > 0])
    assert len(np.unique(rows[found.positions][found.rows == 0])) == 1000 // 7


def test_a_report_of_many_series_is_cut_short_for_a_manifest() -> None:
    one = SeriesSummary(
        name="a", metrics=("y",), first="", last="", step_s=1, steps=1, filled=0, gaps=0, gap_steps=0, edges_dropped=0,
        minimum=0, median=0, maximum=0,
    )  # fmt: skip
    report = DataReport(files=(), rows_read=9, findings=(), series=(one,) * (MOST_RECORDED + 7), warnings=("w",))
    brief, lacking = report.brief()
    assert (len(brief.series), brief.warnings, lacking) == (MOST_RECORDED, ("w",), {"series": 7})

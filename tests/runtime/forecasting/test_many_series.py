"""A bundle of several series: named by whoever asks, each with its own scale and bounds, never one for another."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from helpers import plain
from helpers.native_models import directory
from helpers.series_models import with_table, write_bundle
from pulsecast import POOL, AnomalyDetector, Forecaster, Stream, Windows, load, step, verify
from pulsecast.bundle.bundle import Bundle
from pulsecast.bundle.manifest import MANIFEST_NAME
from pulsecast.errors import FormatError, IntegrityError, UsageError
from pulsecast.forecasting.checks import check_backend
from pulsecast.foundation import strict_json
from pulsecast.stages.model_directory import ModelDirectory

NAMES = ("AAPL", "r/funny", "héllo")


@pytest.fixture(scope="module")
def trained() -> ModelDirectory:
    return with_table(directory(plain.make_model(plain.CHANGE_SPEC)), NAMES)


@pytest.fixture(scope="module")
def path(trained: ModelDirectory, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("several") / "bundle"
    write_bundle(folder, trained)
    return folder


@pytest.fixture(scope="module")
def model(path: Path) -> Forecaster:
    return load(path)


def golden(path: Path, row: int, count: int = 4) -> Windows:
    """Return windows of one row of the table."""
    windows = Bundle.open(path).golden().windows
    return windows.take(np.flatnonzero(windows.series == row)[:count])


def test_a_name_is_forecast_by_its_own_row(model: Forecaster, path: Path) -> None:
    windows = golden(path, 2)
    found = model.predict(windows.values, timestamps=windows.time, series="r/funny")
    np.testing.assert_array_equal(found, model.predict(windows))
    others = [model.predict(windows.values, timestamps=windows.time, series=name) for name in ("AAPL", "héllo", POOL)]
    assert all(np.abs(other / found - 1).max() > 1e-3 for other in others)
    mixed = model.predict(windows.values, timestamps=windows.time, series=["r/funny", POOL, "AAPL", "r/funny"])
    np.testing.assert_array_equal(mixed[[0, 3]], found[[0, 3]])
    np.testing.assert_array_equal(mixed[1], others[2][1])
    np.testing.assert_array_equal(mixed[2], others[0][2])


def test_bounds_are_those_of_the_series(model: Forecaster, path: Path, trained: ModelDirectory) -> None:
    windows, table, split = golden(path, 1), trained.table, trained.record.intervals
    assert table is not None
    assert table.radii is not None
    assert split is not None
    found = model.predict(windows.values, timestamps=windows.time, series="AAPL", interval=0.9)
    level = np.log1p(found.forecast)
    radius = table.radii[1, split.levels.index(0.9)]
    np.testing.assert_allclose(found.upper, np.floor(np.expm1(level + radius) * (1 + 1e-6)), atol=1)
    pool = model.predict(windows.values, timestamps=windows.time, series=["AAPL", POOL] * 2, interval=0.9)
    np.testing.assert_array_equal(pool.upper[0], found.upper[0])
    assert not np.array_equal(pool.upper[1], found.upper[1])


def test_without_a_name_nothing_is_forecast(model: Forecaster, path: Path) -> None:
    windows = golden(path, 1)
    for ask in (
        lambda: model.predict(windows.values, timestamps=windows.time),
        model.stream,
        model.detector,
        lambda: step(model, None, 1.0, plain.START_S),
    ):
        with pytest.raises(UsageError, match="this bundle holds 3 series: pass the name of one"):
            ask()


def test_a_bundle_of_one_series_takes_no_name(calendar_bundle: Path) -> None:
    one = load(calendar_bundle, backend="numpy")
    windows = Bundle.open(calendar_bundle).golden().windows.take(slice(2))
    for ask in (
        lambda: one.predict(windows.values, timestamps=windows.time, series="AAPL"),
        lambda: one.predict(replace(windows, series=np.zeros(2, np.int64))),
        lambda: one.stream(series="AAPL"),
        lambda: one.detector(series=POOL),
        lambda: step(one, None, 1.0, plain.START_S, series="AAPL"),
    ):
        with pytest.raises(UsageError, match="this bundle is of one series and has no table of names: leave series"):
            ask()


@pytest.mark.parametrize("rows", [[-1, 1], [1, 4], [1], [1.0, 1.0], [[1, 1]], ["AAPL", "AAPL"]])
def test_windows_of_rows_that_are_not_in_the_table_are_refused(
    model: Forecaster, path: Path, rows: list[object]
) -> None:
    windows = golden(path, 1, 2)
    with pytest.raises(UsageError, match="series of the windows"):
        model.predict(replace(windows, series=np.array(rows)))


def test_windows_with_rows_take_no_name_beside(model: Forecaster, path: Path) -> None:
    with pytest.raises(UsageError, match="the windows have their series; leave series out"):
        model.predict(golden(path, 1), series="AAPL")


# ------------------------------------------------------------------------------------------------------------ streams


def pushed(stream: Stream, values: np.ndarray) -> np.ndarray:
    """Return the last forecast after pushing values (steps, streams, 1)."""
    for i, row in enumerate(values):
        found = stream.push(row, timestamp=plain.START_S + i * plain.STEP_S)
    return found


def test_streams_of_several_series_give_what_predict_gives(model: Forecaster, path: Path) -> None:
    windows = golden(path, 0, 3)
    names = ["AAPL", POOL, "héllo"]
    stream = model.stream(series=names)
    found = pushed(stream, windows.values.swapaxes(0, 1))
    time = np.full(3, plain.START_S + (len(windows.values[0]) - 1) * plain.STEP_S)
    np.testing.assert_array_equal(found, model.predict(windows.values, timestamps=time, series=names))
    assert stream.series == ("AAPL", POOL, "héllo")
    again = Stream.from_bytes(model, stream.to_bytes())
    assert again.series == stream.series
    more = np.full((3, 1), 50.0)
    np.testing.assert_array_equal(
        again.push(more, timestamp=stream.due), stream.push(more, timestamp=again.due and int(time[0]) + plain.STEP_S)
    )


def test_one_gap_does_not_move_the_series_of_the_other_streams(model: Forecaster, path: Path) -> None:
    values = golden(path, 0, 3).values.swapaxes(0, 1).copy()
    names = ["AAPL", "r/funny", "héllo"]
    whole = pushed(model.stream(series=names), values)
    values[5, 1] = np.nan
    found = pushed(model.stream(series=names), values)
    np.testing.assert_array_equal(found[[0, 2]], whole[[0, 2]])
    assert np.isnan(found[1]).all()


def test_names_and_streams_must_agree(model: Forecaster) -> None:
    with pytest.raises(UsageError, match="2 series for 3 windows"):
        model.stream(3, series=["AAPL", POOL])
    assert model.stream(3, series="AAPL").series == ("AAPL",) * 3


def test_a_state_keeps_its_series_and_another_bundle_must_know_it(
    model: Forecaster, path: Path, trained: ModelDirectory, tmp_path: Path, calendar_bundle: Path
) -> None:
    state = model.stream(series=["héllo", POOL]).to_bytes()
    assert Stream.from_bytes(model, state).series == ("héllo", POOL)
    more = with_table(directory(plain.make_model(plain.CHANGE_SPEC)), ("first", "héllo"), seed=9)
    write_bundle(tmp_path / "more", more)
    newer = load(tmp_path / "more")
    with pytest.raises(UsageError, match="of another model"):
        Stream.from_bytes(newer, state)
    assert Stream.from_bytes(newer, state, carry_over=True).series == ("héllo", POOL)  # by name, not by row
    gone = model.stream(series="AAPL").to_bytes()
    with pytest.raises(UsageError, match="no series 'AAPL' in this bundle"):
        Stream.from_bytes(newer, gone, carry_over=True)
    one = load(calendar_bundle, backend="numpy")
    with pytest.raises(UsageError, match="the state is of a bundle of several series; plain is of one"):
        Stream.from_bytes(one, state, carry_over=True)
    with pytest.raises(UsageError, match=r"the state is of a bundle of one series; .* is of several"):
        Stream.from_bytes(model, one.stream().to_bytes(), carry_over=True)


def test_a_damaged_list_of_names_in_a_state_is_refused(model: Forecaster) -> None:
    import zlib

    state = model.stream(series=["AAPL", "héllo"]).to_bytes()
    for old, new in ((b"AAPL\n", b"AAPLx"), (b"AAPL\nh", b"\n\n\n\n\nh"), ("é".encode(), b"\xff\xff")):
        body = state[:-4].replace(old, new)
        assert body != state[:-4]
        with pytest.raises(FormatError, match="names of series"):
            Stream.from_bytes(model, body + zlib.crc32(body).to_bytes(4, "little"))


def test_a_step_is_of_the_series_that_its_state_began_with(model: Forecaster, path: Path) -> None:
    values, state = golden(path, 3, 1).values[0, :, 0], None
    for i, value in enumerate(values):
        found = step(model, state, float(value), plain.START_S + i * plain.STEP_S, series="héllo")
        state = found.state
    time = np.array([plain.START_S + (len(values) - 1) * plain.STEP_S])
    expected = model.predict(values[np.newaxis], timestamps=time, series="héllo", interval=0.9)
    np.testing.assert_array_equal(found.forecast.forecast, expected.forecast[0])
    np.testing.assert_array_equal(found.forecast.upper, expected.upper[0])
    after = plain.START_S + len(values) * plain.STEP_S
    assert step(model, state, 1.0, after).state == step(model, state, 1.0, after, series="héllo").state
    with pytest.raises(UsageError, match="series is 'AAPL'; the state is of 'héllo'"):
        step(model, state, 1.0, after, series="AAPL")


def test_a_detector_is_of_one_series(model: Forecaster) -> None:
    detector = model.detector(series="r/funny")
    detector.push(3.0, timestamp=plain.START_S)
    assert AnomalyDetector.from_bytes(model, detector.to_bytes()).series == ("r/funny",)
    with pytest.raises(UsageError, match="more than 1 series for 1 windows"):
        model.detector(series=["AAPL", "héllo"])


# ------------------------------------------------------------------------------------------------------------- checks


def test_verify_covers_every_series_and_unknown_rows(path: Path) -> None:
    (report,) = verify(path)
    assert report.passed, [check for check in report.checks if not check.passed]
    names = {check.name for check in report.checks}
    assert {"series -1 in, no number out", "series 4 in, no number out"} <= names


@pytest.mark.parametrize("fault", ["clamped", "wrapped", "one row for all", "the next row", "rows 1 and 3 swapped"])
def test_a_backend_that_takes_another_row_is_found(path: Path, fault: str) -> None:
    bundle = Bundle.open(path)
    manifest, table = bundle.manifest, bundle.series
    sound = load(path).backend
    turned = {
        "clamped": lambda rows: np.clip(rows, 0, 3),
        "wrapped": lambda rows: rows % 4,
        "one row for all": lambda rows: np.where((rows >= 0) & (rows < 4), 1, rows),
        "the next row": lambda rows: np.where((rows >= 0) & (rows < 4), (rows + 1) % 4, rows),
        "rows 1 and 3 swapped": lambda rows: np.where(rows == 1, 3, np.where(rows == 3, 1, rows)),
    }[fault]
    backend = SimpleNamespace(
        predict=lambda values, time, series: sound.predict(values, time, turned(series)),
        outputs=lambda values, time, series: sound.outputs(values, time, turned(series)),
    )
    checks = check_backend(backend, manifest, manifest.artifacts[0], bundle.golden(), bundle.weights(), table)
    failed = {check.name for check in checks if not check.passed}
    assert failed, fault
    if fault in ("clamped", "wrapped"):
        assert all("series" in name for name in failed)


def rewritten(path: Path, folder: Path, **files: bytes) -> Path:
    """Return a copy of the bundle with other files, whose hashes are right."""
    import shutil

    from pulsecast.bundle.bundle import entry_for
    from pulsecast.bundle.manifest import parse_manifest

    shutil.copytree(path, folder)
    for name, data in files.items():
        (folder / name.replace("_", ".")).write_bytes(data)
    manifest = parse_manifest((folder / MANIFEST_NAME).read_bytes())
    entries = tuple(entry_for(folder, entry.path) for entry in manifest.files)
    (folder / MANIFEST_NAME).write_text(strict_json.dumps(replace(manifest, files=entries)))
    return folder


def test_names_of_another_number_are_refused(path: Path, tmp_path: Path) -> None:
    changed = rewritten(path, tmp_path / "b", series_txt=b"AAPL\nr/funny\n")
    with pytest.raises(FormatError, match=r"series.txt has 2 names; the manifest says 3"):
        load(changed)


def test_swapped_names_are_found_by_the_hashes(path: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(path, tmp_path / "b")
    (tmp_path / "b" / "series.txt").write_bytes("r/funny\nAAPL\nhéllo\n".encode())
    with pytest.raises(IntegrityError, match=r"series.txt has another SHA-256"):
        load(tmp_path / "b")


def test_a_golden_that_leaves_a_series_out_is_refused(path: Path, tmp_path: Path, trained: ModelDirectory) -> None:
    from pulsecast.bundle.golden import write_golden

    whole = Bundle.open(path).golden()
    few = write_golden(replace(whole, windows=replace(whole.windows, series=whole.windows.series % 3)))
    with pytest.raises(FormatError, match="its windows are not of every row of the table of series, 0 to 3"):
        load(rewritten(path, tmp_path / "b", golden_npz=few))

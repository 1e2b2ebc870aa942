"""A table of series inside the converted files: each window by its own row, the pool by its window, others NaN."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from helpers import plain
from helpers.engines import EXPORT, require
from helpers.native_models import directory
from helpers.series_models import with_table, write_bundle
from pulsecast import POOL, load
from pulsecast.backends import Backend, open_backend
from pulsecast.bundle.bundle import Bundle
from pulsecast.bundle.lone_files import lone_contract
from pulsecast.computing import reference
from pulsecast.computing.intervals import split_interval
from pulsecast.errors import UsageError
from pulsecast.model.series import SeriesTable
from pulsecast.model.windows import Windows
from pulsecast.stages.model_directory import ModelDirectory, read_model_directory, write_model_directory

pytestmark = pytest.mark.slow
NAMES = ("AAPL", "r/funny", "héllo")
TARGETS = ("savedmodel", "onnx", "tflite")
EACH = pytest.mark.parametrize("artifact", TARGETS)
LIMIT = 1e-5  # of a window's unit
MANY = 300
BYTES_EACH = 400  # of a float32 artifact, for each series


def converted(model: ModelDirectory, folder: Path, *targets: str) -> Bundle:
    """Return a bundle of `model`, converted in this process; each file has passed its gate."""
    require(*EXPORT)
    from pulsecast_export.converting.conversion_child import main

    (folder / "model").mkdir()
    write_model_directory(folder / "model", model)
    (folder / "bundle").mkdir()
    assert main([str(folder / "model"), str(folder / "bundle"), *targets]) == 0
    write_bundle(folder / "bundle", model, *(plain.artifact_of(name, model.record.spec) for name in targets))
    return Bundle.open(folder / "bundle")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Of a model whose series have a kernel each for the linear path."""
    model = with_table(directory(plain.make_model(plain.LINEAR_SPEC)), NAMES)
    return converted(model, tmp_path_factory.mktemp("several"), *TARGETS)


def backend(bundle: Bundle, artifact: str) -> Backend:
    return open_backend(bundle, bundle.manifest.artifact(artifact), 1)


def expected(bundle: Bundle, windows: Windows) -> np.ndarray:
    return reference.forecast(bundle.manifest.spec, bundle.scaling, bundle.weights(), windows)


@EACH
def test_every_window_is_forecast_by_its_row_with_its_bounds(bundle: Bundle, artifact: str) -> None:
    golden, split = bundle.golden(), bundle.manifest.intervals
    assert split is not None
    windows = golden.windows
    for rows in (windows.series, np.zeros(len(windows), np.int64), np.full(len(windows), 3, np.int64)):
        asked = replace(windows, series=rows)
        assert kernels_count(bundle, asked)
        forecast, lower, upper = backend(bundle, artifact).outputs(*asked.inputs)
        assert np.max(np.abs(forecast - expected(bundle, asked)) / golden.unit[:, np.newaxis]) < LIMIT
        found = split_interval(split, forecast, split.default_level, bundle.series, rows)
        assert np.mean(np.abs(lower - found.lower) <= 1e-5 * (1 + found.lower)) > 0.99  # a count may just round over
        assert np.mean(np.abs(upper - found.upper) <= 1e-5 * (1 + found.upper)) > 0.99


def kernels_count(bundle: Bundle, windows: Windows) -> bool:
    """Return whether forecasts show that series have kernels of their own, and that the pool's is the shared one."""
    assert isinstance(bundle.series, SeriesTable)
    assert windows.series is not None
    shared = replace(bundle.series, linear=None)
    without = reference.forecast(bundle.manifest.spec, shared, bundle.weights(), windows)
    off = np.abs(without - expected(bundle, windows)).max(axis=1) / bundle.golden().unit
    pooled = windows.series == 0
    return bool((off[~pooled] > 20 * LIMIT).sum() >= 0.9 * (~pooled).sum() and (off[pooled] == 0).all())


@EACH
def test_a_row_that_is_not_in_the_table_gives_nan_alone(bundle: Bundle, artifact: str) -> None:
    windows, engine = bundle.golden().windows.take(slice(6)), backend(bundle, artifact)
    clean = engine.predict(*windows.inputs)
    series = np.array([windows.series[0], -1, windows.series[2], 4, 2**40, -(2**63)], np.int64)  # type: ignore[index]
    found = engine.outputs(*replace(windows, series=series).inputs)
    for each in found:
        assert np.isnan(each[[1, 3, 4, 5]]).all()
    np.testing.assert_array_equal(found[0][[0, 2]], clean[[0, 2]])


@EACH
@pytest.mark.parametrize("kind", ["still", "zeros", "one burst", "huge", "a negative value", "NaN first", "NaN last"])
def test_the_pool_scales_by_a_window_of_any_kind_or_says_nan(bundle: Bundle, artifact: str, kind: str) -> None:
    windows = bundle.golden().windows.take(slice(2))
    values = windows.values.copy()
    window = values[1, :, 0]
    if kind == "one burst":
        window[...] = 0
        window[40] = 1e6
    elif kind == "huge":
        window[...] = np.linspace(1e9, 3e9, len(window))
    elif kind in ("still", "zeros"):
        window[...] = 7.0 if kind == "still" else 0.0
    else:
        window[{"a negative value": 9, "NaN first": 0, "NaN last": -1}[kind]] = -1.0 if kind[0] == "a" else np.nan
    asked = replace(windows.changed(values), series=np.zeros(2, np.int64))
    found, wanted = backend(bundle, artifact).predict(*asked.inputs), expected(bundle, asked)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(wanted))
    assert np.isnan(wanted[1]).all() == (kind in ("a negative value", "NaN first", "NaN last"))
    np.testing.assert_allclose(found, wanted, rtol=2e-5, atol=LIMIT)


def test_a_file_says_which_series_it_knows(bundle: Bundle) -> None:
    for path in ("onnx/model.onnx", "tflite/model.tflite", "savedmodel/1"):
        contract = lone_contract(bundle.path / path)
        assert contract.series is not None
        assert contract.series.rows == 4
        assert contract.series.names == NAMES
        assert contract.inputs["series"] == (-1,)
        assert contract.digest == bundle.manifest.digest


def test_int8_is_left_out_or_refused_by_name(tmp_path: Path) -> None:
    require(*EXPORT)
    from pulsecast_export.targets import find_targets, fitting

    every = find_targets(())
    chosen, reasons = fitting((), every, plain.CHANGE_SPEC, many=True)
    assert set(every) - set(chosen) == {"tflite-int8"}
    (reason,) = reasons
    assert reason.startswith(
        "tflite-int8 exists for a model of one series only; this one has a table of several: train"
    )
    with pytest.raises(UsageError, match="target tflite-int8 exists for a model of one series only"):
        fitting(("tflite-int8",), ("tflite-int8",), plain.CHANGE_SPEC, many=True)
    assert fitting((), every, plain.CHANGE_SPEC, many=False) == (every, [])


def test_a_network_beyond_the_plain_stack_takes_a_table(tmp_path: Path) -> None:
    """Its series share the kernel of the linear path."""
    network = replace(plain.CHANGE_NETWORK_SPEC.network, linear=plain.LINEAR)
    described = replace(plain.CHANGE_NETWORK_SPEC, network=network)
    model = with_table(directory(plain.make_model(described)), NAMES)
    assert model.table is not None
    found = converted(replace(model, table=replace(model.table, linear=None)), tmp_path, "onnx")
    windows = found.golden().windows
    wanted = expected(found, windows)
    error = np.abs(backend(found, "onnx").predict(*windows.inputs) - wanted)
    assert np.max(error / np.maximum(np.abs(wanted), found.golden().unit[:, np.newaxis])) < LIMIT


def test_many_series_add_little_to_a_file_and_are_all_covered(bundle: Bundle, tmp_path: Path) -> None:
    from pulsecast_export.exporter import export_model

    names = tuple(f"series {i}" for i in range(MANY))
    model = with_table(directory(plain.make_model(plain.CHANGE_SPEC)), names)
    (tmp_path / "model").mkdir()
    write_model_directory(tmp_path / "model", model)
    path = tmp_path / "bundle"
    export_model(tmp_path / "model", path, targets=("onnx",))
    found = Bundle.open(path)
    assert set(found.golden().windows.series.tolist()) == set(range(MANY + 1))  # type: ignore[union-attr]
    small, large = ((one.path / "onnx/model.onnx").stat().st_size for one in (bundle, found))
    assert (large - small) / (MANY - len(NAMES)) < BYTES_EACH
    contract = lone_contract(path / "onnx/model.onnx")
    assert contract.series is not None
    assert (contract.series.rows, contract.series.names) == (MANY + 1, ())
    loaded, window = load(path), found.golden().windows.take(slice(1))
    forecasts = [loaded.predict(window.values, timestamps=window.time, series=s) for s in ("series 299", POOL)]
    for forecast, row in zip(forecasts, (MANY, 0), strict=True):
        wanted = expected(found, replace(window, series=np.array([row])))
        np.testing.assert_allclose(forecast, wanted, rtol=1e-4)


def test_a_model_directory_of_several_series_comes_back_as_written(tmp_path: Path) -> None:
    model = with_table(directory(plain.make_model(plain.CHANGE_SPEC)), NAMES)
    write_model_directory(tmp_path, model)
    found = read_model_directory(tmp_path)
    assert found.table is not None
    assert model.table is not None
    assert found.table.names == model.table.names
    np.testing.assert_array_equal(found.table.scale, model.table.scale)
    np.testing.assert_array_equal(found.heldout.windows.series, model.heldout.windows.series)
    np.testing.assert_array_equal(found.heldout.unit, model.heldout.unit)

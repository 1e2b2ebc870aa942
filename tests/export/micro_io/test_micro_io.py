"""The C beside the full-integer TFLite file against the runtime's numpy, value for value."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from helpers.micro.models import (
    AROUND,
    columns_of,
    log,
    model_of,
    moments,
    path_of,
    same,
    surroundings,
    windows_of,
    written,
)
from helpers.native_models import require_c
from pulsecast.backends.native_library import find_compiler
from pulsecast.bundle.golden import Golden
from pulsecast.computing import reference
from pulsecast.computing.calendars import complete
from pulsecast.computing.intervals import FLOAT32_SLACK, bounds
from pulsecast.errors import ConversionError, ToleranceError
from pulsecast.model.scaler import Scaler
from pulsecast.model.spec import YEAR_1, YEAR_10000
from pulsecast.model.windows import Windows
from pulsecast.stages.model_directory import ModelDirectory
from pulsecast_export.exporter import _remove_sources
from pulsecast_export.micro_io.checking import (
    BOUND_ROUNDING,
    MicroIo,
    Surroundings,
    channel_rounding,
    check_micro_io,
    compile_micro_io,
    forecast_rounding,
)
from pulsecast_export.micro_io.writer import SOURCE
from pulsecast_export.targets import TARGETS

# ------------------------------------------------------------------------------------------------------------- input


def test_channels_are_those_of_numpy_at_every_kind_of_time(name: str, library) -> None:
    model = model_of(AROUND[name])
    spec, scaler = model.record.spec, model.record.scaler
    windows = windows_of(spec, moments(spec))
    found, fine = library(name, model).channels(windows)
    assert fine.all()
    columns = columns_of(model, windows)
    expected = reference.channels(spec, scaler.transform(columns))
    assert len(found) > 100
    assert (np.abs(found - expected) <= channel_rounding(spec, scaler, columns)).all()


def test_the_weekend_is_exact_to_the_second(library) -> None:
    model = model_of(AROUND["a second"])
    spec = model.record.spec
    for edge in (2 * 86400, 4 * 86400, -5 * 86400, 4_102_444_800 - 86400 * 5 + 2**33):
        times = np.arange(edge - 5, edge + 8, dtype=np.int64)
        windows = windows_of(spec, times)
        found, _ = library("a second", model).channels(windows)
        np.testing.assert_array_equal(found[..., 1], columns_of(model, windows)[..., 1])


def test_a_quarter_of_a_period_has_no_rounding(library) -> None:
    model = model_of(AROUND["a second"])
    times = np.arange(8, dtype=np.int64) * 7 * 21600 - 1  # one step ahead
    found, _ = library("a second", model).channels(windows_of(model.record.spec, times))
    np.testing.assert_array_equal(found[:, -1, 2], [0, 1, 0, -1, 0, 1, 0, -1])


@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf, -1.0, -2.0, 3e38, -3e38, 1e-45])
def test_a_window_is_refused_if_numpy_gives_it_no_forecast(name: str, special: float, library) -> None:
    model = model_of(AROUND[name])
    spec, scaler = model.record.spec, model.record.scaler
    times = moments(spec)[: spec.context * spec.measured + 1]
    windows = windows_of(spec, times)
    places = windows.values.reshape(len(windows), -1)  # (n, context * measured): another place in each window
    for i in range(len(windows) - 1):
        places[i, i] = special
    found, fine = library(name, model).channels(windows)
    scaled = scaler.transform(complete(spec, windows))
    inputs = reference.channels(spec, scaled)
    raw = reference.to_raw(spec, scaler, np.zeros((len(windows), spec.horizon), np.float32), scaled, inputs)
    np.testing.assert_array_equal(fine, np.isfinite(scaled).all((1, 2)) & np.isfinite(inputs).all((1, 2)))
    np.testing.assert_array_equal(fine, ~np.isnan(raw).any(axis=1))
    assert not found[~fine].any()
    if not np.isfinite(special):
        assert not fine[:-1].any()


def test_a_time_that_is_not_known_is_refused_and_any_other_is_not(any_name: str, library) -> None:
    model = model_of(AROUND[any_name])
    spec = model.record.spec
    edges = [YEAR_1, YEAR_10000, 0, 365 * 86400, 1_735_689_600_000, -(2**63) + 2, 2**63 - 3]
    edges += [int(time) for time in moments(spec)[[0, -1]]] if len(moments(spec)) else []
    times = np.array([edge + apart for edge in edges for apart in range(-2, 3)], np.int64)
    found, fine = library(any_name, model).channels(replace(windows_of(spec, times), time=times))
    known = ~np.isnan(complete(spec, windows_of(spec, times))).any(axis=(1, 2))
    np.testing.assert_array_equal(fine, known)
    assert not found[~fine].any()
    assert fine.all() if not spec.timed else not fine.all()


def test_a_calendar_that_its_scaler_makes_infinite_is_refused(tmp_path: Path) -> None:
    require_c()
    around = replace(AROUND["a second"], features=(same(), same(), log(0, 1), same()))  # log1p(-1)
    model = model_of(around)
    written(model, tmp_path)
    compile_micro_io(tmp_path, find_compiler(), tmp_path / "a.so")
    low = 3 * 7 * 21600 - 1 + np.arange(3)  # sine is -1 one step later, and in the next ones of the context
    _, fine = MicroIo(tmp_path / "a.so", model.record.spec).channels(
        windows_of(model.record.spec, np.array([*low, 5], np.int64))
    )
    assert fine.tolist() == [False, False, False, True]


# ------------------------------------------------------------------------------------------------------------ output


def results_of(name: str, library) -> tuple[ModelDirectory, Windows, np.ndarray, np.ndarray, np.ndarray]:
    model = model_of(AROUND[name])
    spec, scaler = model.record.spec, model.record.scaler
    times = np.tile(moments(spec)[:1], 400)
    windows = windows_of(spec, times)
    outputs = np.random.default_rng(1).normal(0, 0.7, (len(windows), spec.horizon)).astype(np.float32)
    columns = columns_of(model, windows)
    scaled = scaler.transform(columns)
    changes = outputs.astype(np.float64) + path_of(model, windows)
    expected = reference.to_raw(spec, scaler, changes, scaled, np.zeros((len(windows), 1, 1)))
    return model, windows, columns, expected, library(name, model).results(windows, outputs)


def test_forecasts_are_those_of_numpy(name: str, library) -> None:
    model, _, columns, expected, found = results_of(name, library)
    allowed = forecast_rounding(surroundings(model), columns, expected)
    assert (np.abs(found[0] - expected) <= allowed).all()


def test_bounds_are_those_of_numpy_and_whole_numbers_for_counts(name: str, library) -> None:
    model, _, _, _, found = results_of(name, library)
    split = model.record.intervals
    if split is None:
        assert np.isnan(found[1:]).all()  # not touched
        return
    forecast = found[0].astype(np.float64)
    radius = np.array(split.at(split.default_level))
    expected = bounds(forecast, radius, split.scale, counts=False)
    size = np.maximum(forecast, 0) + 1 if split.scale == "log1p" else np.abs(forecast) + 1
    for bound, exact, way in ((found[1], expected.lower, -1), (found[2], expected.upper, 1)):
        rounding = BOUND_ROUNDING * (size * np.exp(way * radius) if split.scale == "log1p" else size + radius)
        if not split.counts:
            within = exact < np.finfo(np.float32).max
            assert (np.abs(bound - exact) <= rounding + BOUND_ROUNDING)[within].all()
            assert (bound[~within] >= 1e38).all()
            continue
        np.testing.assert_array_equal(bound, np.round(bound))
    if split.counts:
        whole = bounds(forecast, radius, split.scale, counts=True)
        sure = np.ones(forecast.shape, bool)
        for exact, way in ((expected.lower, -1), (expected.upper, 1)):
            edge = exact + way * FLOAT32_SLACK * (exact + 1)
            sure &= np.abs(edge - np.round(edge)) > BOUND_ROUNDING * (exact + 2)
        assert sure.mean() > 0.9
        for bound, expected_one in ((found[1], whole.lower), (found[2], whole.upper)):
            np.testing.assert_array_equal(bound[sure], expected_one[sure])
            assert (np.abs(bound - expected_one) <= 1).all()


def test_a_bound_that_is_not_wanted_may_be_null(library) -> None:
    model, windows, _, _, _ = results_of("a change of counts", library)
    functions = library("a change of counts", model)
    call = functions.output
    outputs = np.zeros(4, np.float32)
    results = np.full((3, 4), np.nan, np.float32)
    values = windows.values[0].copy()
    time, given = int(windows.time[0]), outputs.ctypes.data
    call(values.ctypes.data, time, given, results[0].ctypes.data, None, results[2].ctypes.data)
    expected = functions.results(windows.take([0]), outputs[np.newaxis])[:, 0]
    np.testing.assert_array_equal(results[[0, 2]], expected[[0, 2]])
    assert np.isnan(results[1]).all()
    call(values.ctypes.data, time, given, results[0].ctypes.data, None, None)


# ---------------------------------------------------------------------------------------------------------- an export


def test_what_is_beside_a_target_goes_with_it(tmp_path: Path) -> None:
    places = [tmp_path / place for row in TARGETS.values() for place in (row.path, *row.beside)]
    for place in places:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text("")
    _remove_sources(tmp_path, ("onnx", "tflite-w8"))
    left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {"onnx/model.onnx", "tflite/model.w8.tflite"}


def golden_of(model: ModelDirectory) -> Golden:
    windows = windows_of(model.record.spec, moments(model.record.spec))
    forecasts = np.exp(np.random.default_rng(2).uniform(1, 8, (len(windows), model.record.spec.horizon)))
    unit = np.full(len(windows), model.record.scaler.range)
    return Golden(
        windows=windows, truth=forecasts, reference=forecasts, trained=forecasts.astype(np.float32), unit=unit
    )


@pytest.fixture
def golden() -> Golden:
    return golden_of(model_of(AROUND["a change of counts"]))


def test_the_check_of_an_export_passes_what_the_writer_wrote(name: str, tmp_path: Path) -> None:
    require_c()
    model = model_of(AROUND[name])
    golden = golden_of(model)
    check_micro_io(written(model, tmp_path), surroundings(model), golden)


FAULTS = {
    "a scale": (r"4\.0[0-9]*f, 0\.67[0-9]*f", "4.01999998f, 0.67001f", "channels differ by up to .*; forecasts differ"),
    "a lag": (r"\{0, 23\}", "{0, 22}", "channels differ"),
    "an hour": (r"INT64_C\(3600\), INT64_C\(86400\)", "INT64_C(0), INT64_C(86400)", "channels differ"),
    "the day of the weekend": (r"3 \* 86400", "4 * 86400", "channels differ"),
    "what is known": (r"FIRST_KNOWN INT64_C\(.*\)", "FIRST_KNOWN INT64_C(0)", "of .* windows are refused"),
    "the last time": (
        r"LAST_KNOWN INT64_C\(.*\)",
        "LAST_KNOWN INT64_MAX",
        "taken or refused wrongly at 253402300800, ",
    ),
    "a year too few": (r"(LAST_KNOWN INT64_C)\(.*\)", r"\1(253370764799)", "or refused wrongly at 253402300799"),
    "whether values are finite": (
        r"!isfinite\(.*?\)\)|!\(\*to [^)]*\)",
        "0",
        "64 of 64 windows with a value of nan are taken; .* of inf",
    ),
    "a lower bound": (
        r"(LOWER\[MICRO_HORIZON\] = \{\n    \{0\.64)",
        r"\g<1>9",
        "bounds are not those of the forecasts",
    ),
    "an upper bound": (
        r"(UPPER\[MICRO_HORIZON\] = \{\n    \{1\.5)",
        r"\g<1>9",
        "bounds are not those of the forecasts",
    ),
    "bounds in turn": (r"lower\[step\] = low;", "lower[step] = high;", "bounds are not those of the forecasts"),
    "whole numbers": (r"#define COUNTS 1", "#define COUNTS 0", "bounds are not those of the forecasts"),
    "no bounds": (r"bounds\(step, raw, lower, upper\);", ";", "bounds are not those of the forecasts"),
    "a weight of the path": (r"(KERNEL\[\d+ \* MICRO_HORIZON\] = \{\n)\S+", r"\g<1>0.1f,", "forecasts differ"),
    "the path's season": (r"#define SEASON 24", "#define SEASON 23", "forecasts differ"),
    "a wave": (r"\{86400, 7, ", "{86400, 8, ", "forecasts differ"),
    "the time of a wave": (r"remainder_of\(time \+ MICRO_STEP_SECONDS", "remainder_of(time", "forecasts differ"),
    "the weekend of a step": (r"\(k \+ 1\) \*", "k *", "forecasts differ"),
    "no path": (r"\+ path\[step\]", "+ 0.0f * path[step]", "forecasts differ"),
    "the change": (r"#define CHANGE 1", "#define CHANGE 0", "forecasts differ"),
}


@pytest.mark.parametrize(("before", "after", "sentence"), FAULTS.values(), ids=FAULTS.keys())
def test_the_check_of_an_export_finds_a_fault(
    before: str, after: str, sentence: str, golden: Golden, tmp_path: Path
) -> None:
    require_c()
    model = model_of(AROUND["a change of counts"])
    source = written(model, tmp_path) / SOURCE
    changed, count = re.subn(before, after, source.read_text("ascii"))
    assert count >= 1
    source.write_text(changed, encoding="ascii")
    with pytest.raises(ToleranceError, match=f"micro_io.c does not compute what the reference does: .*{sentence}"):
        check_micro_io(tmp_path, surroundings(model), golden)


def test_a_source_that_does_not_compile_is_named(golden: Golden, tmp_path: Path) -> None:
    require_c()
    model = model_of(AROUND["a change of counts"])
    (written(model, tmp_path) / SOURCE).write_text("int micro_input(void) { return unknown; }\n", encoding="ascii")
    with pytest.raises(ConversionError, match=r"the C compiler .* failed on micro_io\.c: .*unknown"):
        check_micro_io(tmp_path, surroundings(model), golden)


def test_without_a_compiler_nothing_is_checked(golden: Golden, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(AROUND["a change of counts"])
    monkeypatch.setenv("CC", "no-such-compiler")
    check_micro_io(tmp_path, Surroundings(spec=model.record.spec, scaler=Scaler(features=())), golden)

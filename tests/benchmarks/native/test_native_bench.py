"""The comparison of `native` with other engines: what it refuses, and how its table is made from rows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from helpers import plain
from helpers.native_models import FLOAT32_ROUNDING, add_native, cc_here, require_c
from pulsecast.backends.native_library import library_path, platform_tag
from pulsecast.bundle.bundle import Bundle
from pulsecast.bundle.packing import pack
from pulsecast.computing.network_forward import run
from pulsecast.errors import EngineError, PulsecastError, UsageError
from pulsecast_bench.native.beside import loop_in_c
from pulsecast_bench.native.floors import Floor, Rates, best, build_rates, floors, measure_rates, work_of
from pulsecast_bench.native.limits import BATCHES, Comparison, Limit, Row, limits, lines, main, measure_native
from pulsecast_bench.native.precisions import PATHS, measure_precisions
from pulsecast_bench.native.precisions import lines as lines_of_precisions
from pulsecast_bench.native.precisions import main as precisions_main
from pulsecast_bench.native.processes import build_stream_program, cold_starts, first_forecast_us, stream_push_us
from pulsecast_bench.native.sources import bundle_of


def test_a_bundle_without_the_artifacts_is_refused_by_name(plain_bundle: Path, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(UsageError, match="has no native, onnx, tflite; export it with targets native, onnx, tflite"):
        measure_native(plain_bundle, rounds=1, round_s=0.0)
    assert main([str(plain_bundle)]) == 1
    assert "has no native, onnx, tflite" in capsys.readouterr().err


def test_a_bundle_of_several_series_is_refused(many_bundle: Path) -> None:
    with pytest.raises(UsageError, match="bundle bundle holds 3 series; this measures models of one: see `bench`"):
        measure_native(many_bundle, rounds=1, round_s=0.0)


@pytest.mark.parametrize("program", [main, precisions_main], ids=["native", "precisions"])
@pytest.mark.parametrize(
    ("option", "value", "remark"),
    [
        ("--rounds", "0", "'0' is not a count; expected 1, 2, ..."),
        ("--rounds", "-1", "'-1' is not a count; expected 1, 2, ..."),
        ("--round-seconds", "nan", "'nan' is not a number of seconds; expected 0 to 3600"),
        ("--round-seconds", "soon", "'soon' is not a number of seconds; expected 0 to 3600"),
    ],
)
def test_rounds_that_cannot_be_measured_are_refused(program, option, value, remark, tmp_path, capsys) -> None:
    with pytest.raises(SystemExit):
        program([str(tmp_path), f"{option}={value}"])
    assert remark in capsys.readouterr().err


def test_a_bundle_in_one_file_is_unpacked_beside(level_model, tmp_path) -> None:
    bundle = tmp_path / "bundle"
    plain.write_bundle(bundle, level_model)
    pack(bundle, tmp_path / "one.pulse")
    (tmp_path / "work").mkdir()
    found = bundle_of(tmp_path / "one.pulse", tmp_path / "work", ())
    assert (found.name, found.is_dir()) == ("one", True)
    assert Bundle.open(found).manifest == Bundle.open(bundle).manifest
    with pytest.raises(PulsecastError, match="nothing"):
        bundle_of(tmp_path / "nothing", tmp_path / "work", ())


def comparison(**changes: object) -> Comparison:
    """A comparison of three rounds in which every limit is met."""
    batches = {
        1: {"native": [24.0, 25.0, 23.0], "onnx": [80.0, 82.0, 78.0], "tflite": [150.0, 150.0, 150.0]},
        32: {"native": [30.0, 30.0, 30.0], "onnx": [80.0, 80.0, 80.0], "tflite": [60.0, 60.0, 60.0]},
        64: {"native": [16.0, 16.0, 16.0], "onnx": [70.0, 70.0, 70.0], "tflite": [50.0, 50.0, 50.0]},
        256: {"native": [25.0, 25.0, 25.0], "onnx": [60.0, 60.0, 60.0], "tflite": [40.0, 40.0, 40.0]},
    }
    assert tuple(batches) == (1, *BATCHES)
    rows = [Row(name=f"batch {batch}", rounds_us=times) for batch, times in batches.items()]
    rows += [
        Row(name="answer", rounds_us={"native": [3.0, 3.0, 3.0], "onnx": [90.0, 90.0, 90.0]}),
        Row(name="answer in C", rounds_us={"native": [1.0, 1.0, 1.0]}),
        Row(
            name="cold start, bare",
            rounds_us={
                "native": [100.0] * 3,
                "native compiled": [110.0] * 3,
                "onnx": [220.0] * 3,
            },
        ),
    ]
    engines = {"native": "native avx2", "onnx": "onnxruntime", "tflite": "litert"}
    floor = {"native": Floor(products_us=18.25, bytes_us=13.5)}
    return replace(Comparison(engines=engines, rows=rows, floors=floor, parity=1e-7, library_bytes=195_000), **changes)


def test_a_ratio_is_taken_within_a_round_and_the_best_batch_is_each_engines_own() -> None:
    found = {limit.name: limit for limit in limits(comparison())}
    assert found["native, batch 1 / onnx"].value == np.median([24 / 80, 25 / 82, 23 / 78])
    assert found["native, best windows/s / of onnx, tflite"].value == 40 / 16
    assert not any(name.startswith("native-w8") for name in found)
    assert found["answer in Python / onnx window"].value == 3 / 80
    assert found["answer in C / onnx window"].value == 1 / 80
    assert found["cold start, compiled before / onnx alone"].value == 0.5
    assert all(limit.met for limit in found.values())
    engines, times, ratios, _ = "\n".join(lines(comparison())).split("\n\n")
    assert engines.splitlines()[1].split() == ["onnx", "onnxruntime"]
    cells = {line[:18].strip(): line[18:].split() for line in times.splitlines()}
    assert cells["batch 64"] == ["16.00", "70.00", "50.00"]
    assert cells["answer in C"] == ["1.00"]
    assert (cells["floor, products"], cells["floor, bytes"]) == (["18.25"], ["13.50"])
    shares = {line[:18].strip(): line[18:].split() for line in ratios.splitlines()}
    assert shares["batch 64"][0] == "4.38"
    assert "answer in C" not in shares


def test_a_model_that_is_not_a_stack_of_lstms_has_no_floor() -> None:
    assert not any(line.startswith("floor") for line in lines(comparison(floors={})))


def test_the_limits_of_8_bit_weights_apply_where_the_bundle_has_them() -> None:
    found = comparison()
    times = {"batch 1": 21.0, "batch 32": 20.0, "batch 64": 14.0, "batch 256": 13.0}
    rows = [
        replace(row, rounds_us=row.rounds_us | {"native-w8": [times[row.name]] * 3}) if row.name in times else row
        for row in found.rows
    ]
    limited = {
        limit.name: limit for limit in limits(replace(found, engines=found.engines | {"native-w8": "w8"}, rows=rows))
    }
    assert limited["native-w8, batch 1 / onnx"].value == np.median([21 / 80, 21 / 82, 21 / 78])
    assert not limited["native-w8, batch 1 / onnx"].met
    assert limited["native-w8, best windows/s / of onnx, tflite"].value == 40 / 13
    assert limited["native-w8, best windows/s / of onnx, tflite"].met


def test_a_floor_is_the_work_of_a_window_over_what_the_processor_does() -> None:
    model = plain.make_model(plain.CHANGE_SPEC)
    cells, spec = model.weights.layers, plain.CHANGE_SPEC
    work = work_of(spec, model.weights)
    macs = [each.kernel.size + each.recurrent.size for each in cells]
    assert work.products == spec.window * sum(macs) + model.weights.head_kernel.size
    assert work.products - work.between == spec.window * cells[0].kernel.size + model.weights.head_kernel.size
    assert work.recurrent_bytes == 4 * sum(each.recurrent.size for each in cells)
    rates = Rates(floats=2.0, integers=4.0, bytes=8.0)
    found = floors(work, rates)
    assert found["native"].products_us == work.products / 2000
    assert found["native"].bytes_us == work.recurrent_bytes * spec.window / 8000
    assert found["native-w8"].products_us == pytest.approx((work.products - work.between) / 2e3 + work.between / 4e3)
    assert list(floors(work, replace(rates, integers=0.0))) == ["native"]
    assert best(rates, Rates(floats=3.0, integers=1.0, bytes=9.0)) == Rates(floats=3.0, integers=4.0, bytes=9.0)


@pytest.mark.slow
def test_what_the_processor_does_in_a_nanosecond_is_measured(tmp_path: Path) -> None:
    require_c()
    program = build_rates(tmp_path / "rates")
    rates = measure_rates(program, 40_000)
    assert 0.1 < rates.floats < 1000
    assert rates.integers == 0 or rates.floats / 2 < rates.integers < 1000
    assert 0.5 < rates.bytes < 10_000
    with pytest.raises(EngineError, match="the program that measures this processor failed"):
        measure_rates(program, 1)


@pytest.mark.slow
@pytest.mark.parametrize("fixture", ["plain_bundle", "linear_bundle"])
def test_the_loop_in_c_computes_the_network(fixture: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    require_c()
    bundle = Bundle.open(request.getfixturevalue(fixture))
    windows, spec = bundle.golden().windows, bundle.manifest.spec
    compiled = loop_in_c(bundle, tmp_path)
    inputs = compiled.given(windows)
    assert inputs.shape == (len(windows), spec.window, len(spec.channels))
    expected = run(spec.network, bundle.weights(), inputs.astype(np.float64))
    assert np.abs(compiled.call(inputs) - expected).max() < 1e-5
    assert np.float64(2.0**-1074) * np.float64(1.0) > 0  # -ffast-math would have made it 0 in all of this process


@pytest.mark.slow
def test_every_precision_is_measured_with_its_own_error(level_model, tmp_path, monkeypatch) -> None:
    require_c()
    bundle = tmp_path / "bundle"
    plain.write_bundle(bundle, level_model)
    add_native(bundle, level_model)
    with pytest.raises(UsageError, match="has no native-w8; export it with targets native, native-w8"):
        measure_precisions(bundle, rounds=1, round_s=0.0)
    add_native(bundle, level_model, "native-w8")
    monkeypatch.setattr("pulsecast_bench.native.precisions.PATHS", {name: PATHS[name] for name in ("vector", "scalar")})
    precisions, rows = measure_precisions(bundle, rounds=2, round_s=0.0)
    assert [precision.name for precision in precisions] == [
        "vector, float32",
        "vector, 8 bits, floats",
        "scalar, float32",
        "scalar, 8 bits, floats",
        "scalar, 8 bits, integers",
    ]
    errors = {precision.name: precision.parity.max_abs for precision in precisions}
    assert max(errors["vector, float32"], errors["scalar, float32"]) < FLOAT32_ROUNDING
    assert min(error for name, error in errors.items() if "8 bits" in name) > 10 * FLOAT32_ROUNDING
    assert errors["scalar, 8 bits, integers"] != errors["scalar, 8 bits, floats"]
    table = lines_of_precisions(precisions, rows)
    assert len(table) == 6
    for precision, line in zip(precisions, table[1:], strict=True):
        assert line.split()[-2] == f"{precision.parity.max_abs:.1e}"
        times = [row.window_us(precision.name).value for row in rows if precision.name in row.rounds_us]
        assert [f"{time:.1f}" in line.split() for time in times] == [True, True]


def test_a_limit_that_is_missed_says_so() -> None:
    table = lines(comparison(parity=3e-6, library_bytes=201_000))
    missed = [line.split("  ")[0] for line in table if line.endswith("MISSED")]
    assert missed == ["largest error / range", "library, kB"]
    assert not Limit(name="x", value=float("nan"), bound=1.0).met


@pytest.mark.slow
def test_streams_in_c_and_cold_starts_run_in_processes_of_their_own(level_model, tmp_path, monkeypatch) -> None:
    require_c()
    monkeypatch.setenv("CC", cc_here())
    bundle, window = tmp_path / "bundle", tmp_path / "window"
    plain.write_bundle(bundle, level_model)
    add_native(bundle, level_model)
    opened = Bundle.open(bundle)
    windows = opened.golden().windows.values
    program = build_stream_program(opened, opened.manifest.artifact("native"), tmp_path / "stream")
    assert 0 < stream_push_us(program, windows.reshape(-1, 1), 200) < 1e6
    with pytest.raises(EngineError, match="the program that streams in C failed"):
        stream_push_us(program, windows[:0].reshape(-1, 1), 200)
    windows[:1].tofile(window)
    rows = cold_starts(bundle, ("native", "numpy"), tmp_path / "starts")
    starts, bare = rows["cold start"], rows["cold start, bare"]
    assert list(starts) == ["native", "native compiled", "numpy"]
    assert list(bare) == ["native", "native compiled"]
    library = library_path("native", platform_tag())
    kept = {name: [entry.path for entry in Bundle.open(start.bundle).manifest.files] for name, start in starts.items()}
    assert {name: library in paths for name, paths in kept.items()} == {
        "native": True,
        "native compiled": False,
        "numpy": False,
    }
    for start in (*starts.values(), *bare.values()):
        assert first_forecast_us(start, window, 0) > 0
    monkeypatch.setenv("CC", "no-such-compiler")
    assert first_forecast_us(starts["native"], window, 0) > 0  # the bundle brings the library
    with pytest.raises(EngineError, match="a first forecast of nothing failed"):
        first_forecast_us(replace(starts["native"], artifact="nothing"), window, 0)

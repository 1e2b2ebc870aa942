"""The benchmark itself, over real bundles in real processes."""

import dataclasses
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from helpers import measured, plain
from helpers.engines import require
from helpers.heard import Heard
from helpers.outside.processes import children, is_running, wait_for
from helpers.trained import BUNDLES, bundle_of
from pulsecast import load
from pulsecast.bundle.bundle import Bundle
from pulsecast.errors import EngineError, MissingExtraError, UsageError
from pulsecast.model.series import POOL, SeriesNames
from pulsecast.model.windows import Windows
from pulsecast_bench.analysis.summary import summarise
from pulsecast_bench.measuring import runner
from pulsecast_bench.measuring.calls import predicting, rotation
from pulsecast_bench.measuring.phases import Request
from pulsecast_bench.measuring.runner import run_benchmark
from pulsecast_bench.results.case import PROFILES, BenchConfig, change
from pulsecast_bench.results.result import Result
from pulsecast_bench.results.run import Run, decode
from pulsecast_bench.subjects.bare import engine_of

SHORT = dataclasses.replace(
    PROFILES["quick"], batches=(1, 4), repeats=2, calls=20, steady_s=0.02, limit_s=0.3, window_s=0.0, paired_s=0.05,
    step_calls=(),
)  # fmt: skip


def run(bundle: Path, config: BenchConfig = SHORT) -> tuple[Result, list[tuple[int, int, str]]]:
    heard = Heard()
    return run_benchmark(bundle, config, heard), [(done, total, note) for _, done, total, note in heard.steps]


def numbered(count: int) -> Windows:
    """Return windows of one value, their own number, which end that many seconds after 1,000."""
    numbers = np.arange(count)
    return Windows(values=numbers.astype(np.float32).reshape(count, 1, 1), time=1000 + numbers)


def test_inputs_are_the_held_out_windows_with_their_times_each_as_often_as_any_other() -> None:
    batches = rotation(numbered(96), 36, seed=3)
    assert {batch.values.shape for batch in batches} == {(36, 1, 1)}
    for batch in batches:
        assert batch.time is not None
        assert np.array_equal(batch.values.ravel() + 1000, batch.time)
        assert batch.values.flags.c_contiguous
    seen = np.bincount(np.concatenate([batch.values for batch in batches]).ravel().astype(int), minlength=96)
    assert seen.max() - seen.min() <= 1
    assert not np.array_equal(batches[0].values, rotation(numbered(96), 36, seed=4)[0].values)


def test_a_batch_larger_than_the_golden_repeats_windows() -> None:
    assert {batch.values.shape for batch in rotation(numbered(5), 12, seed=1)} == {(12, 1, 1)}


def test_windows_of_a_model_without_a_calendar_have_no_times() -> None:
    batches = rotation(Windows(values=numbered(5).values), 2, seed=1)
    assert {batch.time for batch in batches} == {None}


def test_the_timed_call_is_what_an_app_calls() -> None:
    heard = []

    def predict(values: np.ndarray, *, timestamps: np.ndarray | None = None) -> np.ndarray:
        heard.append((values, timestamps))
        return values[:, 0]

    inputs = rotation(numbered(4), 1, seed=1)
    call = predicting(predict, inputs)
    assert min(call(turn) for turn in (0, 1, len(inputs))) > 0
    for (values, timestamps), batch in zip(heard, (inputs[0], inputs[1], inputs[0]), strict=True):
        assert values is batch.values
        assert timestamps is batch.time


def test_the_timed_call_names_the_series_of_its_windows() -> None:
    heard = []

    def predict(values: np.ndarray, *, timestamps: np.ndarray | None = None, series: object = None) -> np.ndarray:
        heard.append(series)
        return values[:, 0]

    names = SeriesNames(names=("a", "b"))
    inputs = [dataclasses.replace(numbered(2), series=np.array(rows)) for rows in ([2, 2], [0, 1], [1, 2])]
    for call in (predicting(predict, inputs, names), predicting(predict, inputs)):
        for turn in range(3):
            assert call(turn) > 0
    assert heard[:3] == ["b", [POOL, "a"], ["a", "b"]]
    assert all(found is batch.series for found, batch in zip(heard[3:], inputs, strict=True))


@pytest.mark.slow
def test_a_bundle_of_several_series_is_measured_in_the_unit_of_each_window(many_bundle: Path) -> None:
    config = dataclasses.replace(SHORT, batches=(4,), repeats=1, step_calls=("push", "detector"))
    result, _ = run(many_bundle, config)
    assert (result.failures, result.skipped) == ((), ())
    golden = Bundle.open(many_bundle).golden()
    assert result.model.unit == tuple(golden.unit)
    row = summarise(result).rows[0]
    assert row.fidelity is not None
    forecasts = load(many_bundle).backend.predict(*golden.windows.inputs)
    assert row.fidelity.max_error == pytest.approx(golden.largest_error(forecasts))
    assert {step.case.call for step in result.steps} == {"push", "detector"}


def test_an_artifact_whose_engine_is_missing_is_skipped_by_name(
    level_model: plain.PlainModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    onnx = dataclasses.replace(plain.numpy_artifact(), id="onnx", backend="onnx", path="onnx/model.onnx")
    plain.write_bundle(tmp_path / "bundle", level_model, onnx)
    monkeypatch.setattr(runner, "is_installed", lambda _: False)
    result, heard = run(tmp_path / "bundle", dataclasses.replace(SHORT, artifacts=("onnx",)))
    assert [skipped.artifact for skipped in result.skipped] == ["onnx"]
    assert "pip install 'pulsecast[onnx]'" in result.skipped[0].reason
    assert (result.runs, heard) == ((), [])
    assert summarise(result).rows[0].skipped == result.skipped[0].reason


def test_an_artifact_that_takes_no_requested_batch_is_skipped(level_model: plain.PlainModel, tmp_path: Path) -> None:
    single = dataclasses.replace(plain.numpy_artifact(), id="single", max_batch=1)
    plain.write_bundle(tmp_path / "bundle", level_model)
    plain.write_manifest(tmp_path / "bundle", level_model, (single,))
    result, _ = run(tmp_path / "bundle", dataclasses.replace(SHORT, batches=(8,)))
    assert result.skipped[0].reason == "it takes at most 1 windows a call, and the batches start at 8"


def test_an_unknown_artifact_is_answered_with_the_known_ones(plain_bundle: Path) -> None:
    with pytest.raises(UsageError, match="no artifact 'tpu' in this bundle; it has numpy"):
        run(plain_bundle, dataclasses.replace(SHORT, artifacts=("tpu",)))


@pytest.mark.slow
def test_the_reference_is_measured_in_processes_of_its_own(plain_bundle: Path) -> None:
    result, heard = run(plain_bundle, dataclasses.replace(SHORT, limit_s=60.0))  # a busy machine has all calls, too
    assert [(one.case.batch, one.repeat) for one in result.runs].count((4, 0)) == 1
    assert len(result.runs) == 3
    assert [(done, total) for done, total, _ in heard] == [(1, 3), (2, 3), (3, 3)]
    for one in result.runs:
        calls = decode(one.steady.latencies)
        assert len(calls) >= 20
        assert one.phases.warmup_calls >= 10
        assert one.phases.warmup_ns <= one.phases.warmup_ns + sum(calls) <= result.duration_s * 1e9
        assert sum(calls) <= one.steady.wall_ns
        assert (one.device, one.paired) == ("CPU", None)
    golden = Bundle.open(plain_bundle).golden()
    leading = next(one for one in result.runs if one.case.leading)
    assert np.array_equal(np.array(leading.forecasts), golden.reference.astype(np.float32))
    row = summarise(result).rows[0]
    assert row.fidelity is not None
    assert row.fidelity.max_error < 1e-7  # only float32 rounding of the forecast
    assert row.size_bytes == (plain_bundle / "weights.npz").stat().st_size


@pytest.mark.slow
def test_a_process_with_one_thread_stays_on_one_processor_and_a_scenario_does_not(plain_bundle: Path) -> None:
    config = dataclasses.replace(
        SHORT, batches=(1,), repeats=1, scenarios=("server",), scenario_repeats=1, scenario_s=0.05, issuer="loop"
    )
    result, heard = run(plain_bundle, config)
    allowed = tuple(sorted(os.sched_getaffinity(0)))
    assert result.runs[0].affinity == allowed[-1:]
    assert result.scenarios[0].affinity == allowed
    assert (result.scenarios[0].issuer, result.scenarios[0].windows) == ("loop", 100)
    assert len(heard) == 2
    free, _ = run(plain_bundle, dataclasses.replace(SHORT, batches=(1,), repeats=1, pin=False))
    assert free.runs[0].affinity == allowed
    assert runner.processor(dataclasses.replace(result.runs[0].case, threads=2), config) == "any"


def _levels(
    monkeypatch: pytest.MonkeyPatch, levels: dict[str, tuple[int, ...]], failing: tuple[str, int] | None = None
) -> None:
    """Answer every process with a run of its subject's next level, in microseconds, or with a failure."""

    def answer(_path: Path, _module: str, request: Request) -> Run | str:
        name, repeat = request.case.artifact, request.repeat
        level = levels[name][repeat % len(levels[name])]
        made = measured.run(name, repeat=repeat, microseconds=(level,) * 150)
        whole = dataclasses.replace(made, order=request.order, forecasts=None)
        return "it crashed" if (name, repeat) == failing else whole

    monkeypatch.setattr(runner, "_run_worker", answer)


def test_a_case_whose_processes_differ_gets_more_until_its_median_is_known(
    level_model: plain.PlainModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("even", "odd", "wild", "dead")
    artifacts = tuple(dataclasses.replace(plain.numpy_artifact(), id=name) for name in names)
    plain.write_bundle(tmp_path / "bundle", level_model)
    plain.write_manifest(tmp_path / "bundle", level_model, artifacts)
    levels = {
        "even": (100,),
        "odd": (100, 120, 101, 102, 103, 101),
        "wild": (100, 200),
        "dead": (100, 200),
    }
    _levels(monkeypatch, levels, failing=("dead", 4))
    config = change(PROFILES["standard"], batches=(1,), most_repeats=12, step_calls=())
    result, heard = run(tmp_path / "bundle", config)
    counts = {name: [one.case.artifact for one in result.runs].count(name) for name in names}
    assert counts == {"even": 5, "odd": 6, "wild": 12, "dead": 4}  # of six processes a high one is outside the interval
    assert sorted(one.order for one in result.runs)[-8:] == list(range(20, 28))
    assert heard[-1][:2] == (28, 28)
    fixed, _ = run(tmp_path / "bundle", change(config, repeats=5, most_repeats=5, artifacts=("wild",)))
    assert len(fixed.runs) == 5


def test_loadgen_requested_by_name_is_never_replaced(plain_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    config = dataclasses.replace(SHORT, scenarios=("server",), issuer="loadgen")
    with pytest.raises(MissingExtraError, match="pip install 'pulsecast\\[loadgen\\]'"):
        run(plain_bundle, config)


@pytest.mark.slow
def test_every_engine_is_measured_and_compared_with_its_bare_call(textbook_bundle: Path) -> None:
    require("onnxruntime", "ai_edge_litert")
    names = ("onnx", "onnx-w8", "tflite", "tflite-int8")
    result, _ = run(textbook_bundle, dataclasses.replace(SHORT, artifacts=names, repeats=1))
    assert result.failures == ()
    parities = {artifact.id: artifact.parity for artifact in Bundle.open(textbook_bundle).manifest.artifacts}
    for row in summarise(result).rows:
        assert [cell.batch for cell in row.cells] == ([1] if row.artifact == "tflite-int8" else [1, 4])
        assert row.overhead.value is not None
        assert row.overhead.value > -0.5  # a sign that both sides ran; no test judges its size
        assert row.fidelity is not None
        # measured on all held-out windows then, on the golden's share of them now
        assert row.fidelity.max_error <= parities[row.artifact].max_abs * 1.01 + 1e-9


@pytest.mark.slow
@BUNDLES
def test_the_bare_calls_give_the_forecasts_of_the_runtime(recipe: str, request: pytest.FixtureRequest) -> None:
    require("onnxruntime", "ai_edge_litert")
    bundle = bundle_of(recipe, request)
    windows = Bundle.open(bundle).golden().windows.take(slice(1))
    for name in ("onnx", "tflite", "savedmodel", "tflite-int8", "numpy"):
        forecaster = load(bundle, artifact=name)
        expected = forecaster.predict(windows.values, timestamps=windows.time)
        bare = engine_of(forecaster)
        given = bare.prepare(windows)
        found = bare.call(given.values, timestamps=given.time)
        if name == "tflite-int8":  # the bare call ends at the network's output
            assert found.shape == expected.shape
        else:
            assert np.array_equal(found, expected)


FORMAT_1 = Path(__file__).parents[2] / "data" / "golden_v1"


def test_the_bare_calls_of_a_bundle_of_format_1_take_its_ready_made_columns() -> None:
    require("onnxruntime", "ai_edge_litert")
    windows = Bundle.open(FORMAT_1).golden().windows.take(slice(1))
    for name in ("onnx-w8", "tflite-w8", "numpy"):
        forecaster = load(FORMAT_1, artifact=name)
        expected = forecaster.predict(windows.values, timestamps=windows.time)
        assert np.array_equal(engine_of(forecaster).call(windows.values, timestamps=windows.time), expected)


@pytest.mark.slow
def test_a_bundle_of_format_1_is_measured_too() -> None:
    require("onnxruntime")
    config = dataclasses.replace(SHORT, batches=(1,), artifacts=("onnx-w8",), step_calls=("push", "detector"))
    result, _ = run(FORMAT_1, config)
    assert result.failures == ()
    assert result.model.timestamps is None
    row = summarise(result).rows[0]
    assert row.overhead.value is not None
    assert row.fidelity is not None
    assert row.fidelity.max_error <= Bundle.open(FORMAT_1).manifest.artifact("onnx-w8").parity.max_abs * 1.01 + 1e-9
    assert {step.case.call: step.paired is not None for step in result.steps} == {"push": True, "detector": True}


@pytest.mark.slow
def test_an_artifact_that_cannot_be_loaded_fails_by_name_and_the_others_are_kept(
    level_model: plain.PlainModel, tmp_path: Path
) -> None:
    require("onnxruntime")
    broken = dataclasses.replace(plain.numpy_artifact(), id="onnx", backend="onnx", path="onnx/model.onnx")
    plain.write_bundle(tmp_path / "bundle", level_model, broken)
    result, _ = run(tmp_path / "bundle", dataclasses.replace(SHORT, batches=(1,), repeats=1))
    assert [one.case.artifact for one in result.runs] == ["numpy"]
    assert [str(failure.case) for failure in result.failures] == ["onnx, batch 1, threads 1"]
    assert "onnx cannot be loaded by onnxruntime" in result.failures[0].reason
    assert summarise(result).rows[1].failures


@pytest.mark.slow
def test_a_crash_is_named_with_its_signal_and_nothing_measured_is_an_error(
    plain_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crashing = tmp_path / "python"
    crashing.write_text("#!/bin/sh\nkill -SEGV $$\n")
    crashing.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(crashing))
    with pytest.raises(EngineError, match="first failure, numpy, batch 1, threads 1: crashed with SIGSEGV"):
        run(plain_bundle, dataclasses.replace(SHORT, batches=(1,), repeats=1))


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_ending_it_leaves_no_child_and_no_half_result(plain_bundle: Path, tmp_path: Path, how: signal.Signals) -> None:
    require("typer")
    out = tmp_path / "result.json"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    arguments = ["bench", str(plain_bundle), "--out", str(out), "--profile", "quick", "--repeats", "9"]
    command = [
        sys.executable,
        "-P",
        "-c",
        f"import sys; from pulsecast_cli.app import run; sys.exit(run({arguments!r}))",
    ]
    parent = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, start_new_session=True)
    child = wait_for(lambda: children(parent.pid))[0]
    parent.send_signal(how)
    parent.communicate(timeout=20)
    assert parent.returncode == (130 if how is signal.SIGINT else -signal.SIGKILL)
    wait_for(lambda: not is_running(child))
    assert list(tmp_path.iterdir()) == []

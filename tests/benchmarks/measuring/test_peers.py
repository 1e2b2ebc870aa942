"""Peers do the work of the artifacts: the same windows, the same forecasts."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from helpers import plain
from helpers.engines import require
from helpers.native_models import require_c
from helpers.trained import BUNDLES, bundle_of
from pulsecast.bundle.bundle import Bundle
from pulsecast.errors import EngineError, UsageError
from pulsecast_bench.analysis.summary import summarise
from pulsecast_bench.measuring import peer_making
from pulsecast_bench.measuring.runner import run_benchmark
from pulsecast_bench.results.case import PROFILES
from pulsecast_bench.results.result import Result
from pulsecast_bench.subjects.peer_engines import open_c_loop, open_numpy_loop
from pulsecast_bench.subjects.peer_files import compiled_loop
from pulsecast_bench.subjects.peers import PEERS, PeerFile, find_peers

SHORT = dataclasses.replace(
    PROFILES["quick"],
    batches=(1,),
    repeats=1,
    sweep_repeats=1,
    calls=10,
    steady_s=0.02,
    limit_s=0.2,
    window_s=0.0,
    paired_s=0.0,
    step_calls=(),
)
# float32 in other orders of summation, as a fraction of the training part's range; largest seen 1.1e-7
FLOAT32 = 2e-6
# OpenVINO takes the remainder of whole numbers in float32: a time of today is off by up to 64 s. Largest seen 1.6e-3.
OPENVINO_TIMES = 5e-3


def test_an_unknown_peer_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"no peer torch; known: all, keras.predict, .*numpy.loop"):
        find_peers(("numpy.loop", "torch"))


@pytest.mark.parametrize("fixture", ["plain_bundle", "calendar_bundle", "linear_bundle"])
def test_the_numpy_loop_forecasts_what_the_reference_does(fixture: str, request: pytest.FixtureRequest) -> None:
    path: Path = request.getfixturevalue(fixture)
    bundle = Bundle.open(path)
    golden = bundle.golden()
    loop = open_numpy_loop(bundle, PeerFile(path=str(path / bundle.manifest.weights.path)), 1)
    error = np.abs(loop.forecast(golden.windows) - golden.reference).max() / bundle.manifest.scaler.range
    assert 0 < error < FLOAT32


@pytest.mark.slow
def test_the_loop_in_c_forecasts_what_the_reference_does(linear_bundle: Path, tmp_path: Path) -> None:
    require_c()
    bundle = Bundle.open(linear_bundle)
    loop = open_c_loop(bundle, compiled_loop(bundle, tmp_path), 1)
    assert 0 < bundle.golden().largest_error(loop.forecast(bundle.golden().windows)) < FLOAT32


def test_a_loop_in_c_without_a_compiler_says_what_to_install(
    linear_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(EngineError, match="there is no C compiler here, which this loop needs: install gcc or clang"):
        compiled_loop(Bundle.open(linear_bundle), tmp_path)


def test_the_numpy_loop_scales_each_window_as_its_series_is(many_bundle: Path) -> None:
    bundle = Bundle.open(many_bundle)
    golden = bundle.golden()
    loop = open_numpy_loop(bundle, PeerFile(path=str(many_bundle / bundle.manifest.weights.path)), 1)
    assert 0 < golden.largest_error(loop.forecast(golden.windows)) < FLOAT32
    assert 0 < golden.largest_error(dataclasses.replace(loop, max_batch=7).forecast(golden.windows)) < FLOAT32


def test_a_peer_that_takes_few_windows_a_call_gets_each_with_its_time(calendar_bundle: Path) -> None:
    bundle = Bundle.open(calendar_bundle)
    golden = bundle.golden()
    loop = open_numpy_loop(bundle, PeerFile(path=str(calendar_bundle / bundle.manifest.weights.path)), 1)
    few = dataclasses.replace(loop, max_batch=7)
    error = np.abs(few.forecast(golden.windows) - golden.reference).max() / bundle.manifest.scaler.range
    assert 0 < error < FLOAT32


def test_a_graph_that_takes_times_cannot_be_made_of_a_bundle_without_them(tmp_path: Path) -> None:
    require("tensorflow", "tf2onnx")
    old = Path(__file__).parents[2] / "data" / "golden_v1"
    skipped, files = peer_making.make_peers(find_peers(("tf2onnx.raw",)), old, tmp_path, lambda _: None)
    assert files == {}
    assert skipped[0].reason == (
        "this bundle has format 1, without the times that the graph takes; export its model again"
    )


def test_a_peer_whose_engine_is_missing_is_a_skipped_row_with_the_fix(
    plain_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peer_making, "missing_package", lambda row: "openvino" if row.engine == "openvino" else None)
    config = dataclasses.replace(SHORT, artifacts=("numpy",), peers=("openvino",))
    result = run_benchmark(plain_bundle, config)
    assert [one.artifact for one in result.skipped] == ["openvino"]
    assert result.skipped[0].reason == "openvino is not installed: pip install 'pulsecast[peers]'"
    assert [(one.artifact, one.kind) for one in result.subjects] == [("numpy", "artifact"), ("openvino", "peer")]


def _measured_with(bundle: Path, peers: tuple[str, ...]) -> Result:
    """Return a result in which every subject ran and forecast what the reference does."""
    config = dataclasses.replace(SHORT, artifacts=("onnx",), peers=peers)
    result = run_benchmark(bundle, config)
    assert (result.failures, result.skipped) == ((), ())
    assert {run.case.artifact for run in result.runs} == {"onnx", *peers}
    timed = result.model.timestamps is not None
    for row in summarise(result).rows:
        assert row.fidelity is not None
        limit = OPENVINO_TIMES if timed and row.artifact == "openvino" else FLOAT32
        assert row.fidelity.max_error < limit, row.artifact
        assert row.size_bytes
    return result


@pytest.mark.slow
def test_peers_run_in_the_same_run_and_forecast_the_same(textbook_bundle: Path) -> None:
    require("onnxruntime", "openvino")
    peers = ("openvino", "numpy.loop", "c.loop")  # all of them with `-m soak`: TensorFlow's take most of the time
    result = _measured_with(textbook_bundle, peers)
    kinds = {subject.artifact: subject.kind for subject in result.subjects}
    assert kinds == {"onnx": "artifact"} | dict.fromkeys(peers, "peer")
    sizes = {package.name: package.size_bytes or 0 for package in result.packages}
    assert sizes["openvino"] > sizes["onnxruntime"] > 1_000_000


@pytest.mark.soak
@BUNDLES
def test_every_peer_forecasts_the_same(recipe: str, request: pytest.FixtureRequest) -> None:
    require("onnxruntime", "ai_edge_litert", "tensorflow", "tf2onnx", "openvino")
    result = _measured_with(bundle_of(recipe, request), tuple(PEERS))
    # a looped LSTM needs operators that LiteRT's wheel lacks: the row notes this
    litert = next(subject for subject in result.subjects if subject.artifact == "keras.litert")
    assert "LSTM unrolled (looped: " in (litert.about or "")


def test_a_peer_that_lacks_a_file_of_the_bundle_is_skipped_with_its_reason(
    level_model: plain.PlainModel, tmp_path: Path
) -> None:
    require("openvino")
    plain.write_bundle(tmp_path / "bundle", level_model)
    skipped, files = peer_making.make_peers(find_peers(("openvino",)), tmp_path / "bundle", tmp_path, lambda _: None)
    assert files == {}
    assert [(one.artifact, one.reason) for one in skipped] == [
        ("openvino", "this bundle has no artifact onnx for it to read")
    ]

"""Networks beyond the plain stack in C: GRU, both directions, activations, several dense layers, 8-bit weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from helpers import plain
from helpers.native_calls import NativeState, NativeStreams
from helpers.native_fixtures import built_library
from helpers.native_models import FLOAT32_ROUNDING, HERE, PATHS, build, directory, require_c, require_processor
from pulsecast.backends.native import NativeBackend
from pulsecast.backends.native_library import find_compiler, open_library
from pulsecast.computing import reference
from pulsecast.errors import ConversionError, EngineError, UsageError
from pulsecast.forecasting.extremes import largest_error
from pulsecast.model.linear import Linear
from pulsecast.model.network import Dense, Network, Recurrent, plain_stack
from pulsecast.model.spec import Channel, Feature, ModelSpec
from pulsecast.stages.model_directory import ModelDirectory
from pulsecast_export.native import networks
from pulsecast_export.native.layers import dequantised
from pulsecast_export.native.writer import sources
from pulsecast_export.targets import fitting, tolerance

require_c()


def gru(units: int, **what: object) -> Recurrent:
    return Recurrent(kind="gru", units=units, **what)  # type: ignore[arg-type]


def lstm(units: int, **what: object) -> Recurrent:
    return Recurrent(kind="lstm", units=units, **what)  # type: ignore[arg-type]


# sizes that fill no vector, and every way in which a cell, a merge and an activation are written
NETWORKS = {
    "gru": Network(recurrent=(gru(7), gru(20))),
    "gru, reset before": Network(recurrent=(gru(7, reset_after=False), lstm(5))),
    "both directions": Network(recurrent=(lstm(7, direction="both"), gru(18, direction="both", merge="mul"))),
    "backwards": Network(recurrent=(lstm(7, direction="backward"), gru(5, direction="backward"))),
    "dense": Network(
        recurrent=(lstm(7),), dense=(Dense(units=19, activation="relu"), Dense(units=3)), activation="tanh"
    ),
    "relu": Network(
        recurrent=(lstm(7, activation="relu", gates="hard_sigmoid"), gru(6, activation="linear", gates="hard_sigmoid")),
        activation="tanh",
    ),
    "sigmoid": Network(recurrent=(gru(7, activation="sigmoid", direction="both", merge="ave"), lstm(5, gates="tanh"))),
    "sum": Network(recurrent=(gru(33, direction="both", merge="sum"),), activation="hard_sigmoid"),
}
FEATURES = (Feature(name="value"), Feature(name="other"))
CHANNELS = (Channel(feature=0), Channel(feature=1), Channel(feature=0, lag=3), Channel(feature=1, lag=2))
PLAIN = plain_stack((7, 6))


def made(name: str) -> ModelDirectory:
    """Return a network with drawn weights, small enough that none explodes, and biases that are not 0."""
    network = NETWORKS.get(name, PLAIN)
    spec = ModelSpec(
        window=13,
        features=FEATURES,
        channels=CHANNELS,
        units=tuple(layer.units for layer in network.recurrent),
        horizon=3,
        step_s=plain.STEP_S,
        target="change",
        floor=None,
        network=replace(network, dense=(), activation="linear"),
    )
    model = directory(plain.make_model(spec))
    rng, whole = np.random.default_rng(7), replace(spec, network=network)
    shapes = network.shapes(len(CHANNELS), spec.horizon)

    def drawn(key: str, size: float = 0.5) -> np.ndarray:
        return (rng.standard_normal(shapes[key]) * size / np.sqrt(shapes[key][0])).astype(np.float32)

    cells = tuple(
        replace(
            cell,
            kernel=0.7 * cell.kernel,
            recurrent=0.7 * cell.recurrent,
            bias=drawn(f"{network.cell_prefix}_{i}.bias"),
        )
        for i, cell in enumerate(model.weights.layers)
    )
    dense = tuple((drawn(f"dense_{i}.kernel"), drawn(f"dense_{i}.bias")) for i in range(len(network.dense)))
    head = {"head_kernel": drawn("head.kernel", 0.01 if name == "relu" else 0.2), "head_bias": drawn("head.bias")}
    weights = replace(model.weights, layers=cells, dense=dense, **head)
    return replace(model, record=replace(model.record, spec=whole), weights=weights)


def off(model: ModelDirectory, library: Path, expected: np.ndarray) -> float:
    """Return the largest error of a library, in fractions of the range of the expected forecasts."""
    found = NativeBackend(str(library), model.record.spec, 1).predict(*model.heldout.windows.inputs)
    return float(np.abs(found - expected).max() / np.ptp(expected))


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_in_c_forecasts_what_the_reference_does(name: str, tmp_path: Path) -> None:
    model = made(name)
    spec, windows = model.record.spec, model.heldout.windows
    expected = reference.forecast(spec, model.record.scaler, model.weights, windows)
    assert np.ptp(expected) > 1e-3 * model.record.scaler.range  # it does not say the same of every window
    library = built_library(model, "native", tmp_path, *HERE)
    assert off(model, library, expected) < FLOAT32_ROUNDING
    assert open_library(str(library), spec).model_selftest() == 0


@pytest.mark.parametrize("name", ["gru", "gru, reset before", "both directions"])
def test_8_bit_weights_forecast_what_their_values_do(name: str, tmp_path: Path) -> None:
    model = made(name)
    spec, windows = model.record.spec, model.heldout.windows
    stored = reference.forecast(spec, model.record.scaler, dequantised(model.weights), windows)
    library = built_library(model, "native-w8", tmp_path, *HERE)
    assert off(model, library, stored) < FLOAT32_ROUNDING
    ideal = reference.forecast(spec, model.record.scaler, model.weights, windows)
    assert 0 < off(model, library, ideal) < tolerance_of(spec)


def tolerance_of(spec: ModelSpec) -> float:
    from pulsecast_export.targets import TARGETS

    return tolerance(TARGETS["native-w8"], spec).max_abs


@pytest.mark.soak
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("target", ["native", "native-w8"])
def test_every_instruction_set_forecasts_what_the_reference_does(path: str, target: str, tmp_path: Path) -> None:
    definitions = require_processor(path)
    for number, name in enumerate(NETWORKS):
        model = made(name)
        weights = model.weights if target == "native" else dequantised(model.weights)
        expected = reference.forecast(model.record.spec, model.record.scaler, weights, model.heldout.windows)
        library = built_library(model, target, tmp_path / str(number), *definitions)
        assert off(model, library, expected) < FLOAT32_ROUNDING, name


def test_streams_give_the_bits_of_windows_and_a_state_nothing(tmp_path: Path) -> None:
    model = made("both directions")
    spec, windows = model.record.spec, model.heldout.windows
    library = open_library(str(built_library(model, "native", tmp_path, *HERE)), spec)
    backend = NativeBackend(library._name, spec, 1)
    expected = backend.outputs(*windows.take(slice(3)).inputs)
    streams, state = NativeStreams(library, spec, 3), NativeState(library, spec)
    for i in range(spec.context):
        found = streams.push(windows.values[:3, i], plain.START_S + i * spec.step_s)
        if i % 2:
            streams.settle()
        assert np.isnan(state.step(windows.values[0, i], plain.START_S + i * spec.step_s).forecast).all()
    for one, other in zip(found[1:], expected, strict=True):
        assert np.array_equal(one, other)


def test_a_window_of_huge_numbers_never_gives_a_plausible_one(tmp_path: Path) -> None:
    model = made("relu")
    spec, windows = model.record.spec, model.heldout.windows.take(slice(4))
    values = windows.values.copy()
    values[1, :, 1] = 1e38  # sums within the network leave float32
    values[2, 5, 1] = np.nan
    backend = NativeBackend(str(built_library(model, "native", tmp_path, *HERE)), spec, 1)
    clean = backend.predict(windows.values)
    found = backend.predict(values)
    ideal = reference.forecast(spec, model.record.scaler, model.weights, windows.changed(values))
    assert (np.isnan(found[1]) | np.isclose(found[1], ideal[1])).all()
    assert np.isnan(found[1]).any()
    assert np.isnan(found[2]).all()
    assert np.array_equal(found[[0, 3]], clean[[0, 3]])


@pytest.mark.parametrize("name", ["plain", "gru", "both directions"])
def test_a_sum_of_8_bit_weights_that_would_overflow_shuts_no_gate(name: str, tmp_path: Path) -> None:
    model = made(name)
    spec, windows = model.record.spec, model.heldout.windows.take(slice(40))
    values = windows.values.copy()
    for row, size in enumerate(np.geomspace(1e30, 1e38, 40, dtype=np.float32)):
        values[row, :, 1] = np.random.default_rng(row).choice([-size, size, size / 3], spec.context)
    huge = windows.changed(values)
    ideal = reference.forecast(spec, model.record.scaler, dequantised(model.weights), huge)
    found = NativeBackend(str(built_library(model, "native-w8", tmp_path, *HERE)), spec, 1).predict(huge.values)
    assert np.isfinite(found[:10]).all()
    assert largest_error(spec, huge, found, ideal, model.record.scaler.range) < 1e-3


def test_what_does_not_fit_the_engine_is_refused_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    model = made("gru")
    monkeypatch.setattr(networks, "MOST_STACK", 64)
    with pytest.raises(ConversionError, match="keeps two sequences of 13 steps and 32 outputs on the stack; expected"):
        sources(model, "native")
    spec = replace(model.record.spec, network=replace(NETWORKS["gru"], linear=Linear(lags=3)))
    with pytest.raises(UsageError, match="target native exists for a plain stack"):
        fitting(("native",), ("native",), spec, many=False)


def test_a_wrong_weight_fails_the_selftest(tmp_path: Path) -> None:
    model = made("gru")
    texts = sources(model, "native")
    start = texts["model.c"].index("DENSE_BIAS_0[")
    at = texts["model.c"].index("{", start) + 1
    text = texts["model.c"]
    folder = tmp_path / "wrong"
    folder.mkdir()
    (folder / "model.h").write_text(texts["model.h"])
    first, comma, rest = text[at:].partition(",")
    (folder / "model.c").write_text(f"{text[:at]}{float(first.rstrip('f')) + 0.5}f{comma}{rest}")

    with pytest.raises(EngineError, match="self-test failed"):
        open_library(str(build(folder, find_compiler(), *HERE)), model.record.spec)

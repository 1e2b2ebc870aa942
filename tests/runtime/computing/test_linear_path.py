"""The linear path: its inputs one by one, its place beside the network, and what a spec or a file refuses."""

import dataclasses

import numpy as np
import pytest

from pulsecast.computing import reference
from pulsecast.computing.linear_path import linear_inputs
from pulsecast.errors import FormatError
from pulsecast.foundation import strict_json
from pulsecast.model.linear import Linear, Wave
from pulsecast.model.network import Network, plain_stack
from pulsecast.model.scaler import FeatureScale, Scaler
from pulsecast.model.series import POOL_ROW, SeriesNames, SeriesTable, read_table, write_table
from pulsecast.model.spec import DAY_S, WEEK_S, Calendar, Channel, Feature, ModelSpec
from pulsecast.model.weights import Weights, read_weights, shapes_of, write_weights
from pulsecast.model.windows import Windows

WAVES = (Wave(period_s=DAY_S), Wave(period_s=DAY_S, multiple=7), Wave(period_s=WEEK_S))
LINEAR = Linear(lags=5, season=4, waves=WAVES, weekend_waves=2)
FRIDAY = 1_737_763_200  # 2025-01-25T00:00:00Z less the hour below is Friday's last hour


def _spec(network: Network, *, horizon: int = 3, measured: int = 2) -> ModelSpec:
    names = ("likes", "visits")[:measured]
    calendar = Calendar(function="weekend", period_s=WEEK_S)
    features = (*(Feature(name=name) for name in names), Feature(name="weekend", calendar=calendar))
    channels = (*(Channel(feature=i) for i in range(measured + 1)), Channel(feature=0, lag=3))
    return ModelSpec(
        window=4, features=features, channels=channels, units=tuple(x.units for x in network.recurrent),
        horizon=horizon, step_s=3600, target="change", floor=0.0, network=network,
    )  # fmt: skip


def _scaler(spec: ModelSpec) -> Scaler:
    own = FeatureScale(transform="log1p", offset=2.0, scale=0.5, low=0.0, high=100.0)
    return Scaler(features=(*([own] * spec.measured), *([FeatureScale()] * (len(spec.features) - spec.measured))))


def _weights(spec: ModelSpec) -> Weights:
    random = np.random.default_rng(3)
    arrays = {name: random.normal(0, 0.1, shape).astype(np.float32) for name, shape in shapes_of(spec).items()}
    buffer = write_weights(_as_weights(spec, arrays), spec.network)
    return read_weights(buffer, spec)


def _as_weights(spec: ModelSpec, arrays: dict[str, np.ndarray]) -> Weights:
    from pulsecast.model.weights import CellWeights

    cells = tuple(
        CellWeights(**{part: arrays[f"lstm_{i}.{part}"] for part in ("kernel", "recurrent", "bias")})
        for i in range(len(spec.units))
    )
    return Weights(
        layers=cells,
        head_kernel=arrays.get("head.kernel", np.zeros((0, spec.horizon), np.float32)),
        head_bias=arrays.get("head.bias", np.zeros(spec.horizon, np.float32)),
        linear=arrays["linear.kernel"],
    )


def _windows(spec: ModelSpec, count: int = 6) -> Windows:
    random = np.random.default_rng(4)
    values = random.integers(0, 100, (count, spec.context, spec.measured)).astype(np.float32)
    return Windows(values=values, time=FRIDAY - 7200 + 3600 * np.arange(count, dtype=np.int64))


def test_its_inputs_are_those_of_the_written_order():
    spec = _spec(Network(recurrent=(), linear=LINEAR))
    scaled = np.random.default_rng(5).normal(size=(1, spec.context, 3))
    time = np.array([FRIDAY - 7200])
    found = linear_inputs(spec, LINEAR, scaled, time)
    assert found.shape == (1, LINEAR.inputs(2), 3)
    z, other = scaled[0, :, 0], scaled[0, :, 1]
    d, g, e = z[-1] - z[-2], z[-1] - z[-4:].mean(), z[-4] - z[-5]
    for k in range(3):
        t = FRIDAY - 3600 + 3600 * k
        first = FRIDAY - 3600
        angles = [2 * np.pi * m * (first % p) / p for p, m in ((DAY_S, 1), (DAY_S, 7), (WEEK_S, 1))]
        waves = [f(a) for a in angles for f in (np.sin, np.cos)]
        weekend = float(t >= FRIDAY)  # Saturday begins at FRIDAY's end
        expected = [
            z[-1], *(z[-j] - z[-1] for j in (2, 3, 4, 5)), other[-1], other[-1] - other[-2],
            np.tanh(d), np.tanh(3 * d), d * np.tanh(3 * d), np.tanh(g), np.tanh(3 * g), np.tanh(3 * e),
            *waves, weekend, *(weekend * w for w in waves[:4]), 1.0,
        ]  # fmt: skip
        np.testing.assert_allclose(found[0, :, k], expected, atol=1e-12)


def test_its_sum_is_added_to_the_networks_outputs():
    with_path, without = _spec(plain_stack((3,), LINEAR)), _spec(plain_stack((3,)))
    scaler, weights, windows = _scaler(with_path), _weights(with_path), _windows(with_path)
    found = reference.forecast(with_path, scaler, weights, windows)
    bare = dataclasses.replace(weights, linear=None)
    alone = dataclasses.replace(without, floor=None)
    outputs = reference.forecast(alone, scaler, bare, windows)
    scaled = scaler.transform(np.dstack([windows.values.astype(np.float64), np.zeros(windows.values.shape[:2])]))
    path = np.einsum("bih,ih->bh", linear_inputs(with_path, LINEAR, scaled, windows.time), weights.linear)
    expected = np.maximum(np.expm1(np.log1p(outputs) + 0.5 * path), 0.0)
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    assert np.abs(found - outputs).max() > 0.1


def test_it_may_stand_alone():
    spec = _spec(Network(recurrent=(), linear=LINEAR), measured=1)
    assert set(shapes_of(spec)) == {"linear.kernel"}
    weights, windows = _weights(spec), _windows(spec)
    found = reference.forecast(spec, _scaler(spec), weights, windows)
    scaled = _scaler(spec).transform(np.dstack([windows.values, np.zeros(windows.values.shape[:2])]).astype(np.float64))
    path = np.einsum("bih,ih->bh", linear_inputs(spec, LINEAR, scaled, windows.time), weights.linear)
    expected = np.maximum(np.expm1(2.0 + 0.5 * (scaled[:, -1:, 0] + path)), 0.0)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_a_series_has_a_kernel_of_its_own():
    spec = _spec(plain_stack((3,), LINEAR), measured=1)
    weights, windows = _weights(spec), _windows(spec, 3)
    own = np.stack([weights.linear, weights.linear * 2, weights.linear * -1])  # type: ignore[operator]
    pool = _scaler(spec)
    table = SeriesTable(
        names=SeriesNames(names=("a", "b")), pool=pool, offset=np.full((3, 1), 2.0, np.float32),
        scale=np.full((3, 1), 0.5, np.float32), unit=np.ones(3), radii=None, linear=own,
    )  # fmt: skip
    read = read_table(write_table(table), table.names, pool, spec, 0)
    rows = np.array([1, 2, POOL_ROW], np.int64)
    found = reference.forecast(spec, read, weights, dataclasses.replace(windows, series=rows))
    for row, factor in ((0, 2), (1, -1)):
        changed = dataclasses.replace(weights, linear=weights.linear * np.float32(factor))  # type: ignore[operator]
        np.testing.assert_allclose(found[row], reference.forecast(spec, pool, changed, windows)[row], rtol=1e-6)
    shared = dataclasses.replace(table, linear=None)
    whole = reference.forecast(spec, shared, weights, dataclasses.replace(windows, series=rows))
    np.testing.assert_allclose(whole[2], found[2])


def test_json_holds_it_and_a_plain_stack_stays_null():
    spec = _spec(plain_stack((3,), LINEAR))
    assert strict_json.loads(ModelSpec, strict_json.dumps(spec).encode(), where="spec") == spec
    assert '"network": null' in strict_json.dumps(_spec(plain_stack((3,))))


@pytest.mark.parametrize(
    ("linear", "change", "said"),
    [
        (Linear(lags=8), {}, "looks back 8 steps; a window has 7"),
        (Linear(lags=2, season=7), {}, "looks back 8 steps; a window has 7"),
        (Linear(lags=2), {"target": "level"}, "target must be change"),
        (
            Linear(lags=2, waves=WAVES),
            {"features": (Feature(name="likes"),), "channels": (Channel(feature=0), Channel(feature=0, lag=3))},
            "which follow from time; no feature of the model does",
        ),
    ],
)
def test_a_spec_that_cannot_feed_it_is_refused(linear, change, said):
    spec = _spec(plain_stack((3,)), measured=1)
    with pytest.raises(ValueError, match=said):
        dataclasses.replace(spec, network=plain_stack((3,), linear), **change)


def test_a_table_or_file_with_another_kernel_is_refused():
    spec = _spec(plain_stack((3,), LINEAR))
    weights = _weights(spec)
    short = dataclasses.replace(weights, linear=weights.linear[:-1])  # type: ignore[index]
    with pytest.raises(FormatError, match=r"linear\.kernel has shape"):
        read_weights(write_weights(short, spec.network), spec)
    with pytest.raises(FormatError, match=r"linear\.kernel is missing"):
        read_weights(write_weights(dataclasses.replace(weights, linear=None), spec.network), spec)

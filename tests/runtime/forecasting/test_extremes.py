"""The check of extreme numbers fails for what no other check sees, and allows NaN."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from helpers.hostile.defective import Predict, Times, Values, checks_of, spoils_bounds
from pulsecast.bundle.manifest import Manifest


def answers_zero_for_the_largest(sound: Predict, manifest: Manifest) -> Predict:
    """As XNNPACK did: its logarithm is infinite there, and its exponential makes 0 of the NaN that follows."""

    def predict(values: Values, time: Times) -> Values:
        forecasts = sound(values, time)
        forecasts[(np.abs(values) > 1e38).any(axis=(1, 2)) & np.isfinite(values).all(axis=(1, 2))] = 0
        return forecasts

    return predict


def answers_where_there_is_none(sound: Predict, manifest: Manifest) -> Predict:
    """Cut off what has no logarithm, or is no float32 once it is scaled."""

    def predict(values: Values, time: Times) -> Values:
        forecasts = sound(values, time)
        lost = np.isnan(forecasts).any(axis=1) & np.isfinite(values).all(axis=(1, 2))
        lost &= (np.abs(values) < 1e9).all(axis=(1, 2))  # -1 and below, and no time in milliseconds
        known = time is None or (np.abs(time) < 10**11).all()
        forecasts[lost & known] = manifest.scaler.features[0].low
        return forecasts

    return predict


def reads_whole_numbers_as_16_bits(sound: Predict, manifest: Manifest) -> Predict:
    return lambda values, time: sound(np.where(np.abs(values) >= 2**24, np.mod(values, 2**16), values), time)


def is_infinite_for_the_largest(sound: Predict, manifest: Manifest) -> Predict:
    def predict(values: Values, time: Times) -> Values:
        forecasts = sound(values, time)
        forecasts[(np.abs(values) > 1e38).any(axis=(1, 2)) & np.isfinite(values).all(axis=(1, 2))] = np.inf
        return forecasts

    return predict


def flushes_denormals_to_nan(sound: Predict, manifest: Manifest) -> Predict:
    """NaN is always allowed: an engine may be cautious."""

    def predict(values: Values, time: Times) -> Values:
        forecasts = sound(values, time)
        tiny = (np.abs(values) < np.finfo(np.float32).smallest_normal) & (values != 0)
        forecasts[tiny.any(axis=(1, 2))] = np.nan
        return forecasts

    return predict


def unlimited(found: tuple[Values, ...]) -> tuple[Values, ...]:
    """Leave the upper bound of a very large forecast infinite."""
    forecast, lower, upper = found
    return forecast, lower, np.where(forecast > 1e30, np.float32(np.inf), upper)


def a_number_without_a_forecast(found: tuple[Values, ...]) -> tuple[Values, ...]:
    """As XNNPACK did: its exponential makes 0 of NaN, and the bound is -1."""
    forecast, lower, upper = found
    return forecast, np.where(np.isnan(forecast), np.float32(-1), lower), upper


# seen by the check of extreme numbers alone
EXTREME_DEFECTS: dict[str, tuple[Callable[[Predict, Manifest], Predict], str]] = {
    "zero for the largest numbers": (answers_zero_for_the_largest, "extreme numbers"),
    "infinity for the largest numbers": (is_infinite_for_the_largest, "extreme numbers"),
    "numbers above 2^24 that wrap": (reads_whole_numbers_as_16_bits, "extreme numbers"),
    "a number without a logarithm taken for another": (answers_where_there_is_none, "extreme numbers"),
    "an infinite bound": (spoils_bounds(unlimited), "bounds of extreme numbers"),
    "a bound without a forecast": (spoils_bounds(a_number_without_a_forecast), "bounds of extreme numbers"),
}


@pytest.mark.parametrize(("spoil", "name"), EXTREME_DEFECTS.values(), ids=EXTREME_DEFECTS.keys())
def test_each_defect_of_extreme_numbers_fails_their_check_alone(
    calendar_bundle: Path, spoil: Callable[[Predict, Manifest], Predict], name: str
) -> None:
    checks = checks_of(calendar_bundle, spoil)
    assert [check.name for check in checks.values() if not check.passed] == [name]


def test_no_forecast_for_extreme_numbers_is_none_that_is_wrong(plain_bundle: Path, calendar_bundle: Path) -> None:
    for path in (plain_bundle, calendar_bundle):
        assert all(check.passed for check in checks_of(path, flushes_denormals_to_nan).values())

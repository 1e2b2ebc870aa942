"""Scaling: exact values, there and back, and no constant that float32 would change."""

from typing import Any

import numpy as np
import pytest

from pulsecast.foundation import strict_json
from pulsecast.model.scaler import FeatureScale, Scaler

MINMAX = FeatureScale(offset=10.0, scale=40.0, low=10.0, high=50.0)
LOGS = FeatureScale(transform="log1p", offset=0.5, scale=2.0, low=0.0, high=99.0)
ANY_DTYPE = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def scaler(*features: FeatureScale) -> Scaler:
    return Scaler(features=features)


@ANY_DTYPE
def test_scaled_values_are_exact(dtype: type[np.floating]) -> None:
    values = np.array([[[10.0, 0.0, 7.0], [30.0, np.e - 1, 7.0]]], dtype)
    scaled = scaler(MINMAX, LOGS, FeatureScale()).transform(values)
    assert scaled.dtype == dtype
    # one rounding of the logarithm
    np.testing.assert_allclose(scaled, [[[0.0, -0.25, 7.0], [0.5, 0.25, 7.0]]], rtol=0, atol=np.finfo(dtype).eps)


@ANY_DTYPE
@pytest.mark.parametrize("feature", [MINMAX, LOGS, FeatureScale()], ids=["minmax", "log1p", "identity"])
def test_the_inverse_brings_raw_values_back(dtype: type[np.floating], feature: FeatureScale) -> None:
    raw = np.linspace(0, 60, 31).astype(dtype).reshape(-1, 1)
    one = scaler(feature)
    back = one.inverse(one.transform(raw)[:, 0])
    assert back.dtype == dtype
    # a few roundings, which the exponential magnifies by the value
    np.testing.assert_allclose(back, raw[:, 0], rtol=8 * np.finfo(dtype).eps, atol=60 * np.finfo(dtype).eps)


def test_the_inverse_is_that_of_the_first_feature() -> None:
    assert scaler(MINMAX, LOGS).inverse(np.array([[0.5]])).tolist() == [[30.0]]


@pytest.mark.filterwarnings("error")
def test_values_outside_the_logarithm_are_not_finite_and_warn_of_nothing() -> None:
    scaled = scaler(LOGS).transform(np.array([[-1.0], [-2.0], [0.0]]))
    assert scaled[0, 0] == -np.inf
    assert np.isnan(scaled[1, 0])
    assert np.isfinite(scaled[2, 0])
    assert scaler(LOGS).inverse(np.array([1e4])) == np.inf


def test_the_range_is_that_of_the_training_part() -> None:
    assert scaler(MINMAX, LOGS).range == 40.0


@pytest.mark.parametrize(("constant", "expected"), [(0.0, 1.0), (0.25, 1.0), (7.0, 7.0), (-7.0, 7.0)])
def test_a_constant_training_part_has_its_own_size_as_range(constant: float, expected: float) -> None:
    assert scaler(FeatureScale(low=constant, high=constant)).range == expected


def test_a_scaler_comes_back_from_json_bit_for_bit() -> None:
    third = float(np.float32(1 / 3))
    written = scaler(FeatureScale(offset=third, scale=third, low=0.1, high=0.3), LOGS)
    assert strict_json.loads(Scaler, strict_json.dumps(written).encode(), where="scaler") == written


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no scale": ({"scale": 0.0}, "scale is 0.0; expected a positive number"),
    "a negative scale": ({"scale": -1.0}, "scale is -1.0; expected a positive number"),
    "NaN scale": ({"scale": float("nan")}, "scale is nan"),
    "an offset that float32 rounds": ({"offset": 0.1}, "offset 0.1 is not a float32 number"),
    "a scale that float32 rounds": ({"scale": 0.1}, "scale 0.1 is not a float32 number"),
    "low above high": ({"low": 2.0, "high": 1.0}, "low 2.0 is above high 1.0"),
}


@pytest.mark.parametrize(("fields", "sentence"), BAD.values(), ids=BAD.keys())
def test_constants_that_cannot_be_are_refused(fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        FeatureScale(**fields)

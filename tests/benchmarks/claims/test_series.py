"""The program that measures what many series cost: its series differ in size, and each is forecast as it says."""

import numpy as np
import pytest

from helpers import plain
from helpers.native_models import directory
from pulsecast.computing import reference
from pulsecast.errors import UsageError
from pulsecast_bench.claims.series import with_series


def test_each_series_is_the_models_own_times_a_size() -> None:
    """A size moves the logarithm: so it moves the forecast's, and nothing else."""
    model = directory(plain.make_model(plain.CHANGE_SPEC))
    found = with_series(model, 5)
    table, record = found.table, model.record
    assert table is not None
    assert sorted(set(found.heldout.windows.series.tolist())) == list(range(6))  # type: ignore[union-attr]
    size = np.exp(table.offset[1:, 0].astype(np.float64) - record.scaler.features[0].offset)
    assert size.max() / size.min() > 3
    np.testing.assert_allclose(table.unit[1:], record.scaler.range * size, rtol=1e-6)
    own = model.heldout.windows.take(slice(5))
    values = np.expm1(np.log1p(own.values) + np.log(size)[:, np.newaxis, np.newaxis])
    several = type(own)(values=values, time=own.time, series=np.arange(1, 6))
    expected = (
        np.log1p(reference.forecast(record.spec, record.scaler, model.weights, own)) + np.log(size)[:, np.newaxis]
    )
    forecasts = reference.forecast(record.spec, table, model.weights, several)
    np.testing.assert_allclose(np.log1p(forecasts), expected, rtol=1e-6)


def test_a_model_of_levels_is_refused() -> None:
    with pytest.raises(UsageError, match="expected a model of one series of the recipe `recommended`"):
        with_series(directory(plain.make_model(plain.LEVEL_SPEC)), 5)

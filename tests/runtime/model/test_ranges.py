"""Which windows lie far outside what training saw, also by a quick look."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from helpers import plain
from pulsecast.model.ranges import TrainingRange, training_range
from pulsecast.model.scaler import FeatureScale, Scaler


def logarithmic(values: NDArray[np.floating]) -> TrainingRange:
    """The range of a series that is scaled on the scale of log1p."""
    logs = np.log1p(values)
    offset, scale = float(np.float32(logs.mean())), float(np.float32(logs.std()))
    scaler = Scaler(
        features=(FeatureScale(transform="log1p", offset=offset, scale=scale, low=values.min(), high=values.max()),)
    )
    return training_range(plain.LEVEL_SPEC, scaler, None)


def test_units_that_are_far_too_small_are_told_of_also_where_training_had_a_zero() -> None:
    """A range from zero up holds every smaller unit: only the level on the scale of log1p shows it."""
    steps = np.arange(600)
    values = np.round(400 + 300 * np.sin(steps / 12) + steps % 7)
    values[100:104] = 0.0  # an outage
    found, context = logarithmic(values), plain.LEVEL_SPEC.context
    windows = sliding_window_view(values, context)[:, :, np.newaxis].astype(np.float32)
    least, most = (part[0] for part in found.squares(context))
    sums = np.square(windows.astype(np.float64)).sum(axis=(1, 2))
    assert not found.far(windows, None).any()
    assert ((least <= sums) & (sums <= most)).all()
    assert found.far(windows / 1000, None).all()
    assert (sums / 1e6 < least).all()  # so `predict` looks at them, too
    assert found.words(windows[0, :, 0] / 1000, 0, 0).startswith("0 to 706, over a window about ")
    assert "at least, and now values of the order of 1e-1" in found.words(windows[0, :, 0] / 1000, 0, 0)


def test_the_quick_look_at_a_window_says_what_a_look_at_every_mean_says() -> None:
    rng = np.random.default_rng(5)
    values = rng.lognormal(4.0, 0.8, 500)
    found = logarithmic(values)
    scale = np.exp(rng.uniform(-9.0, 5.0, (400, 1, 1)))
    windows = rng.choice(values, (400, 50, 1)) * scale
    logs, width = np.log1p(windows).mean(axis=1), values.max() - values.min()
    mean, lowest, highest = windows.mean(axis=1), windows.min(axis=1), windows.max(axis=1)
    expected = (
        (highest > values.max() + width) | (mean > values.max() + 0.1 * width) | (lowest < values.min() - width)
        | (mean < values.min() - 0.1 * width) | (logs < found.level)
    )  # fmt: skip
    assert 100 < expected.sum() < 300
    each = [bool(found.far(one[np.newaxis], None)[0, 0]) for one in windows]
    assert found.far(windows[:0], None).shape == (0, 1)
    assert each == expected[:, 0].tolist() == found.far(windows, None)[:, 0].tolist()

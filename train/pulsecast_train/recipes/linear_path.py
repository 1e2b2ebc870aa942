"""The linear path of a recipe: which lags and waves it takes, by the model's step. `fitting` fits its kernel."""

from __future__ import annotations

from collections.abc import Iterator

from pulsecast.model.linear import Linear, Wave
from pulsecast.model.spec import DAY_S, WEEK_S, ModelSpec

LAGS = 50
MOST_LAGS = 300  # of a path that reaches a season back: beyond, its fit would take as long as the network's
HARMONICS = 12  # of the day: with hourly steps as fine as a weight for each hour
MAIN_HARMONICS = 4  # those that the weekend multiplies, and that are not shrunk more than the lags


def linear_of(spec: ModelSpec, season: int) -> Linear:
    """Return the linear path of a model of this `spec`, which has none yet; `season` in steps, 0 without one."""
    fits = 1 < season < spec.context
    waves = tuple(_waves(spec.step_s)) if spec.timed else ()
    return Linear(
        lags=_lags(spec, season if fits else 0),
        season=season if fits else 0,
        waves=waves,
        weekend_waves=_of_the_day(waves) if spec.timed and spec.step_s <= DAY_S else None,
    )


def _lags(spec: ModelSpec, season: int) -> int:
    """Return how many steps back: those of the window, and with a season what happened a season before a forecast."""
    reach = season + 2 if season + 2 <= MOST_LAGS else 0
    return min(max(min(spec.window, LAGS), reach, 2), spec.context)


def _waves(step_s: int) -> Iterator[Wave]:
    """Yield the waves of the day, and of the week: the first one, or all where a step is too long for days."""
    days = [multiple for multiple in range(1, HARMONICS + 1) if 2 * step_s * multiple <= DAY_S]
    yield from (Wave(period_s=DAY_S, multiple=multiple) for multiple in days)
    weeks = range(1, 2 if days else MAIN_HARMONICS)
    yield from (Wave(period_s=WEEK_S, multiple=multiple) for multiple in weeks if 2 * step_s * multiple <= WEEK_S)


def _of_the_day(waves: tuple[Wave, ...]) -> int:
    return sum(wave.period_s == DAY_S and wave.multiple <= MAIN_HARMONICS for wave in waves)

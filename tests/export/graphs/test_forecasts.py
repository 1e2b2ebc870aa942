"""Every artifact forecasts what the float64 reference does, with its bounds, at every turn of every calendar."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from helpers import graph_models
from helpers.engines import EXPORT, require
from helpers.graph_models import ARTIFACTS, Case, Converted
from pulsecast.computing import reference
from pulsecast.computing.calendars import known_times
from pulsecast.computing.intervals import split_interval
from pulsecast.model.spec import DAY_S, Calendar, Holidays, ModelSpec
from pulsecast.model.windows import Windows

pytestmark = pytest.mark.slow
EACH = pytest.mark.parametrize("artifact", ARTIFACTS)
BOUND_ROUNDING = 2e-6  # of a bound plus 1: float32 on both sides of a logarithm
SEEN = 20  # a fault counts as seen if it moves a forecast by this many limits


def expected(case: Case, windows: Windows, spec: ModelSpec | None = None) -> NDArray[np.floating]:
    return reference.forecast(spec or case.model.spec, case.model.scaler, case.model.weights, windows)


def difference(case: Case, found: NDArray[np.floating], wanted: NDArray[np.floating]) -> float:
    """Return the largest difference, relative to the forecast or to the range; NaN counts as infinite."""
    unit = np.maximum(np.abs(wanted), case.model.scaler.range)
    return float(np.nan_to_num(np.abs(found - wanted) / unit, nan=np.inf).max())


def some(converted: Converted) -> Windows:
    """Eight windows that a model knows the time of, of a working day and a weekend."""
    windows = converted.case.model.windows.take(slice(8))
    assert windows.time is None or set(np.diff(windows.time)) == {converted.spec.step_s}
    return windows


# --------------------------------------------------------------------------------------------------------- forecasts


@EACH
def test_forecasts_are_those_of_the_reference_at_every_turn_of_the_calendar(
    converted: Converted, artifact: str
) -> None:
    """Midnights, weeks, years, leap days, edges of holidays; centuries before 1970 and after 2100."""
    case = converted.case
    windows = graph_models.windows(case.model)
    found = converted.backend(artifact).predict(*windows.inputs)
    wanted = expected(case, windows)
    assert found.dtype == np.float32
    assert found.shape == (len(windows), converted.spec.horizon)
    assert difference(case, found, wanted) < converted.limit
    assert float(np.ptp(wanted)) > 0.2 * case.model.scaler.range, "a constant would compare equal whatever it is of"


def changed(spec: ModelSpec, change: Callable[[Calendar], Calendar]) -> ModelSpec:
    features = tuple(f if f.calendar is None else replace(f, calendar=change(f.calendar)) for f in spec.features)
    return replace(spec, features=features)


def moved(holidays: Holidays | None) -> Holidays | None:
    """Return holidays a tenth of an hour late."""
    if holidays is None or not holidays.spans:
        return holidays
    return replace(holidays, spans=tuple((first + 360, stop + 360) for first, stop in holidays.spans))


FAULTS: dict[str, tuple[Callable[[Calendar], Calendar], tuple[str, ...]]] = {
    "a step too far ahead": (
        lambda c: replace(c, ahead_steps=c.ahead_steps + 1),
        ("calendar", "scaled", "quarters", "network"),
    ),
    "a period one second long": (
        lambda c: replace(c, period_s=c.period_s + (c.function in ("sin", "cos"))),
        ("calendar", "scaled", "quarters", "network"),
    ),
    "holidays a tenth of an hour late": (lambda c: replace(c, holidays=moved(c.holidays)), ("calendar", "scaled")),
    "the day before for the weekend": (
        lambda c: replace(c, ahead_steps=c.ahead_steps + 24 * (c.function == "weekend")),
        ("calendar", "scaled", "network"),
    ),
}


@pytest.mark.parametrize(("fault", "names"), FAULTS.values(), ids=FAULTS.keys())
def test_these_times_show_a_wrong_calendar(
    fault: Callable[[Calendar], Calendar], names: tuple[str, ...], cases: dict[str, Case]
) -> None:
    for name in names:
        case = cases[name]
        windows = graph_models.windows(case.model)
        wrong = expected(case, windows, changed(case.model.spec, fault))
        finite = np.isfinite(wrong).all(axis=1)  # a step further ahead may be unknown
        assert difference(case, wrong[finite], expected(case, windows)[finite]) > SEEN * 1e-5, name


MUTANTS: dict[str, tuple[str, str, Any]] = {
    "a week that begins on Tuesday": ("calendar_graph", "DAY_S", DAY_S - 3600),
    "a week of another length": ("calendar_graph", "WEEK_S", 7 * DAY_S + 1),
    "every column a step late": ("calendar_graph", "_offsets", None),
    "every year known": ("graph", "known_times", lambda _: (-(2**60), 2**60)),
    "a slack of counts ten thousand times as wide": ("graph", "FLOAT32_SLACK", 1e-2),
    "a product with tanh of another bend": ("linear_graph", "_TIMES_BENT", 1),
    "bends in another order": ("linear_graph", "_BENT", [0, 1, 4, 3, 5]),
    "lags from the newest to the oldest": ("linear_graph", "_of_window", None),
    "a season that ends a step early": ("linear_graph", "_bends", None),
    "waves of the last step, not of the first ahead": ("calendar_graph", "_waves_ahead", None),
}
CHANGES: dict[str, Callable[..., Any]] = {
    "_offsets": lambda right, spec, *more: right(spec, *more) - spec.step_s,
    "_of_window": lambda right, lags, steps: right(lags, steps)[::-1],
    "_bends": lambda right, *given: np.roll(right(*given), -1, axis=0),
    "_waves_ahead": lambda right, spec, waves, moment: right(spec, waves, moment - spec.step_s),
}


@pytest.mark.parametrize(("module", "name", "value"), MUTANTS.values(), ids=MUTANTS.keys())
def test_a_graph_with_a_wrong_constant_fails_these_comparisons(
    module: str, name: str, value: Any, cases: dict[str, Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The graph runs in TensorFlow without a converter."""
    require(*EXPORT)
    import importlib

    from pulsecast_export.graphs import graph, stacks

    case = cases["calendar"]
    first, last = known_times(case.model.spec)
    windows = graph_models.windows(case.model)
    beyond = replace(windows.take([0, 1]), time=np.array([first - 1, last + 1]))

    def passes() -> bool:
        run = graph.traced(case.directory(), stacks.gather_stack)
        found = {key: tensor.numpy() for key, tensor in run(*windows.inputs[:2]).items()}
        unknown = run(*beyond.inputs[:2])["forecast"].numpy()
        right = difference(case, found["forecast"], expected(case, windows)) < 1e-5
        return bool(right and np.isnan(unknown).all() and not wrong_bounds(case, list(found.values())))

    assert passes()
    where = importlib.import_module(f"pulsecast_export.graphs.{module}")
    right = getattr(where, name)
    monkeypatch.setattr(where, name, value or (lambda *given: CHANGES[name](right, *given)))
    assert not passes()


def test_a_linear_kernel_that_is_off_fails_these_comparisons(cases: dict[str, Case]) -> None:
    """By a hundredth in one row, which alone decides a forecast of a still window: the bias."""
    for name, case in cases.items():
        weights = case.model.weights
        if weights.linear is None:
            continue
        windows = graph_models.windows(case.model)
        for row in range(len(weights.linear)):
            off = weights.linear.copy()
            off[row] += 0.01
            wrong = replace(case, model=replace(case.model, weights=replace(weights, linear=off)))
            assert difference(case, expected(wrong, windows), expected(case, windows)) > SEEN * 1e-5, f"{name} {row}"


# ----------------------------------------------------------------------------------------------- rows without a number


def unknown_times(spec: ModelSpec) -> dict[str, int]:
    first, last = known_times(spec)
    return {
        "milliseconds": 1_736_121_600_000,
        "the year 10000": 253_402_300_800,
        "before the year 1": -62_135_596_801,
        "just before what is known": first - 1,
        "just after what is known": last + 1,
        "the least int64": -(2**63),
        "the largest int64": 2**63 - 1,
    }


@EACH
def test_an_unknown_time_gives_no_number_in_its_row_only(converted: Converted, artifact: str) -> None:
    """The first and the last known times are among those that have a forecast (`graph_models.times`)."""
    windows, backend = some(converted), converted.backend(artifact)
    if windows.time is None:
        assert not converted.spec.timed
        return
    clean = backend.outputs(*windows.inputs)
    assert all(np.isfinite(array).all() for array in clean)
    for what, moment in unknown_times(converted.spec).items():
        time = windows.time.copy()
        time[3] = moment
        for found, usual in zip(backend.outputs(*replace(windows, time=time).inputs), clean, strict=True):
            assert np.isnan(found[3]).all(), what
            np.testing.assert_array_equal(np.delete(found, 3, 0), np.delete(usual, 3, 0), err_msg=what)


@EACH
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -1.0, -2.0])
def test_a_value_that_cannot_be_taken_gives_no_number_in_its_row_only(
    converted: Converted, artifact: str, value: float
) -> None:
    """In every measured column; -1 and below have no logarithm. Bounds are no numbers either."""
    windows, backend = some(converted), converted.backend(artifact)
    clean = backend.outputs(*windows.inputs)
    for column in range(converted.spec.measured):
        if np.isfinite(value) and converted.case.model.scaler.features[column].transform != "log1p":
            continue
        values = windows.values.copy()
        values[5, 2, column] = value
        for found, usual in zip(backend.outputs(*windows.changed(values).inputs), clean, strict=True):
            assert not np.isfinite(found[5]).any(), f"column {column}"
            np.testing.assert_array_equal(np.delete(found, 5, 0), np.delete(usual, 5, 0))


# ------------------------------------------------------------------------------------------------------------ bounds


def wrong_bounds(case: Case, outputs: list[NDArray[np.floating]]) -> str:
    """Return what is wrong with the bounds in `outputs`, forecast first; nothing if they are those of the forecast."""
    split = case.intervals
    if split is None:
        return "" if len(outputs) == 1 else f"{len(outputs)} outputs without intervals"
    forecast, lower, upper = (array.astype(np.float64) for array in outputs)
    wanted = split_interval(split, forecast, split.default_level)
    for name, found, right in (("lower", lower, wanted.lower), ("upper", upper, wanted.upper)):
        # a bound just at a whole number may be rounded to either side
        most = 1 if split.counts else BOUND_ROUNDING * (np.abs(right) + 1)
        off = np.abs(found - right)
        if not (off <= most).all() or (split.counts and (off > 0).mean() > 0.01):
            return f"{name} is off by up to {np.nanmax(off)}, at {(off > most).mean():.1%} of the places by too much"
        if split.counts and (found != np.round(found)).any():
            return f"{name} is not a whole number"
    return ""


@EACH
def test_bounds_are_those_of_the_artifacts_own_forecast(converted: Converted, artifact: str) -> None:
    windows = graph_models.windows(converted.case.model)
    outputs = list(converted.backend(artifact).outputs(*windows.inputs))
    assert wrong_bounds(converted.case, outputs) == ""
    np.testing.assert_array_equal(outputs[0], converted.backend(artifact).predict(*windows.inputs))
    if len(outputs) == 3:
        assert (outputs[1] <= outputs[0]).all() or converted.case.intervals.counts
        assert (outputs[1] < outputs[2]).all()


@EACH
def test_bounds_of_a_forecast_near_zero_do_not_go_below_it(converted: Converted, artifact: str) -> None:
    """Windows of zeros: a count of zero has whole bounds from zero, a value that may be negative has any."""
    windows = some(converted)
    windows = windows.changed(np.zeros_like(windows.values))
    outputs = list(converted.backend(artifact).outputs(*windows.inputs))
    assert wrong_bounds(converted.case, outputs) == ""
    split = converted.case.intervals
    if split is not None and split.scale == "log1p":
        assert outputs[1].min() >= 0

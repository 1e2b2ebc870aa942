"""What a request of the time-series API asks for, read strictly where it is ours to understand."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulsecast.computing.iso_time import iso_whole_seconds
from pulsecast.forecasting.forecaster import Forecaster
from pulsecast.foundation.arguments import shown
from pulsecast.model.spec import DAY_S, WEEK_S, ModelSpec

from ..refusal import BAD_REQUEST, RefusedError
from .bodies import real_numbers
from .grid import PHASE, refuse_off_grid, stated_phase

UNIVARIATE, MULTIVARIATE = "univariate_time_series", "multivariate_time_series"
_VERSION = re.compile(r"[1-9][0-9]{0,17}")
# the protocol's frequencies, and their seconds; months and longer have no fixed number
_FREQUENCIES: dict[str, int | None] = {
    **dict.fromkeys(("S", "SECOND"), 1),
    **dict.fromkeys(("T", "MINUTE"), 60),
    **dict.fromkeys(("H", "HOUR"), 3600),
    **dict.fromkeys(("D", "DAY"), DAY_S),
    **dict.fromkeys(("W", "WEEK"), WEEK_S),
    **dict.fromkeys(("M", "MONTH", "Q", "QUARTER", "Y", "YEAR")),
}
_KEYS = {"model", "inputs", "options", "metadata"}
_OPTION_KEYS = {"horizon", "quantiles"}
_INPUT_KEYS = {"type", "name", "series", "columns", "frequency", "step_seconds", "start_timestamp", PHASE}
_MOST_IGNORED = 20
_KNOWN = "second (S), minute (T), hour (H), day (D) or week (W)"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A request: `inputs` are its series as they came, each an object of JSON; `ignored` is what it said in vain."""

    model: str
    inputs: tuple[Mapping[str, Any], ...]
    horizon: int | None
    quantiles: tuple[float, ...]
    ignored: list[str]


@dataclass(frozen=True, kw_only=True)
class Window:
    """The end of one series.

    values  (context, measured) float32, raw
    time    unix seconds (UTC) of the last step; None where it was not said, and the model has no calendar
    """

    values: NDArray[np.float32]
    time: int | None


def read_request(document: object) -> Asked:
    """Return what a request asks; raises RefusedError (400)."""
    body = _mapping("the request", document)
    model = body.get("model")
    if not isinstance(model, str):
        raise RefusedError(BAD_REQUEST, "model is missing; expected the name of a model", param="model")
    inputs = body.get("inputs")
    if not isinstance(inputs, list) or not inputs:
        raise RefusedError(BAD_REQUEST, "inputs is missing; expected a list of at least one series", param="inputs")
    given = body.get("options")
    options = {} if given is None else _mapping("options", given)
    horizon = options.get("horizon")
    if horizon is not None and (type(horizon) is not int or horizon < 1):
        raise RefusedError(
            BAD_REQUEST, f"horizon is {shown(horizon)}; expected a whole number of at least 1", param="horizon"
        )
    return Asked(
        model=model,
        inputs=tuple(_mapping(f"inputs[{i}]", one) for i, one in enumerate(inputs)),
        horizon=horizon,
        quantiles=_quantiles(options.get("quantiles")),
        ignored=ignored(body),
    )


def _mapping(name: str, value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise RefusedError(BAD_REQUEST, f"{name} is not an object of JSON", param=name)
    return value


def _quantiles(given: object) -> tuple[float, ...]:
    if given is None:
        return ()
    if not isinstance(given, list):
        raise RefusedError(BAD_REQUEST, f"quantiles is {shown(given)}; expected a list", param="quantiles")
    real_numbers("quantiles", given)
    if not all(0 < one < 1 for one in given) or len(set(given)) < len(given):
        raise RefusedError(
            BAD_REQUEST,
            "quantiles are different numbers above 0 and below 1, such as [0.1, 0.5, 0.9]",
            param="quantiles",
        )
    return tuple(map(float, given))


def split_name(model: str) -> tuple[str, int | None, str | None]:
    """Return the name, version and label of a model.

    >>> split_name("mentions"), split_name("mentions/3"), split_name("mentions/canary")
    (('mentions', None, None), ('mentions', 3, None), ('mentions', None, 'canary'))
    """
    name, slash, which = model.partition("/")
    if not slash:
        return name, None, None
    return (name, int(which), None) if _VERSION.fullmatch(which) else (name, None, which)


def window_of(given: Mapping[str, Any], model: Forecaster) -> Window:
    """Return the window at the end of a series; raises RefusedError (400)."""
    spec = model.manifest.spec
    series = given.get("series")
    if not isinstance(series, list) or not series:
        raise RefusedError(BAD_REQUEST, "series is missing; expected a list of numbers, oldest first", param="series")
    check_frequency(given, spec)
    if len(series) < spec.context:
        raise RefusedError(
            BAD_REQUEST, f"series has {len(series)} steps; this model takes at least {spec.context}", param="series"
        )
    values = _values(given.get("type"), given.get("columns"), series[-spec.context :], spec)
    return Window(values=values, time=last_time(given, len(series), model))


def _values(kind: object, columns: object, steps: list[Any], spec: ModelSpec) -> NDArray[np.float32]:
    """Return steps as (context, measured)."""
    if kind == UNIVARIATE:
        if spec.measured != 1:
            raise RefusedError(
                BAD_REQUEST,
                f"this model takes {spec.measured} columns ({', '.join(spec.measured_names)}): send a {MULTIVARIATE}",
                param="type",
            )
        real_numbers("series", steps)
        rows = [[one] for one in steps]
    elif kind == MULTIVARIATE:
        rows = steps
        if any(not isinstance(row, list) or len(row) != spec.measured for row in rows):
            raise RefusedError(
                BAD_REQUEST,
                f"series of a {MULTIVARIATE} is a list of steps with {spec.measured} numbers each: "
                f"{', '.join(spec.measured_names)}",
                param="series",
            )
        for row in rows:
            real_numbers("series", row)
        order = _order(columns, spec)
        rows = [[row[place] for place in order] for row in rows]
    else:
        raise RefusedError(BAD_REQUEST, f"type is {shown(kind)}; expected {UNIVARIATE} or {MULTIVARIATE}", param="type")
    with np.errstate(over="ignore"):
        try:
            values = np.array(rows, np.float64).astype(np.float32)
        except OverflowError:
            values = np.full((len(rows), spec.measured), np.inf, np.float32)
    if not np.isfinite(values).all():
        raise RefusedError(BAD_REQUEST, "series holds a number beyond float32", param="series")
    return values


def _order(columns: object, spec: ModelSpec) -> list[int]:
    """Return the place of each of the model's columns among those of a request; as they come if it names none."""
    names = spec.measured_names
    if columns is None:
        return list(range(spec.measured))
    if not isinstance(columns, list) or sorted(map(str, columns)) != sorted(names):
        raise RefusedError(BAD_REQUEST, f"columns are others than {', '.join(names)}", param="columns")
    return [columns.index(name) for name in names]


def ignored(document: Mapping[str, Any]) -> list[str]:
    """Return what of a request has no meaning here; the protocol allows it, and the answer says so."""
    options = document.get("options") or {}
    found = [*(document.keys() - _KEYS), *(f"options.{name}" for name in options.keys() - _OPTION_KEYS)]
    for place, one in enumerate(document["inputs"]):
        found += [f"inputs[{place}].{name}" for name in one.keys() - _INPUT_KEYS]
    return sorted(found)[:_MOST_IGNORED]


def check_frequency(given: Mapping[str, Any], spec: ModelSpec) -> None:
    """Raise RefusedError unless the series has the model's step: another one would give plausible wrong numbers."""
    word, step = given.get("frequency"), given.get("step_seconds")
    unit = _FREQUENCIES.get(word.upper(), 0) if isinstance(word, str) else 0
    if unit == 0:
        raise RefusedError(BAD_REQUEST, f"frequency is {shown(word)}; expected {_KNOWN}", param="frequency")
    if step is None:
        step = unit
    elif type(step) is not int or step < 1 or unit is None or step % unit:
        raise RefusedError(
            BAD_REQUEST,
            f"step_seconds is {shown(step)}; expected the seconds between two values, a multiple of the frequency's "
            f"{unit or 'fixed'} seconds",
            param="step_seconds",
        )
    if step != spec.step_s:
        every = "months or longer" if step is None else f"a step every {step:,} s"
        raise RefusedError(
            BAD_REQUEST,
            f"the series has {every}; this model takes one every {spec.step_s:,} s{_how_to_say(spec.step_s)}",
            param="frequency",
        )


def _how_to_say(step_s: int) -> str:
    """Return how a request says a step that no frequency of the protocol has."""
    if step_s in _FREQUENCIES.values():
        return ""
    unit = max((s for s in _FREQUENCIES.values() if s and step_s % s == 0), default=1)
    word = next(name for name, s in _FREQUENCIES.items() if s == unit)
    return f': send "frequency": "{word}" and "step_seconds": {step_s}'


def last_time(given: Mapping[str, Any], steps: int, model: Forecaster) -> int | None:
    """Return the unix seconds of the last of `steps` of a series; None if it says none and nothing depends on it."""
    spec, start = model.manifest.spec, given.get("start_timestamp")
    last = _last_time(start, steps, spec)
    stated = stated_phase(given, spec.step_s)
    if last is not None:
        refuse_off_grid("start_timestamp", last, spec.step_s, stated=stated, trained=model.phase_s)
    return last


def _last_time(start: object, steps: int, spec: ModelSpec) -> int | None:
    if start is None:
        if not spec.timed:
            return None
        raise RefusedError(
            BAD_REQUEST,
            "start_timestamp is missing: this model has a calendar; expected the time of the first step with its zone, "
            "such as 2026-01-31T08:00:00Z",
            param="start_timestamp",
        )
    try:
        last = iso_whole_seconds(start) + (steps - 1) * spec.step_s
    except ValueError as error:
        raise _wrong_start(f"{shown(start)} {error}") from None
    try:
        datetime.datetime.fromtimestamp(last + spec.step_s, datetime.UTC)
    except (ValueError, OverflowError, OSError):  # beyond year 9999, or what this platform knows
        raise _wrong_start(f"{shown(start)} is so far off that what follows has no date") from None
    return last


def _wrong_start(said: str) -> RefusedError:
    expected = "expected ISO 8601 with a zone, such as 2026-01-31T08:00:00Z or 2026-01-31T09:00:00+01:00"
    return RefusedError(BAD_REQUEST, f"start_timestamp {said}; {expected}", param="start_timestamp")

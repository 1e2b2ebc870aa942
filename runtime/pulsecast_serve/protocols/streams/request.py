"""What a push says, read strictly: a key that is not known may be one that is misspelt."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pulsecast.computing.iso_time import iso_whole_seconds
from pulsecast.foundation.arguments import shown
from pulsecast.model.spec import ModelSpec
from pulsecast.model.windows import LARGEST_FLOAT32

from ...refusal import BAD_REQUEST, TOO_LARGE, RefusedError
from ..bodies import false_alarm_rate
from ..grid import PHASE, refuse_off_grid, stated_phase

MOST_STEPS = 1000  # of one request: they are computed one after the other
_STEP_KEYS = ("value", "values", "time")
_KEYS = (*_STEP_KEYS, "steps", "adapt", "restart", "false_alarm_rate", PHASE)
_TIME = "expected unix seconds, or ISO 8601 with a zone, such as 2026-01-31T08:00:00Z"


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step: `values` (measured,) raw, NaN where one is missing; `time` unix seconds (UTC)."""

    values: tuple[float, ...]
    time: int


@dataclass(frozen=True, kw_only=True)
class Push:
    """A request.

    steps    oldest first
    several  they came as a list, and are answered as one
    adapt, false_alarm_rate  as for `pulsecast.step`
    restart  forget what was kept, and begin with the first of `steps`
    phase_s  seconds of every step after a multiple of the model's step; None if the request does not say
    """

    steps: tuple[Step, ...]
    several: bool
    adapt: bool = False
    restart: bool = False
    false_alarm_rate: float | None = None
    phase_s: int | None = None


def read_push(document: object, spec: ModelSpec) -> Push:
    """Return what a request pushes; raises RefusedError (400, 413)."""
    body = _object("the request", document, _KEYS)
    several = "steps" in body
    if several and (beside := [key for key in _STEP_KEYS if key in body]):
        raise RefusedError(BAD_REQUEST, f"steps and {beside[0]} stand side by side; send one of them", param="steps")
    steps = _steps(body["steps"], spec) if several else (_step("", body, spec),)
    phase_s = stated_phase(body, spec.step_s)
    for place, one in enumerate(steps):
        name = f"steps[{place}].time" if several else "time"
        refuse_off_grid(name, one.time, spec.step_s, stated=phase_s, trained=None)
    return Push(
        steps=steps, several=several, adapt=_flag(body, "adapt"), restart=_flag(body, "restart"),
        false_alarm_rate=false_alarm_rate(body), phase_s=phase_s,
    )  # fmt: skip


def _steps(given: object, spec: ModelSpec) -> tuple[Step, ...]:
    if not isinstance(given, list) or not given:
        raise RefusedError(BAD_REQUEST, "steps is not a list of at least one step, oldest first", param="steps")
    if len(given) > MOST_STEPS:
        raise RefusedError(TOO_LARGE, f"steps has {len(given):,} steps; expected at most {MOST_STEPS:,}", param="steps")
    return tuple(_step(f"steps[{i}].", _object(f"steps[{i}]", one, _STEP_KEYS), spec) for i, one in enumerate(given))


def _object(name: str, value: object, keys: tuple[str, ...]) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise RefusedError(BAD_REQUEST, f"{name} is not an object of JSON", param=name)
    if unknown := [key for key in value if key not in keys]:
        raise RefusedError(
            BAD_REQUEST, f"{name} has {', '.join(map(shown, unknown[:3]))}; expected {', '.join(keys)}", param=name
        )
    return value


def _step(where: str, given: Mapping[str, Any], spec: ModelSpec) -> Step:
    return Step(values=_values(where, given, spec), time=_time(f"{where}time", given))


def _values(where: str, given: Mapping[str, Any], spec: ModelSpec) -> tuple[float, ...]:
    if ("value" in given) == ("values" in given):
        both = "value and values stand side by side" if "value" in given else "value is missing"
        raise RefusedError(BAD_REQUEST, f"{where}{both}; {_expected(spec)}", param=f"{where}value")
    name = "value" if "value" in given else "values"
    found = given[name] if name == "values" else [given[name]]
    if not isinstance(found, list) or len(found) != spec.measured:
        raise RefusedError(
            BAD_REQUEST, f"{where}{name} is {shown(given[name])}; {_expected(spec)}", param=f"{where}{name}"
        )
    return tuple(_number(f"{where}{name}", one) for one in found)


def _expected(spec: ModelSpec) -> str:
    if spec.measured == 1:
        return "expected a number, or null for a step that is known to be missing"
    return f"expected values, {spec.measured} numbers or nulls: {', '.join(spec.measured_names)}"


def _number(name: str, given: object) -> float:
    if given is None:
        return math.nan
    if type(given) is not float and type(given) is not int:
        raise RefusedError(BAD_REQUEST, f"{name} is {shown(given)}; expected a number, or null", param=name)
    if not -LARGEST_FLOAT32 <= given <= LARGEST_FLOAT32:
        raise RefusedError(BAD_REQUEST, f"{name} is beyond float32", param=name)
    return float(given)


def _time(name: str, given: Mapping[str, Any]) -> int:
    time = given.get("time")
    if time is None:
        raise RefusedError(BAD_REQUEST, f"{name} is missing; {_TIME}", param=name)
    if type(time) is int:
        return time
    try:
        return iso_whole_seconds(time)
    except ValueError as error:
        raise RefusedError(BAD_REQUEST, f"{name} {shown(time)} {error}; {_TIME}", param=name) from None


def _flag(body: Mapping[str, Any], name: str) -> bool:
    given = body.get(name, False)
    if type(given) is not bool:
        raise RefusedError(BAD_REQUEST, f"{name} is {shown(given)}; expected true or false", param=name)
    return given

"""What a message says: the values of one step of one series."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from pulsecast.foundation.arguments import shown
from pulsecast.limits import TEXT_CHARACTERS
from pulsecast.model.spec import ModelSpec
from pulsecast.model.windows import LARGEST_FLOAT32
from pulsecast.plain_text import Problems

from ..policies import Policies
from ..refusal import RefusedError
from .reading import read_object
from .received import Received
from .times import is_checked, read_time, refuse_ahead

FIELDS = ("series", "time", "value", "values")
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One step: `values` (measured,) are raw, NaN where a column is known to be missing; `time` is in unix seconds.

    `sure` says that the broker's clock has shown that the time is not ahead.
    """

    series: str
    time: int
    values: tuple[float, ...]
    sure: bool


def read_measurement(received: Received, spec: ModelSpec, policies: Policies) -> Measurement:
    """Return what a message says; raises RefusedError that lists all that is wrong with it."""
    body = read_object(received.value, policies.message_bytes)
    try:
        _known_fields(body, policies)
        return Measurement(
            series=named_series(received.key, body.get("series")),
            time=_time(body, received.arrived_s, spec, policies),
            values=_values(body, spec),
            sure=is_checked(received, policies.ahead_s),
        )
    except RefusedError:
        raise _all_refused(body, received, spec, policies) from None


def _all_refused(body: dict[str, Any], received: Received, spec: ModelSpec, policies: Policies) -> RefusedError:
    """Return an error that lists all that is wrong with a message."""
    refused: list[RefusedError] = []
    tried(refused, lambda: _known_fields(body, policies))
    tried(refused, lambda: named_series(received.key, body.get("series")))
    tried(refused, lambda: _time(body, received.arrived_s, spec, policies))
    tried(refused, lambda: _values(body, spec))
    return RefusedError(refused[0].code, str(Problems(str(one) for one in refused)))


def series_of(received: Received, policies: Policies) -> str | None:
    """Return the name under which a broker without keys keeps the state; None if the message does not say it rightly.

    What `answer` refuses may have a name here: its state stays as it is.
    """
    try:
        field = read_object(received.value, policies.message_bytes).get("series") if received.key is None else None
        return named_series(received.key, field)
    except RefusedError:
        return None


def tried(refused: list[RefusedError], read: Callable[[], T]) -> T | None:
    """Return what `read` returns; None if it refuses, and `refused` has why then."""
    try:
        return read()
    except RefusedError as error:
        refused.append(error)
        return None


def known_fields(body: dict[str, Any], fields: tuple[str, ...]) -> None:
    """Raise RefusedError if a message has a field that is none of `fields`."""
    unknown = [name for name in body if name not in fields]
    if unknown:
        raise RefusedError("schema", f"the message has a field {shown(unknown[0])}; expected {', '.join(fields)}")


def _known_fields(body: dict[str, Any], policies: Policies) -> None:
    if policies.unknown_fields == "dead-letter":
        known_fields(body, FIELDS)


def named_series(key: bytes | str | None, field: object) -> str:
    """Return the name of the series: the key, or the field; both say the same where both are there."""
    try:
        name = key.decode("utf-8") if isinstance(key, bytes) else key
    except UnicodeDecodeError:
        raise RefusedError("series", f"the key {shown(key)} is not UTF-8 text; expected the series' name") from None
    if field is not None and not isinstance(field, str):
        raise RefusedError("series", f"series is {shown(field)}; expected its name as text")
    if name is not None and field is not None and name != field:
        raise RefusedError("series", f"the key is {shown(name)} and series is {shown(field)}; which one is meant?")
    found = field if name is None else name
    if not found:
        raise RefusedError("series", "the message has no key; expected the series' name")
    if len(found) > TEXT_CHARACTERS or any("\ud800" <= one <= "\udfff" for one in found):
        raise RefusedError(
            "series", f"the series is called {shown(found)}; expected text of 1 to {TEXT_CHARACTERS} characters"
        )
    return found


def _time(body: dict[str, Any], arrived_s: float | None, spec: ModelSpec, policies: Policies) -> int:
    if "time" not in body:
        raise RefusedError("time", "time is missing; expected whole unix seconds, or ISO 8601 with a zone")
    time = read_time(body["time"])
    refuse_ahead(time, arrived_s, policies.ahead_s)
    if policies.phase_s is not None:
        refuse_off_grid(time, spec.step_s, policies.phase_s)
    return time


def refuse_off_grid(time: int, step_s: int, phase_s: int) -> None:
    """Raise RefusedError unless `time` is `phase_s` seconds after a multiple of the step."""
    if (time - phase_s) % step_s:
        raise RefusedError(
            "grid",
            f"time {time} is {time % step_s} s after a whole step of {step_s} s; expected {phase_s % step_s} "
            f"(phase_s): correct the time, or state its phase (--phase {time % step_s})",
        )


def _values(body: dict[str, Any], spec: ModelSpec) -> tuple[float, ...]:
    """Return the values (measured,) of `value`, or of `values`."""
    given = [name for name in ("value", "values") if name in body]
    if len(given) != 1:
        said = "value is missing" if not given else "value and values are both there"
        raise RefusedError("value", f"{said}; {_expected(spec)}")
    name, found = given[0], body[given[0]]
    if found is None:
        return (math.nan,) * spec.measured
    if name == "value":
        if spec.measured != 1:
            raise RefusedError("value", f"value is one number; {_expected(spec)}")
        return (number("value", found),)
    if not isinstance(found, list) or len(found) != spec.measured:
        count = f"has {len(found)} numbers" if isinstance(found, list) else f"is {shown(found)}"
        raise RefusedError("value", f"values {count}; {_expected(spec)}")
    return tuple(math.nan if one is None else number(f"values[{i}]", one) for i, one in enumerate(found))


def _expected(spec: ModelSpec) -> str:
    if spec.measured == 1:
        return "expected a number in value, or null for a step that is known to be missing"
    return f"expected a list of {spec.measured} numbers in values: {', '.join(spec.measured_names)}"


def number(name: str, given: object) -> float:
    """Return a number of JSON as a float; raises RefusedError, of text and booleans too."""
    if type(given) is not float and type(given) is not int:
        raise RefusedError("value", f"{name} is {shown(given)}; expected a number")
    if not -LARGEST_FLOAT32 <= given <= LARGEST_FLOAT32:  # NaN and infinity of MessagePack, too
        raise RefusedError("value", f"{name} is {shown(given)}; expected a finite number that float32 holds")
    return float(given)

"""Anomalies in a series that is sent whole: each step judged by the steps before it, as `Forecaster.detector` does."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from pulsecast.bundle.manifest import Manifest
from pulsecast.computing.calendars import utc_text
from pulsecast.forecasting.departures import Anomaly
from pulsecast.foundation.arguments import shown
from pulsecast.model.windows import LARGEST_FLOAT32

from ..models.served import Served
from ..refusal import BAD_REQUEST, RefusedError
from ..serving import AT_ONCE, Serving
from .bodies import false_alarm_rate, written
from .grid import PHASE
from .inflating import json_body
from .operation import error_body
from .protocol import Address, Protocol
from .timeseries_request import check_frequency, last_time, split_name
from .timeseries_schema import ANOMALIES_REQUEST, ANOMALIES_RESPONSE
from .timeseries_words import row_of

_MOST_STEPS = 50_000  # some seconds of work
_KEYS = {"model", "series", "name", "frequency", "step_seconds", "start_timestamp", PHASE, "false_alarm_rate"}


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """A series: a value for each step, NaN where there is none, and the time of the first one."""

    values: list[float]
    first: int | None
    series: object
    rate: float | None


async def judge(serving: Serving, request: Request) -> Response:
    """Answer which steps of a series are unusual."""
    body = await json_body(serving, request)
    if not isinstance(body, dict) or not isinstance(body.get("model"), str):
        raise RefusedError(BAD_REQUEST, "model is missing; expected an object with the name of a model", param="model")
    name, version, label = split_name(body["model"])
    served = serving.models.find(name, version=version, label=label)
    asked = _read(body, served)
    # as much work as so many windows, and never in the way of a forecast
    steps = len(asked.values)
    return written(await serving.run(max(AT_ONCE + 1, steps // 100), lambda: _judged(served, asked)))


def _read(body: Mapping[str, Any], served: Served) -> _Asked:
    spec = served.model.manifest.spec
    if unknown := sorted(body.keys() - _KEYS):
        raise RefusedError(
            BAD_REQUEST,
            f"there is no {shown(unknown[0])}; expected some of {', '.join(sorted(_KEYS))}",
            param=unknown[0],
        )
    check_frequency(body, spec)
    series = body.get("series")
    if not isinstance(series, list) or not 0 < len(series) <= _MOST_STEPS:
        raise RefusedError(
            BAD_REQUEST, f"series is missing or too long; expected 1 to {_MOST_STEPS:,} values", param="series"
        )
    last = last_time(body, len(series), served.model)
    row = row_of(served, body)
    table = served.model.series
    return _Asked(
        values=_values(series, served.model.manifest),
        first=None if last is None else last - (len(series) - 1) * spec.step_s,
        series=None if table is None else table.names.name(row),
        rate=false_alarm_rate(body),
    )


def _values(series: list[Any], manifest: Manifest) -> list[float]:
    """Return the values that are judged; null is a step that is known to be missing."""
    spec = manifest.spec
    least = 0.0 if manifest.scaler.features[0].transform == "log1p" else -LARGEST_FLOAT32
    if spec.measured != 1:
        raise RefusedError(
            BAD_REQUEST, f"this model has {spec.measured} columns; a series of one column is judged here", param="model"
        )
    for place, one in enumerate(series):
        if one is not None and type(one) is not float and type(one) is not int:
            raise RefusedError(
                BAD_REQUEST, f"series[{place}] is {shown(one)}; expected a number or null", param="series"
            )
        if one is not None and not least <= one <= LARGEST_FLOAT32:
            what = (
                "beyond float32" if abs(one) > LARGEST_FLOAT32 else f"below {least:g}, which this model does not take"
            )
            raise RefusedError(BAD_REQUEST, f"series[{place}] is a number {what}", param="series")
    return [math.nan if one is None else float(one) for one in series]


def _judged(served: Served, asked: _Asked) -> dict[str, object]:
    """Return the judgement of every step, and those that are unusual once more with their times."""
    step_s = served.model.manifest.spec.step_s
    detector = served.model.detector(series=asked.series, false_alarm_rate=asked.rate)
    times = [None if asked.first is None else asked.first + i * step_s for i in range(len(asked.values))]
    found = [detector.push(value, timestamp=time) for value, time in zip(asked.values, times, strict=True)]
    return {
        "model": served.name,
        "model_version": str(served.version),
        "false_alarm_rate": detector.false_alarm_rate,
        "judged": sum(math.isfinite(one.upper) or one.anomalous for one in found),
        "forecast": _numbers(one.forecast for one in found),
        "lower": _numbers(one.lower for one in found),
        "upper": _numbers(one.upper for one in found),
        "anomalies": [_described(i, times[i], one) for i, one in enumerate(found) if one.anomalous],
    }


def _described(place: int, time: int | None, one: Anomaly) -> dict[str, object]:
    return {
        "step": place,
        "time": None if time is None else utc_text(time),
        "value": one.value,
        "forecast": _number(one.forecast),
        "score": _number(one.score),
        "alarm": one.alarm,
        "reason": one.reason,
    }


def _numbers(numbers: Iterable[float]) -> list[float | None]:
    return [_number(one) for one in numbers]


def _number(one: float) -> float | None:
    """Return a number with six digits, None for one that is not known or infinite."""
    return float(f"{one:.6g}") if math.isfinite(one) else None


PROTOCOL = Protocol(
    name="anomalies",
    paths=re.compile(r"/v1/anomalies(?:/|$)"),
    error=error_body,
    addresses=(
        Address(
            method="POST",
            path="/v1/anomalies",
            name="anomalies.judge",
            answer=judge,
            request=ANOMALIES_REQUEST,
            response=ANOMALIES_RESPONSE,
        ),
    ),
)

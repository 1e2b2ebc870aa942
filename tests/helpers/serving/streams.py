"""Streams in tests: steps of the usual series, and what must be answered to them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from helpers import plain
from pulsecast import Anomaly, Forecaster, Stepped, step
from pulsecast_serve.streams.kept import Change, Kept, Key
from pulsecast_serve.streams.store import Store, open_store
from pulsecast_serve.streams.streams import Streams

START, HOUR = plain.START_S, plain.STEP_S
VALUES: list[float] = plain.series().tolist()


def address(series: str = "a", model: str = "plain") -> str:
    """Return the address of a series that needs no encoding."""
    return f"/v1/streams/{model}/{series}"


def pushes(numbers: Iterable[int]) -> list[dict[str, Any]]:
    """Return steps of the usual series as they are pushed."""
    return [{"value": VALUES[i], "time": START + i * HOUR} for i in numbers]


def stepped(model: Forecaster, sent: Sequence[Mapping[str, Any]], state: bytes | None = None, **options: Any) -> Any:
    """Return what `pulsecast.step` gives for each of `sent`, in process."""
    found = []
    for one in sent:
        value = math.nan if one["value"] is None else one["value"]
        found.append(step(model, state, value, one["time"], **options))
        state = found[-1].state
    return found


def same_numbers(answered: Sequence[float | None] | None, expected: NDArray[Any] | None) -> bool:
    """Return whether an answer has these float32 numbers, bit for bit; null stands for what is not finite."""
    if expected is None or not np.isfinite(expected).all():
        return answered is None
    return answered is not None and np.array_equal(np.array(answered, np.float32), expected.astype(np.float32))


def same_anomaly(answered: Mapping[str, Any] | None, expected: Anomaly | None) -> bool:
    """Return whether an answer judges a step as `expected` does, to the last bit."""
    if answered is None or expected is None:
        return answered is expected

    def number(name: str) -> float:
        found = answered[name]
        return math.nan if found is None else found

    for name in ("value", "lower", "upper", "score"):
        wanted = getattr(expected, name)
        if number(name) != wanted and (math.isfinite(wanted) or answered[name] is not None):
            return False
    forecast = np.float32(number("expected"))
    words = ("anomalous", "alarm", "reason")
    return bool(
        (forecast == np.float32(expected.forecast) or np.isnan(forecast) == math.isnan(expected.forecast))
        and all(answered[word] == getattr(expected, word) for word in words)
    )


def same(answered: Mapping[str, Any], expected: Stepped) -> bool:
    """Return whether an answer says of a step what `pulsecast.step` gave."""
    forecast, interval = expected.forecast, answered["interval"] or {}
    adapted = answered["adapted"] or {"forecast": None, "interval": None}
    bounds = adapted["interval"] or {}
    known = np.isfinite(forecast.forecast).all()
    return (
        (answered["arrival"], answered["missing"]) == (forecast.arrival, forecast.missing)
        and same_numbers(answered["forecast"], forecast.forecast)
        and same_numbers(interval.get("lower"), forecast.lower if known else None)
        and same_numbers(interval.get("upper"), forecast.upper if known else None)
        and same_numbers(adapted["forecast"], forecast.adapted)
        and same_numbers(bounds.get("lower"), forecast.adapted_lower if known else None)
        and same_anomaly(answered["anomaly"], expected.anomaly)
    )


def other_model(folder: Path, **changes: Any) -> Path:
    """Write a bundle of another model that takes the same columns at the same step, unless `changes` of its spec."""
    spec = replace(plain.CHANGE_SPEC, **({"units": (9, 8), "network": None} | changes))
    plain.write_bundle(folder, plain.make_model(spec))
    return folder


def kept(state: bytes = b"state", **more: Any) -> Kept:
    """Return what a store may keep."""
    return Kept(**({"began": 1, "time": 2, "digest": "d", "state": state, "answer": b"{}"} | more))


def following(where: str) -> Streams:
    """Return the streams of a store that is named as `--store` does."""
    return Streams(lambda: open_store(where), most=9, age_days=None)


def put(store: Store, key: Key, change: Change) -> None:
    """Keep a change by itself."""
    with store.changing() as writing:
        writing.put(key, change)

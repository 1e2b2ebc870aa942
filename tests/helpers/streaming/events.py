"""Single events of several series, in the order in which they arrive, and what a log of them forecasts."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from helpers import plain
from pulsecast import Forecaster
from pulsecast_train import LogConfig, read_log

HOURS, LATE_S = 96, 1800
BEGIN = plain.START_S


class Event(NamedTuple):
    """An event: seconds since BEGIN at which it happened, and at which it arrives."""

    arrives: float
    seconds: float
    series: str
    id: str

    @property
    def data(self) -> bytes:
        return json.dumps({"time": round(BEGIN + self.seconds, 3), "id": self.id}).encode()


def events(series: str, seed: int, *, per_hour: float = 3.0) -> list[Event]:
    """Return events of four days, none at night; each arrives within the lateness, and every tenth comes twice."""
    rng = random.Random(seed)
    found = []
    for n in range(int(HOURS * per_hour)):
        seconds = round(rng.uniform(0, HOURS * 3600), 3) if n else 0.5
        if int(seconds // 3600) % 24 not in (2, 3):
            found.append(Event(seconds + rng.uniform(0, LATE_S), seconds, series, f"e{n}"))
    found += [one._replace(arrives=rng.uniform(one.arrives, one.seconds + LATE_S)) for one in found[::10]]
    return sorted(found)


def late(series: str) -> Event:
    """Return an event whose step was said long before it arrives."""
    return Event(40 * 3600.0, 20 * 3600.0, series, "too late")


def conflict(found: list[Event]) -> Event:
    """Return an event with the id of another one that has just arrived, and another time."""
    one = found[len(found) // 2]
    return one._replace(arrives=one.arrives + 0.001, seconds=one.seconds + 1.0)


def counts(found: list[Event], folder: Path) -> np.ndarray:
    """Return what `train --events` counts of the events in a log, from BEGIN (steps,)."""
    lines = [f"{BEGIN + one.seconds:.3f},{one.id}" for one in found]
    path = folder / f"{found[0].series}.csv"
    path.write_text("\n".join(["time,id", *lines]))
    config = LogConfig(
        events=True, time="time", time_format="epoch-s", id="id", timezone="UTC", max_gap=0, maturity="0", step="1h",
        kind="count",
    )  # fmt: skip
    (read,) = read_log([path], config).series
    assert read.start_s == BEGIN
    return read.values[:, 0]


def check(model: Forecaster, records: list[dict[str, Any]], wanted: dict[str, np.ndarray], steps: int) -> None:
    """Fail unless each series has the forecast that `predict` makes of its log at each of its first `steps` steps."""
    context = model.manifest.spec.context
    by_series: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for one in records:
        by_series[one["series"]].append(one)
    assert by_series.keys() == wanted.keys()
    for series, values in wanted.items():
        said = by_series[series][:steps]
        assert [one["time"] for one in said] == [BEGIN + 3600 * n for n in range(steps)]
        assert {(one["arrival"], one["missing"]) for one in said} == {("next", 0)}
        for n, one in enumerate(said):
            if n + 1 < context:
                assert one["forecast"] is None
                continue
            window = values[n + 1 - context : n + 1].astype(np.float32)
            expected = model.predict(window, timestamps=BEGIN + 3600 * n)
            np.testing.assert_allclose(one["forecast"], np.ravel(expected), rtol=1e-5)
        assert sum(one["forecast"] is not None for one in said) > 10

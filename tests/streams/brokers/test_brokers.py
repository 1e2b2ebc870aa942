"""Streams on real brokers: the numbers of `pulsecast.step`, whatever is killed meanwhile."""

from __future__ import annotations

import base64
import json
from typing import Any, NamedTuple

import numpy as np
import pytest

from helpers import plain
from helpers.brokers.servers import WAIT_S, Redis, Server
from pulsecast import Forecaster, step
from streams.brokers.conftest import Start

pytestmark = pytest.mark.slow

RATE, STEPS, BURST = 0.05, 105, 95
SERIES = ("likes", "shares")
Records = list[dict[str, Any]]


def value(series: str, n: int) -> float:
    """Return the value of a step: each series begins at another place of the column and has a burst."""
    return float(plain.series()[n + 9 * SERIES.index(series)]) * (60 if n == BURST else 1)


def time_of(n: int) -> int:
    return plain.START_S + plain.STEP_S * n


def messages() -> list[tuple[str, bytes]]:
    return [
        (series, json.dumps({"time": time_of(n), "value": value(series, n)}).encode())
        for n in range(STEPS)
        for series in SERIES
    ]


class Expected(NamedTuple):
    """What `step` says: of each series a forecast for each step, and the times of its alarms."""

    forecasts: dict[str, list[Any]]
    alarms: dict[str, list[int]]

    @property
    def flagged(self) -> int:
        return sum(map(len, self.alarms.values()))


@pytest.fixture(scope="module")
def expected(model: Forecaster) -> Expected:
    found = Expected({}, {})
    for series in SERIES:
        state, steps = None, []
        for n in range(STEPS):
            rate = RATE if state is None else None
            steps.append(step(model, state, value(series, n), time_of(n), false_alarm_rate=rate))
            state = steps[-1].state
        found.forecasts[series] = [one.forecast.forecast for one in steps]
        found.alarms[series] = [one.forecast.time for one in steps if one.anomaly is not None and one.anomaly.alarm]
        assert time_of(BURST) in found.alarms[series]
    return found


def check(expected: Expected, found: Records, alarms: Records) -> None:
    """Fail unless each series has the forecast of every step, in order, and its alarms."""
    for series in SERIES:
        records = [one for one in found if one["series"] == series]
        assert [one["time"] for one in records] == [time_of(n) for n in range(STEPS)]
        for record, forecast in zip(records, expected.forecasts[series], strict=True):
            assert (record["arrival"] in ("next", "repeated"), record["missing"]) == (True, 0)
            if record["forecast"] is None:
                assert np.isnan(forecast).all()
            else:
                np.testing.assert_array_equal(np.float32(record["forecast"]), forecast)
        assert sum(one["forecast"] is not None for one in records) > 10
        assert [one["time"] for one in alarms if one["series"] == series] == expected.alarms[series]


def without_repeats(records: Records) -> Records:
    """Return records as they came first; fails if a repeat differs in more than how its message arrived."""
    found: dict[tuple[str, int], dict[str, Any]] = {}
    for record in records:
        first = found.setdefault((record["series"], record["time"]), record)
        assert {**record, "arrival": None} == {**first, "arrival": None}
    return list(found.values())


def test_a_stream_says_what_step_says_and_a_stop_keeps_what_comes_meanwhile(
    expected: Expected, server: Server, name: str, start: Start
) -> None:
    one, everything = start(), messages()
    for series, data in everything[:100]:
        server.send(name, series, data)
    found = server.read(f"{name}-forecasts", 100)
    assert one.stop() == 0, one.said
    for series, data in everything[100:150]:
        server.send(name, series, data)
    start()
    for series, data in everything[150:]:
        server.send(name, series, data)
    found += server.read(f"{name}-forecasts", len(everything) - 100)
    check(expected, found, server.read(f"{name}-alarms", expected.flagged))


def read_all(server: Server, topic: str, count: int, before: Records) -> Records:
    """Return more records until `count` different ones are there."""
    found: Records = []
    while len(without_repeats([*before, *found])) < count:
        found += server.read(topic, 1)
    return found


def test_a_killed_stream_goes_on_with_none_missing_and_repeats_alike(
    expected: Expected, server: Server, name: str, start: Start
) -> None:
    one, everything, found = start(), messages(), []
    for series, data in everything:
        server.send(name, series, data)
    for count in (37, 90):
        found += server.read(f"{name}-forecasts", count - len(found))
        one.kill()
        one = start()
    found += read_all(server, f"{name}-forecasts", len(everything), found)
    alarms = read_all(server, f"{name}-alarms", expected.flagged, [])
    check(expected, without_repeats(found), without_repeats(alarms))


@pytest.mark.parametrize("server", ["redis"], indirect=True)
def test_a_stream_of_redis_that_is_gone_is_a_failure(server: Redis, name: str, start: Start) -> None:
    one = start()
    server.client.delete(name)
    assert one.process is not None
    assert one.process.wait(WAIT_S) == 1
    assert "ended the subscription: its stream or group is gone" in "".join(one.said)


def test_poison_becomes_dead_letters_and_the_stream_goes_on(server: Server, name: str, start: Start) -> None:
    start()
    poison = [b"\xff\xfe", b"", b"[" * 60_000, b"x" * 70_000, b'{"time": 1736121600, "value": "7"}']
    good = messages()[0][1]
    for data in (*poison, good):
        server.send(name, "likes", data)
    (forecast,) = server.read(f"{name}-forecasts", 1)
    assert (forecast["series"], forecast["time"], forecast["arrival"]) == ("likes", time_of(0), "next")
    letters = server.read(f"{name}-dead-letters", len(poison))
    assert [base64.b64decode(one["value"]) for one in letters] == poison
    assert all(base64.b64decode(one["key"]) == b"likes" and one["reason"] for one in letters)
    assert [one["code"] for one in letters] == ["unreadable"] * 4 + ["value"]

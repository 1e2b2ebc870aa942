"""Single events on a real broker, counted exactly once: the forecasts of a log of the same events."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path

import numpy as np
import pytest

from helpers.engines import require
from helpers.streaming.events import BEGIN, HOURS, LATE_S, Event, check, conflict, counts, events, late
from helpers.streaming.kafka import Broker, until
from helpers.streaming.streams import Streaming
from pulsecast import Forecaster

pytestmark = pytest.mark.slow
require("polars")
COUNTED = ("--exactly-once", "--events", "--of", "events", "--lateness", str(LATE_S), "--tick", "3600")


def send(broker: Broker, topic: str, found: list[Event]) -> None:
    """Write events, each with the time at which it arrives."""
    for one in found:
        broker.queue(topic, one.series, one.data, round(1000 * (BEGIN + one.arrives)))
    broker.flush()


def tick(broker: Broker, topic: str, hours: float, partitions: int) -> None:
    """Send the ticks that the stream's own clock sends at that time."""
    for partition in range(partitions):
        time_ms = round(1000 * (BEGIN + 3600 * hours))
        broker.queue(f"{topic}-group-{topic}-ticks", str(partition), b"", time_ms, partition=partition)
    broker.flush()


def test_live_counts_forecast_what_their_log_forecasts_over_a_kill_and_ticks(
    broker: Broker, streaming: Streaming, model: Forecaster, tmp_path: Path
) -> None:
    """`shares` falls silent after two days: the ticks alone complete its steps then, in their order among events."""
    topic = broker.topic(partitions=2)
    likes = events("likes", 1)
    shares = [one for one in events("shares", 2) if one.seconds < 48 * 3600]
    arriving = sorted([*likes, *shares, late("likes"), conflict(likes)])
    half = [one for one in arriving if one.arrives < 60 * 3600]
    one = streaming(topic, *COUNTED)
    until(lambda: broker.has(f"{topic}-group-{topic}-ticks"), "the topic of ticks")
    send(broker, topic, half)
    tick(broker, topic, 60, 2)
    broker.read(f"{topic}-forecasts", 100)
    one.kill()
    send(broker, topic, arriving[len(half) :])
    tick(broker, topic, HOURS + 1, 2)
    streaming(topic, *COUNTED)
    records = broker.read(f"{topic}-forecasts", 2 * HOURS)
    assert len(records) == 2 * HOURS
    log = {"likes": counts(likes, tmp_path)[: HOURS - 1]}
    check(model, [one for one in records if one["series"] == "likes"], log, HOURS - 1)
    quiet = np.zeros(HOURS)
    quiet[:47] = counts(shares, tmp_path)[:47]
    quiet[47] = len({one.id for one in shares if one.seconds >= 47 * 3600})
    check(model, [one for one in records if one["series"] == "shares"], {"shares": quiet}, HOURS)
    letters = broker.read(f"{topic}-dead-letters", 2)
    assert sorted(one["code"] for one in letters) == ["conflict", "late"]
    assert {base64.b64decode(one["key"]) for one in letters} == {b"likes"}
    assert {json.loads(base64.b64decode(one["value"]))["id"] for one in letters} == {"too late", conflict(likes).id}
    assert {one["source"]["topic"] for one in letters} == {topic}


def test_the_clock_of_a_stream_ticks_by_itself(broker: Broker, streaming: Streaming) -> None:
    """An event of an hour ago that arrived at once: its step is complete by now, and no event says so."""
    topic = broker.topic(partitions=1)
    begin = int(time.time() - 7200) // 3600 * 3600
    broker.queue(topic, "likes", json.dumps({"time": begin}).encode(), 1000 * begin)
    broker.flush()
    streaming(topic, "--events", "--of", "events", "--tick", "0.2")
    (first,) = broker.read(f"{topic}-forecasts", 1)[:1]
    assert (first["series"], first["time"]) == ("likes", begin)

"""Consumers and broker killed at random moments, exactly once: forecasts and alarms equal an undisturbed run."""

from __future__ import annotations

import random
import signal

import pytest

from helpers.streaming.kafka import Broker, until
from helpers.streaming.streams import RATE, Expected, Stream, Streaming, by_series, measurements
from pulsecast import Forecaster
from pulsecast_streams import Policies

pytestmark = [pytest.mark.slow, pytest.mark.soak]

CONSUMERS = ("one", "two")
HOURS_S = 3 * 3600.0


@pytest.mark.parametrize(("series", "steps", "kills"), [(100, 200, 5), (200, 1000, 20)], ids=["middle", "large"])
def test_nothing_is_missing_and_nothing_comes_twice(
    series: int, steps: int, kills: int, broker: Broker, streaming: Streaming, model: Forecaster
) -> None:
    chance = random.Random(series * steps)
    messages = measurements([f"series {i}" for i in range(series)], steps)
    topic = broker.topic(partitions=8)
    broker.send(topic, messages)
    running = {name: streaming(topic, "--exactly-once", name=name) for name in CONSUMERS}
    killed = []
    for moment in sorted(chance.sample(range(len(messages) // 50, len(messages)), kills)):
        until(lambda moment=moment: supervised(running) and broker.written(f"{topic}-forecasts") >= moment,
              f"{moment} forecasts after {killed}", HOURS_S)  # fmt: skip
        victim = chance.choice((*CONSUMERS, "broker"))
        killed.append(victim)
        if victim == "broker":
            broker.stop(signal.SIGKILL)
            broker.start()
        else:
            running[victim].kill()
    assert len(killed) == kills
    expected = Expected().take(model, messages, Policies(false_alarm_rate=RATE))
    for kind, wanted in (("forecasts", expected.forecasts), ("alarms", expected.alarms)):
        count = sum(map(len, wanted.values()))
        until(lambda kind=kind, count=count: supervised(running) and broker.written(f"{topic}-{kind}") >= count,
              f"{count} {kind}", HOURS_S)  # fmt: skip
        found = by_series(broker.read(f"{topic}-{kind}", count))
        assert {name: len(records) for name, records in found.items()} == {
            name: len(records) for name, records in wanted.items() if records
        }
        assert all(found[name] == wanted[name] for name in found)


def supervised(running: dict[str, Stream]) -> bool:
    """Start again what ended, as systemd or Kubernetes does."""
    for one in running.values():
        if one.ended:
            one.start()
    return True

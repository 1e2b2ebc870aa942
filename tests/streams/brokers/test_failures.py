"""Failure by failure on real brokers, as the table of the README states it; kills are in `test_brokers`."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from helpers.brokers.servers import WAIT_S, Redis, Server
from helpers.streaming.streams import Expected, message
from pulsecast import Forecaster, load
from pulsecast_streams import Policies
from streams.brokers.conftest import Start

pytestmark = pytest.mark.slow
RATED = Policies(false_alarm_rate=0.05)


def test_a_clock_that_jumps_is_a_dead_letter_and_a_new_bundle_goes_on_with_the_steps_of_the_old_one(
    server: Server, name: str, start: Start, model: Forecaster, linear_bundle: Path
) -> None:
    messages = [("likes", message(n, 200 + n % 24)) for n in range(100)]
    one = start()
    for series, data in messages[:80]:
        server.send(name, series, data)
    server.send(name, "likes", json.dumps({"time": int(time.time()) + 200_000, "value": 1}).encode())
    server.send(name, *messages[80])
    found = server.read(f"{name}-forecasts", 81)
    (letter,) = server.read(f"{name}-dead-letters", 1)
    assert letter["code"] == "time"
    assert "after the broker got the message" in letter["reason"]
    assert one.stop() == 0, one.said
    expected = Expected().take(model, messages[:81], RATED)
    newer = load(linear_bundle, backend="numpy")
    start(bundle=linear_bundle)
    for series, data in messages[81:]:
        server.send(name, series, data)
    found += server.read(f"{name}-forecasts", 19)
    expected.take(newer, messages[81:], RATED)
    assert found == expected.forecasts["likes"]
    assert found[-1]["version"] == newer.manifest.model_digest[:12] != found[0]["version"]
    assert None not in (one["forecast"] for one in found[75:])


@pytest.mark.parametrize("server", ["redis"], indirect=True)
def test_a_full_disk_ends_the_stream_and_with_room_again_it_goes_on_where_it_was(
    server: Redis, name: str, start: Start, model: Forecaster
) -> None:
    """The limit of a file's size stands for the disk: SQLite hears the same from the system."""
    messages = [("likes", message(n, 200 + n % 24)) for n in range(100)]
    one = start(file_bytes=100_000)
    for series, data in messages:
        server.send(name, series, data)
    assert one.process is not None
    assert one.process.wait(WAIT_S) == 1
    said = "".join(one.said)
    assert "the file of states" in said
    assert "free its disk, and start again" in said
    begun = int(server.client.xlen(f"{name}-forecasts"))
    assert 5 < begun < 100
    start()
    found = {}
    for record in server.read(f"{name}-forecasts", 101):  # the step at work is said twice
        first = found.setdefault(record["time"], record)
        assert {**record, "arrival": None} == {**first, "arrival": None}
    assert list(found.values()) == Expected().take(model, messages, RATED).forecasts["likes"]


@pytest.mark.parametrize("server", ["mqtt", "redis", "nats"], indirect=True)
def test_a_second_process_of_a_group_is_refused(server: Server, name: str, start: Start, tmp_path: Path) -> None:
    """Each with states of its own would have half of the steps."""
    first = start()
    second = start(store=tmp_path / "other.db")
    assert second.process is not None
    assert second.process.wait(WAIT_S) == 1, second.said
    assert "which would take steps away" in "".join(second.said)
    server.send(name, "likes", message(0, 5))
    assert [one["series"] for one in server.read(f"{name}-forecasts", 1)] == ["likes"]
    assert first.stop() == 0, first.said

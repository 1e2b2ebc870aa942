"""MQTT 5 request and response on a real mosquitto: each request is answered once, to the one who asked."""

from __future__ import annotations

import json
import queue
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from helpers.brokers.servers import WAIT_S, Mosquitto
from helpers.engines import load
from helpers.streaming.events import BEGIN
from helpers.streaming.streams import message
from pulsecast import Forecaster
from pulsecast_streams import Received, answer
from streams.brokers.conftest import Start

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("server", ["mqtt"], indirect=True)]
Ask = Callable[..., tuple[bytes, dict[str, Any]]]


@pytest.fixture
def ask(server: Mosquitto, name: str) -> Iterator[Ask]:
    """Return a function that asks with paho-mqtt, and returns correlation data and answer."""
    mqtt, properties = load("paho.mqtt.client"), load("paho.mqtt.properties")
    types = load("paho.mqtt.packettypes").PacketTypes
    came: queue.SimpleQueue[tuple[bytes, bytes]] = queue.SimpleQueue()
    ready: queue.SimpleQueue[object] = queue.SimpleQueue()
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=f"{name}-asker", protocol=mqtt.MQTTv5)
    client.on_subscribe = lambda *_: ready.put(None)
    client.on_message = lambda _, __, one: came.put((getattr(one.properties, "CorrelationData", None), one.payload))
    client.connect("127.0.0.1", server.port)
    client.loop_start()
    client.subscribe(f"{name}-answers", 1)
    ready.get(timeout=WAIT_S)

    def asked(data: bytes, correlation: bytes, *, topic: str | None = None, wait: bool = True) -> Any:
        found = properties.Properties(types.PUBLISH)
        found.ResponseTopic, found.CorrelationData = topic or f"{name}-answers", correlation
        client.publish(f"{name}/likes", data, qos=1, properties=found).wait_for_publish(WAIT_S)
        if not wait:
            return came.empty()
        correlated, payload = came.get(timeout=WAIT_S)
        return correlated, json.loads(payload)

    yield asked
    client.loop_stop()


def test_a_request_is_answered_with_its_correlation_data_and_the_forecast_goes_out_too(
    model: Forecaster, server: Mosquitto, name: str, start: Start, ask: Ask
) -> None:
    start()
    state, sent = None, []
    for n in range(80):
        found = answer(model, Received(key="likes", value=message(n, 200 + n % 24)), state)
        state = found.state
        correlation = bytes([n, 0, 0xFF, 0xFE])  # any bytes, not text
        assert ask(message(n, 200 + n % 24), correlation) == (correlation, found.forecast)
        sent.append(found.forecast)
    assert sent[-1] is not None
    assert sent[-1]["forecast"] is not None
    assert server.read(f"{name}-forecasts", 80) == sent


def test_a_refused_request_is_answered_with_the_reason(
    model: Forecaster, server: Mosquitto, name: str, start: Start, ask: Ask
) -> None:
    start()
    ask(message(1, 5), b"1")
    for data, code in ((message(0, 5), "late"), (message(1, 7), "conflict"), (b"{}", "time"), (b"\xff", "unreadable")):
        correlated, said = ask(data, b"2")
        assert (correlated, said["code"]) == (b"2", code)
        assert server.read(f"{name}-dead-letters", 1) == [said]


def test_an_answer_that_would_come_in_as_a_message_is_a_dead_letter(
    server: Mosquitto, name: str, start: Start, ask: Ask
) -> None:
    start()
    for topic in (f"{name}/shares", f"{name}-forecasts", "$SYS/a"):
        assert ask(message(0, 5), b"1", topic=topic, wait=False)
        (letter,) = server.read(f"{name}-dead-letters", 1)
        assert letter["code"] == "schema"
        assert "is one of the stream's own" in letter["reason"]
    assert ask(message(0, 5), b"1")[1]["time"] == BEGIN


def test_an_event_that_is_asked_with_is_answered_before_its_step_is_complete(name: str, start: Start, ask: Ask) -> None:
    start(lateness_s=0)
    assert ask(json.dumps({"time": BEGIN}).encode(), b"1")[1]["code"] == "waiting"
    said = ask(json.dumps({"time": BEGIN + 7200}).encode(), b"2")[1]
    assert (said["series"], said["time"]) == ("likes", BEGIN + 3600)

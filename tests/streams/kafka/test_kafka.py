"""Streams on a real broker: the same records as in one process, whatever is killed meanwhile."""

from __future__ import annotations

import base64
import signal
from pathlib import Path

import pytest

from helpers import plain
from helpers.streaming.kafka import WAIT_S, Broker, until
from helpers.streaming.streams import RATE, Expected, Streaming, by_series, measurements, message, without_repeats
from pulsecast import Forecaster, load
from pulsecast_streams import Policies

pytestmark = pytest.mark.slow

RATED = Policies(false_alarm_rate=RATE)
SERIES = ("likes", "shares", "views")
STEPS = 120


@pytest.fixture(scope="module")
def undisturbed(model: Forecaster) -> Expected:
    found = Expected().take(model, measurements(SERIES, STEPS), RATED)
    assert sum(map(len, found.alarms.values())) >= 3
    return found


def compare(broker: Broker, topic: str, expected: Expected) -> None:
    """Fail unless a reader of committed records sees what is expected: none missing, none twice, each in order."""
    for kind, wanted in (("forecasts", expected.forecasts), ("alarms", expected.alarms)):
        found = by_series(broker.read(f"{topic}-{kind}", sum(map(len, wanted.values()))))
        assert found == {name: records for name, records in wanted.items() if records}


def test_what_comes_out_is_what_step_gives_across_sigterm_a_new_bundle_and_a_lost_folder(
    broker: Broker, streaming: Streaming, model: Forecaster, linear_bundle: Path
) -> None:
    """The second process has no folder of states: it rebuilds them from the changelog, and replays them."""
    topic = broker.topic()
    messages = measurements(SERIES, 100)
    expected = Expected().take(model, messages[:240], RATED)
    broker.send(topic, messages[:150])
    one = streaming(topic)
    until(lambda: broker.written(f"{topic}-forecasts") >= 100, "100 forecasts")
    assert one.stop() == 0, one.said
    assert 100 <= len(broker.read(f"{topic}-forecasts", 100)) <= 150
    broker.send(topic, messages[150:240])
    two = streaming(topic)
    broker.read(f"{topic}-forecasts", 240)
    assert two.stop() == 0, two.said
    expected.take(load(linear_bundle, backend="numpy"), messages[240:], RATED)
    broker.send(topic, messages[240:])
    streaming(topic, name="an empty folder", bundle=linear_bundle)
    compare(broker, topic, expected)
    assert expected.forecasts["likes"][-1]["version"] != expected.forecasts["likes"][0]["version"]
    assert None not in (one["forecast"] for one in expected.forecasts["likes"][80:])


def test_a_killed_consumer_goes_on_exactly_once(broker: Broker, streaming: Streaming, undisturbed: Expected) -> None:
    """It is killed while records of an open transaction lie in the topics, and once more after a commit."""
    topic = broker.topic()
    messages = measurements(SERIES, STEPS)
    broker.send(topic, messages[:200])
    one = streaming(topic, "--exactly-once", "--commit", "30")
    until(lambda: broker.written(f"{topic}-forecasts") >= 60, "60 forecasts, not committed")
    one.kill()
    two = streaming(topic, "--exactly-once")
    broker.read(f"{topic}-forecasts", 120)
    two.kill()
    broker.send(topic, messages[200:])
    streaming(topic, "--exactly-once")
    compare(broker, topic, undisturbed)


@pytest.mark.soak
def test_a_killed_consumer_repeats_alike_at_least_once(
    broker: Broker, streaming: Streaming, undisturbed: Expected
) -> None:
    topic = broker.topic()
    broker.send(topic, measurements(SERIES, STEPS))
    one = streaming(topic, "--commit", "5").ready()
    broker.read(f"{topic}-forecasts", 30)
    one.kill()
    streaming(topic)
    found = by_series(broker.read(f"{topic}-forecasts", STEPS * len(SERIES)))
    assert {name: without_repeats(records) for name, records in found.items()} == undisturbed.forecasts


def test_two_consumers_share_a_topic_and_one_takes_over_what_the_other_leaves(
    broker: Broker, streaming: Streaming, model: Forecaster
) -> None:
    topic = broker.topic(partitions=4)
    names = [f"series {i}" for i in range(8)]
    messages = measurements(names, 100)
    expected = Expected().take(model, messages, RATED)
    broker.send(topic, messages[:300])
    one = streaming(topic, "--exactly-once").ready()
    broker.read(f"{topic}-forecasts", 100)
    two = streaming(topic, "--exactly-once", name="two").ready()
    until(lambda: broker.sharing(f"group-{topic}") == 2, "both have partitions")
    broker.send(topic, messages[300:])
    until(lambda: broker.written(f"{topic}-forecasts") >= 500, "500 forecasts")
    one.kill()
    compare(broker, topic, expected)
    assert two.stop() == 0, two.said


def test_a_broker_that_is_killed_and_comes_back_loses_nothing(
    broker: Broker, streaming: Streaming, undisturbed: Expected
) -> None:
    topic = broker.topic()
    messages = measurements(SERIES, STEPS)
    broker.send(topic, messages[:200])
    one = streaming(topic, "--exactly-once", "--commit", "30")
    until(lambda: broker.written(f"{topic}-forecasts") >= 50, "50 forecasts, not committed")
    broker.stop(signal.SIGKILL)
    broker.start()
    broker.send(topic, messages[200:])
    if one.ended:  # it may outlive the broker, or end with what was not committed
        assert "what was not committed is read again" in "".join(one.said)
    one.kill()
    streaming(topic, "--exactly-once")
    compare(broker, topic, undisturbed)


@pytest.mark.soak
def test_a_broker_that_is_killed_before_the_first_message_loses_none(
    broker: Broker, streaming: Streaming, undisturbed: Expected
) -> None:
    topic = broker.topic()
    one = streaming(topic, "--exactly-once").ready()
    until(lambda: broker.sharing(f"group-{topic}") == 1, "it has partitions")
    broker.stop(signal.SIGKILL)
    broker.start()
    broker.send(topic, measurements(SERIES, STEPS))
    until(lambda: one.ended or broker.written(f"{topic}-forecasts") >= 50, "it ends or goes on")
    if one.ended:
        assert "what was not committed is read again" in "".join(one.said)
        streaming(topic, "--exactly-once")
    compare(broker, topic, undisturbed)


def test_a_topic_that_is_not_there_is_not_made_and_those_that_are_there_are_named(
    broker: Broker, streaming: Streaming
) -> None:
    topic = broker.topic()
    one = streaming(f"{topic}-mistyped")
    assert one.process is not None
    assert one.process.wait(WAIT_S) == 2
    said = "".join(one.said)
    assert f"no topic '{topic}-mistyped'" in said
    assert topic in said.split("it has ")[1].replace(",", "").split()


def test_poison_and_a_clock_that_jumps_neither_stop_the_stream_nor_disappear(
    broker: Broker, streaming: Streaming, model: Forecaster
) -> None:
    topic = broker.topic(partitions=1)
    poison: list[tuple[bytes | None, bytes | None]] = [
        (b"likes", b"\xff\xfe"), (None, message(0, 1)), (b"\xff", message(0, 1)), (b"likes", None), (b"likes", b""),
        (b"likes", b"[" * 60_000), (b"likes", b"x" * 900_000), (b"likes", message(1, "7")),
        (b"likes", message(24 * 40, 5)),
    ]  # fmt: skip
    good = measurements(("likes",), 3)
    broker.send(topic, [good[0], *poison, *good[1:]], timestamp=1000 * (plain.START_S + 4 * plain.STEP_S))
    one = streaming(topic)
    assert by_series(broker.read(f"{topic}-forecasts", 3)) == Expected().take(model, good, RATED).forecasts
    letters = broker.read(f"{topic}-dead-letters", len(poison))
    assert not one.ended, one.said
    assert [(one["source"]["topic"], one["source"]["offset"]) for one in letters] == [
        (topic, 1 + i) for i in range(len(poison))
    ]
    for letter, (_, value) in zip(letters, poison, strict=True):
        assert base64.b64decode(letter["value"]) == (value or b"")[:500_000]
        assert letter["size_bytes"] == len(value or b"")
        assert letter["reason"]
    assert letters[-1]["code"] == "time"
    assert "after the broker got the message" in letters[-1]["reason"]


@pytest.mark.soak
def test_messages_that_the_broker_deleted_unread_are_not_skipped_in_silence(
    broker: Broker, streaming: Streaming
) -> None:
    topic = broker.topic(partitions=1)
    messages = measurements(("likes",), 30)
    broker.send(topic, messages[:10])
    one = streaming(topic)
    broker.read(f"{topic}-forecasts", 10)
    assert one.stop() == 0
    broker.send(topic, messages[10:])
    broker.delete_before(topic, 20)
    two = streaming(topic)
    assert two.process is not None
    assert two.process.wait(WAIT_S) == 1
    assert "below the broker low watermark 20" in "".join(two.said)

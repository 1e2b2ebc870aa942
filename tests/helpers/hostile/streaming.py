"""Usual arguments of what `pulsecast_streams` lists, for the walk of hostile ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pulsecast_streams

TIME = 1_736_121_600
MESSAGE = b'{"time": 1736121600, "value": 1}'
EVENT = pulsecast_streams.Received(key="a", value=b'{"time": 1736121600}')
COUNTED = pulsecast_streams.EventPolicies(step_s=3600)
STREAM: dict[str, Any] = {"kind": "mqtt", "source": "a/+", "forecasts": "b"}
Usual = Callable[[Any], dict[str, Any]]


class Given(NamedTuple):
    """The fields of a row of the walk."""

    of: Callable[[Any], Callable[..., Any]]
    usual: Usual
    values: bool


def given(function: Callable[..., Any], usual: Usual = lambda things: {}, *, values: bool = False) -> Given:
    return Given(lambda things: function, usual, values)


ROWS: dict[str, Given] = {
    "pulsecast_streams.BrokerConfig": given(
        pulsecast_streams.BrokerConfig, lambda t: STREAM | {"store": "a.db"}, values=True
    ),
    "pulsecast_streams.EventPolicies": given(pulsecast_streams.EventPolicies, lambda t: {"step_s": 3600}, values=True),
    "pulsecast_streams.KafkaConfig": given(
        pulsecast_streams.KafkaConfig,
        lambda t: {"brokers": "nowhere:1", "source": "a", "forecasts": "b"},
        values=True,
    ),
    "pulsecast_streams.Policies": given(pulsecast_streams.Policies, values=True),
    "pulsecast_streams.answer": given(
        pulsecast_streams.answer,
        lambda t: {"model": t.model, "received": pulsecast_streams.Received(key="a", value=MESSAGE)},
    ),
    "pulsecast_streams.answer_clock": given(
        pulsecast_streams.answer_clock,
        lambda t: {
            "model": t.model,
            "state": pulsecast_streams.answer_event(t.model, EVENT, events=COUNTED).state,
            "time": TIME + 7200,
            "events": COUNTED,
        },
    ),
    "pulsecast_streams.answer_event": given(
        pulsecast_streams.answer_event, lambda t: {"model": t.model, "received": EVENT, "events": COUNTED}
    ),
    "pulsecast_streams.attach": given(
        pulsecast_streams.attach,
        lambda t: {"app": None, "model": t.model, "config": pulsecast_streams.BrokerConfig(**STREAM)},
    ),
    "pulsecast_streams.count": given(
        pulsecast_streams.count, lambda t: {"received": EVENT, "policies": pulsecast_streams.EventPolicies(step_s=3600)}
    ),
    "pulsecast_streams.event_policies": given(
        pulsecast_streams.event_policies, lambda t: {"model": t.model, "of": "events"}
    ),
    "pulsecast_streams.tick": given(
        pulsecast_streams.tick,
        lambda t: {
            "state": pulsecast_streams.count(EVENT, policies=pulsecast_streams.EventPolicies(step_s=3600)).state,
            "time": TIME,
            "policies": pulsecast_streams.EventPolicies(step_s=3600),
        },
    ),
    "pulsecast_streams.forecasting": given(
        pulsecast_streams.forecasting, lambda t: {"dataframe": None, "model": t.model}
    ),
    "pulsecast_streams.stream_broker": given(
        pulsecast_streams.stream_broker,
        lambda t: {
            "model": t.model,
            "url": "mqtt://a:1",
            "config": pulsecast_streams.BrokerConfig(**STREAM, store="no/a.db"),
        },
    ),
    "pulsecast_streams.stream_kafka": given(
        pulsecast_streams.stream_kafka,
        lambda t: {
            "model": t.model,
            "config": pulsecast_streams.KafkaConfig(brokers="a:1", source="a", forecasts="b", properties="nothing"),
        },
    ),
}

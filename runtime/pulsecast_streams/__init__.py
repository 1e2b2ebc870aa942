"""Bundles on brokers of streams: a measurement comes in, a forecast and perhaps an alarm go out.

`answer` is the pure function that every engine calls.
"""

from __future__ import annotations

from pulsecast.foundation.lazy import lazily

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .answering import Answer, answer
    from .brokers.attaching import attach
    from .brokers.config import BrokerConfig
    from .brokers.running import stream_broker
    from .events.counting import Counted, count, tick
    from .events.policies import EventPolicies
    from .kafka.config import KafkaConfig
    from .kafka.dataframe import Branches, forecasting
    from .kafka.running import stream_kafka
    from .messages.received import Received
    from .policies import Policies

# name -> module, imported on first use: an engine is loaded only by what needs it
_HOME = {
    "Answer": "answering",
    "Branches": "kafka.dataframe",
    "BrokerConfig": "brokers.config",
    "Counted": "events.counting",
    "EventPolicies": "events.policies",
    "KafkaConfig": "kafka.config",
    "Policies": "policies",
    "Received": "messages.received",
    "answer": "answering",
    "attach": "brokers.attaching",
    "count": "events.counting",
    "forecasting": "kafka.dataframe",
    "stream_broker": "brokers.running",
    "stream_kafka": "kafka.running",
    "tick": "events.counting",
}
__all__ = [
    "Answer",
    "Branches",
    "BrokerConfig",
    "Counted",
    "EventPolicies",
    "KafkaConfig",
    "Policies",
    "Received",
    "answer",
    "attach",
    "count",
    "forecasting",
    "stream_broker",
    "stream_kafka",
    "tick",
]

__getattr__, __dir__ = lazily(globals(), _HOME)

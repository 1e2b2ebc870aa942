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
    from .events.trained import event_policies
    from .following import Answers, StepAnswer, answer_clock, answer_event
    from .kafka.config import KafkaConfig
    from .kafka.dataframe import Branches, forecasting
    from .kafka.running import stream_kafka
    from .messages.received import Received
    from .policies import Policies

# name -> module, imported on first use: an engine is loaded only by what needs it
_HOME = {
    "Answer": "answering",
    "Answers": "following",
    "Branches": "kafka.dataframe",
    "BrokerConfig": "brokers.config",
    "Counted": "events.counting",
    "EventPolicies": "events.policies",
    "KafkaConfig": "kafka.config",
    "Policies": "policies",
    "Received": "messages.received",
    "StepAnswer": "following",
    "answer": "answering",
    "answer_clock": "following",
    "answer_event": "following",
    "attach": "brokers.attaching",
    "count": "events.counting",
    "event_policies": "events.trained",
    "forecasting": "kafka.dataframe",
    "stream_broker": "brokers.running",
    "stream_kafka": "kafka.running",
    "tick": "events.counting",
}
__all__ = [
    "Answer",
    "Answers",
    "Branches",
    "BrokerConfig",
    "Counted",
    "EventPolicies",
    "KafkaConfig",
    "Policies",
    "Received",
    "StepAnswer",
    "answer",
    "answer_clock",
    "answer_event",
    "attach",
    "count",
    "event_policies",
    "forecasting",
    "stream_broker",
    "stream_kafka",
    "tick",
]

__getattr__, __dir__ = lazily(globals(), _HOME)

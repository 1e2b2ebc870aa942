"""Bundles on brokers of streams: a measurement comes in, a forecast and perhaps an alarm go out.

`answer` is the pure function that every engine calls.
"""

from __future__ import annotations

from pulsecast.foundation.lazy import lazily

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .answering import Answer, answer
    from .kafka.config import KafkaConfig
    from .kafka.dataframe import Branches, forecasting
    from .kafka.running import stream_kafka
    from .messages.received import Received
    from .policies import Policies

# name -> module, imported on first use: an engine is loaded only by what needs it
_HOME = {
    "Answer": "answering",
    "Branches": "kafka.dataframe",
    "KafkaConfig": "kafka.config",
    "Policies": "policies",
    "Received": "messages.received",
    "answer": "answering",
    "forecasting": "kafka.dataframe",
    "stream_kafka": "kafka.running",
}
__all__ = [
    "Answer",
    "Branches",
    "KafkaConfig",
    "Policies",
    "Received",
    "answer",
    "forecasting",
    "stream_kafka",
]

__getattr__, __dir__ = lazily(globals(), _HOME)

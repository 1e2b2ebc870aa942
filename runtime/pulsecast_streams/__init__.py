"""Bundles on brokers of streams: a measurement comes in, a forecast and perhaps an alarm go out.

`answer` is the pure function that every engine calls.
"""

from __future__ import annotations

from pulsecast.foundation.lazy import lazily

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .answering import Answer, answer
    from .messages.received import Received
    from .policies import Policies

# name -> module, imported on first use: an engine is loaded only by what needs it
_HOME = {
    "Answer": "answering",
    "Policies": "policies",
    "Received": "messages.received",
    "answer": "answering",
}
__all__ = [
    "Answer",
    "Policies",
    "Received",
    "answer",
]

__getattr__, __dir__ = lazily(globals(), _HOME)

"""A clock that events are counted by: now and then a tick in each partition of a topic of its own.

A tick is a message, so that it is taken in its order: Quix reads both topics by the timestamps of their messages, and
events that wait unread in the broker come before the ticks that were sent after them. What it completes is committed
with it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from .config import KafkaConfig
from .engine import client

# old ticks say nothing that the last one does not; deleting them by age would end a stream that was away for longer
KEPT = {"cleanup.policy": "compact", "segment.ms": "3600000"}
_FLUSH_S = 2.0


@contextmanager
def ticking(config: KafkaConfig, properties: dict[str, str], partitions: int) -> Iterator[None]:
    """Send ticks to all partitions meanwhile; more processes of a group send more of them, which changes nothing."""
    producer = client().Producer({"bootstrap.servers": config.brokers, **properties, "log_level": 0})
    stopped = threading.Event()

    def send() -> None:
        while not stopped.wait(config.tick_s):
            for partition in range(partitions):
                producer.produce(config.ticks, b"", str(partition).encode(), partition)
            producer.poll(0)

    thread = threading.Thread(target=send, name="pulsecast-clock", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()
        producer.flush(_FLUSH_S)

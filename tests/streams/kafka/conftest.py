"""One broker for all tests of a session."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.engines import require
from helpers.streaming.kafka import Broker, jars
from helpers.streaming.streams import Stream, Streaming, words

require("quixstreams", "confluent_kafka", "msgpack")


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """Apache Kafka, which ends with the session."""
    found = Broker(libs=jars(), folder=tmp_path_factory.mktemp("kafka"))
    try:
        found.start()
        yield found
    finally:
        found.stop()


@pytest.fixture
def streaming(broker: Broker, calendar_bundle: Path, tmp_path: Path) -> Iterator[Streaming]:
    """Return a function that starts a stream of a topic, as NAME of its group; all end with the test."""
    made: list[Stream] = []

    def start(topic: str, *more: str, name: str = "one", bundle: Path = calendar_bundle) -> Stream:
        made.append(Stream(words=words(broker, bundle, topic, tmp_path / name, *more)).start())
        return made[-1]

    yield start
    for one in made:
        one.kill()

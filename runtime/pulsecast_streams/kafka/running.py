"""A whole stream on Kafka, until it is told to stop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from difflib import SequenceMatcher
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pulsecast.errors import EngineError, UsageError
from pulsecast.forecasting.stream_state import require_loaded
from pulsecast.forecasting.streaming import Loaded
from pulsecast.foundation.arguments import instance, shown

from ..messages.writing import written
from ..policies import USUAL, Policies
from .config import KafkaConfig, read_properties
from .dataframe import forecasting
from .engine import client, quix
from .identity import identity

if TYPE_CHECKING:
    from quixstreams import Application

MOST_NAMED = 10  # topics, the most alike first
REACH_S = 20.0  # to find a broker
Started = Callable[[str], None]


def _silent(said: str) -> None:
    del said


def stream_kafka(model: Loaded, config: KafkaConfig, *, policies: Policies = USUAL, started: Started = _silent) -> None:
    """Forecast what comes in a topic until SIGTERM or Ctrl-C, then finish the message at work, commit and return.

    model    what `pulsecast.load` returned
    started  called with a sentence once the topics are there

    Raises UsageError (no such topic; the folder for states is in use), EngineError (no broker answers, or it failed),
    MissingExtraError, and what `answer` raises. Nothing is committed then: start it again, and it goes on.

        stream_kafka(load("bundle"), KafkaConfig(brokers="localhost:9092", source="likes", forecasts="forecasts"))
    """
    require_loaded(model)
    instance("config", config, KafkaConfig)
    instance("policies", policies, Policies)
    properties = read_properties(config.properties)
    with identity(Path(config.state)) as name, _said_as_ours(config.brokers):
        partitions = _partitions(config, properties)
        application = _application(config, properties, name)
        _connect(application, model, config, policies)
        started(f"{config.source} ({partitions} partitions) -> {config.forecasts}; Ctrl-C stops it")
        application.run()


@contextmanager
def _said_as_ours(brokers: str) -> Iterator[None]:
    """Raise EngineError in the place of the engine's own errors."""
    errors = (quix().exceptions.QuixException, client().KafkaException)
    try:
        yield
    except errors as error:
        said = str(error) or type(error).__name__
        raise EngineError(
            f"Kafka at {brokers[:80]} failed: {said[:300]}; what was not committed is read again"
        ) from error


def _partitions(config: KafkaConfig, properties: dict[str, str]) -> int:
    """Return how many partitions the source has; raises UsageError if it is not there: a new one would stay silent."""
    admin = client().admin.AdminClient({"bootstrap.servers": config.brokers, **properties, "log_level": 0})
    topics = admin.list_topics(timeout=REACH_S).topics
    if config.source not in topics:
        known = [topic for topic in topics if not topic.startswith(("__", "changelog__"))]
        known.sort(key=lambda topic: (-SequenceMatcher(None, config.source, topic).ratio(), topic))
        said = f"it has {', '.join(known[:MOST_NAMED])}" if known else "it has none"
        raise UsageError(f"no topic {shown(config.source)} at {config.brokers[:80]}; {said}")
    return len(topics[config.source].partitions)


def _application(config: KafkaConfig, properties: dict[str, str], name: str) -> Application:
    """Return the application; it stops rather than skip what the broker deleted before it was read."""
    named = f"{config.group}-{name}"
    connection = quix().kafka.ConnectionConfig.from_librdkafka_dict(
        {"bootstrap.servers": config.brokers, **properties}, ignore_extras=True
    )
    kept = {key: value for key, value in properties.items() if key not in connection.as_librdkafka_dict()}
    return quix().Application(
        connection,
        consumer_group=config.group,
        auto_offset_reset="earliest",
        commit_interval=config.commit_s,
        consumer_extra_config={"group.instance.id": named, **_numbers(kept)},
        producer_extra_config={**({"transactional.id": named} if config.exactly_once else {}), **_numbers(kept)},
        state_dir=config.state,
        loglevel=None,
        auto_recover_from_source_offset_out_of_range=False,
        processing_guarantee="exactly-once" if config.exactly_once else "at-least-once",
    )


def _numbers(properties: dict[str, str]) -> dict[str, str | int]:
    """Return properties with whole numbers as such: the engine computes with some of them."""
    return {name: int(value) if value.isdecimal() else value for name, value in properties.items()}


def _connect(application: Application, model: Loaded, config: KafkaConfig, policies: Policies) -> None:
    """Add the source and where its answers go; topics that are made have the partitions of the source."""
    source = application.topic(config.source, value_deserializer="bytes", key_deserializer="bytes")
    found = forecasting(application.dataframe(source), model, policies=policies)
    ways: tuple[tuple[Any, str | None], ...] = (
        (found.forecasts, config.forecasts), (found.alarms, config.alarms), (found.dead_letters, config.refused),
    )  # fmt: skip
    like = quix().models.TopicConfig(
        num_partitions=source.broker_config.num_partitions, replication_factor=source.broker_config.replication_factor
    )
    for records, topic in ways:
        if topic is not None:
            out = application.topic(topic, value_serializer="bytes", key_serializer="bytes", config=like)
            records.apply(lambda record: written(record, config.form)).to_topic(out)

"""A whole stream on Kafka, until it is told to stop."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from difflib import SequenceMatcher
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pulsecast.errors import EngineError, UsageError
from pulsecast.forecasting.stream_state import require_loaded
from pulsecast.forecasting.streaming import Loaded
from pulsecast.foundation.arguments import instance, shown

from ..events.policies import EventPolicies
from ..events.trained import require_fits
from ..following import Heard, Started, silent
from ..messages.records import Record
from ..messages.writing import written
from ..policies import USUAL, Policies
from .clock import KEPT, ticking
from .config import KafkaConfig, read_properties
from .dataframe import Branches, forecasting
from .engine import client, quix
from .identity import identity

if TYPE_CHECKING:
    from quixstreams import Application
    from quixstreams.dataframe import StreamingDataFrame

MOST_NAMED = 10  # topics, the most alike first
REACH_S = 20.0  # to find a broker


def stream_kafka(
    model: Loaded,
    config: KafkaConfig,
    *,
    policies: Policies = USUAL,
    events: EventPolicies | None = None,
    started: Started = silent,
    heard: Heard | None = None,
) -> None:
    """Forecast what comes in a topic until SIGTERM or Ctrl-C, then finish the message at work, commit and return.

    model    what `pulsecast.load` returned
    events   the topic has single events, which are counted in steps first (`event_policies`)
    started  called with a sentence once the topics are there
    heard    called with each step that was answered, before it is committed

    Raises UsageError (no such topic; the folder for states is in use), EngineError (no broker answers, or it failed),
    MissingExtraError, and what `answer` raises. Nothing is committed then: start it again, and it goes on.

        stream_kafka(load("bundle"), KafkaConfig(brokers="localhost:9092", source="likes", forecasts="forecasts"))
    """
    require_loaded(model)
    instance("config", config, KafkaConfig)
    instance("policies", policies, Policies)
    if events is not None:
        require_fits(model, events)
    properties = read_properties(config.properties)
    with identity(Path(config.state)) as name, _said_as_ours(config.brokers):
        partitions = _partitions(config, properties)
        application = _application(config, properties, name)
        source, like = _source(application, config)
        ticks = None if events is None else application.dataframe(_ticks(application, config, like))
        found = forecasting(source, model, policies=policies, events=events, ticks=ticks, heard=heard)
        _send(application, found, config, like)
        started(f"{config.source} ({partitions} partitions) -> {config.forecasts}; Ctrl-C stops it")
        with nullcontext() if events is None else ticking(config, properties, partitions):
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


def _source(application: Application, config: KafkaConfig) -> tuple[StreamingDataFrame, Any]:
    """Return what comes in, and how topics are made: with the partitions of the source."""
    source = application.topic(config.source, value_deserializer="bytes", key_deserializer="bytes")
    like = quix().models.TopicConfig(
        num_partitions=source.broker_config.num_partitions, replication_factor=source.broker_config.replication_factor
    )
    return application.dataframe(source), like


def _ticks(application: Application, config: KafkaConfig, like: Any) -> Any:
    made = quix().models.TopicConfig(
        num_partitions=like.num_partitions, replication_factor=like.replication_factor, extra_config=KEPT
    )
    return application.topic(config.ticks, value_deserializer="bytes", key_deserializer="bytes", config=made)


class _Keyed(bytes):
    """The bytes of a record, with the key that it is sent under: a tick has records of many series."""

    key: bytes | None


def _send(application: Application, found: Branches, config: KafkaConfig, like: Any) -> None:
    """Send each record to its topic, under the name of its series."""
    ways: tuple[tuple[Any, str | None], ...] = (
        (found.forecasts, config.forecasts), (found.alarms, config.alarms), (found.dead_letters, config.refused),
    )  # fmt: skip
    for records, topic in ways:
        if topic is not None:
            out = application.topic(topic, value_serializer="bytes", key_serializer="bytes", config=like)
            records.apply(lambda record: _keyed(record, config)).to_topic(out, key=lambda data: data.key)


def _keyed(record: Record, config: KafkaConfig) -> _Keyed:
    made = _Keyed(written(record, config.form))
    if "series" in record:
        made.key = record["series"].encode()
    else:  # of a dead letter
        made.key = None if record["key"] is None else base64.b64decode(record["key"])
    return made

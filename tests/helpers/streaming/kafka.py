"""Apache Kafka in one process of Java, and what a test writes to its topics and reads from them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from helpers.engines import load, require_tools
from helpers.outside.ports import free_port

FETCH = Path(__file__).parents[3] / ".ci" / "kafka"
CLUSTER = "cHVsc2VjYXN0LXRlc3RzIQ"
WAIT_S = 120.0
_PROPERTIES = """process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={folder}/log
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=2
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=2
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
log.retention.ms=-1
"""  # without an end: messages of tests are years old, and a broker that looks for such ones deletes them unread


def jars() -> Path:
    """Return the folder of Kafka's jars, fetched once; skips what calls this where Java, Maven or a network lack."""
    require_tools("java", "mvn")
    try:
        done = subprocess.run([str(FETCH)], capture_output=True, text=True, check=True, timeout=300)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        pytest.skip("Kafka's jars cannot be fetched with Maven here")
    return Path(done.stdout.strip())


def until(found: Callable[[], Any], what: str, wait_s: float = WAIT_S) -> Any:
    """Return the first true result of `found`; fails after `wait_s`, naming `what`."""
    end = time.monotonic() + wait_s
    while time.monotonic() < end:
        if value := found():
            return value
        time.sleep(0.1)
    pytest.fail(f"{what}: not within {wait_s:g} s")


@dataclass(kw_only=True)
class Broker:
    """A broker whose files lie in `folder`: it may be killed and started again."""

    libs: Path
    folder: Path
    port: int = field(default_factory=free_port)
    controller: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    made: int = 0
    producer: Any = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def _java(self, *words: str) -> list[str]:
        heap = ["-Xms128m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
        return ["java", *heap, "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", f"{self.libs}/*", *words]

    def start(self) -> None:
        properties = self.folder / "server.properties"
        if not properties.exists():
            properties.write_text(_PROPERTIES.format(**vars(self)))
            format_words = ["kafka.tools.StorageTool", "format", "-t", CLUSTER, "-c", str(properties)]
            subprocess.run(self._java(*format_words), check=True, capture_output=True, timeout=WAIT_S)
        with (self.folder / "broker.log").open("ab") as log:
            words = self._java("kafka.Kafka", str(properties))
            self.process = subprocess.Popen(words, stdout=log, stderr=log)
        until(self._answers, "the broker answers")

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "broker.log").read_text()[-2000:]
        kafka = load("confluent_kafka")
        try:
            return bool(self.admin().list_topics(timeout=5).brokers)
        except kafka.KafkaException:
            return False

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)
            self.process.wait(WAIT_S)

    def admin(self) -> Any:
        return load("confluent_kafka.admin").AdminClient({"bootstrap.servers": self.address, "log_level": 0})

    def topic(self, partitions: int = 2) -> str:
        """Make a topic that no other test has, and return its name."""
        self.made += 1
        name = f"likes-{os.getpid()}-{self.made}"
        new = load("confluent_kafka.admin").NewTopic(name, partitions, 1)
        admin = self.admin()  # its futures end with it
        admin.create_topics([new])[name].result(WAIT_S)
        return name

    def send(self, topic: str, messages: Iterable[tuple[str | bytes | None, bytes | None]], **fields: Any) -> None:
        """Write messages (key, value), in this order."""
        producer = load("confluent_kafka").Producer(
            {
                "bootstrap.servers": self.address, "log_level": 0, "linger.ms": 5, "enable.idempotence": True,
                "queue.buffering.max.messages": 1_000_000,
            }
        )  # fmt: skip
        for key, value in messages:
            producer.produce(topic, value, key, **fields)
            producer.poll(0)
        assert producer.flush(WAIT_S) == 0

    def queue(self, topic: str, key: str, value: bytes, time_ms: int, *, partition: int = -1) -> None:
        """Write a message with a timestamp of its own; `flush` waits until all are there."""
        if self.producer is None:
            self.producer = load("confluent_kafka").Producer({"bootstrap.servers": self.address, "log_level": 0})
        self.producer.produce(topic, value, key, partition, timestamp=time_ms)
        self.producer.poll(0)

    def flush(self) -> None:
        assert self.producer.flush(WAIT_S) == 0

    def has(self, topic: str) -> bool:
        return self._metadata(topic) is not None

    def read(self, topic: str, count: int, *, wait_s: float = WAIT_S) -> list[dict[str, Any]]:
        """Return what a reader of committed records sees in a topic: `count` of them, and what comes right after."""
        kafka = load("confluent_kafka")
        consumer = kafka.Consumer(
            {
                "bootstrap.servers": self.address, "group.id": f"reader-{time.monotonic_ns()}", "log_level": 0,
                "auto.offset.reset": "earliest", "enable.auto.commit": False, "isolation.level": "read_committed",
            }
        )  # fmt: skip
        try:
            metadata = until(lambda: self._metadata(topic), f"topic {topic}", wait_s)
            consumer.assign([kafka.TopicPartition(topic, one, 0) for one in metadata.partitions])
            found, end = [], time.monotonic() + wait_s
            while time.monotonic() < end:
                messages = consumer.consume(1000, 0.2 if len(found) < count else 1.0)
                found += [json.loads(one.value()) for one in messages if one.error() is None]
                if len(found) >= count and not messages:
                    break
            return found
        finally:
            consumer.close()

    def written(self, topic: str) -> int:
        """Return about how many records a topic has, those of transactions that are open or were ended, too."""
        kafka = load("confluent_kafka")
        consumer = kafka.Consumer({"bootstrap.servers": self.address, "group.id": "watcher", "log_level": 0})
        try:
            metadata = self._metadata(topic)
            places = [] if metadata is None else [kafka.TopicPartition(topic, one) for one in metadata.partitions]
            return sum(consumer.get_watermark_offsets(place, timeout=10)[1] for place in places)
        except kafka.KafkaException:
            return 0
        finally:
            consumer.close()

    def delete_before(self, topic: str, offset: int) -> None:
        """Delete the records of partition 0 before `offset`, as retention does."""
        place = load("confluent_kafka").TopicPartition(topic, 0, offset)
        admin = self.admin()
        admin.delete_records([place])[place].result(WAIT_S)

    def sharing(self, group: str) -> int:
        """Return how many members of a consumer group have partitions."""
        admin = self.admin()
        found = admin.describe_consumer_groups([group])[group].result(WAIT_S)
        return sum(bool(member.assignment.topic_partitions) for member in found.members)

    def _metadata(self, topic: str) -> Any:
        kafka = load("confluent_kafka")
        try:
            return self.admin().list_topics(timeout=5).topics.get(topic)
        except kafka.KafkaException:
            return None

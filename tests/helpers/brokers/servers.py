"""mosquitto, redis-server and nats-server, each with a way to send to it and to read what a stream wrote."""

from __future__ import annotations

import asyncio
import json
import queue
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import pytest

from helpers.engines import load, require_tool
from helpers.outside.ports import free_port

WAIT_S = 120.0


def until(found: Callable[[], Any], what: str) -> Any:
    """Return the first true result of `found`; fails after WAIT_S, naming `what`."""
    end = time.monotonic() + WAIT_S
    while time.monotonic() < end:
        if value := found():
            return value
        time.sleep(0.05)
    pytest.fail(f"{what}: not within {WAIT_S:g} s")


def answers(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


class Server(Protocol):
    """A broker: `source` is what a stream reads, `dead_letters` where refused messages go by default."""

    kind: Literal["mqtt", "redis", "nats"]
    port: int

    def source(self, name: str) -> str: ...
    def listen(self, *topics: str) -> None: ...
    def send(self, name: str, series: str, data: bytes) -> None: ...
    def read(self, topic: str, count: int) -> list[dict[str, Any]]: ...
    def stop(self) -> None: ...


@dataclass(kw_only=True)
class Mosquitto:
    """MQTT. A client of the test collects what is published."""

    folder: Path
    port: int = field(default_factory=free_port)
    kind: Literal["mqtt", "redis", "nats"] = "mqtt"
    process: subprocess.Popen[bytes] | None = None
    client: Any = None
    found: dict[str, queue.SimpleQueue[bytes]] = field(default_factory=dict)

    def start(self) -> Mosquitto:
        config = self.folder / "mosquitto.conf"
        config.write_text(f"listener {self.port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\n")
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen([require_tool("mosquitto"), "-c", str(config)], stdout=log, stderr=log)
        until(lambda: answers(self.port), "mosquitto answers")
        mqtt = load("paho.mqtt.client")
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="test", protocol=mqtt.MQTTv5)
        self.client.on_message = lambda client, data, message: self.found[message.topic].put(message.payload)
        self.client.connect("127.0.0.1", self.port)
        self.client.loop_start()
        return self

    def source(self, name: str) -> str:
        return f"{name}/+"

    def listen(self, *topics: str) -> None:
        mqtt = load("paho.mqtt.client")
        done: queue.SimpleQueue[object] = queue.SimpleQueue()
        self.client.on_subscribe = lambda *_: done.put(None)
        self.found |= {topic: queue.SimpleQueue() for topic in topics}
        assert self.client.subscribe([(topic, 1) for topic in topics])[0] == mqtt.MQTT_ERR_SUCCESS
        done.get(timeout=WAIT_S)

    def send(self, name: str, series: str, data: bytes) -> None:
        self.client.publish(f"{name}/{series}", data, qos=1).wait_for_publish(WAIT_S)

    def read(self, topic: str, count: int) -> list[dict[str, Any]]:
        """Return the next `count` records, in their order."""
        return [json.loads(self.found[topic].get(timeout=WAIT_S)) for _ in range(count)]

    def stop(self) -> None:
        if self.client is not None:
            self.client.loop_stop()
        if self.process is not None:
            self.process.terminate()
            self.process.wait(WAIT_S)


@dataclass(kw_only=True)
class Redis:
    """Redis streams; what was read last is kept for each stream."""

    folder: Path
    port: int = field(default_factory=free_port)
    kind: Literal["mqtt", "redis", "nats"] = "redis"
    process: subprocess.Popen[bytes] | None = None
    client: Any = None
    last: dict[str, bytes] = field(default_factory=dict)

    def start(self) -> Redis:
        words = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self.folder)]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen([require_tool("redis-server"), *words], stdout=log, stderr=log)
        until(lambda: answers(self.port), "redis answers")
        self.client = load("redis").Redis(port=self.port)
        return self

    def source(self, name: str) -> str:
        return name

    def listen(self, *topics: str) -> None:
        self.last |= dict.fromkeys(topics, b"0")

    def send(self, name: str, series: str, data: bytes) -> None:
        self.client.xadd(name, {"key": series, "data": data})

    def read(self, topic: str, count: int) -> list[dict[str, Any]]:
        """Return the next `count` records, in their order."""
        found: list[dict[str, Any]] = []
        end = time.monotonic() + WAIT_S
        while len(found) < count:
            assert time.monotonic() < end, f"{topic}: {len(found)} of {count} records within {WAIT_S:g} s"
            for _, entries in self.client.xread({topic: self.last[topic]}, count=count - len(found), block=500):
                found += [json.loads(fields[b"data"]) for _, fields in entries]
                self.last[topic] = entries[-1][0]
        return found

    def stop(self) -> None:
        if self.client is not None:
            self.client.close()
        if self.process is not None:
            self.process.terminate()
            self.process.wait(WAIT_S)


@dataclass(kw_only=True)
class Nats:
    """NATS with JetStream; its client runs in a loop of its own. One stream holds all subjects of a name."""

    folder: Path
    port: int = field(default_factory=free_port)
    kind: Literal["mqtt", "redis", "nats"] = "nats"
    process: subprocess.Popen[bytes] | None = None
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    client: Any = None
    readers: dict[str, Any] = field(default_factory=dict)

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(WAIT_S)

    def start(self) -> Nats:
        words = ["-a", "127.0.0.1", "-p", str(self.port), "-js", "-sd", str(self.folder)]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen([require_tool("nats-server"), *words], stdout=log, stderr=log)
        until(lambda: answers(self.port), "nats answers")
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self.client = self._run(load("nats").connect(f"nats://127.0.0.1:{self.port}"))
        return self

    def source(self, name: str) -> str:
        return f"{name}.*"

    def listen(self, *topics: str) -> None:
        name = topics[0].rpartition("-")[0]
        stream = self.client.jetstream()
        self._run(stream.add_stream(name=name, subjects=[f"{name}.*", f"{name}-dead-letters", *topics[:2]]))
        for topic in topics:
            self.readers[topic] = self._run(stream.pull_subscribe(topic, durable=topic, stream=name))

    def send(self, name: str, series: str, data: bytes) -> None:
        self._run(self.client.jetstream().publish(f"{name}.{series}", data))

    def read(self, topic: str, count: int) -> list[dict[str, Any]]:
        """Return the next `count` records, in their order."""
        found: list[dict[str, Any]] = []
        while len(found) < count:
            for message in self._run(self.readers[topic].fetch(count - len(found), timeout=WAIT_S)):
                self._run(message.ack())
                found.append(json.loads(message.data))
        return found

    def disconnect(self) -> None:
        """Let the test's own client go."""
        self._run(self.client.close())

    def stop(self) -> None:
        if self.client is not None:
            self.disconnect()
            self.loop.call_soon_threadsafe(self.loop.stop)
        if self.process is not None:
            self.process.terminate()
            self.process.wait(WAIT_S)

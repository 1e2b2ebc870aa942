"""One broker of each kind for all tests of a session."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from helpers.brokers.process import Streaming
from helpers.brokers.servers import Mosquitto, Nats, Redis, Server
from helpers.engines import require

SERVERS: dict[str, tuple[type[Any], tuple[str, ...]]] = {
    "mqtt": (Mosquitto, ("faststream", "zmqtt", "paho")),
    "redis": (Redis, ("faststream", "redis")),
    "nats": (Nats, ("faststream", "nats")),
}
_NUMBERS = itertools.count()
Start = Callable[..., Streaming]


@pytest.fixture(scope="session", params=SERVERS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Each broker in turn; it ends with the session."""
    make, packages = SERVERS[request.param]
    require(*packages)
    found = make(folder=tmp_path_factory.mktemp(request.param))
    try:
        yield found.start()
    finally:
        found.stop()


@pytest.fixture
def name(server: Server) -> str:
    """A topic that no other test has; what a stream writes about it is listened to."""
    found = f"counts{next(_NUMBERS)}"
    server.listen(f"{found}-forecasts", f"{found}-alarms", f"{found}-dead-letters")
    return found


@pytest.fixture
def start(server: Server, name: str, calendar_bundle: Path, tmp_path: Path) -> Iterator[Start]:
    """Return a function that starts the stream of `name` and waits until it reads; all end with the test."""
    made: list[Streaming] = []

    def begun(**changes: Any) -> Streaming:
        usual = {"server": server, "bundle": calendar_bundle, "name": name, "store": tmp_path / "states.db"}
        made.append(Streaming(**(usual | changes)))
        return made[-1].start()

    yield begun
    for one in made:
        one.kill()

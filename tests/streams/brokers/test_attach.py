"""A stream as a part of an application of FastStream, and as a command."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from helpers import plain
from helpers.brokers.servers import Server
from helpers.engines import load, require
from pulsecast import Forecaster
from pulsecast.errors import UsageError
from pulsecast_cli.app import run
from pulsecast_streams import BrokerConfig, Policies, Received, answer, attach

require("faststream", "zmqtt", "redis", "nats")


def application(kind: str, url: str, reader: str) -> Any:
    faststream = load("faststream")
    if kind == "mqtt":
        broker = load("faststream.mqtt").MQTTBroker(url, client_id=reader, clean_session=False, logger=None)
    elif kind == "redis":
        broker = load("faststream.redis").RedisBroker(url, logger=None)
    else:
        broker = load("faststream.nats").NatsBroker(url, logger=None)
    return faststream.FastStream(broker, logger=None)


@pytest.mark.slow
def test_an_application_of_faststream_forecasts(model: Forecaster, server: Server, name: str, tmp_path: Path) -> None:
    app = application(server.kind, f"{server.kind}://127.0.0.1:{server.port}", name)
    store = str(tmp_path / "a.db")
    config = BrokerConfig(kind=server.kind, source=server.source(name), forecasts=f"{name}-forecasts", store=store)
    attach(app, model, config, policies=Policies(unknown_fields="ignore"))
    begun, found = threading.Event(), []

    async def started() -> None:
        begun.set()

    app.after_startup(started)
    value = b'{"time": %d, "value": 7, "from": "web"}' % plain.START_S

    def ask() -> None:
        try:
            assert begun.wait(60)
            server.send(name, "likes", value)
            found.extend(server.read(f"{name}-forecasts", 1))
        finally:
            app.exit()

    asking = threading.Thread(target=ask)
    asking.start()
    asyncio.run(app.run())
    asking.join(60)
    received = Received(key="likes", value=value)
    assert found == [answer(model, received, policies=Policies(unknown_fields="ignore")).forecast]
    attach(application("redis", "redis://127.0.0.1:1", name), model, _other(tmp_path))  # the file was closed


def _other(tmp_path: Path) -> BrokerConfig:
    return BrokerConfig(kind="redis", source="in", forecasts="out", store=str(tmp_path / "b.db"))


def test_a_broker_of_another_kind_is_refused(model: Forecaster, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the application's broker is a MQTTBroker; kind redis needs RedisBroker"):
        attach(application("mqtt", "mqtt://127.0.0.1", "a"), model, _other(tmp_path))
    with pytest.raises(UsageError, match="expected an application of FastStream"):
        attach(None, model, _other(tmp_path))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            [],
            "no broker is named; expected one of --kafka HOST:PORT, --mqtt HOST:PORT, --redis HOST:PORT",
        ),
        (["--mqtt", "a:1", "--redis", "a:2"], "--mqtt and --redis are named"),
        (["--mqtt", "a:1", "--exactly-once", "--state", "b"], "--exactly-once, --state: not an option of --mqtt"),
        (["--kafka", "a:1", "--store", "b"], "--store: not an option of --kafka"),
        (["--mqtt", "a:1", "--from", "counts/#"], "has the wildcard #, which names no series"),
    ],
)
def test_a_command_that_means_two_things_is_refused(
    plain_bundle: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["stream", str(plain_bundle), "--from", "counts/+", "--to", "out", *words]) == 2
    assert said in capsys.readouterr().err


def test_a_command_names_the_file_of_states_that_it_cannot_use(
    plain_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["stream", str(plain_bundle), "--mqtt", "127.0.0.1:1", "--from", "counts/+", "--to", "out"]
    assert run([*words, "--backend", "numpy", "--store", str(tmp_path / "nothing" / "a.db")]) == 2
    assert "the file of states" in capsys.readouterr().err

"""A new version takes over the streams of the one before, and a roll-back gives them back."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers import plain
from helpers.serving import running_app
from helpers.serving.streams import address, other_model, pushes, same
from pulsecast import Forecaster, load, step
from pulsecast_serve import ServerConfig
from pulsecast_serve.models.library import Library
from pulsecast_serve.models.served import STABLE, Models, Served, Shelf
from pulsecast_serve.streams.memory import MemoryStore


class Server:
    """An application whose version can be changed."""

    def __init__(self, versions: dict[int, Forecaster]) -> None:
        from pulsecast_serve.http.app import build
        from pulsecast_serve.http.measures import Measures
        from pulsecast_serve.models.library import Library
        from pulsecast_serve.serving import Serving
        from pulsecast_serve.streams.streams import Streams

        self.models = Models()
        self.versions = versions
        self.use(1)
        config = ServerConfig(store="memory")
        self.streams = Streams(MemoryStore, most=2, age_days=None)
        serving = Serving(models=self.models, config=config, streams=self.streams)
        self.app = build(serving, Library(self.models, config, folder=None), Measures(self.models))

    def use(self, version: int) -> None:
        served = Served(name="plain", version=version, model=self.versions[version])
        self.models.replace({"plain": Shelf(versions={version: served}, labels={STABLE: version})}, complete=True)


@pytest.fixture(scope="module")
def models(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Forecaster]:
    """Versions of a model: 2 has other weights, 3 another step, 4 two columns, 5 a longer window."""
    folder = tmp_path_factory.mktemp("versions")
    wide = (plain.Feature(name="value"), plain.Feature(name="other"), *plain.CHANGE_SPEC.features[1:])
    channels = tuple(plain.Channel(feature=i) for i in range(5))
    return {
        1: load(bundle, backend="numpy"),
        2: load(other_model(folder / "2"), backend="numpy"),
        3: load(other_model(folder / "3", step_s=1800), backend="numpy"),
        4: load(other_model(folder / "4", features=wide, channels=channels), backend="numpy"),
        5: load(other_model(folder / "5", window=60), backend="numpy"),
    }


@pytest.fixture
def asked(models: dict[int, Forecaster]) -> Iterator[Any]:
    """A server of `models`, and a client of it."""
    server = Server(models)
    with running_app(server.app, ServerConfig(port=0)) as client:
        yield server, client


def test_a_new_version_carries_a_stream_over_and_a_roll_back_too(asked: Any, models: dict[int, Forecaster]) -> None:
    server, client = asked
    state, sent = None, pushes(range(100))
    for version, part in ((1, sent[:80]), (2, sent[80:90]), (1, sent[90:])):
        server.use(version)
        answered = client.post(address(), {"steps": part}).json["steps"]
        for one, said in zip(part, answered, strict=True):
            expected = step(models[version], state, one["value"], one["time"], carry_over=True)
            state = expected.state
            assert same(said, expected)
            assert said["model_version"] == str(version)
            assert one["time"] < sent[73]["time"] or said["forecast"] is not None  # nothing is forgotten


def test_a_forecast_after_a_swap_is_that_of_the_new_version(asked: Any, models: dict[int, Forecaster]) -> None:
    server, client = asked
    client.post(address(), {"steps": pushes(range(79))})
    server.use(2)
    answered = client.post(address(), pushes([79])[0]).json
    window = np.array(plain.series()[7:80], np.float32).reshape(1, -1, 1)
    expected = models[2].predict(window, timestamps=[pushes([79])[0]["time"]])
    assert np.array_equal(np.float32(answered["forecast"]), expected[0])
    assert not np.array_equal(expected, models[1].predict(window, timestamps=[pushes([79])[0]["time"]]))


def test_a_request_that_is_sent_again_after_a_swap_gets_the_answer_of_the_version_that_took_it(asked: Any) -> None:
    server, client = asked
    client.post(address(), {"steps": pushes(range(79))})
    first = client.post(address(), pushes([79])[0]).json
    server.use(2)
    again = client.post(address(), pushes([79])[0]).json
    assert (again["arrival"], again["model_version"]) == ("repeated", "1")
    assert first | {"arrival": "", "differs": False} == again | {"arrival": ""}


def test_a_worker_that_has_not_swapped_yet_does_not_take_a_series_back(asked: Any, tmp_path: Path) -> None:
    """What two workers over one store see: the one has version 5, the other still version 1."""
    server, client = asked
    folder, config = tmp_path / "models", ServerConfig()
    for version in (1, 5):
        (folder / "plain" / str(version)).mkdir(parents=True)
    Library(server.models, config, folder=folder)
    client.post(address(), {"steps": pushes(range(79))})
    server.use(5)
    client.post(address(), pushes([79])[0])
    server.use(1)
    refused = client.post(address(), pushes([80])[0])
    assert (refused.status, refused.headers["retry-after"]) == (503, "1")
    assert refused.json["error"]["message"].startswith("version 5 has this series and is being loaded here")
    server.use(5)
    taken = client.post(address(), pushes([80])[0]).json
    assert (taken["arrival"], taken["no_forecast"]) == ("next", "the window is not whole: 8 more steps fill its 83")
    (folder / "plain" / "labels.json").write_text('{"stable": 1}')  # a roll-back
    server.use(1)
    assert client.post(address(), pushes([81])[0]).json["model_version"] == "1"
    server.use(5)
    assert client.post(address(), pushes([82])[0]).status == 503
    (folder / "plain" / "labels.json").unlink()
    (folder / "plain" / "5").rmdir()  # and one by taking the version away
    server.use(1)
    assert client.post(address(), pushes([82])[0]).json["arrival"] == "next"


def test_a_longer_window_waits_until_it_is_whole(asked: Any) -> None:
    server, client = asked
    client.post(address(), {"steps": pushes(range(79))})
    server.use(5)
    answered = client.post(address(), pushes([79])[0]).json
    assert answered["no_forecast"] == "the window is not whole: 9 more steps fill its 83"


@pytest.mark.parametrize(("version", "body", "sentence"), [
    (3, {"value": 1.0}, "every 3600 s; this model takes 1 every 1800 s, so they cannot be replayed"),
    (4, {"values": [1.0, 2.0]}, "the state has steps of 1 columns every 3600 s; this model takes 2 every 3600 s"),
])  # fmt: skip
def test_a_stream_that_cannot_be_carried_over_is_refused_and_told_how_to_begin_anew(
    asked: Any, version: int, body: dict[str, Any], sentence: str
) -> None:
    server, client = asked
    client.post(address(), {"steps": pushes(range(79))})
    client.post(address("b"), {"steps": pushes(range(79))})
    server.use(version)
    sent = pushes([79])[0]
    request = body | {"time": sent["time"]}
    for where in (address(), address("b")):
        refused = client.post(where, request)
        message = refused.json["error"]["message"]
        assert (refused.status, sentence in message) == (409, True), message
        assert message.endswith('begin anew with DELETE, or with "restart": true in the request')
    assert client.post(address(), request | {"restart": True}).json["arrival"] == "next"
    assert client.ask("DELETE", address("b")).json["forgotten"]
    assert client.post(address("b"), request).json["arrival"] == "next"
    server.use(1)
    assert client.post(address(), pushes([80])[0]).status == 409


def test_a_stream_of_several_columns_takes_values(asked: Any, models: dict[int, Forecaster]) -> None:
    server, client = asked
    server.use(4)
    state, columns = None, plain.columns(models[4].manifest.spec)[:75].tolist()
    sent = [{"values": row, "time": one["time"]} for row, one in zip(columns, pushes(range(75)), strict=True)]
    sent[0]["values"] = [None, 1.0]
    answered = client.post(address(), {"steps": sent}).json["steps"]
    for one, said in zip(sent, answered, strict=True):
        row = [math.nan if value is None else value for value in one["values"]]
        expected = step(models[4], state, row, one["time"])
        state = expected.state
        assert same(said, expected)
    assert [said["forecast"] is None for said in answered] == [True] * 50 + [False] * 25
    refused = client.post(address(), {"value": 1.0, "time": sent[-1]["time"] + 3600})
    assert "expected values, 2 numbers or nulls: value, other" in refused.json["error"]["message"]


def test_what_was_kept_can_be_read_and_forgotten_after_its_model_has_gone(asked: Any) -> None:
    server, client = asked
    client.post(address(), pushes([0])[0])
    server.models.replace({}, complete=True)
    assert client.get(address()).json["last"]["values"] == [pushes([0])[0]["value"]]
    assert client.post(address(), pushes([1])[0]).status == 404
    assert client.ask("DELETE", address()).json["forgotten"]


def test_no_more_series_of_a_model_are_followed_than_was_said(asked: Any) -> None:
    _, client = asked
    for name in ("a", "b"):
        assert client.post(address(name), pushes([0])[0]).status == 200
    refused = client.post(address("c"), pushes([0])[0])
    assert refused.status == 507
    assert "2 series of this model are followed, and no more are: DELETE one" in refused.json["error"]["message"]
    assert client.post(address("a"), pushes([1])[0]).json["arrival"] == "next"
    client.ask("DELETE", address("b"))
    assert client.post(address("c"), pushes([0])[0]).status == 200


def test_a_state_that_cannot_be_read_is_refused_and_told_how_to_begin_anew(asked: Any) -> None:
    from dataclasses import replace

    from pulsecast_serve.streams.kept import Change, Key

    server, client = asked
    client.post(address(), pushes([0])[0])

    def spoil(store: MemoryStore) -> None:
        with store.changing() as writing:
            kept = writing.get(Key("plain", "a"))
            assert kept is not None
            writing.put(Key("plain", "a"), Change(kept=replace(kept, state=kept.state[:-1] + b"x")))

    server.streams.wait_for(spoil)
    refused = client.post(address(), pushes([1])[0])
    assert refused.status == 409
    assert "what is kept of this series cannot be read (the state is damaged" in refused.json["error"]["message"]
    assert client.post(address(), pushes([1])[0] | {"restart": True}).status == 200

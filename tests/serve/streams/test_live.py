"""A series as it happens: each step once, in order, to all who watch; it ends with the server."""

from __future__ import annotations

import http.client
import json
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.serving import WAIT_S, Client, running
from helpers.serving.streams import HOUR, START, VALUES, address, pushes
from pulsecast import Forecaster, step
from pulsecast_serve import ServerConfig, live_page
from pulsecast_serve.live import hub
from pulsecast_serve.live.hub import Hub
from pulsecast_serve.protocols.streams import live
from pulsecast_serve.streams.kept import Key


class Watch:
    """Events of one connection, read one by one."""

    def __init__(self, reply: http.client.HTTPResponse) -> None:
        self.reply = reply

    def event(self) -> tuple[str, Any]:
        """Return name and data of the next event; ("", comment) for a heartbeat, ("end", None) at the end."""
        lines = []
        while (line := self.reply.readline().decode().rstrip("\n")) or lines:
            if not line:
                break
            lines.append(line)
        fields = dict(one.split(": ", 1) for one in lines)
        if not fields:
            return "end", None
        return fields.get("event", ""), json.loads(fields["data"]) if "data" in fields else fields.get("")

    def steps(self, count: int) -> list[dict[str, Any]]:
        found = [self.event() for _ in range(count)]
        assert [name for name, _ in found] == ["step"] * count
        return [data for _, data in found]


@contextmanager
def watching(client: Client, where: str, **headers: str) -> Iterator[Watch]:
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(client.address).netloc, timeout=WAIT_S)
    try:
        connection.request("GET", f"{where}/live", headers={k.replace("_", "-"): v for k, v in headers.items()})
        reply = connection.getresponse()
        assert reply.status == 200, reply.read()
        assert reply.getheader("content-type") == "text/event-stream; charset=utf-8"
        yield Watch(reply)
    finally:
        connection.close()


def test_a_watcher_sees_the_past_and_each_step_as_it_was_answered(following: Client) -> None:
    where = address("seen%20live")
    following.post(where, {"steps": pushes(range(90))})
    with watching(following, where) as first, watching(following, where) as second:
        past = first.steps(90)
        assert [one["time"] for one in past] == [START + HOUR * n for n in range(90)]
        answered = following.get(where).json["last"]
        assert past[-1] == answered
        said = {key: value for key, value in following.post(where, pushes([90])[0]).json.items() if key in answered}
        assert first.steps(1) == [said]
        assert second.steps(91)[-1] == said
    with watching(following, where, last_event_id=str(START + 88 * HOUR)) as again:
        assert [one["time"] for one in again.steps(2)] == [START + 89 * HOUR, START + 90 * HOUR]


def test_a_series_that_begins_anew_says_so(following: Client) -> None:
    where = address("anew")
    following.post(where, {"steps": pushes(range(5))})
    with watching(following, where) as watch:
        watch.steps(5)
        following.ask("DELETE", where)
        assert watch.event() == ("anew", {})
        following.post(where, pushes([0])[0])
        assert [one["time"] for one in watch.steps(1)] == [START]


def test_a_server_that_shares_its_store_sees_what_another_one_took(bundle: Path, tmp_path: Path) -> None:
    """Its own memory is empty: values come from the state, and the last answer from the store."""
    config = ServerConfig(store=str(tmp_path / "streams.sqlite"), backend="numpy")
    with running(bundle, config=config) as one, running(bundle, config=config) as two:
        one.post(address(), {"steps": pushes(range(80))})
        with watching(two, address()) as watch:
            past = watch.steps(73)  # what the state remembers: the model's context
            assert [one["time"] for one in past] == [START + HOUR * n for n in range(7, 80)]
            assert [one["values"] for one in past] == [[float(str(np.float32(VALUES[n])))] for n in range(7, 80)]
            assert past[-1] == one.get(address()).json["last"]
            assert all(set(one) == {"time", "values"} for one in past[:-1])
            one.post(address(), pushes([80])[0])
            assert watch.steps(1) == [one.get(address()).json["last"]]


def status(client: Client, path: str) -> int:
    """Return the status of an answer that may go on for ever."""
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(client.address).netloc, timeout=WAIT_S)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


def test_one_watcher_too_many_is_turned_away_until_another_one_goes(bundle: Path) -> None:
    config = ServerConfig(store="memory", backend="numpy", listeners=1)
    with running(bundle, config=config) as client:
        client.post(address(), pushes([0])[0])
        with watching(client, address()) as watch:
            watch.steps(1)
            refused = client.get(f"{address()}/live")
            assert (refused.status, refused.headers["retry-after"]) == (429, "1")
            assert "1 others watch already" in refused.json["error"]["message"]
        for _ in range(200):  # the server hears that the first one went
            if status(client, f"{address()}/live") == 200:
                return
    pytest.fail("nobody else may watch after the first one went")


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/v1/streams/nobody/a/live", {}, 404),
        ("/v1/streams/table/d/live", {}, 400),
        ("/v1/streams/plain/a/live", {"last-event-id": "yesterday"}, 400),
    ],
)
def test_what_cannot_be_watched_is_refused(following: Client, path: str, headers: dict[str, str], status: int) -> None:
    assert following.get(path, headers).status == status


def test_a_locked_server_shows_nothing_without_its_key(bundle: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("k" * 32)
    keys.chmod(0o600)
    with running(bundle, config=ServerConfig(store="memory", backend="numpy", keys=str(keys))) as client:
        assert client.get(f"{address()}/live").status == 401
        client.post(address(), pushes([0])[0], {"authorization": f"Bearer {'k' * 32}"})
        with watching(client, address(), authorization=f"Bearer {'k' * 32}") as watch:
            assert watch.steps(1)[0]["time"] == START


def test_who_watches_is_let_go_when_the_server_stops(bundle: Path) -> None:
    """`running` fails if the server does not end at once."""
    with running(bundle, config=ServerConfig(store="memory", backend="numpy")) as client:
        client.post(address(), pushes([0])[0])
        opened = watching(client, address())
        watch = opened.__enter__()
        watch.steps(1)
    assert watch.event() == ("end", None)
    opened.__exit__(None, None, None)


def test_a_quiet_series_has_heartbeats(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "HEARTBEAT_S", 0.05)
    monkeypatch.setattr(live, "LOOK_S", 0.05)
    with (
        running(bundle, config=ServerConfig(store="memory", backend="numpy")) as client,
        watching(client, address()) as watch,
    ):
        assert [watch.event(), watch.event()] == [("", "here"), ("", "here")]


def test_a_stream_elsewhere_in_the_process_is_shown_by_the_same_page(model: Forecaster) -> None:
    where: list[str] = []
    state = None
    with live_page(model, config=ServerConfig(port=0), listening=where.append) as say:
        client = Client(where[0])
        for n in range(3):
            found = step(model, state, VALUES[n], START + n * HOUR)
            state = found.state
            say("likes", {"time": START + n * HOUR, "values": [VALUES[n]], "forecast": None}, state)
        assert client.get("/v1/streams/plain").json["series"] == ["likes"]
        assert client.get("/v1/timeseries/models").json["streams"]
        with watching(client, address("likes")) as watch:
            assert [one["time"] for one in watch.steps(3)] == [START + n * HOUR for n in range(3)]
        assert client.post(address("likes"), pushes([4])[0]).status == 404
        assert b"live.js" in client.get("/page.js").body


def test_the_memory_of_the_hub_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "SERIES", 2)
    found = Hub(1)
    for name in "abc":
        found.say(Key("m", name), [{"time": n} for n in range(hub.STEPS + 10)])
    assert found.names("m") == ["b", "c"]
    _, points = found.since(Key("m", "c"), None)
    assert [one["time"] for one in points] == [*range(10, hub.STEPS + 10)]

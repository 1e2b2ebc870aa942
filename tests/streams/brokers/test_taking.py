"""The order of acts on one message: a crash between any two of them loses nothing. Configurations and the file."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from helpers import plain
from helpers.engines import require
from pulsecast import Forecaster
from pulsecast.errors import EngineError, FormatError, PulsecastError, UsageError
from pulsecast_streams import BrokerConfig, Received, answer, stream_broker
from pulsecast_streams.brokers.redis import before
from pulsecast_streams.brokers.store import StateStore
from pulsecast_streams.brokers.taking import Taking
from pulsecast_streams.brokers.topics import MQTT, NATS, matches, series_in
from pulsecast_streams.policies import USUAL

CONFIG = BrokerConfig(kind="redis", source="in", forecasts="out", alarms="alarms")
STEPS = 90


def data(n: int, **fields: object) -> bytes:
    return json.dumps({"time": plain.START_S + plain.STEP_S * n, "value": 200 + n % 24, **fields}).encode()


class CrashError(Exception):
    """The process is gone."""


@dataclass
class Recorded:
    """A link whose messages are bytes; it crashes before or after what is sent, once."""

    crash: str = ""
    sent: list[tuple[str, Any]] = field(default_factory=list)
    left: bool = False

    def received(self, message: Any) -> Received:
        return Received(value=message)

    def problem(self, message: Any) -> str | None:
        return "it has no data" if message == b"nothing" else None

    def asks(self, message: Any) -> bool:
        return False

    async def respond(self, message: Any, data: bytes) -> str | None:
        raise AssertionError("nobody asked")

    async def drained(self) -> bool:
        return True

    async def ready(self) -> None:
        pass

    async def leave(self) -> None:
        self.left = True

    async def send(self, topic: str, key: str | None, data: bytes) -> None:
        if self.crash == "before":
            raise CrashError
        self.sent.append((topic, json.loads(data)))
        if self.crash == "after":
            raise CrashError


def taken(taking: Taking, link: Recorded, message: bytes) -> bool:
    """Return whether the message may be acknowledged."""
    try:
        asyncio.run(taking.take(link, message))
    except SystemExit:
        return False
    return True


def begun(model: Forecaster, path: Path) -> Taking:
    return Taking(model, CONFIG, USUAL, store=StateStore(path, "redis in"))


@pytest.mark.parametrize("crash", ["before", "after"])
def test_what_was_not_acknowledged_is_answered_alike_when_it_comes_again(
    model: Forecaster, tmp_path: Path, crash: str
) -> None:
    link, state, expected = Recorded(), None, []
    for n in range(STEPS):
        found = answer(model, Received(key="likes", value=data(n)), state)
        state = found.state
        expected.append(found.forecast)
    taking = begun(model, tmp_path / "a.db")
    for n in range(STEPS):
        link.crash = crash if n % 30 == 29 else ""
        if not taken(taking, link, data(n, series="likes")):
            assert isinstance(taking.fault, EngineError)
            taking.store.close()
            link.crash, taking = "", begun(model, tmp_path / "a.db")
            assert taken(taking, link, data(n, series="likes"))
    forecasts = [one for topic, one in link.sent if topic == "out"]
    first = {one["time"]: one for one in forecasts}
    assert list(first.values()) == expected
    assert all(one == first[one["time"]] for one in forecasts)
    assert len(forecasts) == STEPS + (3 if crash == "after" else 0)


def test_a_message_whose_acknowledgement_was_lost_gives_its_forecast_again(model: Forecaster, tmp_path: Path) -> None:
    taking, link = begun(model, tmp_path / "a.db"), Recorded()
    for n in (0, 1, 1):
        assert taken(taking, link, data(n, series="likes"))
    (_, _, (_, second), (_, again)) = [(None, None), *link.sent]
    assert again == {**second, "arrival": "repeated"}


def test_after_a_fault_no_later_message_is_taken(model: Forecaster, tmp_path: Path) -> None:
    taking, link, ended = begun(model, tmp_path / "a.db"), Recorded(), []
    taking.ended = lambda: ended.append(True)
    assert taken(taking, link, data(0, series="likes"))
    taking.store.close()  # as a disk that fails
    assert not taken(taking, link, data(1, series="likes"))
    assert not taken(taking, link, data(2, series="likes"))
    assert (link.left, len(link.sent), ended) == (True, 1, [True])
    assert "the file of states" in str(taking.fault)


def test_a_full_disk_keeps_the_state_before_it(tmp_path: Path) -> None:
    store = StateStore(tmp_path / "a.db", "redis in")
    store.put("likes", b"x" * 100)
    store._database.execute(f"PRAGMA max_page_count={store._found('PRAGMA page_count')}")
    with pytest.raises(EngineError, match=r"the file of states .* failed: database or disk is full; free its disk"):
        store.put("likes", b"y" * 100_000)
    assert store.get("likes") == b"x" * 100
    store.close()
    again = StateStore(tmp_path / "a.db", "redis in")
    assert (again.get("likes"), again.get("shares")) == (b"x" * 100, None)
    again.close()


def test_a_message_that_is_none_is_a_dead_letter_with_a_reason(model: Forecaster, tmp_path: Path) -> None:
    taking, link = begun(model, tmp_path / "a.db"), Recorded()
    for message in (b"nothing", b"\xff", data(0), data(0, series=5)):
        assert taken(taking, link, message)
    letters = [one for topic, one in link.sent if topic == "in-dead-letters"]
    assert [one["code"] for one in letters] == ["schema", "unreadable", "series", "series"]
    assert letters[0]["reason"] == "it has no data"
    assert len(letters) == len(link.sent)


def test_a_file_of_states_is_for_one_process_and_one_stream(tmp_path: Path) -> None:
    store = StateStore(tmp_path / "a.db", "mqtt counts/+")
    with pytest.raises(UsageError, match="is used by another process; each takes one of its own"):
        StateStore(tmp_path / "a.db", "mqtt counts/+")
    store.close()
    with pytest.raises(UsageError, match=r"is of the stream 'mqtt counts/\+', not 'mqtt likes/\+'"):
        StateStore(tmp_path / "a.db", "mqtt likes/+")
    StateStore(tmp_path / "a.db", "mqtt counts/+").close()


def test_another_file_is_no_file_of_states(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("time,value\n" * 100)
    with sqlite3.connect(tmp_path / "other.db") as other:
        other.execute("CREATE TABLE states (series TEXT)")
    other.close()
    for name in ("text", "other.db"):
        (tmp_path / name).chmod(0o600)
        kept = (tmp_path / name).read_bytes()
        with pytest.raises(FormatError, match="is not a file of states"):
            StateStore(tmp_path / name, "redis in")
        assert (tmp_path / name).read_bytes()[100:] == kept[100:]
    with pytest.raises(UsageError, match="cannot be made: No such file or directory; name another file with --store"):
        StateStore(tmp_path / "nothing" / "a.db", "redis in")


def test_a_file_of_states_is_of_its_user_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    store = StateStore(path, "redis in")
    store.put("likes", b"x")
    assert {one.name: one.stat().st_mode & 0o777 for one in tmp_path.iterdir()} == {"a.db": 0o600, "a.db-wal": 0o600}
    store.close()
    path.chmod(0o644)
    with pytest.raises(UsageError, match=r"the file of states .* is not private to this user; .* chmod 600 /"):
        StateStore(path, "redis in")
    path.chmod(0o600)
    path.with_name("a.db-wal").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match=r"is not private to this user; .* chmod 600 /.*/a\.db-wal$"):
        StateStore(path, "redis in")


def test_a_damaged_file_of_states_is_refused_before_a_message_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    store = StateStore(path, "redis in")
    for number in range(40):
        store.put(str(number), bytes([number]) * 3000)
    store.close()
    data = bytearray(path.read_bytes())
    data[len(data) // 2 :] = bytes(len(data) - len(data) // 2)
    path.write_bytes(data)
    with pytest.raises(FormatError, match=r"is damaged|is not a file of states"):
        StateStore(path, "redis in")


def test_made_up_names_of_series_do_not_grow_the_file_without_end(model: Forecaster, tmp_path: Path) -> None:
    config = replace(CONFIG, streams=2)
    link, first = Recorded(), Taking(model, config, USUAL, store=StateStore(tmp_path / "a.db", "redis in"))
    for series in ("likes", "shares", "\x1b[2J", "shares", "more"):
        assert taken(first, link, data(len(link.sent), series=series))
    first.store.close()
    again = Taking(model, config, USUAL, store=StateStore(tmp_path / "a.db", "redis in"))
    again.store.put("clock " * 100, b"note")
    assert len(again.store) == 2
    for series in ("last", "likes"):
        assert taken(again, link, data(len(link.sent), series=series))
    assert [topic for topic, _ in link.sent] == ["out", "out", "in-dead-letters", "out"] + ["in-dead-letters"] * 2 + [
        "out"
    ]
    letters = [one for topic, one in link.sent if topic == "in-dead-letters"]
    assert {one["code"] for one in letters} == {"series"}
    assert letters[0]["reason"] == "2 series are followed, and no more are; raise it with --streams N"
    again.store.close()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"source": "counts/#"}, "has the wildcard #, which names no series"),
        ({"source": "+/+"}, "has 2 wildcards; which one names the series"),
        ({"source": "counts/a+"}, r"has a \+ beside other characters"),
        ({"source": "$share/a/counts"}, "would take the steps of a series out of order"),
        ({"forecasts": "counts/forecasts"}, r"which source 'counts/\+' matches; a stream that reads what it writes"),
        ({"source": "+"}, "dead_letters is '-dead-letters', which source"),
        ({"forecasts": "out/+"}, "has a wildcard; expected one topic"),
        ({"alarms": "out"}, "two topics are one"),
        ({"kind": "redis", "source": "out"}, "forecasts is 'out', which is read"),
        ({"streams": 0}, "streams is 0; expected at least 1"),
        ({"reader": "a b"}, "reader is 'a b'; expected up to 200"),
        ({"kind": "nats", "source": "counts.>"}, r"the wildcard >, which names no series; expected \* in its place"),
        ({"kind": "nats", "source": "counts.*", "forecasts": "counts.out"}, "a stream that reads what it writes"),
        ({"kind": "nats", "source": "counts..a"}, "is not a topic"),
        ({"kind": "nats", "source": "counts.*", "reader": "a.b"}, "a consumer of NATS has no dots"),
        ({"kind": "rabbit"}, "kind is 'rabbit'"),
    ],
)
def test_a_configuration_that_would_go_wrong_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        BrokerConfig(**{"kind": "mqtt", "source": "counts/+", "forecasts": "out", **changes})


def test_the_wildcard_s_part_of_a_topic_is_the_series() -> None:
    assert series_in(MQTT, "site/+/hour", "site/likes/hour") == "likes"
    assert series_in(MQTT, "site/hour", "site/hour") is None
    assert [matches(MQTT, "site/+", one) for one in ("site/a", "site", "site/a/b", "other/a")] == [
        True,
        False,
        False,
        False,
    ]
    assert series_in(NATS, "site.*", "site.likes") == "likes"
    assert BrokerConfig(kind="mqtt", source="site/+/hour", forecasts="out").refused == "site/hour-dead-letters"


def test_the_entry_before_another_one() -> None:
    assert [before(one) for one in ("5-3", "5-0", "0-0")] == ["5-2", f"4-{2**64 - 1}", "0-0"]


@pytest.mark.parametrize("url", ["mqtt://127.0.0.1", "127.0.0.1:1", "redis://", "redis://a:b@[", "redis://a:x"])
def test_an_address_of_another_kind_is_refused_without_its_password(
    model: Forecaster, tmp_path: Path, url: str
) -> None:
    config = BrokerConfig(kind="redis", source="in", forecasts="out", store=str(tmp_path / "a.db"))
    require("faststream")
    with pytest.raises(UsageError, match=r"expected redis://HOST:PORT") as raised:
        stream_broker(model, url, config)
    assert "a:b" not in str(raised.value)


def test_a_broker_that_is_not_there_is_an_error_with_its_place(model: Forecaster, tmp_path: Path) -> None:
    require("faststream", "redis")
    config = BrokerConfig(kind="redis", source="in", forecasts="out", store=str(tmp_path / "a.db"))
    with pytest.raises(PulsecastError, match=r"the broker at 127\.0\.0\.1:1 failed") as raised:
        stream_broker(model, "redis://:secret@127.0.0.1:1", config)
    assert "secret" not in str(raised.value)
    StateStore(tmp_path / "a.db", "redis in").close()

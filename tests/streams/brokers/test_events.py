"""Single events on real brokers: the forecasts of a log of the same events, and a clock that overtakes none."""

from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from helpers.brokers.servers import Redis, Server
from helpers.engines import require
from helpers.streaming.events import BEGIN, LATE_S, Event, check, conflict, counts, events, late
from pulsecast import Forecaster
from pulsecast.errors import EngineError, UsageError
from pulsecast_streams import BrokerConfig, EventPolicies, Received, answer_clock, answer_event
from pulsecast_streams.brokers import ticking
from pulsecast_streams.brokers.attaching import make
from pulsecast_streams.brokers.store import StateStore
from pulsecast_streams.brokers.taking import Taking
from pulsecast_streams.brokers.ticking import Ticking
from pulsecast_streams.policies import USUAL
from streams.brokers.conftest import Start

require("polars")
COUNTED = EventPolicies(step_s=3600, lateness_s=LATE_S)
CONFIG = BrokerConfig(kind="redis", source="in", forecasts="out")


@pytest.mark.slow
def test_live_counts_forecast_what_their_log_forecasts(
    model: Forecaster, server: Server, name: str, start: Start, tmp_path: Path
) -> None:
    likes = events("likes", 1, per_hour=2.0)
    arriving = sorted([*likes, late("likes"), conflict(likes)])
    one = start(lateness_s=LATE_S)
    for event in arriving[: len(arriving) // 2]:
        server.send(name, event.series, event.data)
    found = server.read(f"{name}-forecasts", 30)
    one.kill()
    start(lateness_s=LATE_S)
    for event in arriving[len(arriving) // 2 :]:
        server.send(name, event.series, event.data)
    values = counts(likes, tmp_path)
    said = (int(max(one.seconds for one in likes)) - LATE_S) // 3600  # steps that the events alone complete
    while len({one["time"] for one in found}) < said:
        found += server.read(f"{name}-forecasts", 1)
    first = {one["time"]: one for one in reversed(found)}
    assert all({**one, "arrival": None} == {**first[one["time"]], "arrival": None} for one in found)
    check(model, [first[time] for time in sorted(first)], {"likes": values}, said)
    letters = server.read(f"{name}-dead-letters", 2)
    assert sorted(one["code"] for one in letters) == ["conflict", "late"]
    assert {json.loads(base64.b64decode(one["value"]))["id"] for one in letters} == {"too late", conflict(likes).id}


@pytest.mark.slow
@pytest.mark.parametrize("server", ["redis"], indirect=True)
def test_a_series_to_which_no_event_comes_is_completed_by_the_arrival_of_others(
    model: Forecaster, server: Redis, name: str, start: Start
) -> None:
    start(lateness_s=0)
    for event in (Event(0.5, 0.5, "shares", "a"), Event(1.0, 1.0, "likes", "b"), Event(9000.0, 9000.0, "likes", "c")):
        entry = f"{round(1000 * (BEGIN + event.arrives))}-0"
        server.client.xadd(name, {"key": event.series, "data": event.data}, id=entry)
    found = server.read(f"{name}-forecasts", 4)
    assert [one["time"] for one in found if one["series"] == "shares"] == [BEGIN, BEGIN + 3600]


@dataclass
class Silent:
    """A link to which nothing comes; it fails after some records, as a process that is killed."""

    crash_after: int = 10**9
    sent: list[dict[str, Any]] = field(default_factory=list)
    waits: bool = False
    asked: int = 0

    async def send(self, topic: str, key: str | None, data: bytes) -> None:
        if len(self.sent) == self.crash_after:
            raise ConnectionError
        self.sent.append(json.loads(data))

    async def drained(self) -> bool:
        self.asked += 1
        return not self.waits


def begun(model: Forecaster, path: Path, link: Any) -> tuple[Taking, Ticking]:
    taking = Taking(model, CONFIG, USUAL, store=StateStore(path, "redis in"), events=COUNTED)
    return taking, Ticking(taking, link, COUNTED)


def event(seconds: float) -> Received:
    data = json.dumps({"time": BEGIN + seconds}).encode()
    return Received(key="likes", value=data, arrived_s=BEGIN + seconds)


def test_the_clock_stands_while_messages_wait_at_the_broker(
    model: Forecaster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ticking, "QUIET_S", 0.0)
    monkeypatch.setattr(ticking.time, "time", lambda: BEGIN + 3 * 3600.0)
    state = answer_event(model, event(0), None, events=COUNTED).state
    assert state is not None

    async def look(link: Silent) -> list[int]:
        store = StateStore(tmp_path / f"{link.waits}.db", "redis in")
        store.put("likes", state)
        store.close()
        _, clock = begun(model, tmp_path / f"{link.waits}.db", link)
        await clock._look_up()
        await clock._advance()
        return [one["time"] for one in link.sent]

    assert asyncio.run(look(Silent(waits=True))) == []
    assert asyncio.run(look(Silent())) == [BEGIN, BEGIN + 3600]


@pytest.mark.parametrize("crash_after", [0, 1, 2])
def test_what_a_clock_was_saying_at_a_crash_is_said_again_alike_before_any_message(
    model: Forecaster, tmp_path: Path, crash_after: int
) -> None:
    """An event that is still in time for the step at work comes right after the crash: it must not change it."""
    path = tmp_path / "a.db"
    state = answer_event(model, event(0), None, events=COUNTED).state
    assert state is not None
    expected = answer_clock(model, state, BEGIN + 3 * 3600, events=COUNTED)
    wanted = [one.answer.forecast for one in expected.answers]
    assert len(wanted) == 2

    async def crash() -> list[dict[str, Any]]:
        link = Silent(crash_after=crash_after)
        taking, clock = begun(model, path, link)
        taking.store.put("likes", state)
        clock._note("likes", state)
        clock._now_s = BEGIN + 3 * 3600
        await taking.guarded(clock._advance)
        assert isinstance(taking.fault, EngineError) == (crash_after < 2)
        taking.store.close()
        return link.sent

    async def again() -> tuple[list[dict[str, Any]], bytes | None]:
        link = Silent()
        taking, clock = begun(model, path, link)
        await clock.ready()
        assert taking.turn.locked()
        await clock.start()
        await clock.stop()
        kept = taking.store.get("likes")
        taking.store.close()
        return link.sent, kept

    first = asyncio.run(crash())
    assert first == wanted[:crash_after]
    sent, kept = asyncio.run(again())
    assert sent == (wanted if crash_after < 2 else [])
    assert kept == expected.state
    late_one = answer_event(model, event(3599), kept, events=COUNTED)
    assert (late_one.dead_letter or {})["code"] == "late"


def test_a_file_of_steps_is_not_one_of_events(model: Forecaster, tmp_path: Path) -> None:
    config = BrokerConfig(kind="redis", source="in", forecasts="out", store=str(tmp_path / "a.db"))
    make(model, config, USUAL).store.close()
    with pytest.raises(UsageError, match="is of the stream 'redis in', not 'redis events in'"):
        make(model, config, USUAL, COUNTED)

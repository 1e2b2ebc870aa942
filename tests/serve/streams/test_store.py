"""Where streams are kept: in memory and in a file by the same rules, and never half of a change."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from helpers.serving.streams import following, kept, pushes, put, same, stepped
from pulsecast import Forecaster
from pulsecast.forecasting.watching.promises import Counts
from pulsecast_serve import ServerConfig, application
from pulsecast_serve.models.served import Served
from pulsecast_serve.protocols.streams.pushing import Past, pushed
from pulsecast_serve.protocols.streams.request import read_push
from pulsecast_serve.refusal import RefusedError
from pulsecast_serve.streams.kept import Change, Judged, Kept, Key, Totals
from pulsecast_serve.streams.store import Store, open_store
from pulsecast_serve.streams.streams import Outcome, Streams

KEY, OTHER = Key("m", "a"), Key("m", "ü/b")


@pytest.fixture(params=["memory", "file"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    found = open_store("memory" if request.param == "memory" else str(tmp_path / "s.sqlite"))
    yield found
    found.close()


def test_what_is_put_is_kept_and_gets_another_token(store: Store) -> None:
    assert store.get(KEY) is None
    put(store, KEY, Change(kept=kept(newest=b"n", seen=3), anew=True))
    first = store.get(KEY)
    put(store, KEY, Change(kept=kept(b"next", time=3)))
    second = store.get(KEY)
    assert first is not None
    assert second is not None
    assert first == kept(newest=b"n", seen=3, token=first.token)
    assert second == kept(b"next", time=3, token=second.token)
    assert first.token != second.token
    with store.changing() as writing:
        assert writing.token(KEY) == second.token
        assert writing.get(KEY) == second
        assert writing.token(OTHER) is None


def test_blocks_are_kept_in_their_order_until_they_are_too_old(store: Store) -> None:
    put(store, KEY, Change(kept=kept(), anew=True, blocks={0: b"a", 1: b"b"}))
    put(store, OTHER, Change(kept=kept(), anew=True, blocks={0: b"x"}))
    put(store, KEY, Change(kept=kept(), blocks={2: b"c"}, first=1))
    assert store.blocks(KEY) == [b"b", b"c"]
    put(store, KEY, Change(kept=kept(), judged=Judged(), first=2))
    assert store.blocks(KEY) == [b"c"]
    assert store.blocks(OTHER) == [b"x"]
    put(store, KEY, Change(kept=kept(), anew=True))
    assert store.blocks(KEY) == []


def test_a_transaction_that_fails_keeps_nothing(store: Store) -> None:
    put(store, KEY, Change(kept=kept(), anew=True, blocks={0: b"a"}))
    before = store.get(KEY)

    def failing() -> None:
        with store.changing() as writing:
            writing.put(KEY, Change(kept=kept(b"other"), blocks={1: b"b"}))
            writing.put(OTHER, Change(kept=kept(), anew=True))
            assert writing.count("m") == 2
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        failing()
    assert (store.get(KEY), store.get(OTHER), store.blocks(KEY)) == (before, None, [b"a"])
    with store.changing() as writing:
        assert writing.count("m") == 1


def test_totals_are_of_what_is_kept(store: Store) -> None:
    counts = Counts(judged=10, inside=8, larger=4, above=1)
    put(store, KEY, Change(kept=kept(), anew=True, judged=Judged(verdict="train again", counts=counts)))
    put(store, OTHER, Change(kept=kept(), anew=True, judged=Judged(verdict="steady", counts=counts)))
    put(store, Key("n", "a"), Change(kept=kept(), anew=True))
    put(store, KEY, Change(kept=kept()))  # the verdict stands
    both = Counts(judged=20, inside=16, larger=8, above=2)
    assert store.totals()["m"] == Totals(streams=2, again=1, counts=both)
    assert store.totals()["n"] == Totals(streams=1)
    assert store.judged("m", 1) == {"a": Judged(verdict="train again", counts=counts)}
    with store.changing() as writing:
        assert [writing.forget(KEY) for _ in range(2)] == [True, False]
        assert [writing.count(model) for model in ("m", "n", "nobody")] == [1, 1, 0]
    assert store.totals()["m"] == Totals(streams=1, counts=counts)
    put(store, OTHER, Change(kept=kept(), anew=True))
    assert store.totals()["m"] == Totals(streams=1)


def test_names_come_in_their_order_some_at_a_time(store: Store) -> None:
    for name in ("b", "ü", "a", "B", "c"):
        put(store, Key("m", name), Change(kept=kept(), anew=True))
    put(store, Key("other", "d"), Change(kept=kept(), anew=True))
    assert store.names("m", "", 3) == ["B", "a", "b"]
    assert store.names("m", "b", 9) == ["c", "ü"]
    for name in ("a", "c"):
        put(store, Key("m", name), Change(kept=kept(), judged=Judged(verdict="train again")))
    assert store.names("m", "", 9, "train again") == ["a", "c"]
    assert store.names("m", "a", 9, "train again") == ["c"]
    assert store.names("m", "", 9, "unknown") == ["B", "b", "ü"]  # never judged


def test_a_stream_without_a_push_for_too_long_is_forgotten(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now - 100)
    put(store, KEY, Change(kept=kept(), anew=True))
    put(store, OTHER, Change(kept=kept(), anew=True))
    monkeypatch.setattr(time, "time", lambda: now)
    put(store, OTHER, Change(kept=kept()))
    assert store.forget_older(int(now - 50)) == 1
    assert store.names("m", "", 9) == [OTHER.series]


def test_a_server_forgets_streams_that_are_too_old(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "s.sqlite"))
    put(store, KEY, Change(kept=kept(), anew=True))
    with closing(sqlite3.connect(tmp_path / "s.sqlite", isolation_level=None)) as connection:
        connection.execute("UPDATE series SET changed = changed - 3 * 86400")
    streams = Streams(lambda: store, most=9, age_days=2.0)
    asyncio.run(streams.change(OTHER, lambda now, blocks: Outcome(Change(kept=kept(), anew=True), None)))
    assert streams.wait_for(lambda one: one.names("m", "", 9)) == [OTHER.series]
    streams.close()


def test_a_file_is_private_and_survives_its_process(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    before = os.umask(0)
    first = open_store(str(path))
    put(first, KEY, Change(kept=kept(), anew=True))
    modes = {one.name: one.stat().st_mode & 0o777 for one in tmp_path.iterdir()}
    assert modes == {"s.sqlite": 0o600, "s.sqlite-shm": 0o600, "s.sqlite-wal": 0o600}
    os.umask(before)
    second = open_store(str(path))
    assert second.get(KEY) == first.get(KEY)
    first.close()
    second.close()


def test_memory_is_refused_where_several_processes_answer() -> None:
    with pytest.raises(ValueError, match=r"store is memory, which each of 2 workers has for itself: pass a file"):
        ServerConfig(store="memory", workers=2)


def push(streams: Sequence[Streams], model: Forecaster, sent: Sequence[Any]) -> list[Any]:
    """Push each step of one series until it is taken, from a task for each of `streams`; return what was answered."""
    served = Served(name="m", version=1, model=model)
    answered: list[Any] = []

    async def one(to: Streams, part: Sequence[Any]) -> None:
        for step in part:
            asked = read_push(step, model.manifest.spec)
            answered.extend(
                await to.change(
                    KEY, lambda now, blocks, asked=asked: pushed(served, "a", asked, Past(now, blocks, to.alive))
                )
            )

    async def all_of_them() -> None:
        await asyncio.gather(*(one(to, sent) for to in streams))

    asyncio.run(all_of_them())
    return answered


@pytest.mark.parametrize("processes", [1, 2])
def test_two_clients_that_push_to_one_series_at_once_lose_nothing(
    processes: int, model: Forecaster, tmp_path: Path
) -> None:
    """Both push all steps: each is taken once, and answered the other time as repeated or late."""
    path = str(tmp_path / "s.sqlite")
    owners = [following(path) for _ in range(processes)]
    sent = pushes(range(90))
    answered = push([owners[0], owners[-1]], model, sent)
    taken = [one for one in answered if one["arrival"] == "next"]
    assert [one["time"] for one in sorted(taken, key=lambda one: one["time"])] == [one["time"] for one in sent]
    assert len(answered) == 2 * len(sent)
    expected = stepped(model, sent)
    assert all(same(*pair) for pair in zip(sorted(taken, key=lambda one: one["time"]), expected, strict=True))
    last = owners[0].wait_for(lambda store: store.get(KEY))
    assert last is not None
    assert last.state == expected[-1].state
    assert last.seen == len(sent)
    for one in owners:
        one.close()


def test_a_stream_that_another_process_changed_is_computed_again(tmp_path: Path) -> None:
    """The other one comes between what is read and what is kept."""
    path, calls = str(tmp_path / "s.sqlite"), []
    streams, other = following(path), open_store(path)

    def compute(now: Kept | None, blocks: object) -> Outcome[bytes]:
        calls.append(now)
        if len(calls) == 1:
            put(other, KEY, Change(kept=kept(b"theirs"), anew=True))
        state = (b"" if now is None else now.state) + b"+ours"
        return Outcome(Change(kept=kept(state), anew=now is None), state)

    assert asyncio.run(streams.change(KEY, compute)) == b"theirs+ours"
    assert len(calls) == 2
    found = other.get(KEY)
    assert found is not None
    assert found.state == b"theirs+ours"
    other.close()
    streams.close()


def test_an_application_holds_no_file_open_before_its_first_push(bundle: Path, tmp_path: Path) -> None:
    """Its process may fork: SQLite's files must not be open in two processes by one opening."""
    path = tmp_path / "s.sqlite"
    application(bundle, config=ServerConfig(store=str(path)))
    held = {os.path.realpath(f"/proc/self/fd/{one}") for one in Path("/proc/self/fd").iterdir()}
    assert path.is_file()
    assert str(path) not in held


def test_a_refused_push_does_not_keep_those_that_came_with_it_from_being_kept() -> None:
    streams = following("memory")
    held = threading.Event()
    streams._thread.submit(held.wait)  # all of the pushes wait for one turn

    def refused(now: Kept | None, blocks: object) -> Outcome[str]:
        raise RefusedError(400, "no")

    async def all_of_them() -> list[Any]:
        good = [
            streams.change(Key("m", name), lambda now, blocks: Outcome(Change(kept=kept(), anew=True), "kept"))
            for name in ("a", "b")
        ]
        tasks = [asyncio.create_task(one) for one in (good[0], streams.change(Key("m", "x"), refused), good[1])]
        await asyncio.sleep(0)
        held.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    found = asyncio.run(all_of_them())
    assert [found[0], str(found[1]), found[2]] == ["kept", "no", "kept"]
    streams.close()

"""States that wait for a commit, in the engine's own transactions: what they come to is what `answer` gives."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from helpers.streaming.streams import RATE, Expected, Message, by_series, measurements, message
from pulsecast import Forecaster, load
from pulsecast.errors import DtypeError, FormatError, UsageError
from pulsecast.forecasting.living.live_series import LiveSeries
from pulsecast.forecasting.stream_state import read_state
from pulsecast.forecasting.streaming import Loaded
from pulsecast_streams import Policies, Received, answer
from pulsecast_streams.answering import Answering, Said
from pulsecast_streams.kafka.dataframe import _Going
from pulsecast_streams.kafka.unwritten import STATE, KeptInTransaction, Mark, Unwritten, before_commit

RATED = Policies(false_alarm_rate=RATE)
SERIES = ("likes", "shares", "views")


class Process:
    """A process that has a model, and reads from a partition of the engine's store."""

    def __init__(self, store: Any, model: Loaded, *, most: int = 1000, policies: Policies = RATED) -> None:
        self.store, self.unwritten = store, Unwritten(model, most)
        self.sink = before_commit(self.unwritten)
        self.answering = Answering(model, policies)
        self.transaction = store.begin()

    def take(self, messages: list[Message]) -> list[Said]:
        found = []
        for name, value in messages:
            key = name.encode()
            kept = KeptInTransaction(self.unwritten, key, self.transaction.as_state(prefix=key))
            found.append(self.answering.said(Received(key=key, value=value), kept))
            kept.end(changed=found[-1].changed)
        return found

    def commit(self) -> None:
        """Do what a checkpoint does, in its order."""
        self.sink.flush()
        self.transaction.prepare(processed_offsets={})
        self.transaction.flush()
        self.transaction = self.store.begin()

    def abort(self) -> None:
        """Do what a checkpoint does that is not committed: nothing reaches the store."""
        self.transaction = self.store.begin()

    def states(self) -> dict[str, bytes]:
        """Return what the store has."""
        state = self.store.begin().as_state
        return {name: state(prefix=name.encode()).get_bytes(STATE) for name in SERIES}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Any]:
    from quixstreams.state.rocksdb import RocksDBStorePartition

    found = RocksDBStorePartition(str(tmp_path / "states"))
    yield found
    found.close()


def forecasts(said: list[Said]) -> dict[str, list[Any]]:
    return by_series([dict(one.forecast) for one in said if one.forecast is not None])


def alarms(said: list[Said]) -> dict[str, list[Any]]:
    return by_series([dict(alarm) for one in said for alarm in one.alarms])


def same(found: list[Said], expected: Expected) -> bool:
    wanted = {name: records for name, records in expected.alarms.items() if records}
    return forecasts(found) == expected.forecasts and alarms(found) == wanted


@pytest.fixture(scope="module")
def messages() -> list[Message]:
    return measurements(SERIES, 110)


@pytest.fixture(scope="module")
def expected(model: Forecaster, messages: list[Message]) -> Expected:
    found = Expected().take(model, messages, RATED)
    assert sum(map(len, found.alarms.values())) >= 3
    return found


@pytest.mark.parametrize(("every", "most"), [(330, 1000), (30, 1000), (1, 1000), (30, 2), (7, 1)])
def test_records_and_states_are_those_of_answer_whenever_it_commits(
    store: Any, model: Forecaster, messages: list[Message], expected: Expected, every: int, most: int
) -> None:
    process, found = Process(store, model, most=most), []
    for at in range(0, len(messages), every):
        found += process.take(messages[at : at + every])
        process.commit()
    assert len(process.unwritten.alive.kept) == min(len(SERIES), most)
    assert same(found, expected)
    assert process.states() == expected.states


def test_a_transaction_that_is_aborted_leaves_nothing_behind(
    store: Any, model: Forecaster, messages: list[Message], expected: Expected
) -> None:
    """The same messages come again; the series that had gone on with them are ahead of what is committed."""
    process = Process(store, model)
    found = process.take(messages[:150])
    process.commit()
    before = process.states()
    first = process.take(messages[150:240])
    process.abort()
    assert process.states() == before
    again = process.take(messages[150:240])
    assert again == first
    process.commit()
    assert same([*found, *again, *process.take(messages[240:])], expected)
    process.commit()
    assert process.states() == expected.states


def test_a_commit_that_fails_after_the_states_were_written_leaves_nothing_behind(
    store: Any, model: Forecaster, messages: list[Message], expected: Expected
) -> None:
    """The sink was called, and the series are kept alive by bytes that never reached the store."""
    process = Process(store, model)
    found = process.take(messages[:150])
    process.commit()
    process.take(messages[150:240])
    process.sink.flush()
    process.abort()
    assert same([*found, *process.take(messages[150:])], expected)


def test_a_partition_that_comes_back_goes_on_from_what_the_other_process_left(
    store: Any, model: Forecaster, messages: list[Message], expected: Expected
) -> None:
    one, other = Process(store, model), Process(store, model)
    found = one.take(messages[:150])
    one.commit()
    other.transaction = store.begin()
    found += other.take(messages[150:240])
    other.commit()
    one.transaction = store.begin()
    found += one.take(messages[240:300])
    one.commit()
    other.transaction = store.begin()
    found += other.take(messages[300:])
    other.commit()
    assert same(found, expected)
    assert one.states() == expected.states


def test_another_sink_that_holds_the_commit_up_leaves_nothing_behind(
    store: Any, model: Forecaster, messages: list[Message], expected: Expected
) -> None:
    process = Process(store, model)
    process.take(messages[:100])
    process.sink.on_paused()
    process.abort()
    process.commit()
    assert set(process.states().values()) == {None}
    assert same(process.take(messages), expected)


def test_a_new_bundle_replays_what_the_states_hold(
    store: Any, model: Forecaster, linear_bundle: Path, messages: list[Message]
) -> None:
    newer = load(linear_bundle, backend="numpy")
    expected = Expected().take(model, messages[:240], RATED).take(newer, messages[240:], RATED)
    old = Process(store, model)
    found = old.take(messages[:240])
    old.commit()
    new = Process(store, newer)
    found += new.take(messages[240:])
    new.commit()
    assert same(found, expected)
    assert new.states() == expected.states
    assert len({one["version"] for one in forecasts(found)["likes"]}) == 2


def test_two_models_of_one_application_never_answer_with_the_series_of_the_other(
    store: Any, model: Forecaster, linear_bundle: Path, messages: list[Message]
) -> None:
    """They keep the state under one name, and each carries over what the other left."""
    other = load(linear_bundle, backend="numpy")
    one, two = Process(store, model), Process(store, other)
    expected, found = Expected(), []
    for at, each in enumerate(messages):
        two.transaction = one.transaction
        found += one.take([each]) + two.take([each])
        for loaded in (model, other):
            expected.take(loaded, [each], RATED)
        if at % 50 == 49:
            two.sink.flush()
            one.commit()
    assert same(found, expected)
    one.sink.flush()
    two.sink.flush()
    one.commit()
    assert one.states() == expected.states


def test_a_refused_message_leaves_its_series_as_it_was_and_alive(
    store: Any, model: Forecaster, messages: list[Message], expected: Expected
) -> None:
    process, found = Process(store, model), []
    bad = [message(-1, 1e9), message(40, "five"), message(200_000, 5.0), b"{}", b"\xff", message(-9, None)]
    for at in range(0, len(messages), 30):
        taken = process.take([messages[at], *((messages[at][0], one) for one in bad)])
        assert all(one.forecast is None for one in taken[1:])
        found += taken[:1] + process.take(messages[at + 1 : at + 30])
        process.commit()
    assert same(found, expected)
    assert process.states() == expected.states


def test_steps_that_a_policy_fills_in_are_taken_back_if_the_message_is_refused(
    store: Any, model: Forecaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    policies = Policies(false_alarm_rate=RATE, gap="last")
    process = Process(store, model, policies=policies)
    process.take([("likes", message(n, 100.0 + n)) for n in range(60)])
    state = answer(model, Received(key="likes", value=message(0, 100.0)), policies=policies).state
    for n in range(1, 60):
        state = answer(model, Received(key="likes", value=message(n, 100.0 + n)), state, policies=policies).state
    take = LiveSeries.take

    def refused(self: LiveSeries, values: Any, time: Any, *, sure: bool) -> Any:
        if values == 5.0:
            raise DtypeError("steps are of another kind")
        return take(self, values, time, sure=sure)

    monkeypatch.setattr(LiveSeries, "take", refused)
    (found,) = process.take([("likes", message(62, 5.0))])
    assert found.dead_letter is not None
    process.commit()
    assert process.states()["likes"] == state


def test_a_store_that_does_not_give_the_mark_back_gets_the_state_at_once(
    store: Any, model: Forecaster, messages: list[Message], expected: Expected
) -> None:
    """One that stamps values, for an application that sets a time to live, returns other bytes."""

    class Copying:
        def __init__(self, state: Any) -> None:
            self.get_bytes = state.get_bytes
            self.set_bytes = lambda name, data: state.set_bytes(name, bytes(bytearray(data)))

    process, found = Process(store, model), []
    for name, value in messages:
        key = name.encode()
        state: Any = Copying(process.transaction.as_state(prefix=key))
        kept = KeptInTransaction(process.unwritten, key, state)
        found.append(process.answering.said(Received(key=key, value=value), kept))
        kept.end(changed=found[-1].changed)
        assert bytes(state.get_bytes(STATE)[:4]) == b"PLSE"
    assert same(found, expected)


def test_a_mark_that_was_committed_is_refused(model: Forecaster) -> None:
    with pytest.raises(FormatError, match="is not one of a pulsecast stream"):
        read_state(bytes(Mark(model)))  # type: ignore[arg-type]


def test_a_state_of_another_kind_of_model_ends_the_stream(
    store: Any, model: Forecaster, table_bundle: Path, messages: list[Message]
) -> None:
    old = Process(store, model)
    old.take(messages[:30])
    old.commit()
    other = Process(store, load(table_bundle, backend="numpy"), policies=Policies(unknown_series="pool"))
    with pytest.raises(UsageError, match="the state is of a bundle of one series"):
        other.take(messages[30:31])


def test_a_copy_for_another_branch_has_no_forecast_to_take_for_none() -> None:
    from quixstreams.utils.pickle import pickle_copier

    copied = pickle_copier(_Going({"forecast": [1.0]}, ({"alarm": True},), None))()
    assert (copied.alarms, copied.dead_letter) == (({"alarm": True},), None)
    with pytest.raises(AttributeError):
        _ = copied.forecast

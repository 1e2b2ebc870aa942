"""A step in a Quix application: messages in, forecasts, alarms and dead letters out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pulsecast.errors import UsageError
from pulsecast.forecasting.stream_state import require_loaded
from pulsecast.forecasting.streaming import Loaded
from pulsecast.foundation.arguments import instance, shown

from ..answering import Answer, Answering, Said
from ..events.policies import EventPolicies
from ..events.trained import require_fits
from ..following import Heard, measured_step
from ..messages.received import Received
from ..messages.records import Record
from ..policies import USUAL, Policies
from .counted import Counted, recorded
from .engine import quix
from .unwritten import STATE, KeptInTransaction, Mark, Unwritten, before_commit

if TYPE_CHECKING:
    from quixstreams.dataframe import StreamingDataFrame
    from quixstreams.state import State


@dataclass(frozen=True, kw_only=True)
class Branches:
    """What goes out, as dataframes of records: `to_topic` sends each on, and more steps may follow."""

    forecasts: StreamingDataFrame
    alarms: StreamingDataFrame
    dead_letters: StreamingDataFrame


def forecasting(
    dataframe: StreamingDataFrame,
    model: Loaded,
    *,
    policies: Policies = USUAL,
    events: EventPolicies | None = None,
    ticks: StreamingDataFrame | None = None,
    heard: Heard | None = None,
) -> Branches:
    """Return the forecasts, alarms and dead letters of a dataframe of an application of Quix Streams.

    dataframe  of a topic with value_deserializer="bytes" and key_deserializer="bytes": what comes is read strictly, and
               what cannot be read is a dead letter
    model      what `pulsecast.load` returned; a newer one goes on with the states of the old one
    events     the topic has single events, which are counted in steps first (`event_policies`)
    ticks      of a topic with as many partitions, whose messages complete steps where no event comes: each at its
               timestamp, after all events that came before it. Without it only events complete steps
    heard      called with each step that was answered

    The records of a tick have keys of their own: send them on with `key=lambda record: record["series"]`. The state of
    each series lies in the application's store. Raises MissingExtraError and UsageError.

        found = forecasting(app.dataframe(likes), load("bundle"))
        found.forecasts.to_topic(app.topic("forecasts"))
    """
    if not isinstance(dataframe, quix().dataframe.StreamingDataFrame):
        raise UsageError(f"dataframe is {shown(dataframe)}; expected what app.dataframe(topic) returned")
    require_loaded(model)
    instance("policies", policies, Policies)
    if events is not None:
        require_fits(model, events)
        return _counting(dataframe, ticks, Counted(model, events, policies), heard)
    context, answering, unwritten = quix().message_context, Answering(model, policies), Unwritten(model)

    def taken(value: Any, key: Any, timestamp_ms: int, headers: Any, state: State) -> _Going:
        del headers
        where = context()
        source = {"topic": where.topic, "partition": where.partition, "offset": where.offset}
        received = _received(value, key, timestamp_ms, source)
        kept = KeptInTransaction(unwritten, key, state)
        said = answering.said(received, kept)
        kept.end(changed=said.changed)
        if heard is not None:
            step = measured_step(model, received, _answer(said, state), policies)
            if step is not None:
                heard(step)
        return _Going(said.forecast, said.alarms, said.dead_letter)

    answers = dataframe.apply(taken, stateful=True, metadata=True)
    branches = Branches(
        forecasts=answers.filter(lambda found: found.forecast is not None).apply(lambda found: found.forecast),
        alarms=answers.apply(lambda found: found.alarms, expand=True),
        dead_letters=answers.filter(lambda found: found.dead_letter is not None).apply(lambda found: found.dead_letter),
    )
    branches.dead_letters.sink(before_commit(unwritten))
    return branches


def _answer(said: Said, state: State) -> Answer:
    kept = state.get_bytes(STATE)
    data = kept.live.to_bytes() if isinstance(kept, Mark) else kept
    return Answer(forecast=said.forecast, alarms=said.alarms, dead_letter=said.dead_letter, state=data)


def _counting(
    dataframe: StreamingDataFrame, ticks: StreamingDataFrame | None, counted: Counted, heard: Heard | None
) -> Branches:
    """Return the same of events: a message may have many records, each in a list."""
    merged = dataframe if ticks is None else dataframe.concat(ticks)
    clocks: frozenset[str] = frozenset() if ticks is None else frozenset(topic.name for topic in ticks.topics)
    context = quix().message_context

    def taken(value: Any, key: Any, timestamp_ms: int, headers: Any, state: State) -> list[Mapping[str, Any]]:
        del headers, state  # that of one key; a tick needs those of all
        where = context()
        kept = merged.processing_context.checkpoint.get_store_transaction(
            stream_id=merged.stream_id, partition=where.partition
        )

        def of(prefix: bytes) -> State:
            return kept.as_state(prefix=prefix, timestamp=timestamp_ms)

        if where.topic in clocks:
            found = list(counted.tick(timestamp_ms // 1000, where.partition, of))
        else:
            source = {"topic": where.topic, "partition": where.partition, "offset": where.offset}
            found = [counted.event(_received(value, key, timestamp_ms, source), where.partition, of)]
        if heard is not None:
            for step in (step for one in found for step in one.answers):
                heard(step)
        return [recorded(one) for one in found]

    answers = merged.apply(taken, stateful=True, metadata=True).apply(lambda found: found, expand=True)
    return Branches(
        forecasts=answers.apply(lambda found: found["forecasts"], expand=True),
        alarms=answers.apply(lambda found: found["alarms"], expand=True),
        dead_letters=answers.apply(lambda found: found["dead_letters"], expand=True),
    )


class _Going:
    """What goes out after a message.

    The engine gives it to the first branch, the forecasts, and a copy to each other one. To copy a forecast takes time,
    and those branches do not read it: a copy has none.
    """

    __slots__ = ("alarms", "dead_letter", "forecast")

    def __init__(self, forecast: Record | None, alarms: tuple[Record, ...], dead_letter: Record | None) -> None:
        self.forecast, self.alarms, self.dead_letter = forecast, alarms, dead_letter

    def __reduce__(self) -> tuple[type[_Rest], tuple[object, ...]]:
        return _Rest, (self.alarms, self.dead_letter) if self.alarms or self.dead_letter else ()


class _Rest:
    """A copy of `_Going`, for the branches after the first one: who asks it for a forecast fails."""

    __slots__ = ("alarms", "dead_letter")

    def __init__(self, alarms: tuple[Record, ...] = (), dead_letter: Record | None = None) -> None:
        self.alarms, self.dead_letter = alarms, dead_letter


def _received(value: Any, key: Any, timestamp_ms: int, source: Mapping[str, str | int]) -> Received:
    """Return the message; one without a key or a value has empty ones, and is refused for that."""
    for name, given in (("value", value), ("key", key)):
        if given is not None and not isinstance(given, bytes):
            raise UsageError(
                f"the {name} of a message is {shown(given)}; make its topic with value_deserializer='bytes' and "
                "key_deserializer='bytes'"
            )
    arrived_s = timestamp_ms / 1000 if timestamp_ms > 0 else None
    return Received(key=key or b"", value=value or b"", source=source, arrived_s=arrived_s)

"""A step in a Quix application: messages in, forecasts, alarms and dead letters out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pulsecast.errors import UsageError
from pulsecast.forecasting.stream_state import require_loaded
from pulsecast.forecasting.streaming import Loaded
from pulsecast.foundation.arguments import instance, shown

from ..answering import Answering
from ..messages.received import Received
from ..messages.records import Record
from ..policies import USUAL, Policies
from .engine import quix
from .unwritten import KeptInTransaction, Unwritten, before_commit

if TYPE_CHECKING:
    from quixstreams.dataframe import StreamingDataFrame
    from quixstreams.state import State


@dataclass(frozen=True, kw_only=True)
class Branches:
    """What goes out, as dataframes of records: `to_topic` sends each on, and more steps may follow."""

    forecasts: StreamingDataFrame
    alarms: StreamingDataFrame
    dead_letters: StreamingDataFrame


def forecasting(dataframe: StreamingDataFrame, model: Loaded, *, policies: Policies = USUAL) -> Branches:
    """Return the forecasts, alarms and dead letters of a dataframe of an application of Quix Streams.

    dataframe  of a topic with value_deserializer="bytes" and key_deserializer="bytes": what comes is read strictly, and
               what cannot be read is a dead letter
    model      what `pulsecast.load` returned; a newer one goes on with the states of the old one

    The state of each series lies in the application's store. Raises MissingExtraError and UsageError.

        found = forecasting(app.dataframe(likes), load("bundle"))
        found.forecasts.to_topic(app.topic("forecasts"))
    """
    if not isinstance(dataframe, quix().dataframe.StreamingDataFrame):
        raise UsageError(f"dataframe is {shown(dataframe)}; expected what app.dataframe(topic) returned")
    require_loaded(model)
    instance("policies", policies, Policies)
    context, answering, unwritten = quix().message_context, Answering(model, policies), Unwritten(model)

    def taken(value: Any, key: Any, timestamp_ms: int, headers: Any, state: State) -> _Going:
        del headers
        where = context()
        source = {"topic": where.topic, "partition": where.partition, "offset": where.offset}
        received = _received(value, key, timestamp_ms, source)
        kept = KeptInTransaction(unwritten, key, state)
        said = answering.said(received, kept)
        kept.end(changed=said.changed)
        return _Going(said.forecast, said.alarms, said.dead_letter)

    answers = dataframe.apply(taken, stateful=True, metadata=True)
    branches = Branches(
        forecasts=answers.filter(lambda found: found.forecast is not None).apply(lambda found: found.forecast),
        alarms=answers.apply(lambda found: found.alarms, expand=True),
        dead_letters=answers.filter(lambda found: found.dead_letter is not None).apply(lambda found: found.dead_letter),
    )
    branches.dead_letters.sink(before_commit(unwritten))
    return branches


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

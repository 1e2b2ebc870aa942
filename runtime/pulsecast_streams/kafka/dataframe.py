"""A step in a Quix application: messages in, forecasts, alarms and dead letters out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pulsecast.errors import UsageError
from pulsecast.forecasting.stream_state import require_loaded
from pulsecast.forecasting.streaming import Loaded
from pulsecast.foundation.arguments import instance, shown

from ..answering import answer
from ..messages.received import Received
from ..policies import USUAL, Policies
from .engine import quix

if TYPE_CHECKING:
    from quixstreams.dataframe import StreamingDataFrame
    from quixstreams.state import State

STATE = "pulsecast"  # under which a series' state is kept


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
    context = quix().message_context

    def taken(value: Any, key: Any, timestamp_ms: int, headers: Any, state: State) -> Mapping[str, Any]:
        del headers
        where = context()
        source = {"topic": where.topic, "partition": where.partition, "offset": where.offset}
        kept = state.get_bytes(STATE) if key else None
        found = answer(model, _received(value, key, timestamp_ms, source), kept, policies=policies)
        if found.state is not None and found.state != kept:
            state.set_bytes(STATE, found.state)
        return {"forecast": found.forecast, "alarms": found.alarms, "dead_letter": found.dead_letter}

    answers = dataframe.apply(taken, stateful=True, metadata=True)
    return Branches(
        forecasts=_only(answers, "forecast"),
        alarms=answers.apply(lambda found: found["alarms"], expand=True),
        dead_letters=_only(answers, "dead_letter"),
    )


def _only(answers: StreamingDataFrame, name: str) -> StreamingDataFrame:
    return answers.filter(lambda found: found[name] is not None).apply(lambda found: found[name])


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

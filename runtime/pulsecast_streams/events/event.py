"""What a message says of one event, read strictly."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Any

from pulsecast.computing.iso_time import iso_seconds
from pulsecast.foundation.arguments import shown
from pulsecast.limits import TEXT_CHARACTERS
from pulsecast.plain_text import Problems

from ..messages.measurement import known_fields, named_series, number, tried
from ..messages.reading import read_object
from ..messages.received import Received
from ..messages.times import LATEST_S, is_checked, refuse_ahead
from ..refusal import RefusedError
from .policies import EventPolicies

FIELDS = ("series", "time", "value", "id")
MICROS = 1_000_000
IDENTITY_BYTES = 16
_EXPECTED = "expected unix seconds, or ISO 8601 with a zone, such as 2026-01-31T08:00:00.25Z"


@dataclass(frozen=True, kw_only=True)
class Event:
    """One event: microseconds since 1970 (UTC), NaN for a value that is missing.

    delay_us  how much later the broker got it; 0 if it does not say
    identity  of its id, and of what it says, 8 bytes each; None if it has no id
    sure      the broker's clock has shown that the time is not ahead
    """

    series: str
    time_us: int
    delay_us: int
    value: float
    identity: bytes | None
    sure: bool


def read_event(received: Received, policies: EventPolicies) -> Event:
    """Return what a message says; raises RefusedError that lists all that is wrong with it."""
    body = read_object(received.value, policies.message_bytes)
    refused: list[RefusedError] = []
    tried(refused, lambda: known_fields(body, FIELDS))
    series = tried(refused, lambda: named_series(received.key, body.get("series")))
    time_us = tried(refused, lambda: _time_us(body, received.arrived_s, policies))
    value = tried(refused, lambda: _value(body, policies))
    name = tried(refused, lambda: _id(body.get("id")))
    if series is None or time_us is None or value is None or refused:
        raise RefusedError(refused[0].code, str(Problems(str(one) for one in refused)))
    arrived_us = time_us if received.arrived_s is None else math.floor(received.arrived_s * MICROS)
    return Event(
        series=series, time_us=time_us, delay_us=max(0, arrived_us - time_us), value=value,
        identity=_identity(name or "", time_us, value), sure=is_checked(received, policies.ahead_s),
    )  # fmt: skip


def _time_us(body: dict[str, Any], arrived_s: float | None, policies: EventPolicies) -> int:
    if "time" not in body:
        raise RefusedError("time", f"time is missing; {_EXPECTED}")
    seconds = _seconds(body["time"])
    refuse_ahead(seconds, arrived_s, policies.ahead_s)
    return math.floor(seconds * MICROS)  # what is finer is cut off, as in logs


def _seconds(given: object) -> float:
    if type(given) is int or type(given) is float:
        if not -LATEST_S <= given <= LATEST_S:  # NaN, too
            raise RefusedError(
                "time", f"time {shown(given)} is in milliseconds or finer, or beyond year 9999; {_EXPECTED}"
            )
        return given
    try:
        return iso_seconds(given)
    except ValueError as error:
        raise RefusedError("time", f"time {shown(given)} {error}; {_EXPECTED}") from None


def _value(body: dict[str, Any], policies: EventPolicies) -> float:
    if policies.of == "events":
        if "value" in body:
            raise RefusedError("value", "value is there, and events are counted; leave it out, or add up: of='sum'")
        return 1.0
    if "value" not in body:
        raise RefusedError("value", "value is missing; expected a number, or null if the event has none")
    return math.nan if body["value"] is None else number("value", body["value"])


def _id(given: object) -> str:
    """Return the id; empty if there is none."""
    if given is None:
        return ""
    if not isinstance(given, str) or not 0 < len(given) <= TEXT_CHARACTERS:
        raise RefusedError("schema", f"id is {shown(given)}; expected text of 1 to {TEXT_CHARACTERS} characters")
    return given


def _identity(name: str, time_us: int, value: float) -> bytes | None:
    if not name:
        return None
    said = f"{time_us} {value!r}"
    return _short(name.encode("utf-8", "surrogatepass")) + _short(said.encode())


def _short(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=IDENTITY_BYTES // 2).digest()

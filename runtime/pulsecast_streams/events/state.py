"""What is kept of a series between two events, and its bytes."""

from __future__ import annotations

import base64
import json
import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pulsecast.errors import FormatError

from .policies import OF, Of
from .sums import Parts

_MAGIC = b"PCEV\x02"  # and the number of the format
_CHECK_BYTES = 4
_NUMBERS = ("step_s", "latest_us", "next_s", "heard_us", "delay_us")
CROWDED = -1


@dataclass(frozen=True, kw_only=True)
class OpenStep:
    """A step that still waits: `events` of them, `present` with a value, whose sum is `parts`.

    present     CROWDED if it had too many ids to keep: its value is missing
    identities  16 bytes of each event with an id: a copy is not counted again
    """

    events: int = 0
    present: int = 0
    parts: Parts = ()
    identities: bytes = b""


@dataclass(frozen=True, kw_only=True)
class Counting:
    """The state of one series.

    latest_us   time of the latest event, or of the clock; steps before it, less the lateness, are complete
    next_s      beginning of the next step to say; before the first one that of the earliest event
    first_us    time of the earliest event while no step is complete; None afterwards
    steps       beginning in unix seconds -> step
    heard_us    time of the latest event
    delay_us    how much later than that the broker got it; of a log that is sent again this is long
    """

    series: str
    step_s: int
    of: Of
    latest_us: int
    next_s: int
    first_us: int | None
    heard_us: int
    delay_us: int
    steps: Mapping[int, OpenStep] = field(default_factory=dict)


def written_state(state: Counting) -> bytes:
    """Return the bytes of a state; the same state gives the same bytes."""
    steps = {
        str(start): [one.events, one.present, list(one.parts), base64.b64encode(one.identities).decode("ascii")]
        for start, one in sorted(state.steps.items())
    }
    body = json.dumps({**vars(state), "steps": steps}, separators=(",", ":"), allow_nan=False).encode("ascii")
    return _MAGIC + zlib.crc32(body).to_bytes(_CHECK_BYTES, "big") + body


def counting_of(data: bytes) -> Counting:
    """Return the state in bytes; raises FormatError if they were not written here, or were damaged since."""
    begin = len(_MAGIC)
    body = data[begin + _CHECK_BYTES :]
    if data[:begin] != _MAGIC or zlib.crc32(body) != int.from_bytes(data[begin : begin + _CHECK_BYTES], "big"):
        raise FormatError("the state of counted events is damaged, or of another format; begin again with state=None")
    try:
        return _counting(json.loads(body))
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):  # the checksum was written, too
        raise FormatError("the state of counted events is not of this format; begin again with state=None") from None


def _counting(found: dict[str, Any]) -> Counting:
    """Return the state that a document says; raises TypeError and others if it says none."""
    steps = {int(start): _open_step(*one) for start, one in found.pop("steps").items()}
    state = Counting(**found, steps=steps)
    first = state.first_us
    whole = all(type(getattr(state, name)) is int for name in _NUMBERS) and (first is None or type(first) is int)
    if not whole or state.step_s < 1 or state.of not in OF or not isinstance(state.series, str):
        raise TypeError("a field has another type")
    return state


def _is_finite(part: object) -> bool:
    return type(part) is float and math.isfinite(part)


def _open_step(events: int, present: int, parts: list[float], kept: str) -> OpenStep:
    step = OpenStep(
        events=events, present=present, parts=tuple(parts), identities=base64.b64decode(kept, validate=True)
    )
    if type(events) is not int or type(present) is not int or not all(map(_is_finite, parts)):
        raise TypeError("a step has another type")
    return step

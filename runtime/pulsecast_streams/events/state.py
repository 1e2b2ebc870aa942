"""What is kept of a series between two events, and its bytes."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from pulsecast.errors import FormatError

from .policies import Of
from .sums import Parts

_MAGIC = b"PCEV\x02"  # and the number of the format
_CHECK_BYTES = 4


@dataclass(frozen=True, kw_only=True)
class OpenStep:
    """A step that still waits: `events` of them, `present` with a value, whose sum is `parts`.

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
    found = json.loads(body)
    steps = {
        int(start): OpenStep(events=events, present=present, parts=tuple(parts), identities=base64.b64decode(kept))
        for start, (events, present, parts, kept) in found.pop("steps").items()
    }
    return Counting(**found, steps=steps)

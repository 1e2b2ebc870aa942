"""A message as it came from a broker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Received:
    """One message.

    value      its bytes
    key        the name of its series; None where the message itself has a field `series`
    source     where it came from, for dead letters: {"topic": "likes", "partition": 0, "offset": 7}
    arrived_s  unix seconds (UTC) at which the broker got it; None if it does not say
    """

    value: bytes
    key: bytes | str | None = None
    source: Mapping[str, str | int] = field(default_factory=dict)
    arrived_s: float | None = None

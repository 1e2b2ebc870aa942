"""What is kept of a stream, and what a push changes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from pulsecast.forecasting.watching.drift import Verdict
from pulsecast.forecasting.watching.promises import Counts


class Key(NamedTuple):
    """Which stream: the name of a model, and that of a series."""

    model: str
    series: str


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A stream as it was left.

    began   unix seconds (UTC) of its first step
    time    unix seconds (UTC) of its last step
    digest  of the model that made the state (`Manifest.model_digest`)
    state   as `pulsecast.step` returned it
    answer  to the last step that was taken: JSON, in the words of the protocol
    newest  observations that do not fill a block yet
    seen    how many observations there were
    token   another one after every change; a store gives it
    """

    began: int
    time: int
    digest: str
    state: bytes
    answer: bytes
    newest: bytes = b""
    seen: int = 0
    token: int = 0


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What was found of a stream when it was last judged."""

    verdict: Verdict = "unknown"
    counts: Counts = field(default_factory=Counts)


@dataclass(frozen=True, kw_only=True)
class Change:
    """What a push changes of a stream; all of it is kept, or nothing.

    kept    takes the place of what was kept
    anew    the stream begins: its old blocks and verdict go
    blocks  observations that are whole now, by number
    first   blocks with lower numbers go
    judged  the new verdict; None leaves the old one
    """

    kept: Kept
    anew: bool = False
    blocks: Mapping[int, bytes] = field(default_factory=dict)
    first: int = 0
    judged: Judged | None = None


@dataclass(frozen=True, kw_only=True)
class Totals:
    """All streams of a model: how many there are, how many say `train again`, and the sums of their counts."""

    streams: int = 0
    again: int = 0
    counts: Counts = field(default_factory=Counts)

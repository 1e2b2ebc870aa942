"""Streams in the memory of this process: they end with it."""

from __future__ import annotations

import itertools
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from pulsecast.forecasting.watching.drift import Verdict
from pulsecast.forecasting.watching.promises import Counts

from .kept import Change, Judged, Kept, Key, Totals


@dataclass(frozen=True, kw_only=True)
class _Held:
    kept: Kept
    changed: float
    blocks: Mapping[int, bytes] = field(default_factory=dict)
    judged: Judged = field(default_factory=Judged)


class MemoryStore:
    """Keeps streams in two dictionaries: what stands, and what a transaction is about to change."""

    def __init__(self) -> None:
        self._held: dict[Key, _Held] = {}
        self._pending: dict[Key, _Held | None] = {}
        self._count: defaultdict[str, int] = defaultdict(int)
        self._tokens = itertools.count(1)

    @contextmanager
    def changing(self) -> Iterator[MemoryStore]:
        self._pending = {}
        try:
            yield self
            for key, held in self._pending.items():
                self._count[key.model] += (held is not None) - (key in self._held)
                if held is None:
                    self._held.pop(key, None)
                else:
                    self._held[key] = held
        finally:
            self._pending = {}

    def _now(self, key: Key) -> _Held | None:
        return self._pending[key] if key in self._pending else self._held.get(key)

    def token(self, key: Key) -> int | None:
        held = self._now(key)
        return None if held is None else held.kept.token

    def get(self, key: Key) -> Kept | None:
        held = self._now(key)
        return None if held is None else held.kept

    def put(self, key: Key, change: Change) -> None:
        before = None if change.anew else self._now(key)
        blocks = {} if before is None else dict(before.blocks)
        judged = Judged() if before is None else before.judged
        self._pending[key] = _Held(
            kept=replace(change.kept, token=next(self._tokens)),
            changed=time.time(),
            blocks={n: one for n, one in (blocks | dict(change.blocks)).items() if n >= change.first},
            judged=judged if change.judged is None else change.judged,
        )

    def forget(self, key: Key) -> bool:
        known = self._now(key) is not None
        self._pending[key] = None
        return known

    def count(self, model: str) -> int:
        moved = sum((held is not None) - (key in self._held) for key, held in self._pending.items() if key[0] == model)
        return self._count[model] + moved

    def blocks(self, key: Key) -> Sequence[bytes]:
        held = self._now(key)
        return [] if held is None else [block for _, block in sorted(held.blocks.items())]

    def names(self, model: str, after: str, most: int, verdict: Verdict | None = None) -> Sequence[str]:
        found = (
            key.series
            for key, held in self._held.items()
            if key.model == model and key.series > after and verdict in (None, held.judged.verdict)
        )
        return sorted(found)[:most]

    def totals(self) -> Mapping[str, Totals]:
        of: defaultdict[str, list[Judged]] = defaultdict(list)
        for key, held in self._held.items():
            of[key.model].append(held.judged)
        return {model: _total(judged) for model, judged in of.items()}

    def judged(self, model: str, most: int) -> Mapping[str, Judged]:
        return {name: self._held[Key(model, name)].judged for name in self.names(model, "", most)}

    def forget_older(self, than: int) -> int:
        old = [key for key, held in self._held.items() if held.changed < than]
        with self.changing():
            for key in old:
                self.forget(key)
        return len(old)

    def close(self) -> None:
        """Do nothing: nothing is held open."""


def _total(judged: list[Judged]) -> Totals:
    counts = [one.counts for one in judged]
    return Totals(
        streams=len(judged),
        again=sum(one.verdict == "train again" for one in judged),
        counts=Counts(
            judged=sum(one.judged for one in counts),
            inside=sum(one.inside for one in counts),
            larger=sum(one.larger for one in counts),
            above=sum(one.above for one in counts),
        ),
    )

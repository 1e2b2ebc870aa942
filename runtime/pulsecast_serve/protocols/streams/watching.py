"""What a push adds to the observations of a stream, and when they are judged.

An observation is a value, the forecast that was made one step before it, and whether the value lies outside what
training saw. A state is written anew at every push; observations are not: those of the last steps stand beside the
state until they fill a block, which is written once. Each whole block is a reason to judge the stream anew.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pulsecast.forecasting.watching.drift import Drift
from pulsecast.forecasting.watching.promises import Promises

from ...streams.kept import Judged, Kept

BLOCK = 16  # observations
_ROW = struct.Struct("<ffB")
_DTYPE = np.dtype([("value", "<f4"), ("forecast", "<f4"), ("strange", "u1")])


class Observations:
    """The observations of a stream while steps are pushed."""

    def __init__(self, promises: Promises, kept: Kept | None, *, same_model: bool) -> None:
        """Go on from what is kept; what another model forecast is forgotten."""
        self._promises = promises
        seen, newest = (0, b"") if kept is None else (kept.seen, kept.newest)
        self._forgotten = kept is not None and not same_model
        if self._forgotten:
            seen, newest = -(-seen // BLOCK) * BLOCK, b""
        self.seen, self.newest = seen, newest
        self.blocks: dict[int, bytes] = {}
        self._least = seen // BLOCK if self._forgotten else 0

    @property
    def first(self) -> int:
        """The number of the first block that is still looked at."""
        return max(self._least, (self.seen - self._promises.kept) // BLOCK)

    def add(self, values: Sequence[float], forecast: float) -> bool:
        """Take a step (measured,) and the forecast of its first column; return whether it lies outside training."""
        strange = self._promises.strange(list(values))
        self._append(_ROW.pack(values[0], forecast, strange))
        return strange

    def miss(self, steps: int) -> None:
        """Take steps that are missing."""
        nothing = _ROW.pack(math.nan, math.nan, False)
        for _ in range(min(steps, self._promises.kept + BLOCK)):
            self._append(nothing)

    def _append(self, row: bytes) -> None:
        self.newest += row
        self.seen += 1
        if self.seen % BLOCK == 0:
            self.blocks[self.seen // BLOCK - 1] = self.newest
            self.newest = b""

    def judged(self, before: Sequence[bytes]) -> Judged | None:
        """Return a new verdict if one is due; None if the old one stands.

        before  the blocks that are kept, oldest first
        """
        if not self.blocks:
            return Judged() if self._forgotten else None
        seen = last_seen(self._promises, [*([] if self._forgotten else before), *self.blocks.values()], self.newest)
        return Judged(verdict=self._promises.report(seen).verdict, counts=self._promises.counts(seen))


def last_seen(promises: Promises, blocks: Sequence[bytes], newest: bytes) -> NDArray[np.float64]:
    """Return the observations (steps, 3) that are looked at: value, forecast, strange."""
    rows = np.frombuffer(b"".join((*blocks, newest)), _DTYPE)[-promises.kept :]
    return np.stack([rows[name].astype(np.float64) for name in ("value", "forecast", "strange")], axis=1)


def found(promises: Promises, drift: Drift, seen: NDArray[np.float64]) -> dict[str, object]:
    """Return a verdict as a stream's drift is answered."""
    counts = promises.counts(seen)
    return {
        "verdict": drift.verdict,
        "steps": drift.steps,
        "needed": drift.needed,
        "reasons": list(drift.sentences),
        "coverage": counts.inside / counts.judged if counts.judged else None,
        "bias": (2 * counts.above - counts.larger) / counts.larger if counts.larger else None,
        "findings": [
            {
                "sign": one.sign,
                "steps": one.steps,
                "share": one.share,
                "promised": one.promised,
                "limit": one.limit,
                "chance": one.chance,
                "beyond": one.beyond,
                "sentence": one.sentence,
            }
            for one in drift.findings
        ],
    }

"""Series that stay alive between two steps, found again by the bytes of their state.

The bytes decide. What an engine keeps may be older than a series here (a transaction was aborted), or newer (another
process went on with it): then the bytes differ, and the series begins again from them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

from ..streaming import Loaded
from .live_series import Begun, LiveSeries

MOST_ALIVE = 1000  # a series of hours takes about a tenth of a megabyte, one of five minutes half of one


class KeptAlive:
    """Series by key, each with the bytes that it left; the one that was used longest ago goes first.

    Whoever takes one has it alone, until it is kept again. Not for several threads.
    """

    def __init__(self, most: int = MOST_ALIVE) -> None:
        """Keep at most so many."""
        self._most = most
        self._kept: OrderedDict[Hashable, tuple[bytes, LiveSeries]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def take(self, key: Hashable, model: Loaded, state: bytes | None, begun: Begun) -> LiveSeries:
        """Return the series whose state is `state`, alive or resumed from it; raises what `LiveSeries` does."""
        left, series = self._kept.pop(key, (None, None))
        if series is not None and series.model is not model:
            self._drop(series.model)
        elif series is not None and left == state and series.adapts == begun.adapt:
            series.require(begun)
            return series
        return LiveSeries(model, state, begun)

    def _drop(self, model: Loaded) -> None:
        """Let go of all series of a model in whose place another one came: they would keep it loaded."""
        self._kept = OrderedDict((key, one) for key, one in self._kept.items() if one[1].model is not model)

    def keep(self, key: Hashable, state: bytes, series: LiveSeries) -> None:
        """Keep a series that has just returned `state` from `to_bytes`."""
        self._kept[key] = (state, series)
        self._kept.move_to_end(key)
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)

"""The last numbers of a series, in order of time and sorted."""

from __future__ import annotations

import bisect
from collections import deque
from collections.abc import Iterable


class SortedWindow:
    """The last `size` numbers. Any quantile is an index; a new number costs two searches. One object per series.

    ordered  the numbers, smallest first
    recent   the same, oldest first
    """

    __slots__ = ("_size", "ordered", "recent")

    def __init__(self, size: int) -> None:
        """Start empty."""
        self._size = size
        self.ordered: list[float] = []
        self.recent: deque[float] = deque()

    def push(self, number: float) -> None:
        """Take a number, which is not NaN; the oldest one is dropped if there are more than `size`."""
        if len(self.recent) == self._size:
            del self.ordered[bisect.bisect_left(self.ordered, self.recent.popleft())]
        self.recent.append(number)
        bisect.insort(self.ordered, number)

    def resume(self, numbers: Iterable[float]) -> None:
        """Continue from the last `size` of what `recent` of another object held."""
        self.recent = deque(deque(numbers, self._size))
        self.ordered = sorted(self.recent)

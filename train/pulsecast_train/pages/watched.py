"""What a page shows of a series that was judged; the page itself needs matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..rhythm.usual import Period


@dataclass(frozen=True, kw_only=True, eq=False)
class Watched:
    """One judged series.

    zone    whose clock the dates are of
    steps   by name: `seconds`, `value`, `lower`, `upper`, `anomalous`, each an array (judged,)
    days, weeks  all of them, oldest first
    words   sentences for the page
    """

    series: str
    column: str
    zone: str
    steps: Mapping[str, Any]
    days: Sequence[Period]
    weeks: Sequence[Period]
    words: Sequence[str]

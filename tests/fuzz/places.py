"""Where the bundles of tests are, and what a target is: it takes any bytes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

DATA = Path(__file__).parents[1] / "data"
GOLDEN, SERIES = DATA / "golden_v2", DATA / "golden_v2_series"

Check = Callable[[bytes], None]

"""Small tables of days that tests write in many ways."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

DAYS = [f"2024-01-{day:02}" for day in range(1, 11)]


def table(rows: Sequence[Sequence[object]], *, header: str = "date,value", separator: str = ",") -> str:
    lines = [header.replace(",", separator), *(separator.join(map(str, row)) for row in rows)]
    return "\n".join(lines) + "\n"


def daily(cells: Sequence[object], **how: Any) -> str:
    return table(list(zip(DAYS, cells, strict=False)), **how)

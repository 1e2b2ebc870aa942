"""Random workbooks as people have them, with their truth: kinds of cells, titles, totals, formulas, and faults."""

from __future__ import annotations

import datetime
import random
from pathlib import Path
from typing import Any

from helpers.logs.odd_logs import LOCALES, START, TEXTS, TIMES, odd_number, odd_time, odd_values
from helpers.logs.workbooks import Broken, Formula, workbook

FAULTS = (
    *("title", "blank", "units", "total", "hidden", "merged", "other sheet", "1904", "stale", "no value", "error"),
    *("shuffled", "repeated", "text number", "text time", "number time", "blank column"),
)


def odd_workbook(seed: int, folder: Path) -> tuple[Path, tuple[float, ...], str]:
    """Write the workbook of `seed`; return its path, its hourly values from START on, and what is odd about it."""
    rng = random.Random(seed)
    faults = {fault for fault in FAULTS if rng.random() < 0.08}
    times, numbers = rng.choice(["dates", "dates", "text"]), rng.choice(["numbers", "numbers", "formulas", "text"])
    locale, form = rng.choice(list(LOCALES)), rng.choice(TIMES)
    values = odd_values(rng)
    rows: list[list[Any]] = []
    for i, value in enumerate(values):
        moment = START + datetime.timedelta(hours=i)
        when = moment if times == "dates" else odd_time(moment, form)
        cell = {"numbers": value, "formulas": Formula(value), "text": odd_number(value, locale)}[numbers]
        rows.append([when, rng.choice(TEXTS), cell])
    _spoil(rng, rows, values, faults, locale)
    rows = [["timestamp", "text", "value"], *rows]
    if "units" in faults:
        rows.insert(1, ["(UTC)", "", "(posts)"])
    if "total" in faults:
        rows.append(["Total", "", Formula(sum(values))])
    rows[:0] = [["Weekly report"]] * ("title" in faults) + [[]] * ("blank" in faults)
    if "blank column" in faults:
        rows = [["", *row] for row in rows]
    sheets = {"Data": rows, **({"Other": [["x", 1]]} if "other sheet" in faults else {})}
    at = rng.randrange(3, len(rows) - 2)
    merged = [f"{rng.choice('ABC')}{at}:{rng.choice('C')}{at + 1}"] if "merged" in faults else []
    path = workbook(
        folder / "log.xlsx",
        sheets,
        since_1904="1904" in faults,
        stale="stale" in faults,
        hidden_rows=[4, 5] if "hidden" in faults else [],
        merged=merged,
    )
    return path, tuple(values), f"seed {seed}: {times}, {form}, {numbers}, {locale}, {merged}, {sorted(faults)}"


def _spoil(rng: random.Random, rows: list[list[Any]], values: list[float], faults: set[str], locale: str) -> None:
    """Change single cells so that they say the same in another way, or nothing."""
    at = rng.randrange(len(rows))
    moment = START + datetime.timedelta(hours=at)
    if "no value" in faults:
        rows[at][2] = Formula(None)
    if "error" in faults:
        rows[rng.randrange(len(rows))][2] = Broken("#REF!")
    if "text number" in faults:
        rows[at][2] = odd_number(values[at], locale)
    if "text time" in faults:
        rows[at][0] = odd_time(moment, rng.choice(TIMES))
    if "number time" in faults:
        rows[at][0] = (moment.replace(tzinfo=None) - datetime.datetime(1899, 12, 30)) / datetime.timedelta(days=1)  # noqa: DTZ001
    if "repeated" in faults:
        rows.append(rows[len(rows) // 2])
    if "shuffled" in faults:
        rng.shuffle(rows)

"""Event logs with exact truth: public or made-up counts drawn out into events, and the faults of real logs put in.

For each count as many events are drawn at uniform offsets, with users from a Zipf law, so the true hourly counts are
known exactly. A fault changes the rows in a known way; rates are those measured on public logs.
"""

from __future__ import annotations

import datetime
import functools
import zoneinfo
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

START_S = 1_743_120_000  # 2025-03-28T00:00:00Z, two days before Europe puts its clocks forward
BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")

Write = Callable[[int], str]  # unix seconds -> cell


@functools.lru_cache(maxsize=200_000)  # a log's times, which each of its faults writes again
def utc(t: int) -> str:
    """Return ISO 8601 with Z."""
    return datetime.datetime.fromtimestamp(t, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def local(t: int) -> str:
    """Return the wall clock of Berlin, without an offset."""
    return datetime.datetime.fromtimestamp(t, BERLIN).strftime("%Y-%m-%d %H:%M:%S")


def twelve_hours(t: int) -> str:
    """Return UTC on a clock of twelve hours, with AM or PM."""
    return datetime.datetime.fromtimestamp(t, datetime.UTC).strftime("%Y-%m-%d %I:%M:%S %p")


def half_days(t: int) -> str:
    """Return UTC on a clock of twelve hours without AM and PM."""
    return datetime.datetime.fromtimestamp(t, datetime.UTC).strftime("%Y-%m-%d %I:%M:%S")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One event: unix seconds, id, user and value as written, and how its time is written."""

    t: int
    id: str
    user: str
    n: str = "1"
    write: Write = utc


@dataclass(frozen=True, kw_only=True)
class Truth:
    """The truth of a log: `counts` of events and `sums` of n, int64 (hours,), and the expected findings.

    `found` has policy -> rows, `lines` the first lines of one policy.
    """

    rows: tuple[Row, ...]
    counts: NDArray[np.int64]
    sums: NDArray[np.int64]
    found: dict[str, int] = field(default_factory=dict)
    lines: dict[str, tuple[int, ...]] = field(default_factory=dict)


def drawn(counts: Sequence[int], bin_s: int, seed: int = 7) -> Truth:
    """Return one event per count, from START_S on, and one more at either end, so that all hours are covered."""
    rng = np.random.default_rng(seed)
    starts = np.repeat(np.arange(len(counts)) * bin_s, counts)
    span = len(counts) * bin_s
    seconds = np.sort(np.concatenate([[0, span - 1], starts + rng.integers(0, bin_s, len(starts))]))
    users = rng.zipf(1.5, len(seconds)) % 997
    rows = tuple(
        Row(t=START_S + int(t), id=f"event-{i:06}", user=f"person-{user}")
        for i, (t, user) in enumerate(zip(seconds, users, strict=True))
    )
    return counted(rows, span // 3600)


def counted(rows: tuple[Row, ...], hours: int) -> Truth:
    """Return the truth of `rows` without a fault."""
    counts = np.bincount([(row.t - START_S) // 3600 for row in rows], minlength=hours)
    return Truth(rows=rows, counts=counts, sums=counts)


# --- faults that are handled: the true counts stay, or change as described ------------------------------------


def exact_duplicates(truth: Truth, rng: np.random.Generator) -> Truth:
    """0.75 % of the rows come twice, the second time up to 200 rows later."""
    chosen = _some(truth, rng, 0.0075)
    order = [*((float(i), i) for i in range(len(truth.rows))), *((i + rng.uniform(1, 200), i) for i in chosen)]
    rows, seen, lines = [], set(), []
    for _, i in sorted(order):
        if i in seen:
            lines.append(len(rows) + 2)
        seen.add(i)
        rows.append(truth.rows[i])
    return replace(
        truth,
        rows=tuple(rows),
        found={"exact-duplicate": len(chosen), **_back(rows)},
        lines={"exact-duplicate": tuple(lines[:3])},
    )


def conflicting_duplicates(truth: Truth, rng: np.random.Generator) -> Truth:
    """0.03 % of the ids come again at the end of the log, an hour later."""
    chosen = _some(truth, rng, 0.0003)
    rows = [
        *truth.rows,
        *(replace(truth.rows[i], t=truth.rows[i].t - 3600) for i in chosen if truth.rows[i].t > START_S + 3600),
    ]
    count = len(rows) - len(truth.rows)
    first = len(truth.rows) + 2
    return replace(
        truth,
        rows=tuple(rows),
        found={"conflicting-duplicate": count, **_back(rows)},
        lines={"conflicting-duplicate": tuple(range(first, first + min(count, 3)))},
    )


def out_of_order(share: float) -> Callable[[Truth, np.random.Generator], Truth]:
    """Return a fault: `share` of the rows arrive up to 200 rows late."""

    def fault(truth: Truth, rng: np.random.Generator) -> Truth:
        place = np.arange(len(truth.rows), dtype=float)
        late = _some(truth, rng, share)
        place[late] += rng.uniform(1, 200, len(late))
        rows = [truth.rows[i] for i in np.argsort(place, kind="stable")]
        return replace(truth, rows=tuple(rows), found=_back(rows))

    return fault


def newest_first(truth: Truth, _: np.random.Generator) -> Truth:
    """The whole log is in reverse order."""
    rows = truth.rows[::-1]
    return replace(truth, rows=rows, found=_back(rows))


def lost_block(truth: Truth, _: np.random.Generator) -> Truth:
    """Two whole hours are missing: for events, an hour without any is a count of 0."""
    gone = range(START_S + 30 * 3600, START_S + 32 * 3600)
    return counted(tuple(row for row in truth.rows if row.t not in gone), len(truth.counts))


def missing_cells(truth: Truth, rng: np.random.Generator) -> Truth:
    """0.02 % of the values, at least two, are {} or -1; these events have no value to add."""
    chosen = [int(i) for i in _some(truth, rng, 0.0002)]
    rows = list(truth.rows)
    sums = truth.sums.copy()
    for place, i in enumerate(chosen):
        rows[i] = replace(rows[i], n=("{}", "-1", "")[place % 3])
        sums[(rows[i].t - START_S) // 3600] -= 1
    return replace(
        truth,
        rows=tuple(rows),
        sums=sums,
        found={"missing-cell": len(chosen)},
        lines={"missing-cell": tuple(i + 2 for i in chosen[:3])},
    )


def mixed_offsets(truth: Truth, rng: np.random.Generator) -> Truth:
    """A tenth of the rows are written at other offsets."""

    def at(hours: float) -> Write:
        zone = datetime.timezone(datetime.timedelta(hours=hours))
        return lambda t: datetime.datetime.fromtimestamp(t, zone).isoformat()

    rows = list(truth.rows)
    for i in _some(truth, rng, 0.1):
        rows[i] = replace(rows[i], write=at(float(rng.choice([2, -5, 5.5, -3.5, 14]))))
    return replace(truth, rows=tuple(rows))


def written(write: Write) -> Callable[[Truth, np.random.Generator], Truth]:
    """Return a fault: all times are written another way."""
    return lambda truth, _: replace(truth, rows=tuple(replace(row, write=write) for row in truth.rows))


def some_written(share: float, write: Write) -> Callable[[Truth, np.random.Generator], Truth]:
    """Return a fault: `share` of the times are written another way."""

    def fault(truth: Truth, rng: np.random.Generator) -> Truth:
        rows = list(truth.rows)
        for i in _some(truth, rng, share):
            rows[i] = replace(rows[i], write=write)
        return replace(truth, rows=tuple(rows))

    return fault


def bot(truth: Truth, rng: np.random.Generator) -> Truth:
    """One user sends 1,000 events in each of ten hours: no user is dropped, but the report names the share."""
    hours = np.arange(10, 20)
    seconds = np.concatenate([START_S + hour * 3600 + np.sort(rng.integers(0, 3600, 1000)) for hour in hours])
    robots = [Row(t=int(t), id=f"robot-{i:06}", user="person-bot") for i, t in enumerate(seconds)]
    rows = tuple(sorted([*truth.rows, *robots], key=lambda row: row.t))
    return counted(rows, len(truth.counts))


def _some(truth: Truth, rng: np.random.Generator, share: float) -> NDArray[np.int64]:
    """Draw at least two rows, but not the first or the last, which bound the covered time."""
    count = max(round(share * len(truth.rows)), 2)
    return np.sort(rng.choice(np.arange(1, len(truth.rows) - 1), count, replace=False))


def _back(rows: Sequence[Row]) -> dict[str, int]:
    steps = int((np.diff([row.t for row in rows]) < 0).sum())
    return {"out-of-order": steps} if steps else {}


# --- the file -------------------------------------------------------------------------------------------------------


def text(rows: Sequence[Row]) -> bytes:
    """Return the log as CSV."""
    lines = [f"{row.write(row.t)},{row.id},{row.user},{row.n},hello\n" for row in rows]
    return ("created_at,id,user,n,text\n" + "".join(lines)).encode()

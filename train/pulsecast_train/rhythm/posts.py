"""When does one post do best? The median per post by hour and by weekday, corrected for who posts when.

Totals by hour say when there is most in all: where most is posted. This asks of one post what it collects.

    level = log1p(value of a post) - median of its user's levels + median of all users' medians

A user who collects much and posts at night would otherwise make the night look good. A user of fewer than OWN posts
cannot be compared with itself, and is left out where there are users. A slot's median of levels is given back in raw
units, with the interval of order statistics: the binomial one, free of any distribution. A verdict asks more, since the
best of 24 hours is chosen after looking: each interval is then of 1 - 0.05 / slots.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pulsecast.errors import DataError
from pulsecast.model.spec import DAY_S
from pulsecast.stages.progress import Progress

from ..logs.config import LogConfig
from ..logs.data_report import Finding
from ..logs.files import open_log
from ..logs.row_policies import only_mature, without_copies
from ..logs.row_reader import ROW_COUNT, RowReader
from ..zones import DAY_NAMES
from .cycles import HOUR_S, local_seconds
from .words import amount

OWN = 3  # posts of a user, from which on it can be compared with itself
SMALL = 10  # posts of a slot: below, its median says little
LEVEL = 0.95


@dataclass(frozen=True, kw_only=True)
class Slot:
    """The posts of an hour or a weekday, in raw units; None where there are too few for a median or its interval."""

    name: str
    posts: int
    median: float | None
    low: float | None
    high: float | None

    @property
    def small(self) -> bool:
        """Whether there are too few posts to say much."""
        return self.posts < SMALL


@dataclass(frozen=True, kw_only=True)
class PostTimes:
    """What one post collects by hour of the day and by weekday (Monday first), by the clock of `zone`.

    posts, users, left_out  posts that count, their users (0 without a user column), posts of users with too few
    typical  median of all posts
    best_hours, worst_hours, best_days, worst_days  those that differ from `typical` beyond chance
    """

    metric: str
    zone: str
    posts: int
    users: int
    left_out: int
    typical: float
    hours: tuple[Slot, ...]
    days: tuple[Slot, ...]
    week: tuple[tuple[Slot, ...], ...]
    best_hours: tuple[str, ...]
    worst_hours: tuple[str, ...]
    best_days: tuple[str, ...]
    worst_days: tuple[str, ...]


def read_post_times(
    logs: Sequence[Path], config: LogConfig, zone: str, progress: Progress
) -> tuple[PostTimes, tuple[Finding, ...]]:
    """Return what a post in the logs collects by hour and weekday, and the repairs of their rows.

    A row is a post and its metric what it collected. Without a metric a row is a reaction to the post that the id
    names, and their number counts. Raises DataError where neither is there, or no user can be compared with itself.
    """
    opened = [open_log(path) for path in logs]
    reader = RowReader(
        config=config, now_s=int(time.time()), total_bytes=sum(log.size_bytes for log in opened), on_bytes=None,
        user_key=None, hash_key=secrets.randbits(63),
    )  # fmt: skip
    parts = [reader.read(log) for log in opened]
    found = [finding for part in parts for finding in part.found]
    metric = parts[0].metrics[0]
    if metric == ROW_COUNT and config.id is None:
        raise DataError(
            f"{opened[0].name} has no column that says what a post collected: name it with --metric, or with --id the "
            "post that each row is a reaction to"
        )
    rows = reader.rows(parts)
    if config.id is not None and metric != ROW_COUNT:
        rows, more = without_copies(rows, config)
        found += more
    if config.maturity_s:
        rows, more = only_mature(rows, config.maturity_s)
        found += more
    frame = rows.frame
    if metric == ROW_COUNT:
        users = ("user",) if "user" in frame.columns else ()
        frame = frame.group_by("id", *users, maintain_order=True).agg(
            pl.col("t").min(), pl.len().cast(pl.Float64).alias("value")
        )
        metric = "reactions"
    else:
        frame = frame.rename({rows.metrics[0]: "value"})
    progress.tell(f"{len(frame):,} posts")
    return post_times(_columns(frame), metric, zone), tuple(found)


def _columns(frame: pl.DataFrame) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.uint64] | None]:
    known = frame.filter(pl.col("value").is_not_null() & pl.col("value").is_not_nan())
    users = None
    if "user" in known.columns:
        known = known.filter(pl.col("user").is_not_null())
        users = known["user"].to_numpy()
    return known["t"].to_numpy() // 1_000_000, known["value"].to_numpy(), users


def post_times(
    posts: tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.uint64] | None], metric: str, zone: str
) -> PostTimes:
    """Return the medians of `posts`: unix seconds, raw values, and users or None, each (posts,). Raises DataError."""
    seconds, values, users = posts
    if len(values) == 0 or (values < 0).any():
        raise DataError(
            f"{metric} has {'no value' if not len(values) else 'negative values'}; expected what posts collect"
        )
    levels, kept = np.log1p(values), np.ones(len(values), bool)
    if users is not None:
        levels, kept = _beside_their_users(levels, users)
        if not kept.any():
            raise DataError(
                f"no user has {OWN} posts, so none can be compared with itself: leave --user out for medians that are "
                "not corrected for who posts when"
            )
    local, levels = local_seconds(seconds[kept], zone), levels[kept]
    hour, day = local % DAY_S // HOUR_S, (local // DAY_S + 3) % 7
    typical = float(np.median(levels))
    hour_names = [f"{h:02d}:00-{h + 1:02d}:00" for h in range(24)]
    hours, days = _slots(levels, hour, hour_names), _slots(levels, day, DAY_NAMES)
    best_hours, worst_hours = _standing_out(levels, hour, hour_names, typical)
    best_days, worst_days = _standing_out(levels, day, DAY_NAMES, typical)
    return PostTimes(
        metric=metric, zone=zone, posts=len(levels), users=0 if users is None else len(np.unique(users[kept])),
        left_out=int((~kept).sum()), typical=float(np.expm1(typical)), hours=hours, days=days,
        week=tuple(_slots(levels[day == d], hour[day == d], hour_names) for d in range(7)),
        best_hours=best_hours, worst_hours=worst_hours, best_days=best_days, worst_days=worst_days,
    )  # fmt: skip


def _beside_their_users(
    levels: NDArray[np.float64], users: NDArray[np.uint64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return levels with their users' medians exchanged for the median of all medians, and whose users have enough."""
    _, who, counts = np.unique(users, return_inverse=True, return_counts=True)
    order = np.argsort(who, kind="stable")
    medians = np.array([np.median(part) for part in np.split(levels[order], np.cumsum(counts)[:-1])])  # (users,)
    enough = counts >= OWN
    middle = float(np.median(medians[enough])) if enough.any() else 0.0
    return levels - medians[who] + middle, enough[who]


def _slots(levels: NDArray[np.float64], slot: NDArray[np.int64], names: Sequence[str]) -> tuple[Slot, ...]:
    found = []
    for number, name in enumerate(names):
        own = np.sort(levels[slot == number])
        bounds = median_interval(own, LEVEL)
        found.append(
            Slot(
                name=name, posts=len(own), median=float(np.expm1(np.median(own))) if len(own) else None,
                low=None if bounds is None else float(np.expm1(bounds[0])),
                high=None if bounds is None else float(np.expm1(bounds[1])),
            )
        )  # fmt: skip
    return tuple(found)


def _standing_out(
    levels: NDArray[np.float64], slot: NDArray[np.int64], names: Sequence[str], typical: float
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the slots whose median lies above, and below, `typical` beyond chance, the furthest first."""
    above, below = [], []
    for number, name in enumerate(names):
        own = np.sort(levels[slot == number])
        bounds = median_interval(own, 1 - (1 - LEVEL) / len(names))
        if bounds is not None and len(own) >= SMALL:
            middle = float(np.median(own))
            above += [(middle, name)] if bounds[0] > typical else []
            below += [(middle, name)] if bounds[1] < typical else []
    return tuple(n for _, n in sorted(above, reverse=True)), tuple(n for _, n in sorted(below))


def median_interval(ordered: NDArray[np.float64], level: float) -> tuple[float, float] | None:
    """Return the order statistics that hold the median with at least `level`; None if there are too few values.

    The k-th smallest and the k-th largest of n hold it but for 2 P(B < k), B binomial (n, 1/2): exact, for any
    distribution.
    """
    from scipy.stats import binom

    k = int(binom.ppf((1 - level) / 2, len(ordered), 0.5)) if len(ordered) else 0
    while k > 0 and 2 * binom.cdf(k - 1, len(ordered), 0.5) > 1 - level:
        k -= 1
    return None if k < 1 else (float(ordered[k - 1]), float(ordered[-k]))


def post_words(found: PostTimes) -> list[str]:
    """Return the verdict in sentences: of hours, of weekdays, and what was corrected and what not."""
    typical = f"half of them collect {amount(found.typical)} {found.metric} or more, by the clock of {found.zone}"
    lines = [
        f"{found.posts:,} posts; {typical}",
        *(_verdict(found, kind) for kind in ("hour", "weekday")),
    ]
    if found.users > 1:
        lines.append(
            f"corrected for who posts when: each of {found.users:,} users is compared with its own median; "
            f"{found.left_out:,} posts of users with fewer than {OWN} are left out"
        )
    elif found.users == 0:
        lines.append("not corrected for who posts when: with several users, name their column with --user")
    lines.append("growth over the time of the log is not removed, and a post may do well for what it says")
    return lines


def _verdict(found: PostTimes, kind: str) -> str:
    best, worst = (found.best_hours, found.worst_hours) if kind == "hour" else (found.best_days, found.worst_days)
    slots = {slot.name: slot for slot in (*found.hours, *found.days)}
    if not best and not worst:
        return f"no {kind} stands out beyond chance"
    said = [
        f"{word} at {name}, {_median(slots[name])} per post (n = {slots[name].posts:,})"
        for word, names in (("best", best), ("worst", worst))
        for name in names[:3]
    ]
    return f"by {kind}: {'; '.join(said)}"


def _median(slot: Slot) -> str:
    return "nothing" if slot.median is None else amount(slot.median)

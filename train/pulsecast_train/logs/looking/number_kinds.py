"""Which kind of number a metric is: counts add up within a step, levels are averaged, running totals differenced.

Its name decides, or its behaviour: whole numbers that jump and come near 0 are counts. A smooth series can be a count
of many or a level, so where it matters the user is asked. It matters as soon as several samples fall into one step.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from ..aggregation import Kind, usual_spacing_us
from ..config import LogConfig
from ..row_policies import LogRows
from .choices import Reading, UndecidedError, undecided


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


# Words of a name, and the kind that they say; FLOWS are stronger than LEVELS, and these than COUNTS.
FLOWS = frozenset(("new", "added", "gained", "lost"))
LEVELS = _set(
    "active average avg balance concurrent cpu current followers follower here index latency level load mean "
    "median member members memory online p50 p90 p95 p99 pct percent percentage price queue rank rate rating "
    "ratio score sentiment speed stock subscriber subscribers temperature usage viewer viewers watching"
)
COUNTS = _set(
    "clicks comments count counts downloads errors events favorites favourites hits impressions installs likes "
    "mentions messages num number orders pageviews points posts reactions replies requests retweets sales "
    "sessions shares signups tweets ups views visits volume votes"
)
TOTAL_WORDS = _set(
    "bookmark bookmarks comment comments engagement engagements favorite favorites favourite favourites "
    "impression impressions like likes plays points quote quotes reaction reactions reply replies repost "
    "reposts retweet retweets saves score share shares ups upvotes view views votes"
)
JOINED = {"count": "sum", "gauge": "mean", "counter": "difference"}
_ENOUGH = 50  # readings that behaviour needs
_SMOOTH = 0.9  # correlation of successive values, on logs
_NEAR_ZERO = 0.05  # of the median
_SEVERAL = 1.5  # samples in a step
_MOST_SERIES = 20  # that are looked at


def words_of(name: str) -> list[str]:
    """Return the words of a column's name in lower case.

    >>> words_of("public_metrics.likeCount")
    ['public', 'metrics', 'like', 'count']
    """
    return re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", name).lower().replace("%", " percent ").translate(_MARKS).split()


_MARKS = str.maketrans(dict.fromkeys("_.-/:#()[]", " "))


def named_kind(name: str) -> Kind | None:
    """Return the kind that a metric's name says, None if it says none.

    >>> named_kind("users_here"), named_kind("num_likes"), named_kind("value")
    ('gauge', 'count', None)
    """
    words = set(words_of(name))
    if words & FLOWS:
        return "count"
    return "gauge" if words & LEVELS else "count" if words & COUNTS else None


def is_total(name: str) -> bool:
    """Return whether a name is that of a total which a post collects after its time, such as likes.

    >>> is_total("num_likes"), is_total("public_metrics.like_count"), is_total("new_likes"), is_total("amount")
    (True, True, False, False)
    """
    words = words_of(name)
    return any(word in TOTAL_WORDS for word in words) and not FLOWS & set(words)


def shown_kind(rows: LogRows, names: Sequence[str], config: LogConfig) -> Kind | None:
    """Return the kind of the metrics `names` of sorted samples or events; None where nothing shows it or needs it.

    Raises UndecidedError if neither names nor values show it where it matters, or if values never fall.
    """
    if config.kind != "inferred":
        return config.kind
    named = list(dict.fromkeys(kind for kind in map(named_kind, names) if kind is not None))
    if config.events or not rows.metrics:
        return "gauge" if named == ["gauge"] else "count"
    parts = list(_parts(rows))
    joined = max((_samples_per_step(times, config) for times, _ in parts), default=1)
    if joined < _SEVERAL:
        return named[0] if named else None
    if "gauge" not in named:
        _refuse_growing(names[0], parts)
    if len(named) == 1:
        return named[0]
    if len(named) > 1:
        raise undecided(
            f"metrics {', '.join(names)} are of several kinds, and one --kind holds for all: read those that add up "
            "(count) apart from those that are averaged (gauge)",
            _readings(("gauge", "count"), names[0]),
        )
    if parts and all(_is_bursty(values) for _, values in parts):
        return "count"
    raise _unknown(names[0], joined, parts)


def _unknown(
    name: str, joined: float, parts: Sequence[tuple[NDArray[np.int64], NDArray[np.float64]]]
) -> UndecidedError:
    smooth = any(_correlation(values) > _SMOOTH for _, values in parts)
    return undecided(
        f"about {joined:.3g} samples of {name} fall into a step, and nothing shows whether they are counts, which add "
        "up, or a level such as people online, which is averaged; choose --kind count or gauge",
        _readings(("gauge", "count") if smooth else ("count", "gauge"), name),
        "successive values are alike" if smooth else "successive values differ as counts do",
    )


def _readings(kinds: Sequence[Kind], name: str) -> list[Reading]:
    words = {
        "count": f"{name} counts what happened in a time: it adds up within a step",
        "gauge": f"{name} is a level: it is averaged within a step",
        "counter": f"{name} is a running total: its rise is what happened",
    }
    return [Reading(words=words[kind], changes={"kind": kind}) for kind in kinds]


def _parts(rows: LogRows) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """Yield times (samples,) and finite values (samples,) of the first metric, for the first series."""
    codes = rows.frame["series"].to_numpy()
    times, values = rows.frame["t"].to_numpy(), rows.frame[rows.metrics[0]].fill_null(np.nan).to_numpy()
    for code in np.unique(codes)[:_MOST_SERIES]:
        own = (codes == code) & np.isfinite(values)
        if own.any():
            yield times[own], values[own]


def _refuse_growing(name: str, parts: Sequence[tuple[NDArray[np.int64], NDArray[np.float64]]]) -> None:
    long = [values for _, values in parts if len(values) >= _ENOUGH]
    if long and all((np.diff(values) >= 0).all() and values[-1] > values[0] for values in long):
        raise undecided(
            f"{name} never falls over {min(map(len, long)):,} readings, as a running total does; choose --kind counter "
            "to forecast its rise, or count if it does not run on",
            _readings(("counter", "count"), name),
            "counts fall now and then",
        )


def _samples_per_step(times_us: NDArray[np.int64], config: LogConfig) -> float:
    if config.step_s is None:
        return 1.0
    spacing = usual_spacing_us(times_us)
    if spacing is None:
        steps = max(float(times_us[-1] - times_us[0]) / (config.step_s * 1e6), 1.0)
        return max(len(times_us) / steps, 2.0 if len(times_us) > 1 else 1.0)
    return config.step_s * 1e6 / spacing


def _is_bursty(values: NDArray[np.float64]) -> bool:
    if len(values) < _ENOUGH or (values < 0).any() or (values != np.floor(values)).any():
        return False
    return bool(values.min() <= _NEAR_ZERO * np.median(values)) and _correlation(values) < _SMOOTH


def _correlation(values: NDArray[np.float64]) -> float:
    logs = np.log1p(np.clip(values, 0, None))
    if len(logs) < 3 or logs[:-1].std() == 0 or logs[1:].std() == 0:
        return 0.0
    return float(np.corrcoef(logs[:-1], logs[1:])[0, 1])

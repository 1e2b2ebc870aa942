"""Holidays of named regions as calendar features: looked up once, in training, and stored as spans of time."""

from __future__ import annotations

import datetime
import functools
from collections.abc import Sequence

from pulsecast.errors import MissingExtraError, UsageError
from pulsecast.model.spec import DAY_S, Calendar, Feature, Holidays

from ..series import Series
from ..zones import check_zone
from .train_config import TrainConfig

YEARS_AHEAD = 10  # after the log's last year; for later years train the model again


def holiday_features(config: TrainConfig, series: Sequence[Series]) -> tuple[Feature, ...]:
    """Return the holiday features of `config.holidays` for forecasts of `series`; () if there are none.

    A region has one for the next step and, for a longer horizon, one for every day of it. Raises
    UsageError (an unknown region or zone), MissingExtraError (the package `holidays` is not installed).
    """
    if not config.holidays:
        return ()
    step_s = series[0].step_s
    first = min(one.start_s for one in series)
    last = max(one.start_s + len(one.values) * step_s for one in series)
    clock = check_zone("holiday zone", config.holiday_zone)
    years = (_year(first, clock), _year(last, clock) + YEARS_AHEAD)
    aheads = sorted({*range(1, config.horizon + 1, max(1, DAY_S // step_s)), config.horizon})
    return tuple(
        Feature(
            name=f"holiday_{region}" if ahead == 1 else f"holiday_{region}_in_{ahead}",
            calendar=Calendar(
                function="holiday",
                period_s=DAY_S,
                ahead_steps=ahead,
                holidays=look_up(region, config.holiday_zone, *years),
            ),
        )
        for region in config.holidays
        for ahead in aheads
    )


@functools.cache
def look_up(region: str, zone: str, first_year: int, last_year: int) -> Holidays:
    """Return the public holidays of `region` in these years, as days of `zone`; raises as `holiday_features` does.

    >>> [span[0] for span in look_up("US", "UTC", 2015, 2015).spans][:2]  # 1 and 19 January
    [1420070400, 1421625600]
    """
    clock = check_zone("holiday zone", zone)

    def midnight(day: datetime.date) -> int:
        return int(datetime.datetime.combine(day, datetime.time(), clock).timestamp())

    spans: list[tuple[int, int]] = []
    for day in _days(region, range(first_year, last_year + 1)):
        start, stop = midnight(day), midnight(day + datetime.timedelta(days=1))
        if spans and spans[-1][1] == start:
            start = spans.pop()[0]
        spans.append((start, stop))
    known = (midnight(datetime.date(first_year, 1, 1)), midnight(datetime.date(last_year + 1, 1, 1)))
    return Holidays(region=region, zone=zone, known=known, spans=tuple(spans))


def _days(region: str, years: range) -> list[datetime.date]:
    try:
        import holidays
    except ImportError as error:
        raise MissingExtraError("holidays need the package of that name: pip install 'pulsecast[holidays]'") from error
    parts = holidays.list_supported_countries()  # country -> its parts
    country, dash, part = region.partition("-")
    if country not in parts:
        raise UsageError(
            f"holidays of {region!r} are not known; expected a country by its two letters, such as US, or a part of "
            f"one, such as DE-BY"
        )
    if dash and part not in parts[country]:
        listed = ", ".join(f"{country}-{name}" for name in parts[country])
        raise UsageError(f"holidays of {region!r} are not known; {country} has {listed or 'no parts'}")
    found = holidays.country_holidays(country, subdiv=part or None, years=years)
    days = sorted(day for day in found if day.year in years)
    if not days:
        raise UsageError(f"{region} has no public holidays from {years[0]} to {years[-1]}; leave it out")
    return days


def _year(seconds: int, clock: datetime.tzinfo) -> int:
    return datetime.datetime.fromtimestamp(seconds, clock).year

"""Local times to instants: the zone of a log, hours that its clock skips or repeats, and days."""

from __future__ import annotations

from dataclasses import dataclass, field

import polars as pl

from pulsecast.errors import DataError

from ..config import LogConfig
from ..looking.choices import Reading, undecided
from ..places import Counted, Places
from .repeated_hours import BothHours

MICROS = 1_000_000
_DAY_S = 86_400
_REPEATED_WORDS = {  # rows are events -> readings of an hour that exists twice
    False: (
        ("each local time stands twice in the log: the first row is of the first hour", "both"),
        ("all rows are of the first of the two hours", "first"),
        ("all rows are of the second of the two hours", "second"),
    ),
    True: (
        ("all rows are of the first of the two hours", "first"),
        ("all rows are of the second of the two hours", "second"),
    ),
}
_CLIP_S = 1e12  # keeps absurd epochs inside int64 microseconds; they are refused by the checks below


@dataclass(kw_only=True, eq=False)
class LocalClock:
    """Brings times without a zone to UTC; it counts the `repeated` ones.

    series     numbers of the batch's series, where rows of several stand in one file
    only_days  whether all of these times so far are midnights; None if there were none
    """

    config: LogConfig
    series: pl.Series | None = None
    only_days: bool | None = None
    repeated: Counted = field(default_factory=Counted)
    both: BothHours = field(default_factory=BothHours)

    def to_utc(self, naive: pl.Series, places: Places) -> pl.Series:
        """Return naive local datetimes in the log's zone as Int64 microseconds, UTC."""
        zone = self.config.timezone
        if naive.null_count() == len(naive):
            return naive.cast(pl.Int64)
        if zone is None:
            row = int(naive.is_not_null().arg_true()[0])
            raise undecided(
                f"{places.where(row)}: {cell_text(naive, row)} carries no time zone; name the log's with "
                "--timezone, such as UTC",
                [
                    Reading(words="the times are in UTC", changes={"timezone": "UTC"}),
                    Reading(words="they are in a local zone", changes={"timezone": "Europe/Berlin"}),
                ],
                "logs of servers are usually in UTC",
            )
        days = bool((naive.dt.truncate("1d") == naive).all())
        self.only_days = days if self.only_days is None else days and self.only_days
        if zone == "UTC" or (days and self._buckets_of_days):
            return naive.cast(pl.Int64)
        return self._local(naive, zone, places, days=days)

    @property
    def _buckets_of_days(self) -> bool:
        """Whether rows are counted in steps of whole days in UTC: then a day of the log is a day there, in any zone."""
        step_s = self.config.step_s or 0
        return self.config.events or step_s > _DAY_S

    def _local(self, naive: pl.Series, zone: str, places: Places, *, days: bool) -> pl.Series:
        try:
            first = naive.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
            second = naive.dt.replace_time_zone(zone, ambiguous="latest", non_existent="null")
        except pl.exceptions.PolarsError as error:
            raise DataError(f"--timezone {zone!r} is not known; use a name such as UTC or Europe/Berlin") from error
        if days:
            return self._days(naive, zone, first, places)
        self._refuse_skipped(naive, first, zone, places)
        twice = first != second
        if self.config.repeated_hour == "refuse" and twice.any():
            row = int(twice.arg_true()[0])
            both = "" if self.config.events else "both where the log has a row for each, "
            raise undecided(
                f"{places.where(row)}: {cell_text(naive, row)} exists twice in {zone}: its clock is put back then; "
                f"choose --repeated-hour first or second, {both}or write the log's timestamps in UTC or with an offset",
                [
                    Reading(words=words, changes={"repeated_hour": choice})
                    for words, choice in _REPEATED_WORDS[self.config.events]
                ],
            )
        self.repeated.add(twice, places)
        if self.config.repeated_hour == "both":
            later = self.both.second(naive, twice, self.series, places)
            return second.zip_with(later, first).cast(pl.Int64)
        return (second if self.config.repeated_hour == "second" else first).cast(pl.Int64)

    def _days(self, naive: pl.Series, zone: str, first: pl.Series, places: Places) -> pl.Series:
        """Return the first instant of each day: where a clock skips midnight, this is the end of the skipped time."""
        micros = first.cast(pl.Int64)
        skipped = (first.is_null() & naive.is_not_null()).arg_true()
        if len(skipped) == 0:
            return micros
        before = (
            naive.gather(skipped)
            .dt.offset_by("-1m")
            .dt.replace_time_zone(zone, ambiguous="latest", non_existent="null")
        )
        self._refuse_skipped(naive.gather(skipped), before, zone, places.only(skipped))
        return micros.scatter(skipped, before.cast(pl.Int64) + 60 * MICROS)

    def _refuse_skipped(self, naive: pl.Series, found: pl.Series, zone: str, places: Places) -> None:
        skipped = (found.is_null() & naive.is_not_null()).arg_true()
        if len(skipped):
            row = int(skipped[0])
            raise DataError(
                f"{places.where(row)}: {cell_text(naive, row)} does not exist in {zone}: its clock skips it; "
                "name another --timezone, or write the log's timestamps in UTC or with an offset"
            )


def cell_text(cells: pl.Series, row: int) -> str:
    """Return a cell for a message; Python has no dates beyond the years 1 to 9999."""
    cell = cells.slice(row, 1)
    try:
        return str(cell[0])[:40]
    except (ValueError, OverflowError):
        return f"{cell.to_physical()[0]} {getattr(cells.dtype, 'time_unit', 'days')} since 1970"

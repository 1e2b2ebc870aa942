"""Every way of writing an instant gives the same instant; an ambiguous or impossible time is refused with its line."""

import datetime
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import pytest

from pulsecast.errors import DataError
from pulsecast_train.logs.config import LogConfig
from pulsecast_train.logs.places import Places
from pulsecast_train.logs.text.times import order_evidence, unsettled_order
from pulsecast_train.logs.timestamps import TimeReader, UnsettledOrderError

NOW_S = 1_770_000_000  # 2026-02-02
T = 1_413_331_199  # 2014-10-14T23:59:59Z


@dataclass
class Parsed:
    epoch_us: pl.Series
    format: str
    reader: TimeReader


def parsed(cells: list[object] | pl.Series, *, batch: int = 10**9, **options: Any) -> Parsed:
    column = cells if isinstance(cells, pl.Series) else pl.Series("timestamp", cells)
    reader = TimeReader(config=LogConfig(**options), now_s=NOW_S)
    parts = []
    for first in range(0, len(column), batch):
        part = column[first : first + batch]
        lines = np.arange(first + 2, first + len(part) + 2)
        parts.append(reader.read(part, Places(file="log.csv", word="line", lines=lines)))
    reader.finish()
    return Parsed(pl.concat(parts), reader.format, reader)


def seconds(cells: list[object] | pl.Series, **options: Any) -> list[float]:
    return [micros / 1e6 for micros in parsed(cells, **options).epoch_us]


SAME_INSTANT = {
    "Z": "2014-10-14T23:59:59Z",
    "UTC in words": "2014-10-14 23:59:59 UTC",
    "offset with colon": "2014-10-15T01:59:59+02:00",
    "offset without colon": "2014-10-14T18:59:59-0500",
    "offset of hours": "2014-10-15 05:59:59+06",
    "half-hour offset": "2014-10-15T05:29:59+05:30",
    "negative half-hour offset": "2014-10-14T20:29:59-03:30",
    "fraction": "2014-10-14T23:59:59.000Z",
    "nanoseconds": "2014-10-14T23:59:59.000000000Z",
    "epoch seconds": "1413331199",
    "epoch seconds with fraction": "1413331199.0",
    "epoch milliseconds": "1413331199000",
    "twitter": "Tue Oct 14 23:59:59 +0000 2014",
    "twitter with offset": "Wed Oct 15 01:59:59 +0200 2014",
}


@pytest.mark.parametrize("cell", SAME_INSTANT.values(), ids=SAME_INSTANT.keys())
def test_an_instant_with_a_zone_is_the_same_however_written(cell: str) -> None:
    assert seconds([cell, f"  {cell} "]) == [T, T]


NAIVE = {
    "seconds": ("2014-10-14 23:59:59", T),
    "T": ("2014-10-14T23:59:59", T),
    "fraction": ("2014-10-14 23:59:59.250", T + 0.25),
    "minutes": ("2014-10-14 23:59", T - 59),
    "an hour": ("2014-10-14T23", T - 3599),
    "a date": ("2014-10-14", T - 86399),
    "slashes in ISO order": ("2014/10/14 23:59:59", T),
    "month first": ("10/14/2014 23:59", T - 59),
    "month first, short year": ("10/14/14 23:59", T - 59),
    "day first": ("14/10/2014 23:59", T - 59),
    "day first with seconds": ("14/10/2014 23:59:59", T),
    "twelve-hour clock": ("10/14/2014 11:59 PM", T - 59),
    "one-digit day and hour": ("10/13/2014 6:05", T - 59 - 86400 - 17 * 3600 - 54 * 60),
    "a date with slashes": ("10/14/2014", T - 86399),
}


@pytest.mark.parametrize(("cell", "expected"), NAIVE.values(), ids=NAIVE.keys())
def test_an_instant_without_a_zone_is_in_the_zone_that_is_named(cell: str, expected: float) -> None:
    assert seconds([cell], timezone="UTC") == [expected]
    assert seconds([cell], timezone="Europe/Berlin") == [expected - 7200]
    with pytest.raises(DataError, match=r"log\.csv line 2: 2014-10-1.* no time zone; .*--timezone, such as UTC"):
        parsed([cell])


def test_offsets_may_differ_from_row_to_row() -> None:
    assert seconds(["2014-10-14T23:59:59Z", "2014-10-15T01:59:59+02:00", "2014-10-14 18:59:59-05:00"]) == [T, T, T]


def test_a_row_without_offset_among_others_needs_the_zone() -> None:
    mixed: list[object] = ["2014-10-14T23:59:59Z", "2014-10-14T23:59:59"]
    assert seconds(mixed, timezone="UTC") == [T, T]
    with pytest.raises(DataError, match="line 3"):
        parsed(mixed)


def test_numbers_dates_and_datetimes_are_read_as_what_they_are() -> None:
    moment = datetime.datetime(2014, 10, 14, 23, 59, 59, tzinfo=datetime.UTC)
    assert seconds([T]) == [T]
    assert seconds([T + 0.5]) == [T + 0.5]
    assert seconds([T * 1000 + 2]) == [T + 0.002]
    assert seconds(pl.Series("t", [moment])) == [T]
    assert seconds(pl.Series("t", [moment.replace(tzinfo=None)]), timezone="UTC") == [T]
    assert seconds(pl.Series("t", [moment.date()]), timezone="UTC") == [T - 86399]
    assert seconds(pl.Series("t", [moment], dtype=pl.Datetime("ms", "Europe/Berlin"))) == [T]


def test_a_format_that_is_given_is_used_and_nothing_else() -> None:
    assert seconds(["04/05/2014 06:07"], time_format="%d/%m/%Y %H:%M", timezone="UTC") == [1399183620]
    assert seconds(["04/05/2014 06:07"], time_format="%m/%d/%Y %H:%M", timezone="UTC") == [1396678020]
    assert seconds(["14.10.2014 23:59:59 +0000"], time_format="%d.%m.%Y %H:%M:%S %z") == [T]
    assert seconds(["20141014"], time_format="%Y%m%d", timezone="UTC") == [T - 86399]
    assert seconds([20141014], time_format="%Y%m%d", timezone="UTC") == [T - 86399]
    assert seconds(["1413331199000"], time_format="epoch-ms") == [T]


def test_rows_that_fit_one_order_only_settle_day_and_month_for_all() -> None:
    assert seconds(["4/5/2014", "4/22/2014"], timezone="UTC") == [1396656000, 1398124800]
    assert seconds(["4/5/2014", "22/4/2014"], timezone="UTC") == [1399161600, 1398124800]
    assert parsed(["4/5/2014", "4/22/2014"], timezone="UTC").format == "month/day/year"


def test_two_and_four_digit_years_may_share_a_column() -> None:
    assert seconds(["10/12/13 10:21", "4/22/2018 6:00"], timezone="UTC") == [1381573260, 1524376800]


def test_a_few_unreadable_cells_become_null_and_more_are_refused_with_three_lines() -> None:
    cells: list[object] = ["2014-10-14T23:59:59Z"] * 5000
    for row, cell in ((7, ""), (8, "yesterday"), (9, None), (10, "2014-02-30T00:00:00Z"), (11, "?")):
        cells[row] = cell
    assert parsed(cells).epoch_us.null_count() == 5
    cells[12] = "{}"
    sentence = (
        r"6 of 5000 rows have no timestamp that can be read as iso-8601, more than 0.1 %: log\.csv line 9 \(''\), "
        r"log\.csv line 10 \('yesterday'\), log\.csv line 11 \(empty\); correct them or choose --time-format"
    )
    with pytest.raises(DataError, match=sentence):
        parsed(cells)


REFUSED: dict[str, tuple[list[object], dict[str, str], str]] = {
    "milliseconds said to be seconds": (
        ["1413331199000"],
        {"time_format": "epoch-s"},
        r"line 2: timestamp '1413331199000', read as epoch-s, lies in the future; seconds and milliseconds",
    ),
    "seconds said to be milliseconds": (["1413331199"], {"time_format": "epoch-ms"}, r"read as epoch-ms, lies in 1970"),
    "mixed units": (["1413331199"] * 9 + ["1413331199000"], {}, r"line 11: .* read as epoch-s, lies in the future"),
    "picoseconds": (["1413331199000000000000"], {}, "lies in the future"),
    "a day of a spreadsheet": (["41926"], {}, r"read as epoch-s, lies in 1970 or before; if it is a spreadsheet's"),
    "the year 1970": (["1970-01-01T00:00:00Z"], {}, "lies in 1970 or before; check --time-format"),
    "the future": (["2026-02-04T00:00:00Z"], {}, r"line 2: timestamp '2026-02-04T00:00:00Z', .* lies in the future"),
    "no time at all": (["a", "b"], {}, r"2 of 2 rows have no timestamp that can be read as any known format"),
    "nothing at all": ([None], {}, r"1 of 1 rows .* \(empty\)"),
    "an offset of a day": (["2014-10-14T00:00:00+25:00"], {}, "1 of 1 rows have no timestamp"),
    "true and false": ([True], {}, "holds Boolean; expected timestamps"),
}


@pytest.mark.parametrize(("cells", "options", "sentence"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_an_instant_is_refused(cells: list[object], options: dict[str, str], sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        parsed(cells, **options)


BACK = (
    "exists twice in Europe/Berlin: its clock is put back then; choose --repeated-hour first or second, both where the "
    "log has a row for each, or write"
)
SKIPPED = "does not exist in Europe/Berlin: its clock skips it; name another --timezone, or write"
CLOCK_CHANGES = {"repeated": ("2024-10-27 02:30:00", BACK), "skipped": ("2024-03-31 02:30:00", SKIPPED)}


@pytest.mark.parametrize(("cell", "sentence"), CLOCK_CHANGES.values(), ids=CLOCK_CHANGES.keys())
def test_the_hour_of_a_clock_change_is_refused_with_its_line(cell: str, sentence: str) -> None:
    with pytest.raises(DataError) as caught:
        parsed(["2024-06-01 12:00:00", cell], timezone="Europe/Berlin")
    assert str(caught.value) == f"log.csv line 3: {cell} {sentence} the log's timestamps in UTC or with an offset"


@pytest.mark.parametrize(("choice", "expected"), [("first", 1729989000), ("second", 1729992600)])
def test_the_repeated_hour_is_taken_as_chosen_and_counted(choice: str, expected: int) -> None:
    found = parsed(["2024-10-27 01:59:59", "2024-10-27 02:30:00"], timezone="Europe/Berlin", repeated_hour=choice)
    assert found.epoch_us.to_list() == [1729987199 * 10**6, expected * 10**6]
    assert (found.reader.clock.repeated.rows, found.reader.clock.repeated.lines) == (1, [3])


def test_the_skipped_hour_is_refused_with_any_choice_for_the_repeated_one() -> None:
    with pytest.raises(DataError, match="does not exist in Europe/Berlin"):
        parsed(["2024-03-31 02:30:00"], timezone="Europe/Berlin", repeated_hour="first")


def test_a_zone_that_only_the_reader_can_look_up_is_refused_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoneinfo.available_timezones", set)  # as on a system without a zone database
    with pytest.raises(DataError, match="--timezone 'Mars/Olympus' is not known; use a name such as UTC"):
        parsed(["2014-10-14"], timezone="Mars/Olympus")


def test_where_no_row_settles_day_and_month_the_reader_asks_for_the_other_batches() -> None:
    with pytest.raises(UnsettledOrderError):
        parsed(["1/1/2014", "4/5/2014"], timezone="UTC")
    assert str(unsettled_order("log.csv line 3", "4/5/2014")) == (
        "log.csv line 3: '4/5/2014' can be month/day or day/month and no row decides it; "
        "choose --time-format, such as '%m/%d/%Y %H:%M' or '%d/%m/%Y %H:%M'"
    )
    day, month, either = order_evidence(pl.Series(["1/1/2014", "4/5/2014", "13/1/2014", "1/13/2014", None]))
    assert (day.to_list(), month.to_list(), either) == (
        [False] * 2 + [True] + [False] * 2,
        [False] * 3 + [True, False],
        1,
    )


def test_rows_that_settle_the_order_and_short_years_among_long_ones_are_counted() -> None:
    reader = parsed(["10/12/13 10:21", "4/22/2018 6:00", "4/23/2018 6:00"], timezone="UTC").reader
    assert (reader.settled.rows, reader.settled.lines) == (2, [3, 4])
    assert (reader.mixed_years.rows, reader.mixed_years.lines) == (1, [2])
    assert parsed(["10/22/13 10:21"], timezone="UTC").reader.mixed_years.rows == 0


TWELVE = {
    "AM and PM": ("2024-05-01 11:59:59 PM", 1714607999),
    "am and pm, no space": ("2024-05-01 12:05am", 1714521900),
    "with an offset": ("2024-05-01 12:30:00 PM +0000", 1714566600),
    "slashes": ("5/13/2024 12:00 AM", 1715558400),
}


@pytest.mark.parametrize(("cell", "expected"), TWELVE.values(), ids=TWELVE.keys())
def test_a_twelve_hour_clock_with_am_and_pm_is_read(cell: str, expected: int) -> None:
    assert seconds([cell], timezone="UTC") == [expected]


def test_a_twelve_hour_clock_without_am_and_pm_is_refused() -> None:
    half = [f"2024-05-{day:02} {hour:02}:30:00" for day in (1, 2, 3) for hour in (12, *range(1, 12)) for _ in range(2)]
    with pytest.raises(DataError) as caught:
        parsed(list(half), timezone="UTC")
    assert str(caught.value) == (
        "log.csv line 2 and all rows after it have hours from 1 to 12, as on a 12-hour clock without AM and PM; "
        "write hours from 0 to 23, or choose --time-format to read them as they are"
    )
    assert len(seconds(list(half), timezone="UTC", time_format="%Y-%m-%d %H:%M:%S")) == 72
    assert len(seconds([*half, "2024-05-03 00:30:00"], timezone="UTC")) == 73


@pytest.mark.parametrize("batch", [1, 2, 3])
@pytest.mark.parametrize("cells", [[c, c, c] for c in (*SAME_INSTANT.values(), T, T * 1000)], ids=str)
def test_batches_give_what_the_whole_column_gives(cells: list[object], batch: int) -> None:
    assert parsed(cells, batch=batch).epoch_us.to_list() == parsed(cells).epoch_us.to_list() == [T * 10**6] * 3


def test_ways_of_writing_may_differ_from_batch_to_batch_within_a_family() -> None:
    cells: list[object] = ["2014-10-14T23:59:59Z"] * 4 + ["2014-10-15T01:59:59+02:00", "2014-10-14 23:59:59"]
    assert parsed(cells, batch=2, timezone="UTC").epoch_us.to_list() == [T * 10**6] * 6


def test_a_batch_in_another_unit_is_refused() -> None:
    with pytest.raises(DataError, match=r"line 4: timestamp '1413331199000', read as epoch-s, lies in the future"):
        parsed(["1413331199"] * 2 + ["1413331199000"] * 2, batch=2)


def test_local_time_keeps_its_offset_on_either_side_of_a_clock_change() -> None:
    local: list[object] = ["2024-03-31 01:59:59", "2024-03-31 03:00:00"]
    assert seconds(local, timezone="Europe/Berlin") == [1711846799, 1711846800]


def test_an_instant_of_up_to_a_day_ahead_is_a_clock_that_is_off() -> None:
    assert seconds([NOW_S + 86_400]) == [NOW_S + 86_400]
    with pytest.raises(DataError, match="lies in the future"):
        parsed([NOW_S + 86_401])

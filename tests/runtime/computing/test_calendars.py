"""Calendar features against an independent calendar: datetime's."""

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from helpers.engines import load
from pulsecast.computing.calendars import calendar_values, complete, unix_seconds
from pulsecast.errors import DtypeError, InputError, TimeError
from pulsecast.foundation import strict_json
from pulsecast.model.spec import DAY_S, WEEK_S, Calendar, Channel, Feature, Holidays, ModelSpec
from pulsecast.model.windows import Windows

FIRST = datetime(2024, 2, 26, 0, 30, tzinfo=UTC)  # a Monday, before a leap day
MOMENTS = [FIRST + timedelta(hours=5 * i) for i in range(100)] + [datetime(1969, 12, 27, 12, tzinfo=UTC)]
SECONDS = np.array([int(moment.timestamp()) for moment in MOMENTS])


@pytest.mark.parametrize("ahead_steps", [0, 1, 3])
@pytest.mark.parametrize("step_s", [60, 3600, DAY_S])
def test_weekend_is_saturday_and_sunday_of_the_step_ahead(ahead_steps: int, step_s: int) -> None:
    weekend = Calendar(function="weekend", period_s=WEEK_S, ahead_steps=ahead_steps)
    later = [moment + timedelta(seconds=ahead_steps * step_s) for moment in MOMENTS]
    expected = [float(moment.weekday() >= 5) for moment in later]
    assert calendar_values(weekend, SECONDS, step_s).tolist() == expected


@pytest.mark.parametrize("function", ["sin", "cos"])
@pytest.mark.parametrize("period_s", [DAY_S // 2, DAY_S, WEEK_S])
def test_waves_follow_the_written_formula(function: str, period_s: int) -> None:
    calendar = Calendar(function=function, period_s=period_s, ahead_steps=2)  # type: ignore[arg-type]
    wave = {"sin": math.sin, "cos": math.cos}[function]
    expected = [wave(2 * math.pi * ((int(s) + 2 * 3600) % period_s) / period_s) for s in SECONDS]
    # float64 rounding of the angle, at most 2 pi, and of the wave
    np.testing.assert_allclose(calendar_values(calendar, SECONDS, 3600), expected, rtol=0, atol=4e-15)


def test_a_day_begins_with_sine_zero_and_cosine_one() -> None:
    midnight = np.array([int(datetime(2026, 5, 4, tzinfo=UTC).timestamp())])
    for function, expected in (("sin", 0.0), ("cos", 1.0)):
        calendar = Calendar(function=function, period_s=DAY_S, ahead_steps=0)  # type: ignore[arg-type]
        assert calendar_values(calendar, midnight, 3600).tolist() == [expected]


@pytest.mark.parametrize("unit", ["D", "h", "s", "ms", "us", "ns"])
def test_datetimes_of_any_unit_are_unix_seconds(unit: str) -> None:
    moments = np.array(["2026-01-02", "1969-12-31"], f"datetime64[{unit}]")
    assert unix_seconds(moments).tolist() == [1_767_312_000, -86_400]


def test_numbers_are_taken_as_unix_seconds() -> None:
    assert unix_seconds([1, 2]).dtype == np.int64
    assert unix_seconds(np.array([1.0, 2.0])).tolist() == [1, 2]


@pytest.mark.parametrize("bad", [["now"], [None], [True], [np.inf], [1j]])
def test_what_is_not_a_time_is_refused(bad: list[object]) -> None:
    with pytest.raises(DtypeError, match="timestamps are"):
        unix_seconds(bad)


BERLIN, INSTANT = ZoneInfo("Europe/Berlin"), 1_767_312_000


@pytest.mark.parametrize("zone", [UTC, BERLIN, ZoneInfo("Asia/Kathmandu"), timezone(timedelta(hours=-9, minutes=-30))])
def test_datetimes_of_any_zone_are_unix_seconds(zone: tzinfo) -> None:
    moment = datetime.fromtimestamp(INSTANT, zone)
    assert unix_seconds(moment).tolist() == INSTANT
    assert unix_seconds([moment, moment - timedelta(hours=1)]).tolist() == [INSTANT, INSTANT - 3600]
    assert unix_seconds(np.array([[moment]])).tolist() == [[INSTANT]]


def test_both_hours_of_a_clock_that_goes_back_are_told_apart() -> None:
    moment = datetime(2025, 10, 26, 2, 30, tzinfo=BERLIN)
    assert np.diff(unix_seconds([moment, moment.replace(fold=1)])).tolist() == [3600]


def test_times_of_pandas_and_polars_are_unix_seconds() -> None:
    pd, pl = load("pandas"), load("polars")
    moment = datetime.fromtimestamp(INSTANT, BERLIN)
    index, naive = pd.DatetimeIndex([moment]), moment.astimezone(UTC).replace(tzinfo=None)
    given = [
        pd.Timestamp(moment), index, pd.Series(index), pd.Series(index).dt.tz_convert("UTC"),
        index.tz_convert("UTC").tz_localize(None), pl.Series([moment]), pl.Series([naive]),
    ]  # fmt: skip
    assert [np.ravel(unix_seconds(one)).tolist() for one in given] == [[INSTANT]] * len(given)


@pytest.mark.parametrize("form", ["datetime", "pandas"])
def test_a_datetime_without_a_zone_is_refused_with_the_way_out(form: str) -> None:
    moment = datetime(2026, 1, 2) if form == "datetime" else load("pandas").Timestamp("2026-01-02")  # noqa: DTZ001
    sentence = r"2026.*, which has no zone; expected one: time.replace\(tzinfo=datetime.UTC\), or the zone of its clock"
    for given in (moment, [moment], [[moment]]):
        with pytest.raises(TimeError, match=sentence):
            unix_seconds(given)


def test_missing_and_mixed_times_are_refused() -> None:
    pd = load("pandas")
    moment = datetime.fromtimestamp(INSTANT, UTC)
    with pytest.raises(DtypeError, match="timestamps hold fractions of a second"):
        unix_seconds(moment + timedelta(microseconds=1))
    with pytest.raises(DtypeError, match="timestamps hold fractions of a second"):
        unix_seconds([pd.Timestamp(moment) + pd.Timedelta(1, "ns")])
    for given in ([moment, pd.NaT], pd.NaT, pd.Series([moment, None])):
        with pytest.raises((DtypeError, TimeError), match="NaT"):
            unix_seconds(given)
    for other in (INSTANT, None, "2026-01-02", moment.date()):
        with pytest.raises(
            DtypeError, match=r"timestamps are object; expected datetime64 .*or datetimes that have a zone"
        ):
            unix_seconds([moment, other])


MASKED = {
    "the constant": np.ma.masked,
    "the constant in a list": [1, np.ma.masked],
    "the constant deep in a list": [[1, 2], [3, np.ma.masked]],
    "an array in lists": [[np.ma.array([1, 2], mask=[0, 1])]],
}


@pytest.mark.parametrize("name", MASKED)
def test_a_masked_time_is_refused_however_deep_it_lies(name: str) -> None:
    with pytest.raises(TimeError, match="timestamps have masked cells"):
        unix_seconds(MASKED[name])


FRACTIONS = {
    "a float": [1.0, 1.5],
    "a small float": np.array([0.5], np.float16),
    "a long float": np.array([1.25], np.longdouble),
    "milliseconds": np.array([1500], "datetime64[ms]"),
    "nanoseconds": np.array(["2026-01-02T00:00:00.000000001"], "datetime64[ns]"),
    "before 1970": np.array([-1], "datetime64[us]"),
}


@pytest.mark.parametrize("name", FRACTIONS)
def test_a_fraction_of_a_second_is_refused_and_never_cut(name: str) -> None:
    with pytest.raises(DtypeError, match="timestamps hold fractions of a second; round them to whole seconds"):
        unix_seconds(FRACTIONS[name])


FAR_AWAY = {
    "the first number that wraps": np.array([2**63], np.uint64),
    "the largest number": [2**64 - 1],
    "the smallest number": [-(2**63)],
    "a float beyond 64 bits": [1e300],
    "milliseconds": [1_767_312_000_000],
    "nanoseconds": [1_767_312_000_000_000_000],
    "the year 10,000": np.array(["10000"], "datetime64[Y]"),
    "the year 0": np.array(["0000"], "datetime64[Y]"),
}


@pytest.mark.parametrize("name", FAR_AWAY)
def test_a_time_beyond_the_years_of_dates_is_refused_and_never_wraps(name: str) -> None:
    with pytest.raises(TimeError, match="timestamps lie beyond the years 1 to 9999; expected unix seconds"):
        unix_seconds(FAR_AWAY[name])


@pytest.mark.parametrize(("value", "unit"), [(10**18, "D"), (2**62, "Y"), (213_503_982_334_602, "D"), (2**61, "W")])
def test_a_date_whose_seconds_wrap_is_refused(value: int, unit: str) -> None:
    with pytest.raises(InputError, match=r"timestamps (lie beyond|hold fractions)"):
        unix_seconds(np.array([value], f"datetime64[{unit}]"))


def test_the_first_and_last_second_of_dates_are_taken_as_they_are() -> None:
    ends = ["0001-01-01T00:00:00", "9999-12-31T23:59:59"]
    assert unix_seconds(np.array(ends, "datetime64[s]")).tolist() == [-62_135_596_800, 253_402_300_799]
    assert unix_seconds(np.array([253_402_300_799], np.uint64)).tolist() == [253_402_300_799]
    assert unix_seconds(np.array([1_767_312_000], np.float64)).tolist() == [1_767_312_000]
    assert unix_seconds(np.array([200], np.uint8)).tolist() == [200]


DAY_OFF = Holidays(region="XX", zone="UTC", known=(0, 10 * DAY_S), spans=((DAY_S, 2 * DAY_S), (5 * DAY_S, 7 * DAY_S)))


def holiday(ahead_steps: int = 0) -> Calendar:
    return Calendar(function="holiday", period_s=DAY_S, ahead_steps=ahead_steps, holidays=DAY_OFF)


@pytest.mark.parametrize("ahead_steps", [0, 1, 24])
def test_an_hour_of_a_holiday_is_one_and_any_other_is_zero(ahead_steps: int) -> None:
    hours = np.arange(10 * 24 - ahead_steps)
    later = (hours + ahead_steps) // 24
    expected = [float(day in (1, 5, 6)) for day in later.tolist()]
    assert calendar_values(holiday(ahead_steps), hours * 3600, 3600).tolist() == expected


def test_a_step_that_a_holiday_covers_in_part_is_that_part() -> None:
    # from 18:00 on the day before; a week holds three of its seven days
    assert calendar_values(holiday(), np.array([DAY_S * 3 // 4]), DAY_S).tolist() == [0.75]
    assert calendar_values(holiday(), np.array([0]), WEEK_S).tolist() == [3 / 7]


def test_days_that_touch_are_one_holiday_and_a_year_may_begin_and_end_with_one() -> None:
    spans = ((0, DAY_S), (DAY_S, 2 * DAY_S), (9 * DAY_S, 10 * DAY_S))
    calendar = replace(holiday(), holidays=replace(DAY_OFF, spans=spans))
    found = calendar_values(calendar, np.arange(10) * DAY_S, DAY_S)
    assert found.tolist() == [1, 1, 0, 0, 0, 0, 0, 0, 0, 1]


@pytest.mark.parametrize("second", [-1, 10 * DAY_S - 3599, 2**62])
def test_a_time_outside_the_known_holidays_is_refused(second: int) -> None:
    sentence = (
        "holidays of XX are known from 1970-01-01T00:00:00Z to 1970-01-11T00:00:00Z, and .*Z is needed; "
        "train again on a log that covers it"
    )
    with pytest.raises(InputError, match=sentence):
        calendar_values(holiday(), np.array([DAY_S, second]), 3600)


def test_a_calendar_without_holidays_is_written_as_it_was_before_there_were_any() -> None:
    weekend = Calendar(function="weekend", period_s=WEEK_S)
    assert strict_json.to_json(weekend) == {"function": "weekend", "period_s": WEEK_S, "ahead_steps": 1}
    for calendar in (weekend, holiday()):
        assert strict_json.loads(Calendar, strict_json.dumps(calendar).encode(), where="calendar") == calendar


BAD_HOLIDAYS = {
    "one time": {"known": (0,)},
    "backwards": {"spans": ((DAY_S, 0),)},
    "empty": {"spans": ((DAY_S, DAY_S),)},
    "out of order": {"spans": ((5, 6), (1, 2))},
    "overlapping": {"spans": ((1, 5), (4, 6))},
    "beyond what is known": {"spans": ((0, 11 * DAY_S),)},
    "beyond the calendar": {"known": (0, 2**70)},
}


@pytest.mark.parametrize("change", BAD_HOLIDAYS.values(), ids=BAD_HOLIDAYS.keys())
def test_holidays_that_are_not_spans_of_time_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"must|beyond the years"):
        replace(DAY_OFF, **change)


def test_a_holiday_column_has_its_days_and_no_other_column_has() -> None:
    for change in ({"holidays": None}, {"function": "sin"}):
        with pytest.raises(ValueError, match="holidays are given if and only if the function is holiday"):
            replace(holiday(), **change)  # type: ignore[arg-type]


def test_where_holidays_are_known_for_less_than_a_window_no_time_has_columns() -> None:
    spec = ModelSpec(
        window=11,
        features=(Feature(name="value"), Feature(name="holiday", calendar=holiday())),
        channels=(Channel(feature=0), Channel(feature=1)),
        units=(1,),
        horizon=1,
        step_s=DAY_S,
        target="level",
    )
    windows = Windows(values=np.ones((2, 11, 1), np.float32), time=np.array([9 * DAY_S, 2**62]))
    columns = complete(spec, windows)
    assert columns.shape == (2, 11, 2)
    assert columns.dtype == np.float32
    assert np.isnan(columns).all()

"""Times as people write them: right, or refused with the way out; never another time in silence."""

import datetime
import random
from pathlib import Path

import numpy as np
import pytest

from helpers.logs.log_files import DAY_S, found, log, read, refusal, values
from helpers.logs.small_tables import DAYS, table

HOUR = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)
FORMS = {
    "hours without marks": "%Y%m%d%H",
    "minutes without marks": "%Y%m%d%H%M",
    "seconds without marks": "%Y%m%d%H%M%S",
    "names of months": "%d %b %Y %H:%M",
    "a log of a server": "%d/%b/%Y:%H:%M:%S",
    "American words": "%B %d, %Y %I:%M %p",
    "mail": "%a, %d %b %Y %H:%M:%S +0000",
    "dots": "%d.%m.%Y %H:%M",
    "dashes": "%d-%m-%Y %H:%M",
    "dots in ISO order": "%Y.%m.%d %H:%M",
    "an hour and AM": "%m/%d/%Y %I %p",
}


@pytest.mark.parametrize("name", FORMS)
def test_times_are_read_in_every_unambiguous_form(name: str, tmp_path: Path) -> None:
    stamps = [HOUR + datetime.timedelta(hours=i) for i in range(15 * 24)]
    rows = [(f'"{stamp.strftime(FORMS[name])}"', i) for i, stamp in enumerate(stamps)]
    series, _ = read(log(tmp_path, table(rows)), timezone="UTC")
    assert (series.start_s, series.step_s) == (HOUR.timestamp(), 3600)
    assert values(series) == list(range(15 * 24))


@pytest.mark.parametrize("unit", [1, 10**3, 10**6, 10**9])
@pytest.mark.parametrize("form", ["{}", "{}.0", "{:.15E}"])
def test_epochs_are_read_in_any_unit(unit: int, form: str, tmp_path: Path) -> None:
    rows = [(form.format((DAY_S + 3600 * i) * unit), i) for i in range(5)]
    series, _ = read(log(tmp_path, table(rows, header="timestamp,value")))
    assert (series.start_s, series.step_s, values(series)) == (DAY_S, 3600, [0, 1, 2, 3, 4])


def test_weeks_of_the_iso_calendar_begin_on_monday(tmp_path: Path) -> None:
    rows = [(f"2024-W{week:02}", week) for week in range(1, 6)]
    series, _ = read(log(tmp_path, table(rows)), timezone="UTC")
    assert (series.start_s, series.step_s) == (HOUR.timestamp(), 604_800)


def month_starts(count: int, day: int = 1) -> list[str]:
    return [f"{2000 + i // 12}-{1 + i % 12:02}-{day:02}" for i in range(count)]


MONTHS = {
    "first days": (month_starts(60), {}),
    "in Berlin": (month_starts(60), {"timezone": "Europe/Berlin"}),
    "in London": (month_starts(60), {"timezone": "Europe/London"}),
    "in New York": (month_starts(60), {"timezone": "America/New_York"}),
    "15th days": (month_starts(60, 15), {}),
    "with a gap": ([*month_starts(30), *month_starts(60)[32:]], {}),
    "as a gauge in steps of 31 days": (month_starts(60), {"kind": "gauge", "step": "31d"}),
    "quarters": (month_starts(60)[::3], {}),
    "years": (month_starts(60)[::12], {}),
    "without days": ([stamp[:7] for stamp in month_starts(20)], {}),
    "names": (["Jan 2024", "Feb 2024", "Mar 2024"], {}),
    "quarters with a Q": (["2024-Q1", "2024-Q2", "2024-Q3"], {}),
}


@pytest.mark.parametrize("name", MONTHS)
def test_calendar_months_are_no_steps(name: str, tmp_path: Path) -> None:
    stamps, options = MONTHS[name]
    said = refusal(log(tmp_path, table([(stamp, 1) for stamp in stamps])), **{"timezone": "UTC", **options})
    assert "calendar" in said
    assert said.endswith("by days or weeks")


def test_28_and_30_days_are_steps(tmp_path: Path) -> None:
    for days in (28, 30):
        stamps = [(HOUR + datetime.timedelta(days=days * i)).strftime("%Y-%m-%d") for i in range(24)]
        series, _ = read(log(tmp_path, table([(stamp, 1) for stamp in stamps])), timezone="UTC")
        assert (series.step_s, len(series.values)) == (days * 86_400, 24)


@pytest.mark.parametrize("clock", ["", " 00:00", " 00:00:00", "T00:00:00"])
@pytest.mark.parametrize("zone", ["America/Sao_Paulo", "Asia/Beirut", "America/Havana", "Europe/London"])
def test_a_date_is_a_day_in_every_zone(zone: str, clock: str, tmp_path: Path) -> None:
    start = datetime.date(2018, 1, 1)
    days = [start + datetime.timedelta(days=i) for i in range(365)]
    series, report = read(log(tmp_path, table([(f"{day}{clock}", i) for i, day in enumerate(days)])), timezone=zone)
    assert (series.step_s, values(series), found(report)) == (86_400, list(range(365)), {})


def test_events_of_a_day_are_counted_on_that_day_under_a_clock_change(tmp_path: Path) -> None:
    days = [datetime.date(2024, 3, 1) + datetime.timedelta(days=i) for i in range(61)]
    rows = [(day, i) for day in days for i in range(day.day)]
    series, _ = read(log(tmp_path, table(rows)), timezone="Europe/London", events=True, step="1d")
    counts = [day.day for day in days]
    assert values(series) in (counts, counts[:-1])
    assert "choose --step 1d" in refusal(log(tmp_path, table(rows)), timezone="Europe/London", events=True, step="1h")


def test_a_week_of_local_days_is_that_week(tmp_path: Path) -> None:
    days = [datetime.date(2024, 1, 1) + datetime.timedelta(days=i) for i in range(28)]
    rows = [(day, i // 7) for i, day in enumerate(days)]
    series, _ = read(log(tmp_path, table(rows)), timezone="Europe/Berlin", step="1w", kind="count")
    assert values(series) == [0, 7, 14, 21]


def local_hours(order: int = 1) -> list[tuple[str, int]]:
    clocks = ["2025-10-26 00:00", "2025-10-26 01:00", "2025-10-26 02:00", "2025-10-26 02:00", "2025-10-26 03:00"]
    return [(stamp, i) for i, stamp in enumerate(clocks)][::order]


@pytest.mark.parametrize("order", [1, -1])
def test_both_rows_of_a_repeated_hour_are_kept_in_file_order(order: int, tmp_path: Path) -> None:
    path = log(tmp_path, table(local_hours(order)))
    assert "--repeated-hour first or second, both where" in refusal(path, timezone="Europe/Berlin")
    series, report = read(path, timezone="Europe/Berlin", repeated_hour="both")
    assert (values(series), series.step_s) == ([0, 1, 2, 3, 4], 3600)
    assert found(report)["repeated-hour"][0] == 2


def test_quarter_hours_of_both_hours_are_kept(tmp_path: Path) -> None:
    first = datetime.datetime(2025, 10, 26, 0, 0, tzinfo=datetime.UTC)
    rows = [
        ((first + datetime.timedelta(minutes=15 * i + (120 if i < 4 else 60))).strftime("%Y-%m-%d %H:%M"), i)
        for i in range(12)
    ]
    series, _ = read(log(tmp_path, table(rows)), timezone="Europe/Berlin", repeated_hour="both")
    assert (values(series), series.start_s) == (list(range(12)), first.timestamp())


def test_a_repeated_hour_without_order_or_with_one_row_is_refused(tmp_path: Path) -> None:
    rows = local_hours()
    random.Random(3).shuffle(rows)
    assert "the file is not in order of time" in refusal(
        log(tmp_path, table(rows)), timezone="Europe/Berlin", repeated_hour="both"
    )
    single = log(tmp_path, table([row for row in local_hours() if row[1] != 3]))
    assert "stands only once" in refusal(single, timezone="Europe/Berlin", repeated_hour="both")


def test_a_date_and_its_hour_are_joined(tmp_path: Path) -> None:
    rows = [(day, hour, i) for i, (day, hour) in enumerate((day, hour) for day in DAYS for hour in range(24))]
    for form in ("{}", "{:02}:00", "{:02}:00:00"):
        text = table([(day, form.format(hour), i) for day, hour, i in rows], header="date,hour,value")
        series, _ = read(log(tmp_path, text), timezone="UTC", time_of_day="hour")
        assert (series.start_s, series.step_s, values(series)) == (HOUR.timestamp(), 3600, list(range(240)))
    late = table([(day, hour + 1, i) for day, hour, i in rows], header="date,hour,value")
    assert "hour beyond 23" in refusal(log(tmp_path, late), timezone="UTC", time_of_day="hour")


TIMES_REFUSED = {
    "rounded epochs": (["1.70E+09", "1.71E+09"], "is a time that a spreadsheet has rounded to 3 digits"),
    "days of a spreadsheet": (["45292", "45293"], "if it is a spreadsheet's number of 2024-01-01, write it as a date"),
    "abbreviated zones": (["2024-01-01 00:00 PST", "2024-01-01 01:00 PST"], "the zone PST of"),
    "a short year first": ([f"24/01/{day:02}" for day in range(1, 20)], "may begin with the year"),
    "neither day nor month": (["01.02.2024", "01.03.2024"], "can be month/day or day/month"),
}


@pytest.mark.parametrize("name", TIMES_REFUSED)
def test_a_time_with_two_meanings_is_refused(name: str, tmp_path: Path) -> None:
    cells, sentence = TIMES_REFUSED[name]
    assert sentence in refusal(log(tmp_path, table([(cell, 1) for cell in cells])), timezone="UTC")


ROUNDED = {
    "powers": [f"1.7{i}E+18" for i in range(8)],
    "zeros at the ends": [f"17000000000{i:04}0000" for i in range(8)],
}


@pytest.mark.parametrize("name", ROUNDED)
@pytest.mark.parametrize("role", ["id", "series", "user"])
def test_ids_that_a_spreadsheet_rounded_are_refused(name: str, role: str, tmp_path: Path) -> None:
    rows = [(f"{DAYS[0]} 00:{i:02}", cell) for i, cell in enumerate(ROUNDED[name])]
    path = log(tmp_path, table(rows, header="date,key"))
    said = refusal(path, timezone="UTC", events=True, step="1m", **{role: "key"})
    assert "lost its last digits, as a spreadsheet rounds ids" in said
    assert np.isfinite(read(path, timezone="UTC", events=True, step="1m")[0].values).all()

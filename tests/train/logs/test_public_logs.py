"""Public logs become the series that their makers describe; skipped if they are not beside this repository."""

import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pulsecast.errors import DataError
from pulsecast_train.logs.config import LogConfig
from pulsecast_train.logs.data_report import DataReport
from pulsecast_train.logs.reader import ReadLog, read_log
from pulsecast_train.series import Series

DATA = Path(__file__).resolve().parents[3].parent / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the public sample logs are not beside this repository")
NOW_S = 1_770_000_000  # 2026-02-02


def read(*paths: Path, **options: Any) -> ReadLog:
    return read_log(paths, LogConfig(**options), now_s=NOW_S)


def first_metric(series: Series) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in series.values[:, 0]]


def found(report: DataReport) -> dict[str, tuple[int, tuple[int, ...]]]:
    return {finding.policy: (finding.rows, finding.lines) for finding in report.findings}


AAPL = DATA / "nab_tweets" / "Twitter_volume_AAPL.csv"


@needs_data
def test_nab_five_minute_counts_keep_their_stamps_and_values() -> None:
    (series,), report = read(AAPL, timezone="UTC")
    assert (series.start_s, series.step_s, series.values.shape) == (1_424_986_973, 300, (15_902, 1))
    assert series.segments == ((0, 15_902),)
    raw = [float(line.split(",")[1]) for line in AAPL.read_text().splitlines()[1:]]
    assert first_metric(series) == raw
    assert report.findings == ()


@needs_data
def test_nab_counts_become_hours_without_their_partial_edges() -> None:
    (series,), report = read(AAPL, timezone="UTC", step="1h")
    # 21:42:53 to 02:47:53 fifty-five days later: whole hours from 22:00 to 01:00, both included
    assert (report.series[0].first, report.series[0].last) == ("2015-02-26T22:00:00Z", "2015-04-23T01:00:00Z")
    assert len(series.values) == 55 * 24 + 4
    rows = [line.split(",") for line in AAPL.read_text().splitlines()[1:]]
    noon = [float(value) for stamp, value in rows if stamp.startswith("2015-03-09 17:")]
    assert len(noon) == 12
    index = (1_425_920_400 - series.start_s) // 3600
    assert series.values[index, 0] == sum(noon)
    inside = sum(float(value) for stamp, value in rows if "2015-02-26 22" <= stamp < "2015-04-23 02")
    assert series.values.sum() == inside
    assert report.series[0].edges_dropped == 2


@needs_data
def test_reddit_gauge_becomes_hourly_means() -> None:
    path = DATA / "reddit_traffic" / "askreddit_traffic.csv"
    (series,), report = read(path, timezone="UTC", kind="gauge", step="1h")
    assert series.metrics == ("users_here",)
    assert (report.series[0].first, report.series[0].last) == ("2018-04-10T01:00:00Z", "2018-05-08T13:00:00Z")
    assert len(series.values) == 28 * 24 + 13
    rows = [line.split(",") for line in path.read_text().splitlines()[1:]]
    second = [float(row[3]) for row in rows if row[0].startswith("2018-04-10 02:")]
    assert series.values[1, 0] == sum(second) / len(second)
    assert found(report)["filled-gap"] == (1, ())  # the two-hour gap covers one whole hour


@needs_data
def test_mayweather_tweets_are_counted_per_minute() -> None:
    path = DATA / "event_tweets_mayweather" / "tweets_pseudonymous.csv"
    (series,), report = read(path, timezone="UTC", id="event_id", events=True, step="1m")
    assert (report.series[0].first, report.series[0].last) == ("2017-08-27T00:06:00Z", "2017-08-27T01:13:00Z")
    minutes = [line[:16] for line in path.read_text().splitlines()[1:]]
    assert series.values[0, 0] == minutes.count("2017-08-27 00:06") == 235
    assert series.values.sum() == sum("2017-08-27 00:06" <= minute <= "2017-08-27 01:13" for minute in minutes)


@needs_data
def test_posts_that_stand_newest_first_are_sorted() -> None:
    path = DATA / "twitter_ratio" / "realDonaldTrump.csv"
    options = {"timezone": "UTC", "time_format": "%m/%d/%y %H:%M", "events": True, "step": "1d", "id": "post_id"}
    (series,), report = read(path, **options)
    assert (report.series[0].first, report.series[0].last) == ("2016-08-25T00:00:00Z", "2017-10-22T00:00:00Z")
    assert found(report)["out-of-order"] == (3157, (3, 4, 5))
    days = [line.split(" ")[0] for line in path.read_text().splitlines()[1:]]
    assert series.values[-1, 0] == days.count("10/22/17")
    assert series.values.sum() == len(days) - days.count("8/24/16") - days.count("10/23/17")


@needs_data
def test_daily_page_views_have_their_59_missing_days_filled_or_left() -> None:
    path = DATA / "wiki_daily" / "example_wp_log_peyton_manning.csv"
    (series,), report = read(path, timezone="UTC", kind="gauge")
    assert (series.step_s, len(series.values), report.rows_read) == (86_400, 2964, 2905)
    assert found(report) == {"filled-gap": (36, ()), "gap": (23, ())}
    (bare,), _ = read(path, timezone="UTC", kind="gauge", max_gap=0)
    assert int(np.isnan(bare.values).sum()) == 59
    assert series.values[0, 0] == 9.59076113897809


@needs_data
def test_klout_events_have_hashes_in_their_header_and_two_times_to_choose_from() -> None:
    path = DATA / "klout_when_to_post" / "user_timestamp_open_set_tw.sample.tsv"
    with pytest.raises(DataError, match=r"several time columns \(post_timestamp, action_timestamp\); choose --time"):
        read(path, events=True, step="1h")
    (series,), report = read(path, time="action_timestamp", events=True, step="1h", user="user_id_fingerprint")
    assert report.files[0].time_format == "epoch-ms"
    stamps = sorted(int(line.split("\t")[4]) for line in path.read_text().splitlines()[1:])
    hour = 3_600_000
    inside = [t for t in stamps if series.start_s * 1000 <= t < series.start_s * 1000 + len(series.values) * hour]
    assert series.values.sum() == len(inside)
    # the first event is 26 s after a full hour, so that hour counts as whole; the last one is cut
    assert {t // hour for t in stamps} - {t // hour for t in inside} == {stamps[-1] // hour}


@needs_data
def test_final_likes_by_the_hour_of_their_post_are_refused_in_a_real_log_too() -> None:
    path = DATA / "twitter_ratio" / "realDonaldTrump.csv"
    options = {"timezone": "UTC", "events": True, "step": "1d", "id": "post_id", "metrics": ("favorites",)}
    with pytest.raises(DataError, match="favorites are totals that a post collects after the time in its row"):
        read(path, **options)
    (series,), report = read(path, **options, maturity="2d")
    stamps = [line.split(",")[0] for line in path.read_text().splitlines()[1:]]
    times = sorted(datetime.datetime.strptime(stamp, "%m/%d/%y %H:%M").replace(tzinfo=datetime.UTC) for stamp in stamps)
    young = sum(time > times[-1] - datetime.timedelta(days=2) for time in times)
    assert found(report)["immature"][0] == young > 0
    assert series.values.min() >= 0


@needs_data
def test_subscribers_that_fall_are_not_a_counter_in_a_real_log_either() -> None:
    falling = 0
    for path in sorted((DATA / "reddit_traffic").glob("*.csv")):
        rows = [line.split(",") for line in path.read_text().splitlines()[1:]]
        counts = [float(row[2]) for row in rows]
        fall = next((i for i in range(1, len(counts)) if counts[i] < counts[i - 1]), None)
        options = {"timezone": "UTC", "kind": "counter", "metrics": ("subscribers",), "step": "1h"}
        if fall is None:
            (series,), _ = read(path, **options)
            assert 0 <= np.nansum(series.values) <= counts[-1] - counts[0] + 1e-6
        else:
            falling += 1
            with pytest.raises(DataError, match=rf" line {fall + 2}: subscribers falls from "):
                read(path, **options)
    assert falling > 0

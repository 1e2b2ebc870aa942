"""Counters, totals of posts and shares of users: values that add up, and values that must not be added up."""

from pathlib import Path

import numpy as np

from helpers.logs.log_files import DAY_S, NOW_S, found, hours, log, read, refusal, values
from pulsecast.foundation.strict_json import dumps
from pulsecast_train.logs.config import LogConfig
from pulsecast_train.logs.reader import read_log

# --- counters -------------------------------------------------------------------------------------------------------


def test_a_counter_is_differenced_and_a_rise_belongs_to_the_step_it_happened_in(tmp_path: Path) -> None:
    series, report = read(log(tmp_path, hours([100, 103, 103, 110, 150])), kind="counter")
    assert (values(series), series.start_s) == ([3, 0, 7, 40], DAY_S)
    assert found(report) == {}


def test_a_counter_that_falls_is_refused_with_its_line(tmp_path: Path) -> None:
    assert refusal(log(tmp_path, hours([100, 103, 5, 9])), kind="counter") == (
        "log.csv line 4: value falls from 103 to 5, and a counter never falls; use --kind gauge for a number that "
        "may fall, or --allow-reset if it restarted from 0"
    )


def test_a_counter_that_may_begin_again_counts_from_zero(tmp_path: Path) -> None:
    series, report = read(log(tmp_path, hours([100, 103, 5, 9, 2, 2])), kind="counter", allow_reset=True)
    assert values(series) == [3, 5, 4, 2, 0]
    assert found(report) == {"counter-reset": (2, (4, 6))}


def test_the_rise_over_a_short_gap_is_spread_and_over_a_long_one_missing(tmp_path: Path) -> None:
    readings = [0, 10, "", "", 40, 50, "", "", "", 90, 91]
    series, report = read(log(tmp_path, hours(readings)), kind="counter", max_gap=2)
    assert values(series) == [10, 10, 10, 10, 10, None, None, None, None, 1]
    assert found(report) == {"missing-cell": (5, (4, 5, 8)), "spread-increment": (2, ()), "gap": (4, ())}


def test_a_counter_read_often_adds_up_to_its_whole_rise(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    totals = np.cumsum(rng.poisson(5, 100))
    text = "ds,y\n" + "".join(f"{DAY_S + 600 * i},{total}\n" for i, total in enumerate(totals))
    series, _ = read(log(tmp_path, text), kind="counter", step="1h")
    assert values(series) == [float(totals[6 * (h + 1)] - totals[6 * h]) for h in range(16)]


def test_a_counter_read_now_and_then_is_read_off_at_the_full_hours(tmp_path: Path) -> None:
    text = "ds,y\n" + "".join(f"{DAY_S + s},{s // 60}\n" for s in (0, 100, 5000, 5060, 9000, 14_400))
    series, _ = read(log(tmp_path, text), kind="counter", step="1h")
    np.testing.assert_allclose(series.values[:, 0], 60, atol=0.5)  # readings were rounded down to whole minutes
    assert len(series.values) == 4


def test_counters_of_several_series_do_not_mix(tmp_path: Path) -> None:
    rows = [f"{DAY_S + 3600 * i},{base + i},{name}" for i in range(4) for name, base in (("a", 100), ("b", 0))]
    path = log(tmp_path, "ds,y,s\n" + "\n".join(rows) + "\n")
    made, _ = read_log([path], LogConfig(kind="counter", series="s"), now_s=NOW_S)
    assert [values(one) for one in made] == [[1, 1, 1], [1, 1, 1]]


# --- totals of posts ------------------------------------------------------------------------------------------------

POSTS = "created_at,id,likes\n" + "".join(f"2025-01-06T{hour:02}:00:00Z,p{hour},{hour}\n" for hour in range(10))


def test_totals_summed_by_the_time_of_their_post_are_refused(tmp_path: Path) -> None:
    sentence = (
        "log.csv: likes are totals that a post collects after the time in its row (of shares of news 8 % "
        "came within 6 hours, 76 % within a day), so a sum by that time reveals the future; choose --maturity, such as "
        "2d, or --maturity 0 if each value is final when its row is written"
    )
    assert refusal(log(tmp_path, POSTS), metrics=("likes",), events=True, step="1h") == sentence
    renamed = refusal(log(tmp_path, POSTS), columns={"y": "likes"}, metrics=("y",), events=True, step="1h")
    assert renamed == sentence.replace("likes are", "y are")


def test_values_that_do_not_grow_are_summed_where_they_stand(tmp_path: Path) -> None:
    series, report = read(log(tmp_path, POSTS), metrics=("likes",), events=True, step="1h", maturity="0")
    assert (series.start_s, values(series)) == (DAY_S, list(range(9)))
    assert report.warnings == ()


def test_a_total_counts_when_it_is_complete_and_the_young_ones_are_dropped(tmp_path: Path) -> None:
    series, report = read(log(tmp_path, POSTS), metrics=("likes",), events=True, step="1h", maturity="4h")
    assert (series.start_s, values(series)) == (DAY_S + 4 * 3600, [0, 1, 2, 3, 4])
    assert found(report)["immature"] == (4, (8, 9, 10))
    assert refusal(log(tmp_path, POSTS), metrics=("likes",), events=True, step="1h", maturity="2d") == (
        "log.csv line 2 and all other rows are younger than the maturity; shorten --maturity"
    )


def test_parts_that_do_not_add_up_are_counted_and_the_total_kept(tmp_path: Path) -> None:
    text = hours(["10,4,6", "11,4,6", "3,1,2", "5,,5", "7,7,1"], header="timestamp,reactions,loves,hahas")
    series, report = read(log(tmp_path, text), metrics=("reactions",), parts=("loves", "hahas"))
    assert values(series) == [10, 11, 3, 5, 7]
    assert found(report) == {"inconsistent-total": (2, (3, 6))}


# --- users ----------------------------------------------------------------------------------------------------------

USERS = "ts,who\n" + "".join(
    f"2025-01-06T{minute // 60:02}:{minute % 60:02}:{second:02}Z,{who}\n"
    for minute in range(121)
    for second, who in ((0, f"person-{minute}"), (30, "person-bot"))
)


def test_the_share_of_the_busiest_user_is_reported_and_no_user_is_dropped(tmp_path: Path) -> None:
    series, report = read(log(tmp_path, USERS), time="ts", events=True, step="1h", user="who")
    assert values(series) == [120, 120]
    assert [finding.sentence for finding in report.findings if finding.policy == "top-user"] == [
        "rows are of the busiest of 122 users, 50.0% of all"
    ]
    assert "person" not in dumps(report) + report.text()


def test_a_cap_counts_the_first_events_of_a_user_in_each_step(tmp_path: Path) -> None:
    series, report = read(log(tmp_path, USERS), time="ts", events=True, step="1h", user="who", user_cap=5)
    assert values(series) == [65, 65]
    assert found(report)["user-cap"] == (110, (13, 15, 17))
    assert "person" not in dumps(report) + report.text()


def test_with_a_key_the_busiest_user_is_named_by_a_keyed_hash(tmp_path: Path) -> None:
    path = log(tmp_path, USERS)
    config = LogConfig(time="ts", events=True, step="1h", user="who")
    sentences = [
        read_log([path], config, now_s=NOW_S, user_key=key)[1].findings[0].sentence for key in (b"k" * 16, b"q" * 16)
    ]
    assert sentences[0].endswith("50.0% of all, hmac-sha256 " + sentences[0][-16:])
    assert sentences[0][-16:] == "d81b24c7e8ff1184"
    assert sentences[0][-16:] != sentences[1][-16:]
    assert "person" not in "".join(sentences)

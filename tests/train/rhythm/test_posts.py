"""What one post collects by hour and weekday: true hours are found, who posts when is not taken for one."""

import json
from pathlib import Path

import numpy as np
import pytest

from helpers.engines import require

require("typer", "polars", "scipy", "matplotlib")

from pulsecast.errors import DataError  # noqa: E402
from pulsecast_cli.app import run as run_arguments  # noqa: E402
from pulsecast_train.rhythm.posts import SMALL, median_interval, post_times  # noqa: E402

MONDAY = 1_736_121_600
SHARED = Path(__file__).parents[4] / "shared" / "data"


def run(*arguments: object) -> int:
    return run_arguments([str(argument) for argument in arguments])


def posts(count: int, *, hours: np.ndarray, sizes: np.ndarray, users: np.ndarray, seed: int = 5) -> tuple:
    """Return posts at `hours` of days of ten weeks, that collect about `sizes`."""
    rng = np.random.default_rng(seed)
    seconds = MONDAY + 86400 * rng.integers(0, 70, count) + 3600 * hours + 60
    return seconds, np.round(sizes * np.exp(rng.normal(0, 0.5, count))), users.astype(np.uint64)


def confounded(count: int = 3000) -> tuple:
    """Return posts of a large account at night and of small ones at noon: no hour is better for any of them."""
    rng = np.random.default_rng(1)
    large = rng.random(count) < 0.3
    users = np.where(large, 1, 2 + rng.integers(0, 20, count))
    hours = np.where(large, rng.integers(0, 6, count), rng.integers(6, 24, count))
    return posts(count, hours=hours, sizes=np.where(large, 5000.0, 50.0), users=users)


def test_who_posts_when_is_not_taken_for_a_good_hour() -> None:
    seconds, values, users = confounded()
    raw = post_times((seconds, values, None), "likes", "UTC")
    assert set(raw.best_hours) == {f"{h:02d}:00-{h + 1:02d}:00" for h in range(6)}  # wrong, as it is not corrected
    found = post_times((seconds, values, users), "likes", "UTC")
    assert (found.best_hours, found.worst_hours, found.best_days, found.worst_days) == ((), (), (), ())
    assert (found.users, found.posts, found.left_out) == (21, 3000, 0)


def test_a_true_hour_and_a_true_weekday_are_found_on_the_clock_that_was_asked_for() -> None:
    seconds, values, users = confounded()
    hour, day = seconds % 86400 // 3600, (seconds // 86400 + 3) % 7
    values = values * np.where(hour == 17, 3, 1) * np.where(day == 2, 2, 1)
    found = post_times((seconds, values, users), "likes", "UTC")
    assert (found.best_hours[0], found.best_days) == ("17:00-18:00", ("Wednesday",))
    assert post_times((seconds, values, users), "likes", "Europe/Berlin").best_hours[0] == "18:00-19:00"
    best = found.hours[17]
    assert best.low is not None
    assert best.low > found.typical


def test_users_of_too_few_posts_are_left_out_and_said() -> None:
    seconds, values, users = confounded()
    users[:10] = np.arange(100, 110)
    found = post_times((seconds, values, users), "likes", "UTC")
    assert (found.left_out, found.posts) == (10, 2990)
    with pytest.raises(DataError, match="no user has 3 posts, so none can be compared with itself: leave --user out"):
        post_times((seconds, values, np.arange(3000).astype(np.uint64)), "likes", "UTC")


def test_a_slot_of_few_posts_has_no_verdict_and_is_grey() -> None:
    seconds, values, _ = confounded()
    kept = (seconds % 86400 // 3600 != 3) | (np.cumsum(seconds % 86400 // 3600 == 3) <= SMALL - 1)
    values = np.where(seconds % 86400 // 3600 == 3, 10**6, values)
    found = post_times((seconds[kept], values[kept], None), "likes", "UTC")
    assert found.hours[3].small
    assert found.hours[3].posts == SMALL - 1
    assert "03:00-04:00" not in found.best_hours


@pytest.mark.parametrize("count", [5, 6, 25, 400])
def test_the_interval_of_a_median_covers_as_often_as_it_says(count: int) -> None:
    rng = np.random.default_rng(count)
    drawn = np.sort(rng.exponential(1, (3000, count)), axis=1)
    if count == 5:  # 2 / 2^5 is more than 5 %
        assert median_interval(drawn[0], 0.95) is None
        return
    bounds = np.array([median_interval(row, 0.95) for row in drawn])
    covered = float(((bounds[:, 0] <= np.log(2)) & (np.log(2) <= bounds[:, 1])).mean())
    assert 0.94 < covered < 0.985  # at least 95 %, within the error of 3,000 draws


def write(path: Path, *, header: str, rows: list[str]) -> Path:
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def test_the_command_says_when_and_draws_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seconds, values, users = confounded(1500)
    values = values * np.where(seconds % 86400 // 3600 == 17, 4, 1)
    rows = [f"{s},{i},u{u},{v:.0f}" for i, (s, v, u) in enumerate(zip(seconds, values, users, strict=True))]
    log = write(tmp_path / "posts.csv", header="time,post,author,score", rows=rows)
    usual = ("rhythm", log, "--per-event", "--metric", "score", "--id", "post", "--user", "author", "--maturity", "0")
    assert run(*usual, "--format", "json", "--out", tmp_path / "posts.html") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["posts"]["best_hours"] == ["17:00-18:00"]
    assert "corrected for who posts when: each of 21 users is compared with its own median" in document["words"][3]
    page = (tmp_path / "posts.html").read_text()
    assert all(word in page for word in ("When to post", "best at 17:00-18:00", "grey: fewer than 10 posts"))
    assert run(*usual, "--out", tmp_path / "posts.png") == 0
    assert (tmp_path / "posts.png").read_bytes().startswith(b"\x89PNG")
    assert "hour         score per post" in capsys.readouterr().out


def test_reactions_to_a_post_are_counted_where_there_is_no_metric(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        f"{MONDAY + 3600 * (post % 24) + 86400 * (post // 24)},p{post}"
        for post in range(480)
        for _ in range(1 + post % 24)
    ]
    log = write(tmp_path / "reactions.csv", header="time,post", rows=rows)
    assert run("rhythm", log, "--per-event", "--id", "post", "--format", "json") == 0
    hours = json.loads(capsys.readouterr().out)["posts"]["hours"]
    assert [slot["posts"] for slot in hours] == [20] * 24
    assert [slot["median"] for slot in hours] == pytest.approx([float(1 + hour) for hour in range(24)])
    assert run("rhythm", log, "--per-event") != 0
    assert "has no column that says what a post collected: name it with --metric" in capsys.readouterr().err


def test_totals_say_what_they_do_not_show(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [f"{MONDAY + 3600 * hour},{100 + hour % 24}" for hour in range(24 * 14)]
    log = write(tmp_path / "log.csv", header="time,likes", rows=rows)
    assert run("rhythm", log) == 0
    assert capsys.readouterr().out.splitlines()[-1] == (
        "These are totals: they do not show when one post does best, as most may be posted then; --per-event does."
    )


@pytest.mark.skipif(not (SHARED / "twitter_ratio").is_dir(), reason="public data that is not beside the clone")
def test_an_account_of_thousands_of_posts_has_a_best_hour(capsys: pytest.CaptureFixture[str]) -> None:
    log = SHARED / "twitter_ratio" / "realDonaldTrump.csv"
    options = ("--metric", "favorites", "--id", "post_id", "--maturity", "0", "--timezone", "UTC", "--format", "json")
    assert run("rhythm", log, "--per-event", *options) == 0
    found = json.loads(capsys.readouterr().out)["posts"]
    assert (found["posts"], found["best_hours"][0], found["best_days"][0]) == (3232, "12:00-13:00", "Saturday")

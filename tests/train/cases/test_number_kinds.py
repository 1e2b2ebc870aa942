"""A count is added up, a level averaged, a running total differenced; where nothing shows which, the user is asked."""

from pathlib import Path

import numpy as np
import pytest

from helpers.logs.log_files import DAY_S, log, read, refusal
from pulsecast_train.logs.looking.number_kinds import is_total, named_kind


def every_ten_minutes(values: np.ndarray, name: str) -> str:
    return f"ds,{name}\n" + "".join(f"{DAY_S + 600 * i},{value:g}\n" for i, value in enumerate(values))


WAVE = np.round(15_000 + 6_000 * np.sin(np.arange(6 * 48) / 23))
BURSTS = np.random.default_rng(5).negative_binomial(1, 0.05, 6 * 48)
FOUND = {
    "people online": (WAVE, "users_here", "mean", 6),
    "viewers": (WAVE, "concurrentViewers", "mean", 6),
    "views": (WAVE, "page_views", "sum", 1),
    "a rate of clicks": (WAVE, "click_rate", "mean", 6),
    "new followers": (BURSTS, "new_followers", "sum", 1),
    "bursts without a name": (BURSTS, "value", "sum", 1),
}


@pytest.mark.parametrize("name", FOUND)
def test_a_name_or_bursts_show_the_kind(name: str, tmp_path: Path) -> None:
    cells, column, joined, divisor = FOUND[name]
    series, report = read(log(tmp_path, every_ten_minutes(cells, column)), metrics=(column,), step="1h")
    hourly = cells.reshape(-1, 6).sum(axis=1) / divisor
    np.testing.assert_allclose(series.values[:, 0], hourly)
    assert report.series[0].joined == joined
    assert f"{joined} per step" in report.text()


ASKED = {
    "a smooth series": (WAVE, "choose --kind count or gauge"),
    "fractions": (WAVE + 0.5, "choose --kind count or gauge"),
    "a running total": (np.cumsum(BURSTS), "never falls over 288 readings, as a running total does; choose --kind"),
}


@pytest.mark.parametrize("name", ASKED)
def test_a_kind_that_nothing_shows_is_asked_about_where_samples_share_a_step(name: str, tmp_path: Path) -> None:
    cells, sentence = ASKED[name]
    path = log(tmp_path, every_ten_minutes(cells, "value"))
    assert sentence in refusal(path, step="1h")
    assert read(path)[0].values[:, 0].tolist() == cells.tolist()  # at its own spacing a sum is a mean


def test_metrics_of_several_kinds_are_not_read_by_one(tmp_path: Path) -> None:
    text = every_ten_minutes(WAVE, "users_here").replace("\n", ",4\n").replace("users_here,4", "users_here,num_posts")
    assert "are of several kinds" in refusal(log(tmp_path, text), metrics=("users_here", "num_posts"), step="1h")


def test_totals_of_posts_are_known_by_their_stems_and_by_what_they_do(tmp_path: Path) -> None:
    names = ["num_likes", "like_count", "public_metrics.retweetCount", "ups", "total views"]
    assert [is_total(name) for name in names] == [True] * 5
    assert not any(map(is_total, ["new_likes", "amount", "alike", "reviewed"]))
    assert named_kind("value") is None
    rows = [f"{DAY_S + 1800 * i},{100 if i < 360 else 10}" for i in range(384)]
    growing = log(tmp_path, "ds,plus\n" + "\n".join(rows) + "\n")
    assert "as totals have that events collect later" in refusal(growing, events=True, step="1h", metrics=("plus",))
    read(growing, events=True, step="1h", metrics=("plus",), maturity="0")
    stems = log(tmp_path, "ds,num_likes\n" + "\n".join(rows) + "\n", "stems.csv")
    assert "num_likes are totals" in refusal(stems, events=True, step="1h", metrics=("num_likes",))

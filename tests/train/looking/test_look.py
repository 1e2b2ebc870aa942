"""A look says everything at once, and the command that it proposes reads the log; train asks in the same words."""

import shlex
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.logs.log_files import DAY_S, NOW_S, log
from helpers.logs.small_tables import DAYS, daily, table
from pulsecast.errors import DataError
from pulsecast.foundation import strict_json
from pulsecast_train.fitting.preparing import prepare
from pulsecast_train.logs.config import LogConfig
from pulsecast_train.logs.generator import generate_log
from pulsecast_train.logs.looking.look import Look, look
from pulsecast_train.logs.looking.settling import read_settled
from pulsecast_train.logs.reader import ReadLog, read_log
from pulsecast_train.pages.look_page import page_html
from pulsecast_train.recipes.train_config import RunConfig, TrainConfig

SHARED = Path(__file__).resolve().parents[3].parent / "shared"
needs_data = pytest.mark.skipif(not (SHARED / "data").is_dir(), reason="the public logs are not beside this repository")


def looked(path: Path, **stated: Any) -> Look:
    return look(path, LogConfig(**stated), now_s=NOW_S)


def typed(command: str) -> LogConfig:
    """Return the configuration that the command line makes of the options in a command."""
    from pulsecast_cli.logs import options
    from pulsecast_train.logs.looking.command import OPTIONS

    words = shlex.split(command)
    given: dict[str, Any] = {}
    fields = {option: name for name, option in OPTIONS.items()}
    i = words.index("train") + 2
    while words[i] not in ("--out", "--recipe"):
        option, _, value = words[i].partition("=")
        name = fields[option]
        if name in ("events", "allow_reset"):
            given[name] = True
        else:
            if not value:
                i, value = i + 1, words[i + 1]
            given[name] = [*given.get(name, []), value] if name in ("metrics", "missing", "columns", "parts") else value
        i += 1
    from pulsecast.foundation.arguments import with_changes

    numbers = {name: int(given[name]) for name in ("skip_lines", "max_gap", "user_cap") if name in given}
    return with_changes(LogConfig(), options.LogOptions(**given | numbers).changes())


def same(command: str, toml: str, config: LogConfig) -> None:
    assert typed(command) == config
    assert strict_json.parse(RunConfig, tomllib.loads(toml), where="train.toml").log == config


# one of each kind; `test_public_looks` has all
PUBLIC = (
    "nab_tweets/Twitter_volume_AAPL.csv",
    "event_tweets_mayweather/tweets_pseudonymous.csv",
    "klout_when_to_post/user_timestamp_open_set_tw.sample.tsv",
    "reddit_traffic/gadgets_traffic.csv",
    "twitter_ratio/realDonaldTrump.csv",
    "wiki_daily/example_wp_log_peyton_manning.csv",
)


@needs_data
@pytest.mark.parametrize("name", PUBLIC)
def test_the_command_for_a_public_log_prepares_a_training_after_one_question(name: str) -> None:
    found = looked(SHARED / "data" / name)
    assert (len(found.questions), found.problem) == (1, "")
    same(found.command, found.toml, found.config)
    read = read_log(SHARED / "data" / name, found.config, now_s=NOW_S)
    training = TrainConfig(recipe=found.recipe or "recommended")
    assert len(prepare(read, RunConfig(log=found.config, train=training)).split.training) >= 64


def test_steps_in_columns_are_told_from_a_log(tmp_path: Path) -> None:
    header = ",".join(["post", *(f"TS{i}" for i in range(1, 13))])
    found = looked(log(tmp_path, table([["p1", *range(12)], ["p2", *range(12)]], header=header)))
    assert found.problem == (
        "log.csv has no times, and 12 numbered columns, TS1 to TS12: they look like steps of one series in each row. A "
        "log has a row for each step: write the time of the step, post and the value in it, then pass --series-column"
    )
    named = looked(log(tmp_path, table([[f"2024-01-{i:02}", *range(12)] for i in range(1, 20)], header=header)))
    assert "numbered columns" not in named.problem


def test_the_log_of_the_demo_needs_no_option(tmp_path: Path) -> None:
    truth = generate_log(tmp_path / "engagement.csv", days=28)
    found = looked(tmp_path / "engagement.csv")
    assert (found.questions, found.problem) == ((), "")
    same(found.command, found.toml, found.config)
    read, config = read_settled([tmp_path / "engagement.csv"], LogConfig(), now_s=NOW_S, yes=False)
    assert config == found.config
    assert read.series[0].values[:, 0].sum() == truth.counts.sum()
    assert "rows were read so: each row is an event; they are counted in steps of 1h" in read.report.text()


def posts() -> str:
    rows = [(f"2024-01-{1 + i // 6:02} {7 * (i % 3):02}:30", f"p{i}", 10 * i % 7) for i in range(150)]
    return table(rows, header="created_at,post_id,num_likes")


def panel() -> str:
    rows = [
        (f"2024-01-{1 + i // 24:02} {i % 24:02}:00", tag, len(tag) + i % 5)
        for i in range(200)
        for tag in ("cats", "dogs!")
    ]
    return table(rows, header="date,topic,value")


SHOWN: dict[str, tuple[Callable[[], str], dict[str, object]]] = {
    "posts with totals, two at one minute": (posts, {"events": True, "id": "post_id"}),
    "several series": (panel, {"series": "topic"}),
    "a date and its hour": (
        lambda: table([(day, hour, hour) for day in DAYS for hour in range(24)], header="date,hour,value"),
        {"time": "date", "time_of_day": "hour"},
    ),
    "other names": (lambda: table([(day, i) for i, day in enumerate(DAYS)], header="Tag,Anzahl"), {"time": "Tag"}),
    "semicolons and decimal commas": (lambda: daily(["0,5", "1,25", "2,75"], separator=";"), {}),
    "a word for missing": (lambda: daily([1, 2, "N/A", 4]), {"missing": ("N/A",)}),
    "ids that were rounded": (
        lambda: table(
            [(f"2024-01-01 {i % 24:02}:{i % 60:02}:{7 * i % 60:02}", f"1.{i:03}E+18") for i in range(200)],
            header="created_at,tweet_id",
        ),
        {"events": True, "id": None},
    ),
}


@pytest.mark.parametrize("name", SHOWN)
def test_what_the_rows_are_is_proposed_without_a_question(name: str, tmp_path: Path) -> None:
    make, fields = SHOWN[name]
    found = looked(log(tmp_path, make()), timezone="UTC")
    assert (found.questions, found.problem) == ((), "")
    assert {field: getattr(found.config, field) for field in fields} == fields
    same(found.command, found.toml, found.config)


QUESTIONS = {
    "a mark before three digits": (daily(["987", "1.051", "1.202"]), {"timezone": "UTC"}, "no other cell decides it"),
    "no zone": (daily([1, 2, 3]), {}, "carries no time zone"),
    "day or month": (table([("1/2/2024", 1), ("2/2/2024", 2)]), {"timezone": "UTC"}, "can be month/day or day/month"),
    "copies that disagree": (
        daily([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]) + "2024-01-10,11\n",
        {"timezone": "UTC"},
        "--on-con",
    ),
    "two columns of values": (table([(day, 1, 2) for day in DAYS], header="date,a,b"), {"timezone": "UTC"}, "forecast"),
    "a number below 0": (daily([1, 2, -1, 4]), {"timezone": "UTC"}, "a count is 0 or more"),
}


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_question_is_asked_and_the_proposal_reads_the_log(name: str, tmp_path: Path) -> None:
    text, stated, sentence = QUESTIONS[name]
    path = log(tmp_path, text)
    found = looked(path, **stated)
    (question,) = found.questions
    assert sentence in question.what
    assert found.problem == ""
    same(found.command, found.toml, found.config)
    with pytest.raises(DataError, match="Proposed") as caught:
        settled(path, yes=False, **stated)
    assert sentence in str(caught.value)
    assert found.command in str(caught.value)
    read = settled(path, yes=True, **stated)
    assert read.report.findings[0].policy == "assumed"
    np.testing.assert_array_equal(read.series[0].values, found.series[0].values)


def settled(path: Path, *, yes: bool, **stated: Any) -> ReadLog:
    return read_settled([path], LogConfig(**stated), now_s=NOW_S, yes=yes)[0]


def test_everything_that_is_open_is_asked_at_once(tmp_path: Path) -> None:
    path = log(tmp_path, table([("1/2/2024", "987"), ("2/2/2024", "1.051"), ("3/2/2024", "1.202")]))
    with pytest.raises(DataError) as caught:
        settled(path, yes=False)
    for part in ("3 things are open", "month/day", "no time zone", "--decimal", "--timezone UTC", "--time-format"):
        assert part in str(caught.value)
    assert len(looked(path).questions) == 3


def test_what_is_stated_is_not_changed(tmp_path: Path) -> None:
    path = log(tmp_path, daily(["1.051", "1.202", "1.303"]))
    found = looked(path, timezone="Europe/Berlin", decimal=".", kind="gauge")
    assert (found.choices, found.config.timezone, found.config.decimal) == ((), "Europe/Berlin", ".")
    assert found.series[0].values[:, 0].tolist() == [1.051, 1.202, 1.303]


def test_what_stands_in_the_way_is_said_with_the_columns(tmp_path: Path) -> None:
    found = looked(log(tmp_path, table([(1, "x"), (2, "y")], header="a,b")))
    assert "no column with a usual time name" in found.problem
    assert "this stands in the way" in repr(found)
    assert found.series == ()


def test_a_page_holds_what_the_terminal_shows_and_no_user(tmp_path: Path) -> None:
    rows = [(DAY_S + 60 * i, f"secret{i % 9}", f"k{i}") for i in range(900)]
    found = looked(log(tmp_path, table(rows, header="timestamp,user,id")))
    page = page_html(found)
    assert "secret" not in page + repr(found)
    for part in (found.command, "<svg", "train.toml", "timestamp"):
        assert part in page
    assert "▁" in repr(found) or "█" in repr(found)


def test_lists_in_a_configuration_give_the_command_that_tuples_give(tmp_path: Path) -> None:
    """Its words were the list's own text: `--metric "['visits']"`, a column that no log has."""
    path = tmp_path / "log.csv"
    path.write_text("time,visits\n" + "".join(f"2026-01-{1 + i:02d}T00:00:00Z,{i}\n" for i in range(28)))
    given = LogConfig(metrics=["visits"], missing=["-1"], kind="count")  # type: ignore[arg-type]
    assert given == LogConfig(metrics=("visits",), missing=("-1",), kind="count")
    assert "--metric visits" in look(path, given).command
    assert 'metrics = ["visits"]' in look(path, given).toml


@pytest.mark.parametrize(
    ("text", "stated", "heading"),
    [
        (QUESTIONS["a number below 0"][0], {"timezone": "UTC"}, "open: 1 question"),
        (daily([1, 2, 3, 4]).replace("value", "replies"), {}, "open:"),
    ],
)
def test_the_marks_of_what_is_open_are_explained_where_there_are_two(
    text: str, stated: dict[str, Any], heading: str, tmp_path: Path
) -> None:
    found = looked(log(tmp_path, text), **stated)
    line = next(one for one in repr(found).splitlines() if one.startswith("open: "))
    assert line.startswith(heading)
    both = {one.is_question for one in found.choices} != {True}
    assert line.endswith(" (?), and what is taken as proposed (-)") == both


@pytest.mark.parametrize(
    ("name", "values", "kind"),
    [("value", [9.5, 8.25, 9.75], "inferred"), ("likes_new", [9, 8, 9], "count"), ("users", [9, 8, 9], "inferred")],
)
def test_a_kind_that_nothing_shows_stays_open_for_a_finer_log(
    name: str, values: list[float], kind: str, tmp_path: Path
) -> None:
    daily = tmp_path / "daily.csv"
    daily.write_text(f"at,{name}\n" + "".join(f"2025-01-0{day}T00:00:00Z,{v}\n" for day, v in enumerate(values, 1)))
    read, config = read_settled([daily], LogConfig(metrics=(name,)), yes=False, now_s=NOW_S)
    assert config.kind == kind
    assert "sum per step" in read.report.text()
    hourly = tmp_path / "hourly.csv"
    lines = [f"2025-01-0{day}T{hour:02d}:00:00Z,{5 + 0.01 * hour}" for day in (1, 2, 3) for hour in range(24)]
    hourly.write_text("\n".join([f"at,{name}", *lines]) + "\n")
    finer = replace(config, step="1d")
    if kind == "count":
        assert read_log(hourly, finer, now_s=NOW_S).series[0].values[0, 0] == pytest.approx(
            24 * 5 + 0.01 * sum(range(24))
        )
    else:
        with pytest.raises(DataError, match=f"about 24 samples of {name} fall into a step"):
            read_log(hourly, finer, now_s=NOW_S)

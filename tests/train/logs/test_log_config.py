"""The options of a log, and the ones refused before any file is opened."""

import pytest

from pulsecast.foundation.strict_json import parse, to_json
from pulsecast_train.logs.config import LogConfig, parse_step, step_text


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30), ("5m", 300), ("1h", 3600), ("1d", 86400), ("1w", 604800), (" 2H ", 7200)]
)
def test_a_step_is_a_number_and_a_unit(text: str, seconds: int) -> None:
    assert parse_step(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "m", "0m", "-5m", "1.5h", "5min", "1month"])
def test_any_other_step_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected a number and s, m, h, d or w, such as 5m, 1h or 1d"):
        parse_step(text)


@pytest.mark.parametrize(("seconds", "text"), [(45, "45s"), (300, "5m"), (5400, "90m"), (86400, "1d"), (1209600, "2w")])
def test_seconds_are_written_in_the_largest_unit_that_divides_them(seconds: int, text: str) -> None:
    assert step_text(seconds) == text


def test_zones_are_listed_only_for_a_name_that_is_looked_up_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """The list takes 20 to 40 ms, and every log has a configuration."""
    listed = []
    monkeypatch.setattr("zoneinfo.available_timezones", lambda: listed.append(1) or {"Europe/Berlin"})
    assert [LogConfig(timezone=zone).timezone for zone in (None, "UTC")] == [None, "UTC"]
    assert listed == []
    assert LogConfig(timezone="Europe/Berlin").timezone == "Europe/Berlin"
    assert listed == [1]


BAD_CONFIGS = {
    "events without a step": ({"events": True}, "events need a step"),
    "a column in two roles": ({"time": "t", "metrics": ("t",)}, "column t is named twice"),
    "an empty column name": ({"metrics": ("",)}, "metrics: a column's name is empty; name a column, or leave it out"),
    "two empty column names": ({"id": "", "columns": {"a": ""}}, "id, columns: a column's name is empty"),
    "a negative gap": ({"max_gap": -1}, "max_gap is -1; expected 0 or more"),
    "a gauge of rows": ({"events": True, "step": "1h", "kind": "gauge"}, "kind gauge needs a metric"),
    "an unknown kind": ({"kind": "total"}, "kind is 'total'; expected inferred, count, gauge or counter"),
    "an unknown choice": ({"on_conflict": "merge"}, "on_conflict is 'merge'; expected refuse, first or last"),
    "an unknown zone": ({"timezone": "Mars/Olympus"}, "timezone is 'Mars/Olympus'; expected a name"),
    "a format without a field": ({"time_format": "iso"}, "time_format is 'iso'; expected epoch-s"),
    "a counter of events": ({"events": True, "step": "1h", "kind": "counter"}, "a counter.s rows are samples"),
    "a reset of a count": ({"allow_reset": True}, "allow_reset is for kind counter; leave it out"),
    "a cap without users": (
        {"events": True, "step": "1h", "user_cap": 3},
        "user_cap is 3; expected 1 or more",
    ),
    "a cap of none": ({"events": True, "step": "1h", "user": "u", "user_cap": 0}, "user_cap is 0; expected 1 or more"),
    "users of samples": ({"user": "u"}, "user is for events; add --events"),
    "maturity of samples": ({"maturity": "2d"}, "maturity is for events; add --events"),
    "maturity in words": ({"events": True, "step": "1h", "maturity": "two days"}, "maturity is 'two days'; expected a"),
    "parts of nothing": ({"parts": ("a", "b")}, "parts need the metric that they add up to; name it"),
    "two names for one column": ({"columns": {"a": "x", "b": "x"}}, "columns gives x two names; give it one"),
    "a third repeated hour": (
        {"repeated_hour": "third"},
        "repeated_hour is 'third'; expected refuse, first, second or both",
    ),
    "a step in words": ({"step": "hourly"}, "step is 'hourly'"),
}


@pytest.mark.parametrize(("fields", "sentence"), BAD_CONFIGS.values(), ids=BAD_CONFIGS.keys())
def test_a_config_that_cannot_be_meant_is_refused(fields: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        LogConfig(**fields)  # type: ignore[arg-type]


def test_all_problems_of_a_config_are_in_one_message() -> None:
    with pytest.raises(ValueError, match="max_gap is -1; expected 0 or more steps; events need a step"):
        LogConfig(events=True, max_gap=-1)


def test_a_config_survives_json() -> None:
    config = LogConfig(time="t", metrics=("a", "b"), step="1h", timezone="UTC", missing=("-1",), columns={"a": "likes"})
    assert parse(LogConfig, to_json(config), where="train.toml") == config

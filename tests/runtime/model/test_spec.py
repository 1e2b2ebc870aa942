"""A spec describes a possible network, or an error lists all its problems."""

from dataclasses import replace
from typing import Any

import pytest

from helpers import plain
from pulsecast.model.spec import DAY_S, WEEK_S, Calendar, Channel, Feature, ModelSpec

DAY = Calendar(function="sin", period_s=DAY_S)


def test_the_context_is_the_window_and_the_longest_lag() -> None:
    assert plain.LEVEL_SPEC.context == 50
    assert plain.CHANGE_SPEC.context == 50 + 23


def test_measured_features_are_those_without_a_calendar() -> None:
    assert plain.LEVEL_SPEC.measured == 1
    assert plain.CHANGE_SPEC.measured == 1
    two = replace(plain.LEVEL_SPEC, features=(Feature(name="value"), Feature(name="likes")))
    assert two.measured == 2


BAD_SPECS: dict[str, tuple[dict[str, Any], str]] = {
    "no window": ({"window": 0}, "window is 0; expected at least 1"),
    "a window beyond reason": ({"window": 10**30}, f"window is {10**30}; expected at most 100000"),
    "a window of more steps than are read": ({"window": 100_001}, "window is 100001; expected at most 100000"),
    "a horizon beyond reason": ({"horizon": 10_001}, "horizon is 10001; expected at most 10000"),
    "a step beyond reason": ({"step_s": 2**31}, f"step_s is {2**31}; expected at most {2**31 - 1}"),
    "a layer beyond reason": ({"units": (65_537,)}, "units are 65537; expected at most 65536"),
    "a window of many columns": (
        {"window": 50_000, "channels": (Channel(feature=0),) * 81},
        "a window has 50000 steps of 81 numbers; expected at most 4000000 together",
    ),
    "no horizon": ({"horizon": 0}, "horizon is 0; expected at least 1"),
    "a negative step": ({"step_s": -60}, "step_s is -60; expected at least 1"),
    "no features": ({"features": ()}, "features must start with the measured column"),
    "a calendar first": (
        {"features": (Feature(name="day", calendar=DAY), Feature(name="value"))},
        "features must start with the measured column that is forecast; measured features must stand before calendar",
    ),
    "a name twice": ({"features": (Feature(name="a"), Feature(name="a"))}, "feature names repeat"),
    "measured after calendar": (
        {"features": (Feature(name="a"), Feature(name="day", calendar=DAY), Feature(name="b"))},
        "measured features must stand before calendar features",
    ),
    "no channels": ({"channels": ()}, "every channel must name a feature from 0 to 0"),
    "a channel of no feature": ({"channels": (Channel(feature=1),)}, "every channel must name a feature from 0 to 0"),
    "a negative feature": ({"channels": (Channel(feature=-1),)}, "every channel must name a feature"),
    "a lag before a level": (
        {"channels": (Channel(feature=0, lag=1), Channel(feature=0))},
        "channels of lag 0 must stand first",
    ),
    "no layers": ({"units": ()}, "units must hold at least one layer of at least one unit"),
    "an empty layer": ({"units": (50, 0)}, "units must hold at least one layer"),
    "two at once": ({"window": 0, "units": ()}, "window is 0; expected at least 1; units must hold"),
}


@pytest.mark.parametrize(("change", "sentence"), BAD_SPECS.values(), ids=BAD_SPECS.keys())
def test_a_spec_without_a_possible_network_is_refused(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        replace(plain.LEVEL_SPEC, **change)


def test_a_channel_never_looks_ahead() -> None:
    with pytest.raises(ValueError, match="lag is -1; a channel may only look back"):
        Channel(feature=0, lag=-1)


def test_a_calendar_has_a_period() -> None:
    with pytest.raises(ValueError, match="period_s is 0; expected at least 1"):
        Calendar(function="cos", period_s=0)


@pytest.mark.parametrize("wrong", [{"period_s": 10**30}, {"ahead_steps": 10**30}, {"ahead_steps": -1}])
def test_a_calendar_stays_within_what_every_reader_can_count(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"expected (at most|0 to) 2147483647"):
        Calendar(**{"function": "cos", "period_s": 60, **wrong})  # type: ignore[arg-type]


def test_a_spec_is_a_value() -> None:
    assert replace(plain.CHANGE_SPEC) == plain.CHANGE_SPEC
    assert hash(replace(plain.CHANGE_SPEC)) == hash(plain.CHANGE_SPEC)
    assert isinstance(plain.CHANGE_SPEC, ModelSpec)
    assert Calendar(function="weekend", period_s=WEEK_S).ahead_steps == 1

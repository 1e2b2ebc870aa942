"""`answer` against `pulsecast.step`: the same numbers, and for each step that comes badly what the policy says."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers import native_models, plain, series_models
from pulsecast import POOL, Forecaster, load, step
from pulsecast.errors import FormatError, UsageError
from pulsecast_streams import Answer, Policies, Received, answer
from pulsecast_streams.policies import USUAL

STEPS, BURST = 130, 115
RATE = 0.05
RATED = Policies(false_alarm_rate=RATE)


def time_of(n: int) -> int:
    return plain.START_S + plain.STEP_S * n


def values() -> list[float]:
    column = plain.series()[:STEPS].tolist()
    column[BURST] *= 60
    return column


def message(n: int, value: object, key: str = "likes", **fields: object) -> Received:
    return Received(key=key, value=json.dumps({"time": time_of(n), "value": value, **fields}).encode())


def pushed(
    model: Forecaster, steps: list[tuple[int, object]], state: bytes | None = None, policies: Policies = RATED,
    key: str = "likes",
) -> list[Answer]:  # fmt: skip
    found = []
    for n, value in steps:
        found.append(answer(model, message(n, value, key), state, policies=policies))
        state = found[-1].state
    return found


@pytest.fixture(scope="module")
def run(model: Forecaster) -> list[Answer]:
    """The answers to all steps, in order."""
    return pushed(model, list(enumerate(values())))


def test_every_record_says_what_step_says(model: Forecaster, run: list[Answer]) -> None:
    state, alarms = None, 0
    for n, (value, found) in enumerate(zip(values(), run, strict=True)):
        expected = step(model, state, value, time_of(n), false_alarm_rate=RATE if state is None else None)
        state = expected.state
        assert found.state == state
        assert found.dead_letter is None
        record = found.forecast
        assert (record["series"], record["time"], record["step_s"]) == ("likes", time_of(n), plain.STEP_S)
        assert (record["arrival"], record["missing"], record["filled"]) == ("next", 0, 0)
        if n < model.manifest.spec.context - 1:
            assert record["forecast"] is record["lower"] is record["upper"] is None
        else:
            for name in ("forecast", "lower", "upper"):
                kept = getattr(expected.forecast, name)
                np.testing.assert_array_equal(np.array(record[name], kept.dtype), kept)
        assert len(found.alarms) == expected.anomaly.alarm
        alarms += len(found.alarms)
    assert alarms >= 1


def test_an_alarm_says_when_how_far_off_and_why(model: Forecaster, run: list[Answer]) -> None:
    (alarm,) = run[BURST].alarms
    assert (alarm["series"], alarm["time"], alarm["value"]) == ("likes", time_of(BURST), values()[BURST])
    assert alarm["alarm"] is True
    assert alarm["score"] > 1
    assert alarm["reason"] in ("step", "level")
    assert len(alarm["why"]) > 20
    expected = run[BURST - 1].forecast["forecast"][0]
    assert alarm["expected"] == pytest.approx(expected)
    assert (alarm["model"], alarm["version"]) == (model.manifest.name, model.manifest.model_digest[:12])


def test_flagged_steps_have_records_of_their_own_where_that_is_asked_for(model: Forecaster, run: list[Answer]) -> None:
    steps = [(n, values()[n] * 60) for n in (BURST, BURST + 1)]
    everything = pushed(model, steps, run[BURST - 1].state, Policies(flagged="all"))
    assert [[one["alarm"] for one in found.alarms] for found in everything] == [[True], [False]]
    usual = pushed(model, steps, run[BURST - 1].state, USUAL)
    assert [len(found.alarms) for found in usual] == [1, 0]


def test_a_message_that_is_delivered_again_is_answered_alike(model: Forecaster, run: list[Answer]) -> None:
    again = answer(model, message(BURST, values()[BURST]), run[BURST].state)
    assert again.state == run[BURST].state
    assert again.alarms == run[BURST].alarms
    assert {**again.forecast, "arrival": "next"} == run[BURST].forecast


def test_older_messages_that_are_delivered_again_are_no_dead_letters(model: Forecaster, run: list[Answer]) -> None:
    for n in (100, 85):
        found = answer(model, message(n, values()[n]), run[105].state)
        assert found == Answer(state=run[105].state)


@pytest.mark.parametrize(
    ("n", "value", "code"), [(105, 1.0, "conflict"), (104, 1.0, "late"), (3, 1.0, "late"), (105, None, "conflict")]
)
def test_a_step_that_was_taken_with_another_value_is_a_dead_letter_or_ignored_if_asked(
    model: Forecaster, run: list[Answer], n: int, value: object, code: str
) -> None:
    found = answer(model, message(n, value), run[105].state)
    assert (found.forecast, found.state, found.dead_letter["code"]) == (None, run[105].state, code)
    ignored = answer(model, message(n, value), run[105].state, policies=Policies(late="ignore"))
    assert ignored == Answer(state=run[105].state)


def test_a_step_off_the_grid_is_a_dead_letter_whatever_the_policy(model: Forecaster, run: list[Answer]) -> None:
    body = json.dumps({"time": time_of(106) + 60, "value": 1}).encode()
    found = answer(model, Received(key="likes", value=body), run[105].state, policies=Policies(late="ignore"))
    assert (found.state, found.dead_letter["code"]) == (run[105].state, "grid")


def test_a_first_step_off_training_s_grid_is_a_dead_letter_unless_the_phase_is_stated(model: Forecaster) -> None:
    body = json.dumps({"time": time_of(0) + 600, "value": 210.0}).encode()
    found = answer(model, Received(key="likes", value=body))
    assert found.dead_letter is not None
    assert (found.state, found.dead_letter["code"]) == (None, "grid")
    assert "is 600 s after a whole step of 3600 s; expected 0 (phase_s)" in found.dead_letter["reason"]
    assert "(--phase 600)" in found.dead_letter["reason"]
    stated = answer(model, Received(key="likes", value=body), policies=Policies(phase_s=600))
    assert stated.dead_letter is None
    later = json.dumps({"time": time_of(1) + 600, "value": 210.0}).encode()
    assert answer(model, Received(key="likes", value=later), stated.state).dead_letter is None


def test_a_time_years_ahead_is_a_dead_letter_and_true_steps_go_on(model: Forecaster, run: list[Answer]) -> None:
    jumped = answer(model, message(106 + 24 * 800, 1.0), run[105].state)
    assert (jumped.state, jumped.dead_letter["code"]) == (run[105].state, "time")
    assert answer(model, message(106, values()[106]), jumped.state) == run[106]


@pytest.mark.parametrize(("factor", "outside"), [(1, False), (1000, True), (0.001, True)])
def test_a_step_in_other_units_is_said_to_be_outside_what_training_saw(
    model: Forecaster, factor: float, outside: bool
) -> None:
    likes = model.manifest.scaler.features[0]
    value = (likes.low + likes.high) / 2
    assert answer(model, message(0, value * factor)).forecast["outside"] is outside


def test_a_first_time_that_was_wrong_does_not_block_its_series(model: Forecaster) -> None:
    """A clock that was not set says 1970. The true time lies years later, and the broker's clock knows it."""
    first = answer(model, Received(key="likes", value=b'{"time": 0, "value": 1}', arrived_s=float(time_of(0))))
    state, arrivals = first.state, [first.forecast["arrival"]]
    for n, value in enumerate(values()):
        found = answer(model, replace(message(n, value), arrived_s=float(time_of(n) + 60)), state)
        assert found.dead_letter is None
        state = found.state
        arrivals.append(found.forecast["arrival"])
    assert arrivals == ["next", "gap", *["next"] * (STEPS - 1)]
    assert found.forecast["forecast"] == pushed(model, list(enumerate(values())))[-1].forecast["forecast"]


def test_a_value_that_the_model_does_not_take_is_a_dead_letter(model: Forecaster, run: list[Answer]) -> None:
    found = answer(model, message(106, -5.0), run[105].state)
    assert (found.state, found.dead_letter["code"]) == (run[105].state, "value")


@pytest.mark.parametrize("gap", ["last", "zero"])
def test_a_short_gap_is_filled_by_the_policy_as_if_the_values_had_come(
    model: Forecaster, run: list[Answer], gap: Any
) -> None:
    policies = Policies(gap=gap)
    fill = values()[100] if gap == "last" else 0.0
    expected = pushed(model, [(101, fill), (102, fill), (103, values()[103])], run[100].state)
    found = answer(model, message(103, values()[103]), run[100].state, policies=policies)
    assert found.state == expected[-1].state
    assert found.forecast == {**expected[-1].forecast, "filled": 2}
    assert [{**one, "filled": False} for one in found.alarms] == [dict(one) for each in expected for one in each.alarms]
    assert (gap == "zero") == any(one["filled"] for one in found.alarms)


def test_a_longer_gap_is_unknown(model: Forecaster, run: list[Answer]) -> None:
    late = answer(model, message(105, 300.0), run[100].state, policies=Policies(gap="last"))
    plainly = answer(model, message(105, 300.0), run[100].state)
    assert late == plainly
    assert (plainly.forecast["arrival"], plainly.forecast["missing"], plainly.forecast["forecast"]) == ("gap", 4, None)


def test_a_dead_letter_after_filled_steps_leaves_the_state(model: Forecaster, run: list[Answer]) -> None:
    found = answer(model, message(103, -5.0), run[100].state, policies=Policies(gap="last"))
    assert (found.state, found.alarms, found.dead_letter["code"]) == (run[100].state, (), "value")


def test_a_series_of_a_table_is_forecast_as_itself(table: Forecaster) -> None:
    steps = list(enumerate(values()[:90]))
    found = pushed(table, steps, key="b")
    state = None
    for n, value in steps:
        expected = step(table, state, value, time_of(n), series="b", false_alarm_rate=None if state else RATE)
        state = expected.state
    assert found[-1].state == state
    np.testing.assert_array_equal(np.float32(found[-1].forecast["forecast"]), expected.forecast.forecast)


def test_an_unknown_series_is_a_dead_letter_or_the_pool_if_asked(table: Forecaster) -> None:
    assert answer(table, message(0, 1.0, "d")).dead_letter["code"] == "series"
    found = answer(table, message(0, 1.0, "d"), policies=Policies(unknown_series="pool"))
    assert found.state == step(table, None, 1.0, time_of(0), series=POOL).state


def test_a_new_version_of_the_model_goes_on_with_the_steps_that_the_old_one_saw(
    model: Forecaster, run: list[Answer], linear_bundle: Path
) -> None:
    newer = load(linear_bundle, backend="numpy")
    found = answer(newer, message(101, values()[101]), run[100].state)
    expected = step(newer, run[100].state, values()[101], time_of(101), carry_over=True)
    assert found.state == expected.state
    np.testing.assert_array_equal(np.float32(found.forecast["forecast"]), expected.forecast.forecast)
    assert found.forecast["version"] == newer.manifest.model_digest[:12] != run[100].forecast["version"]


def test_a_new_version_that_knows_the_series_takes_it_out_of_the_pool(
    table: Forecaster, change_model: plain.PlainModel, tmp_path: Path
) -> None:
    directory = series_models.with_table(native_models.directory(change_model), names=("a", "b", "c", "d"))
    series_models.write_bundle(tmp_path / "newer", directory)
    newer, pooled = load(tmp_path / "newer", backend="numpy"), Policies(unknown_series="pool")
    old = pushed(table, list(enumerate(values()[:90])), key="d", policies=pooled)[-1].state
    found = answer(newer, message(90, values()[90], "d"), old, policies=pooled)
    fresh = pushed(newer, list(enumerate(values()[:91])), key="d", policies=pooled)[-1]
    assert found.forecast == fresh.forecast
    back = answer(table, message(91, values()[91], "d"), found.state, policies=pooled)
    assert back.dead_letter is None


def test_a_fault_that_is_not_the_message_s_stops_the_engine(model: Forecaster, run: list[Answer]) -> None:
    with pytest.raises(FormatError, match="damaged"):
        answer(model, message(101, 1.0), run[100].state[:-1] + b"\0")
    with pytest.raises(UsageError, match=r"received.value is '.*'; expected a bytes"):
        answer(model, replace(message(101, 1.0), value="{}"))  # type: ignore[arg-type]


def test_a_state_of_another_step_stops_the_engine(model: Forecaster, tmp_path: Path) -> None:
    daily = plain.make_model(replace(plain.LEVEL_SPEC, step_s=86_400))
    plain.write_bundle(tmp_path / "daily", daily)
    state = answer(load(tmp_path / "daily", backend="numpy"), message(0, 300.0)).state
    with pytest.raises(UsageError, match="cannot be replayed"):
        answer(model, message(1, 300.0), state)


def test_a_series_that_adapts_says_both_forecasts(model: Forecaster) -> None:
    policies = Policies(adapt=True)
    found = pushed(model, list(enumerate(values()[:100])), policies=policies)[-1]
    state = None
    for n, value in enumerate(values()[:100]):
        expected = step(model, state, value, time_of(n), adapt=True)
        state = expected.state
    for name in ("adapted", "adapted_lower", "adapted_upper"):
        kept = getattr(expected.forecast, name)
        np.testing.assert_array_equal(np.array(found.forecast[name], kept.dtype), kept)

"""Events to forecasts in one process: those that `predict` makes of a log of the same events, late and shuffled."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from helpers import plain
from helpers.engines import require
from helpers.streaming.events import BEGIN, HOURS, LATE_S, check, conflict, counts, events, late
from pulsecast import Forecaster, load
from pulsecast.errors import FormatError, UsageError
from pulsecast_streams import (
    Answers,
    EventPolicies,
    Policies,
    Received,
    answer,
    answer_clock,
    answer_event,
    event_policies,
)
from pulsecast_streams.following import AT_ONCE, clock_due_s

require("polars")

COUNTED = EventPolicies(step_s=3600, lateness_s=LATE_S)


def received(seconds: float, key: str = "likes", arrived: float | None = None) -> Received:
    value = json.dumps({"time": BEGIN + seconds}).encode()
    return Received(key=key, value=value, arrived_s=None if arrived is None else BEGIN + arrived)


def steps(found: Answers) -> list[tuple[int, float]]:
    return [((one.step["time"] - BEGIN) // 3600, one.step["value"]) for one in found.answers]


def test_events_and_a_clock_give_the_forecasts_of_their_log(model: Forecaster, tmp_path: Path) -> None:
    found = events("likes", 1)
    records: list[Any] = []
    state, letters = None, []
    for one in sorted([*found, late("likes"), conflict(found)]):
        said = answer_event(model, Received(key="likes", value=one.data), state, events=COUNTED)
        state = said.state
        records += [step.answer.forecast for step in said.answers]
        letters += [said.dead_letter["code"]] if said.dead_letter else []
    assert state is not None
    said = answer_clock(model, state, BEGIN + HOURS * 3600 + LATE_S, events=COUNTED)
    records += [step.answer.forecast for step in said.answers]
    assert len(records) == HOURS
    check(
        model, records, {"likes": counts(found, tmp_path)}, HOURS - 1
    )  # a log drops a last step that may not be whole
    assert sorted(letters) == ["conflict", "late"]


def test_what_an_event_completes_is_what_answer_says_of_its_steps(model: Forecaster) -> None:
    first = answer_event(model, received(0), None, events=COUNTED)
    assert (first.answers, first.dead_letter) == ((), None)
    found = answer_event(model, received(3 * 3600 + LATE_S), first.state, events=COUNTED)
    assert steps(found) == [(0, 1.0), (1, 0.0), (2, 0.0)]
    kept = None
    for one in found.answers:
        said = answer(model, Received(value=json.dumps(one.step).encode()), kept)
        assert one.answer == said
        kept = said.state


def test_the_clock_completes_some_steps_at_once_and_goes_on(model: Forecaster) -> None:
    state = answer_event(model, received(0), None, events=COUNTED).state
    assert state is not None
    due = clock_due_s(state, events=COUNTED)
    assert due == BEGIN + 3600 + LATE_S
    assert answer_clock(model, state, due - 1, events=COUNTED) == Answers(state=state)
    now, found = BEGIN + 3600 * 450, []
    while said := answer_clock(model, state, now, events=COUNTED):
        if not said.answers:
            break
        assert len(said.answers) <= AT_ONCE
        found += steps(said)
        state = said.state or b""
    assert found == [(0, 1.0), *((n, 0.0) for n in range(1, 449))]


def test_a_silent_series_completes_no_more_steps_and_its_next_event_begins_it_anew_after_a_gap(
    model: Forecaster,
) -> None:
    policies = replace(COUNTED, silent_steps=5)
    state = answer_event(model, received(0), None, events=policies).state
    assert state is not None
    silent = answer_clock(model, state, BEGIN + 3600 * 100, events=policies)
    assert steps(silent) == [(n, float(n == 0)) for n in range(6)]
    assert silent.state is not None
    assert clock_due_s(silent.state, events=policies) is None
    assert answer_clock(model, silent.state, BEGIN + 3600 * 200, events=policies).answers == ()
    for before in (state, silent.state):  # whether the clock or the event finds that it is silent
        back = answer_event(model, received(50 * 3600 + 1800), before, events=policies)
        assert (before is state) == (len(back.answers) == 6)
        assert back.state is not None
        done = answer_clock(model, back.state, BEGIN + 51 * 3600 + LATE_S, events=policies)
        assert steps(done) == [(50, 1.0)]
        assert (done.answers[0].answer.forecast or {})["missing"] == 44
        old = answer_event(model, received(49 * 3600), back.state, events=policies)
        assert (old.dead_letter or {})["code"] == "late"


def test_the_clock_lags_behind_as_far_as_the_events_of_a_log_that_is_sent_again(model: Forecaster) -> None:
    day = 24 * 3600
    state = answer_event(model, received(0, arrived=day), None, events=replace(COUNTED, ahead_s=None)).state
    assert state is not None
    assert answer_clock(model, state, BEGIN + day + 3600, events=COUNTED).answers == ()
    found = answer_clock(model, state, BEGIN + day + 3600 + LATE_S, events=COUNTED)
    assert steps(found) == [(0, 1.0)]


def test_an_event_of_a_series_that_the_bundle_does_not_hold_is_a_dead_letter_and_is_not_counted(
    table: Forecaster,
) -> None:
    found = answer_event(table, received(0, "d"), None, events=COUNTED)
    assert ((found.dead_letter or {})["code"], found.state) == ("series", None)
    pooled = answer_event(table, received(0, "d"), None, events=COUNTED, policies=Policies(unknown_series="pool"))
    assert pooled.dead_letter is None


def test_a_state_of_a_stream_of_steps_is_refused(model: Forecaster) -> None:
    state = answer(model, Received(key="likes", value=b'{"time": 1736121600, "value": 7}')).state
    with pytest.raises(FormatError, match="of a stream that takes steps"):
        answer_event(model, received(0), state, events=COUNTED)


def logged(model: Forecaster, **log: Any) -> Any:
    """Return a model whose bundle says that its log was read so."""
    provenance = replace(model.manifest.provenance, training={"log": {"events": True, "kind": "count", **log}})
    made = type("Logged", (), {"__getattr__": lambda self, name: getattr(model, name)})()
    made.manifest = replace(model.manifest, provenance=provenance)
    return made


@pytest.mark.parametrize(
    ("log", "of"), [({}, "events"), ({"metrics": ["seconds"]}, "sum"), ({"kind": "gauge", "metrics": ["x"]}, "mean")]
)
def test_events_are_counted_as_the_log_of_the_bundle_was(model: Forecaster, log: dict[str, Any], of: str) -> None:
    found = event_policies(logged(model, **log), lateness_s=7)
    assert (found.step_s, found.of, found.lateness_s) == (3600, of, 7)


def test_a_count_that_is_not_the_model_s_is_refused_with_what_to_do(model: Forecaster, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"does not say that its log held events.*--events --of events"):
        event_policies(logged(model, events=False))
    assert event_policies(logged(model, events=False), of="sum").of == "sum"
    with pytest.raises(UsageError, match="of is mean, and this model was trained on events"):
        event_policies(logged(model), of="mean")
    with pytest.raises(UsageError, match=r"trained with maturity '2d'.*trained with user_cap 3"):
        event_policies(logged(model, maturity="2d", user_cap=3))
    with pytest.raises(UsageError, match="events makes steps of 60 s; this model takes 3600"):
        answer_event(model, received(0), None, events=EventPolicies(step_s=60))
    with pytest.raises(UsageError, match="lateness_s is -1"):
        event_policies(logged(model), lateness_s=-1)
    two = replace(
        plain.LEVEL_SPEC, features=(plain.LEVEL_SPEC.features[0], replace(plain.LEVEL_SPEC.features[0], name="b"))
    )
    plain.write_bundle(tmp_path / "two", plain.make_model(two))
    with pytest.raises(UsageError, match="takes 2 columns"):
        event_policies(load(tmp_path / "two", backend="numpy"), of="events")

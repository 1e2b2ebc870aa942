"""Events counted one by one against `read_log` of all of them: the same steps, shuffled and late."""

from __future__ import annotations

import json
import random
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from helpers.engines import require
from pulsecast import Forecaster
from pulsecast.errors import FormatError, UsageError
from pulsecast.limits import GAP_STEPS
from pulsecast_streams import Counted, EventPolicies, Received, answer, count, tick
from pulsecast_train import LogConfig, read_log

require("polars")

BEGIN, HOUR = 1_736_121_600, 3600  # a Monday, 00:00
LATE_S = 1800
WEEK = 7 * 24 * HOUR


class One(NamedTuple):
    """An event; `seconds` since BEGIN."""

    seconds: float
    value: float | None = None
    id: str | None = None

    def received(self) -> Received:
        body: dict[str, Any] = {"time": round(BEGIN + self.seconds, 3)}
        if self.id is not None:
            body["id"] = self.id
        if self.value is not None:
            body["value"] = None if np.isnan(self.value) else self.value
        return Received(key="likes", value=json.dumps(body).encode())


def events(first_s: float, seed: int = 1, *, values: bool = False) -> list[One]:
    """Return events of two days, none at night, each with an id; some values have a fraction, some are lacking."""
    rng = random.Random(seed)
    found = [One(first_s, 2.5 if values else None, "first")]
    for n in range(900):
        seconds = round(rng.uniform(first_s, 48 * HOUR), 3)
        if seconds // HOUR % 24 in (2, 3, 4):
            continue
        value = rng.choice([0.1, 2.7, 1.0, 5.0, float("nan")]) if values else None
        found.append(One(seconds, value, f"e{n}"))
    return found


def shuffled(found: list[One], late_s: float, seed: int = 2) -> list[One]:
    """Return events in an order of arrival that has each within `late_s` of its place; every tenth comes twice."""
    rng = random.Random(seed)
    arriving = [(one.seconds + rng.uniform(0, late_s), one) for one in found]
    arriving += [(at + rng.uniform(0, late_s - (at - one.seconds)), one) for at, one in arriving[::10]]
    return [one for _, one in sorted(arriving, key=lambda pair: pair[0])]


def run(found: list[One], policies: EventPolicies) -> tuple[list[Counted], bytes]:
    state, said = None, []
    for one in found:
        said.append(count(one.received(), state, policies=policies))
        state = said[-1].state
    assert state is not None
    return said, state


def steps(said: list[Counted]) -> list[tuple[int, float | None]]:
    return [(one["time"], one["value"]) for counted in said for one in counted.steps]


def from_log(tmp_path: Path, found: list[One], **changes: Any) -> tuple[int, np.ndarray]:
    """Return the first time and the values (steps,) that a log of the same events gives."""
    lines = [
        f"{BEGIN + one.seconds:.3f},{one.id},{'' if one.value is None or np.isnan(one.value) else one.value}"
        for one in found
    ]
    (tmp_path / "log.csv").write_text("\n".join(["time,id,value", *lines]))
    config = LogConfig(
        events=True, time="time", time_format="epoch-s", id="id", timezone="UTC", max_gap=0, maturity="0", **changes
    )
    (series,) = read_log([tmp_path / "log.csv"], config).series
    return series.start_s, series.values[:, 0]


@pytest.mark.parametrize("first_s", [0.5, 36.0, 36.5, 3599.0])
@pytest.mark.parametrize("step", ["1h", "15m"])
def test_events_in_any_order_within_the_lateness_are_the_steps_of_the_log(
    tmp_path: Path, first_s: float, step: str
) -> None:
    step_s = {"1h": HOUR, "15m": 900}[step]
    found = events(first_s)
    start_s, values = from_log(tmp_path, found, step=step, kind="count")
    said, state = run(shuffled(found, LATE_S), EventPolicies(step_s=step_s, lateness_s=LATE_S))
    assert [one.dead_letter for one in said if one.dead_letter] == []
    live = steps(
        [*said, tick(state, BEGIN + 48 * HOUR + LATE_S, policies=EventPolicies(step_s=step_s, lateness_s=LATE_S))]
    )
    assert live[: len(values)] == [(start_s + step_s * n, value) for n, value in enumerate(values)]
    assert len(live) - len(values) in (0, 1)  # a log drops a last step that it may not hold whole
    assert 0.0 in values
    assert sum(value or 0 for _, value in live) == len(found) - (first_s > 0.01 * step_s) * _in_first(found, step_s)


def _in_first(found: list[One], step_s: int) -> int:
    first = min(one.seconds for one in found) // step_s
    return sum(one.seconds // step_s == first for one in found)


@pytest.mark.parametrize(("of", "kind"), [("sum", "count"), ("mean", "gauge")])
def test_values_are_added_up_or_averaged_as_in_the_log(tmp_path: Path, of: Any, kind: str) -> None:
    found = events(0.5, values=True)
    start_s, values = from_log(tmp_path, found, step="1h", kind=kind, metrics=("value",))
    said, _ = run(shuffled(found, LATE_S), EventPolicies(step_s=HOUR, of=of, lateness_s=LATE_S))
    live = steps(said)
    assert [time for time, _ in live] == [start_s + HOUR * n for n in range(len(live))]
    assert len(live) >= 46
    numbers = np.array([np.nan if value is None else value for _, value in live])
    # a log adds in order of time, where each sum is rounded; here the sum is exact and rounded once
    np.testing.assert_allclose(numbers, values[: len(live)], rtol=1e-14)
    assert np.isnan(numbers).any() == (of == "mean")


def test_weeks_begin_on_monday() -> None:
    policies = EventPolicies(step_s=WEEK)
    said, _ = run([One(0), One(WEEK - 0.5), One(WEEK)], policies)
    assert steps(said) == [(BEGIN, 2.0)]


def test_the_order_of_events_changes_no_bit_of_a_sum() -> None:
    numbers = [1e16, 1.0, -1e16, 0.1, 3.3, 1e-9, 7.7]
    found = [One(n, value) for n, value in enumerate(numbers)]
    policies, last = EventPolicies(step_s=HOUR, of="sum"), One(HOUR, 0.0)
    for seed in range(5):
        random.Random(seed).shuffle(found)
        assert steps(run([*found, last], policies)[0]) == [(BEGIN, 12.100000001)]


def test_an_event_later_than_the_bound_is_a_dead_letter_and_its_step_stands() -> None:
    policies = EventPolicies(step_s=HOUR, lateness_s=LATE_S)
    said, state = run([One(0), One(HOUR + LATE_S - 1), One(HOUR - 1), One(HOUR + LATE_S), One(HOUR - 2)], policies)
    assert steps(said) == [(BEGIN, 2.0)]
    letter = said[-1].dead_letter
    assert letter is not None
    assert letter["code"] == "late"
    assert "a step waits 1,800 s after its end (lateness_s)" in letter["reason"]
    assert said[-1].state == said[-2].state == state


def test_a_copy_is_counted_once_and_an_id_with_another_value_is_a_dead_letter() -> None:
    policies = EventPolicies(step_s=HOUR, of="sum")
    said, state = run([One(0, 3.0, "a"), One(0, 3.0, "a"), One(0, 4.0, "a"), One(0, 3.0)], policies)
    assert [one.dead_letter and one.dead_letter["code"] for one in said] == [None, None, "conflict", None]
    assert steps([tick(state, BEGIN + HOUR, policies=policies)]) == [(BEGIN, 6.0)]


def test_a_clock_says_that_nothing_came() -> None:
    policies = EventPolicies(step_s=HOUR)
    _, state = run([One(0)], policies)
    first = tick(state, BEGIN + 3 * HOUR, policies=policies)
    assert steps([first]) == [(BEGIN, 1.0), (BEGIN + HOUR, 0.0), (BEGIN + 2 * HOUR, 0.0)]
    assert first.state is not None
    again = tick(first.state, BEGIN, policies=policies)
    assert (again.steps, again.state) == ((), first.state)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"time": BEGIN * 1000}, "time"),
        ({"time": float(BEGIN) * 1000}, "time"),
        ({"time": True}, "time"),
        ({"time": str(BEGIN)}, "time"),
        ({"time": "2025-01-06T00:00:00"}, "time"),
        ({"time": BEGIN + 400 * 24 * HOUR}, "time"),
        ({}, "time"),
        ({"time": BEGIN, "value": 1}, "value"),
        ({"time": BEGIN, "id": 7}, "schema"),
        ({"time": BEGIN, "likes": 7}, "schema"),
    ],
)
def test_what_the_schema_does_not_say_is_a_dead_letter(body: dict[str, Any], code: str) -> None:
    policies = EventPolicies(step_s=HOUR)
    _, state = run([One(0)], policies)
    found = count(Received(key="likes", value=json.dumps(body).encode()), state, policies=policies)
    assert found.dead_letter is not None
    assert (found.dead_letter["code"], found.steps, found.state) == (code, (), state)


@pytest.mark.parametrize("value", [True, "7", [7]])
def test_a_value_that_is_no_number_is_a_dead_letter(value: object) -> None:
    policies = EventPolicies(step_s=HOUR, of="sum")
    body = json.dumps({"time": BEGIN, "value": value}).encode()
    found = count(Received(key="likes", value=body), policies=policies)
    assert (found.dead_letter and found.dead_letter["code"], found.state) == ("value", None)


def test_a_time_ahead_of_the_broker_is_refused() -> None:
    body = json.dumps({"time": "2025-01-08T00:00:00.25Z"}).encode()
    received = Received(key="likes", value=body, arrived_s=float(BEGIN))
    found = count(received, policies=EventPolicies(step_s=HOUR))
    assert found.dead_letter is not None
    assert "after the broker got the message" in found.dead_letter["reason"]
    assert count(received, policies=EventPolicies(step_s=HOUR, ahead_s=None)).state is not None


def test_a_state_that_is_damaged_or_of_other_options_stops_the_engine() -> None:
    policies = EventPolicies(step_s=HOUR)
    _, state = run([One(0)], policies)
    with pytest.raises(FormatError, match="is damaged"):
        count(One(1).received(), state[:-1] + b" ", policies=policies)
    with pytest.raises(UsageError, match="was begun with step_s=3600 and of='events', not 60"):
        count(One(1).received(), state, policies=EventPolicies(step_s=60))
    other = Received(key="shares", value=One(1).received().value)
    with pytest.raises(UsageError, match="is of the series 'likes', the event of 'shares'"):
        count(other, state, policies=policies)


def test_steps_are_messages_for_answer(model: Forecaster) -> None:
    policies = EventPolicies(step_s=HOUR)
    said, state = run(sorted(events(0.5)), policies)
    said.append(tick(state, BEGIN + 24 * 7 * HOUR, policies=policies))
    kept = None
    for step in (step for counted in said for step in counted.steps):
        found = answer(model, Received(value=json.dumps(step).encode()), kept)
        assert (found.dead_letter, found.forecast["arrival"]) == (None, "next")
        kept = found.state
    assert found.forecast["time"] == BEGIN + (24 * 7 - 1) * HOUR
    assert len(found.forecast["forecast"]) == model.manifest.spec.horizon


def test_a_step_with_too_many_ids_is_missing_and_its_state_stays_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A producer that makes up ids would have every event read and write all of those before it."""
    monkeypatch.setattr("pulsecast_streams.events.counting.STEP_EVENTS", 50)
    policies = EventPolicies(step_s=HOUR, lateness_s=2 * HOUR)
    many = [One(HOUR + n, id=f"made up {n}") for n in range(300)]
    said, state = run(
        [One(0, id="a"), One(4 * HOUR - 1), *many, One(4 * HOUR, id="b"), One(4 * HOUR, id="b")], policies
    )
    assert max(len(one.state or b"") for one in said) < 2500
    assert all(one.dead_letter is None for one in said)
    said.append(tick(state, BEGIN + 8 * HOUR, policies=policies))
    assert steps(said) == [
        (BEGIN, 1.0), (BEGIN + HOUR, None), (BEGIN + 2 * HOUR, 0.0), (BEGIN + 3 * HOUR, 1.0), (BEGIN + 4 * HOUR, 1.0),
        (BEGIN + 5 * HOUR, 0.0),
    ]  # fmt: skip


def test_events_without_an_id_are_counted_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pulsecast_streams.events.counting.STEP_EVENTS", 50)
    said, _ = run([*(One(n) for n in range(300)), One(HOUR)], EventPolicies(step_s=HOUR))
    assert steps(said) == [(BEGIN, 300.0)]


def test_an_event_that_would_complete_too_many_steps_is_a_dead_letter() -> None:
    """Within a year: steps of a second would be said by the ten million."""
    policies = EventPolicies(step_s=1, silent_steps=3 * GAP_STEPS)
    said, state = run([One(0), One(GAP_STEPS + 1), One(GAP_STEPS - 1)], policies)
    letter = said[1].dead_letter
    assert letter is not None
    assert (letter["code"], letter["reason"][:65]) == (
        "time", "the event comes more than a year, or 100,000 steps, after the las",
    )  # fmt: skip
    assert len(said[2].steps) == GAP_STEPS - 1
    with pytest.raises(UsageError, match=r"^time is 1767225600000; expected unix seconds$"):
        tick(state, 1_767_225_600_000, policies=policies)


@pytest.mark.parametrize("before_s", [0, BEGIN - 40 * 86_400, BEGIN - 2000 * 86_400])
def test_a_first_event_from_long_ago_neither_ends_the_clock_nor_blocks_its_series(before_s: int) -> None:
    policies = EventPolicies(step_s=HOUR, lateness_s=60, silent_steps=3)
    old = Received(key="likes", value=json.dumps({"time": before_s // HOUR * HOUR}).encode(), arrived_s=float(BEGIN))
    first = count(old, policies=policies)
    assert first.state is not None
    silent = tick(first.state, BEGIN + 24 * HOUR, policies=policies)
    assert [one["value"] for one in silent.steps] == [1.0, 0.0, 0.0, 0.0]
    assert tick(silent.state or b"", BEGIN + 1000 * 24 * HOUR, policies=policies).steps == ()
    true = Received(key="likes", value=json.dumps({"time": BEGIN + 10}).encode(), arrived_s=float(BEGIN + 20))
    again = count(true, silent.state, policies=policies)
    assert again.dead_letter is None
    assert steps([tick(again.state or b"", BEGIN + 2 * HOUR, policies=policies)]) == [(BEGIN, 1.0)]


WHOLE = {
    "series": "likes", "step_s": HOUR, "of": "events", "latest_us": BEGIN * 10**6, "next_s": BEGIN, "first_us": None,
    "heard_us": BEGIN * 10**6, "delay_us": 0, "steps": {str(BEGIN): [1, 1, [1.0], ""]},
}  # fmt: skip
ODD: dict[str, Any] = {
    "a list": [],
    "nothing": {},
    "no steps": {**WHOLE, "steps": []},
    "a field more": {**WHOLE, "more": 1},
    "text as a time": {**WHOLE, "latest_us": "1"},
    "a time that is true": {**WHOLE, "first_us": True},
    "a step of no length": {**WHOLE, "step_s": 0},
    "another sum": {**WHOLE, "of": "product"},
    "a name that is a number": {**WHOLE, "series": 7},
    "a step that is text": {**WHOLE, "steps": {"now": [1, 1, [1.0], ""]}},
    "a step without ids": {**WHOLE, "steps": {"7": [1, 1, [1.0]]}},
    "a part that is text": {**WHOLE, "steps": {"7": [1, 1, ["1"], ""]}},
    "a part that is infinite": {**WHOLE, "steps": {"7": [1, 1, [1e999], ""]}},
    "ids that are no base64": {**WHOLE, "steps": {"7": [1, 1, [1.0], "\u00e9"]}},
    "ages to say": {**WHOLE, "latest_us": 10**30},
}


@pytest.mark.parametrize("what", [*ODD, "deep"])
def test_a_state_that_was_made_up_is_refused_though_its_checksum_is_right(what: str) -> None:
    body = b"[" * 9000 if what == "deep" else json.dumps(ODD[what]).encode()
    policies = EventPolicies(step_s=HOUR)
    assert count(One(1).received(), _made(json.dumps(WHOLE).encode()), policies=policies).dead_letter is None
    with pytest.raises((FormatError, UsageError)):
        count(One(1).received(), _made(body), policies=policies)


def _made(body: bytes) -> bytes:
    return b"PCEV\x02" + zlib.crc32(body).to_bytes(4, "big") + body

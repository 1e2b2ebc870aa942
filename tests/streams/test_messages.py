"""What a message says: read as the schema states, or refused with all that is wrong with it."""

from __future__ import annotations

import base64
import json
import math
from typing import Any

import numpy as np
import pytest

from helpers import plain
from helpers.engines import load
from pulsecast import Forecaster
from pulsecast.forecasting.living.live_series import StepForecast
from pulsecast_streams import Policies, Received, answer
from pulsecast_streams.messages.measurement import read_measurement
from pulsecast_streams.messages.records import forecast_record
from pulsecast_streams.messages.writing import FORMS, written
from pulsecast_streams.policies import USUAL
from pulsecast_streams.refusal import CODES, RefusedError

msgpack = load("msgpack")
TIME = plain.START_S
SPEC = plain.CHANGE_SPEC


def read(body: object, key: Any = b"likes", policies: Policies = USUAL, arrived_s: float | None = None) -> Any:
    value = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read_measurement(Received(key=key, value=value, arrived_s=arrived_s), SPEC, policies)


@pytest.mark.parametrize("pack", [json.dumps, msgpack.packb], ids=["json", "msgpack"])
@pytest.mark.parametrize("time", [TIME, "2025-01-06T00:00:00Z", "2025-01-06T05:30:00+05:30"])
@pytest.mark.parametrize("given", [{"value": 7}, {"value": 7.0}, {"values": [7]}])
def test_json_and_messagepack_say_the_same(pack: Any, time: object, given: dict[str, object]) -> None:
    packed = pack({"time": time, **given})
    found = read(packed if isinstance(packed, bytes) else b" \n" + packed.encode())
    assert (found.series, found.time, found.values) == ("likes", TIME, (7.0,))


@pytest.mark.parametrize("given", [{"value": None}, {"values": None}, {"values": [None]}])
def test_null_is_a_step_that_is_known_to_be_missing(given: dict[str, object]) -> None:
    assert math.isnan(read({"time": TIME, **given}).values[0])


def test_the_series_is_the_key_or_the_field_and_they_agree() -> None:
    body = {"time": TIME, "value": 1, "series": "likes"}
    assert [read(body, key).series for key in (None, b"likes", "likes")] == ["likes"] * 3
    with pytest.raises(RefusedError, match=r"the key is 'shares' and series is 'likes'; which one is meant"):
        read(body, b"shares")


REFUSED: dict[str, tuple[str, bytes]] = {
    "nothing": ("unreadable", b""),
    "text": ("unreadable", b"likes 5"),
    "a list": ("unreadable", b"[1]"),
    "half of an object": ("unreadable", b'{"time": 17361'),
    "more than an object": ("unreadable", b'{"time": 1, "value": 1} {}'),
    "bytes that are not text": ("unreadable", b'{"time": 1, "value": "\xff"}'),
    "another encoding": ("unreadable", '{"time": 1}'.encode("utf-16")),
    "deep brackets": ("unreadable", b'{"time":' + b"[" * 60_000),
    "a long number": ("unreadable", b'{"time": 1' + b"0" * 5000 + b', "value": 1}'),
    "half of a map": ("unreadable", msgpack.packb({"time": TIME, "value": 1})[:-1]),
    "more than a map": ("unreadable", msgpack.packb({"time": TIME, "value": 1}) + b"\x01"),
    "a map with numbers for names": ("unreadable", msgpack.packb({1: 2})),
    "too long": ("unreadable", b'{"time": 1, "value": 1}' + b" " * 70_000),
    "a field twice": ("schema", b'{"time": 1, "value": 1, "value": 2}'),
    "an unknown field": ("schema", b'{"time": 1736121600, "value": 1, "likes": 2}'),
    "no time": ("time", b'{"value": 1}'),
    "a time of null": ("time", b'{"time": null, "value": 1}'),
    "milliseconds": ("time", b'{"time": 1736121600000, "value": 1}'),
    "milliseconds before 1970": ("time", b'{"time": -1736121600000, "value": 1}'),
    "a time with a fraction": ("time", b'{"time": 1736121600.0, "value": 1}'),
    "a time as text": ("time", b'{"time": "1736121600", "value": 1}'),
    "a time of true": ("time", b'{"time": true, "value": 1}'),
    "a time without a zone": ("time", b'{"time": "2025-01-06T00:00:00", "value": 1}'),
    "a date": ("time", b'{"time": "2025-01-06", "value": 1}'),
    "a part of a second": ("time", b'{"time": "2025-01-06T00:00:00.5Z", "value": 1}'),
    "a time that is not there": ("time", b'{"time": "2025-02-30T00:00:00Z", "value": 1}'),
    "a time of messagepack": ("time", msgpack.packb({"time": msgpack.Timestamp(TIME), "value": 1})),
    "no value": ("value", b'{"time": 1736121600}'),
    "a value twice": ("value", b'{"time": 1736121600, "value": 1, "values": [1]}'),
    "a value as text": ("value", b'{"time": 1736121600, "value": "7"}'),
    "a value of true": ("value", b'{"time": 1736121600, "value": true}'),
    "a value of NaN": ("value", b'{"time": 1736121600, "value": NaN}'),
    "a value of infinity": ("value", b'{"time": 1736121600, "value": 1e999}'),
    "a value beyond float32": ("value", b'{"time": 1736121600, "value": 1e39}'),
    "a huge value": ("value", b'{"time": 1736121600, "value": 1' + b"0" * 400 + b"}"),
    "NaN of messagepack": ("value", msgpack.packb({"time": TIME, "value": math.nan})),
    "a list of values for one": ("value", b'{"time": 1736121600, "value": [7]}'),
    "too many values": ("value", b'{"time": 1736121600, "values": [7, 8]}'),
    "too few values": ("value", b'{"time": 1736121600, "values": []}'),
    "a series of another type": ("series", b'{"time": 1736121600, "value": 1, "series": 5}'),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_schema_does_not_say_is_a_dead_letter_with_its_bytes_and_a_reason(
    name: str, model: Forecaster
) -> None:
    code, value = REFUSED[name]
    source = {"topic": "in", "partition": 1, "offset": 7}
    found = answer(model, Received(key=b"likes", value=value, source=source), b"the old state")
    assert (found.forecast, found.alarms, found.state) == (None, (), b"the old state")
    letter = json.loads(written(found.dead_letter))
    assert (letter["code"], letter["source"]) == (code, source)
    assert base64.b64decode(letter["value"]) == value
    assert base64.b64decode(letter["key"]) == b"likes"
    assert ";" in letter["reason"] or ":" in letter["reason"]
    assert letter["reason"].isprintable()


@pytest.mark.parametrize(
    "key", [None, b"", b"\xff", b"x" * 501, "\ud800"], ids=["none", "empty", "bytes", "long", "half"]
)
def test_a_key_that_names_no_series_is_refused(key: Any, model: Forecaster) -> None:
    found = answer(model, Received(key=key, value=b'{"time": 1736121600, "value": 1}'))
    assert found.dead_letter is not None
    assert found.dead_letter["code"] == "series"
    json.loads(written(found.dead_letter))


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(RefusedError) as raised:
        read({"time": "now", "value": "much"}, key=None)
    for part in ("has no key", "time 'now' is not a time", "value is 'much'"):
        assert part in str(raised.value)


def test_every_code_is_one_that_is_known() -> None:
    assert {code for code, _ in REFUSED.values()} <= set(CODES)


def test_fields_of_others_are_read_past_where_that_is_asked_for() -> None:
    policies = Policies(unknown_fields="ignore")
    assert read({"time": TIME, "value": 1, "sender": "web"}, policies=policies).values == (1.0,)


def test_a_time_ahead_of_the_broker_s_clock_is_refused() -> None:
    body = {"time": TIME + 90_000, "value": 1}
    assert read(body).time == TIME + 90_000  # nothing to compare with
    assert read(body, arrived_s=TIME + 3600).time == TIME + 90_000
    with pytest.raises(RefusedError, match=r"lies 90,000 s after the broker got the message; at most 86,400"):
        read(body, arrived_s=TIME)
    assert read(body, arrived_s=TIME, policies=Policies(ahead_s=None)).time == TIME + 90_000


def test_a_first_time_off_the_grid_is_refused_where_the_grid_is_said() -> None:
    policies = Policies(phase_s=1800)
    assert read({"time": TIME + 1800, "value": 1}, policies=policies).time == TIME + 1800
    with pytest.raises(RefusedError, match=r"is 0 s after a whole step of 3600 s; expected 1800"):
        read({"time": TIME, "value": 1}, policies=policies)


def test_a_long_message_is_cut_in_its_dead_letter_and_says_how_long_it_was(model: Forecaster) -> None:
    value = bytes(range(256)) * 400
    found = answer(model, Received(key=b"a", value=value), policies=Policies(dead_letter_bytes=1000))
    assert found.dead_letter is not None
    assert base64.b64decode(found.dead_letter["value"]) == value[:1000]
    assert found.dead_letter["size_bytes"] == len(value)


@pytest.mark.parametrize("form", FORMS)
def test_what_is_written_reads_back_as_the_same_numbers(form: Any) -> None:
    record = {"forecast": [float(str(np.float32(0.1))), None], "series": "ü"}
    data = written(record, form)
    assert (json.loads(data) if form == "json" else msgpack.unpackb(data)) == record


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"gap": "guess"}, "gap is 'guess'; expected unknown, last or zero"),
        ({"longest_fill": 0}, "longest_fill is 0; expected at least 1"),
        ({"ahead_s": -1}, "ahead_s is -1; expected 0 or more seconds"),
        ({"false_alarm_rate": 1.0}, "false_alarm_rate is 1.0; expected a number between 0 and 1"),
        ({"late": "drop"}, "late is 'drop'; expected dead-letter or ignore"),
    ],
)
def test_a_policy_that_does_not_exist_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Policies(**changes)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_message_never_says_minus_0(model: Forecaster, dtype: type[np.floating]) -> None:
    nothing = np.array([-0.0], dtype)
    found = StepForecast(
        arrival="next", missing=0, time=TIME, forecast=nothing, lower=nothing, upper=nothing, adapted=nothing,
        adapted_lower=nothing, adapted_upper=nothing,
    )  # fmt: skip
    said = json.dumps(forecast_record(model.manifest, "likes", found))
    assert "-0.0" not in said
    assert said.count("[0.0]") == 6

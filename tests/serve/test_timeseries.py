"""KServe's time-series API: its answers are the forecaster's, and what would be a wrong number is refused."""

from __future__ import annotations

import datetime
import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pulsecast
from helpers.serving import Client, series_body

PATH = "/v1/timeseries/forecast"
START = int(datetime.datetime(2026, 1, 5, tzinfo=datetime.UTC).timestamp())
SERIES = [float(200 + i % 24 + (i * 7) % 5) for i in range(90)]


def content(reply: Any, place: int = 0) -> dict[str, Any]:
    assert reply.status == 200, reply.body
    found: dict[str, Any] = reply.json["outputs"][place]["content"][0]
    return found


def expected(bundle: Path, level: float = 0.9, **named: Any) -> Any:
    model = pulsecast.load(bundle)
    context = model.manifest.spec.context
    window = np.array(SERIES[-context:], np.float32).reshape(1, context, 1)
    time = np.array([START + (len(SERIES) - 1) * 3600])
    return model.predict(window, timestamps=time, interval=level, **named)


def test_a_series_is_forecast_as_the_forecaster_does_with_its_bounds(client: Client, bundle: Path) -> None:
    found, own = content(client.post(PATH, series_body("plain", SERIES))), expected(bundle)
    assert np.array(found["mean_forecast"], np.float32).tolist() == own.forecast[0].tolist()
    assert found["interval"]["level"] == 0.9
    np.testing.assert_allclose(found["interval"]["lower"], own.lower[0], rtol=1e-6)
    np.testing.assert_allclose(found["interval"]["upper"], own.upper[0], rtol=1e-6)
    assert found["statistic"] == "median"
    assert found["outside_training_range"] is False


def test_the_forecast_begins_one_step_after_the_series_ends(client: Client) -> None:
    found = content(client.post(PATH, series_body("plain", SERIES, start="2026-01-05T01:00:00+01:00")))
    assert found["start_timestamp"] == "2026-01-08T18:00:00Z"
    assert found["frequency"] == "H"


def test_the_time_of_the_series_reaches_the_calendar(client: Client) -> None:
    at_midnight = content(client.post(PATH, series_body("plain", SERIES)))
    at_noon = content(client.post(PATH, series_body("plain", SERIES, start="2026-01-05T12:00:00Z")))
    assert at_midnight["mean_forecast"] != at_noon["mean_forecast"]


def test_quantiles_are_the_bounds_of_the_intervals_and_half_is_the_forecast(client: Client, bundle: Path) -> None:
    found = content(client.post(PATH, series_body("plain", SERIES, quantiles=[0.1, 0.5, 0.95])))["quantiles"]
    split, median = pulsecast.load(bundle).manifest.intervals, expected(bundle).forecast[0]
    assert split is not None
    np.testing.assert_allclose(found["0.1"], np.expm1(np.log1p(median) - np.array(split.at(0.8))), rtol=1e-5)
    np.testing.assert_allclose(found["0.5"], median, rtol=1e-6)
    np.testing.assert_allclose(found["0.95"], np.expm1(np.log1p(median) + np.array(split.at(0.9))), rtol=1e-5)


@pytest.mark.parametrize("level", [0.0, 1.0, 3.0, 250.0])
def test_quantiles_never_cross_even_where_counts_are_low(client: Client, level: float) -> None:
    """Bounds of counts are whole numbers: [0, 1] at 50 %, [0, 0] at 90 %, around a forecast of 0.2."""
    asked = [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99]
    series = [level * (i % 3 == 0) for i in range(90)]
    found = content(client.post(PATH, series_body("plain", series, quantiles=asked)))["quantiles"]
    ordered = np.array([found[str(q)] for q in asked])
    assert (np.diff(ordered, axis=0) >= 0).all()
    assert (ordered >= 0).all()


def test_two_quantiles_that_look_alike_have_keys_of_their_own(client: Client) -> None:
    reply = client.post(PATH, series_body("plain", SERIES, quantiles=[0.5, 0.5000000001]))
    assert reply.status == 400 or set(content(reply)["quantiles"]) == {"0.5", "0.5000000001"}


def test_columns_go_by_name_where_a_request_names_them(two_columns: Client) -> None:
    steps = [[200.0 + i % 24, 3.0 + i % 5] for i in range(90)]
    one = {"type": "multivariate_time_series", "frequency": "H", "start_timestamp": "2026-01-05T00:00:00Z"}

    def asked(series: list[list[float]], **more: Any) -> dict[str, Any]:
        reply = two_columns.post(PATH, {"model": "two", "inputs": [{**one, "series": series, **more}]})
        return content(reply)

    names = two_columns.get("/v1/timeseries/models").json["models"][0]["columns"]
    swapped = [[second, first] for first, second in steps]
    right = asked(steps)["mean_forecast"]
    assert asked(swapped, columns=names[::-1])["mean_forecast"] == right
    assert asked(steps, columns=names)["mean_forecast"] == right
    reply = two_columns.post(PATH, {"model": "two", "inputs": [{**one, "series": steps, "columns": ["a", "b"]}]})
    assert f"columns are others than {', '.join(names)}" in reply.json["error"]["message"]


def test_what_was_said_in_vain_is_named(client: Client) -> None:
    body = series_body("plain", SERIES)
    body["options"]["quantile"] = [0.1]
    body["inputs"][0]["timestamps"] = []
    reply = client.post(PATH, {**body, "modell": "x"})
    assert reply.json["ignored"] == ["inputs[0].timestamps", "modell", "options.quantile"]
    assert "ignored" not in client.post(PATH, series_body("plain", SERIES)).json


def test_a_request_may_come_compressed(client: Client) -> None:
    body = gzip.compress(json.dumps(series_body("plain", SERIES)).encode(), mtime=0)
    found = content(client.post(PATH, body, {"content-encoding": "gzip"}))
    assert found == content(client.post(PATH, series_body("plain", SERIES)))
    refused = client.post(PATH, body, {"content-encoding": "br"})
    assert "the content encoding is 'br'; expected gzip" in refused.json["error"]["message"]


def test_a_shorter_horizon_gives_the_first_steps(client: Client) -> None:
    both = content(client.post(PATH, series_body("plain", SERIES)))["mean_forecast"]
    assert content(client.post(PATH, series_body("plain", SERIES, horizon=1)))["mean_forecast"] == both[:1]


def test_a_named_series_is_forecast_by_its_row_and_the_pool_only_when_asked(client: Client, table_bundle: Path) -> None:
    for name, series in (("b", "b"), ("pulsecast.POOL", pulsecast.POOL)):
        found = content(client.post(PATH, series_body("table", SERIES, name=name)))
        own = expected(table_bundle, series=series)
        assert np.array(found["mean_forecast"], np.float32).tolist() == own.forecast[0].tolist()
        np.testing.assert_allclose(found["interval"]["upper"], own.upper[0], rtol=1e-6)
    refused = client.post(PATH, series_body("table", SERIES, name="d"))
    assert refused.status == 400
    assert "this model has 3 series, such as 'a'; the name pulsecast.POOL" in refused.json["error"]["message"]


def test_one_bad_series_leaves_the_others_their_forecasts(client: Client) -> None:
    body = series_body("plain", SERIES)
    body["inputs"].insert(0, {**body["inputs"][0], "series": SERIES[:10]})
    reply = client.post(PATH, body)
    assert reply.json["status"] == "partial"
    assert [one["status"] for one in reply.json["outputs"]] == ["error", "completed"]
    assert "series has 10 steps; this model takes at least" in reply.json["outputs"][0]["error"]["message"]
    assert content(reply, 1) == content(client.post(PATH, series_body("plain", SERIES)))


def test_many_series_in_one_request_are_forecast_as_one_by_one(client: Client) -> None:
    body = series_body("plain", SERIES)
    body["inputs"] = [{**body["inputs"][0], "series": [v + i for v in SERIES]} for i in range(20)]
    reply = client.post(PATH, body)
    for i in range(20):
        alone = content(client.post(PATH, series_body("plain", [v + i for v in SERIES])))
        np.testing.assert_allclose(content(reply, i)["mean_forecast"], alone["mean_forecast"], rtol=2e-6)


def test_units_that_training_never_saw_are_flagged(client: Client) -> None:
    found = content(client.post(PATH, series_body("plain", [1e6 * v for v in SERIES])))
    assert found["outside_training_range"] is True


@pytest.mark.parametrize("name", ["\ud800", "a\x00b", "Ω", "\u202e"])
def test_a_name_comes_back_as_it_was_sent(client: Client, name: str) -> None:
    assert content(client.post(PATH, series_body("plain", SERIES, name=name)))["name"] == name


@pytest.mark.parametrize("start", ["9999-12-31T23:00:00Z", "0001-01-01T00:00:00Z", "9999-12-28T06:00:00Z"])
def test_a_time_at_the_end_of_the_calendar_is_answered_or_refused(client: Client, start: str) -> None:
    assert client.post(PATH, series_body("plain", SERIES, start=start)).status in (200, 400)


def test_a_series_whose_steps_lie_elsewhere_is_forecast_once_the_request_says_so(client: Client, bundle: Path) -> None:
    body = series_body("plain", SERIES, start="2026-01-05T00:30:00Z", phase_seconds=1800)
    time = START + 1800 + (len(SERIES) - 1) * 3600
    model = pulsecast.load(bundle)
    assert model.phase_s == 0
    own = model.predict(np.array(SERIES[-model.manifest.spec.context :], np.float32), timestamps=time)
    found = content(client.post(PATH, body))
    assert found["mean_forecast"] == pytest.approx(own[0].tolist(), rel=1e-6)
    assert client.post(PATH, body).json.get("ignored") is None


def test_models_are_listed_with_what_they_take(client: Client) -> None:
    found = client.get("/v1/timeseries/models").json["models"]
    assert [one["name"] for one in found] == ["plain", "table"]
    assert found[0]["step_seconds"] == 3600
    assert found[0]["horizon"] == 2
    assert found[0]["takes_start_timestamp"] is True


BAD = {
    "no zone": ({"start": "2026-01-05T00:00:00"}, "start_timestamp '2026-01-05T00:00:00' has no zone"),
    "no time": ({"start": None}, "start_timestamp is missing: this model has a calendar"),
    "a date in words": ({"start": "yesterday"}, "start_timestamp 'yesterday' is not a time; expected ISO 8601"),
    "a part of a second": ({"start": "2026-01-05T00:00:00.5Z"}, "has a part of a second"),
    "the end of time": ({"start": "9999-12-31T23:00:00Z"}, "is so far off that what follows has no date"),
    "milliseconds": ({"start": 1_767_571_200_000}, "start_timestamp 1767571200000 is not a time"),
    "the middle of the hour": (
        {"start": "2026-01-05T00:30:00Z"},
        "start_timestamp is 1,800 s after a whole step of 3,600 s; this model was trained on steps 0 s after one",
    ),
    "another phase than the time's": (
        {"start": "2026-01-05T00:30:00Z", "phase_seconds": 60}, "phase_seconds says 60: correct one of the two"
    ),
    "a phase beyond the step": ({"phase_seconds": 3600}, "expected whole seconds from 0 to 3,599"),
    "a day's step": ({"frequency": "D"}, "a step every 86,400 s; this model takes one every 3,600 s"),
    "months": ({"frequency": "month"}, "months or longer; this model takes one every 3,600 s"),
    "an unknown frequency": ({"frequency": "fortnight"}, "frequency is 'fortnight'; expected second (S)"),
    "no frequency": ({"frequency": None}, "frequency is None; expected second (S)"),
    "another step": ({"step_seconds": 7200}, "a step every 7,200 s"),
    "a step of a fraction": ({"step_seconds": 5400}, "expected the seconds between two values, a multiple"),
    "several columns": ({"type": "multivariate_time_series"}, "is a list of steps with 1 numbers each: value"),
    "no kind": ({"type": None}, "type is None; expected univariate_time_series or"),
    "too far ahead": ({"horizon": 3}, "horizon is 3; this model forecasts 2 steps ahead"),
    "not a horizon": ({"horizon": 1.5}, "horizon is 1.5; expected a whole number"),
    "a quantile that is not there": ({"quantiles": [0.123]}, "this model has the quantiles 0.01, 0.025, "),
    "a quantile beyond": ({"quantiles": [1.0]}, "above 0 and below 1"),
    "a name that is not text": ({"name": 7}, "name is 7; expected text"),
}  # fmt: skip


@pytest.mark.parametrize("change", BAD)
def test_what_would_give_a_plausible_wrong_number_is_refused(client: Client, change: str) -> None:
    changes, sentence = BAD[change]
    reply = client.post(PATH, series_body("plain", SERIES, **changes))
    assert reply.status == 400
    assert sentence in reply.json["error"]["message"]


@pytest.mark.parametrize("value", [None, "7", True, [1.0], {}, 1e300, 10**400])
def test_a_value_that_is_not_a_usable_number_is_refused(client: Client, value: object) -> None:
    reply = client.post(PATH, series_body("plain", [*SERIES[:-1], value]))
    assert reply.status == 400
    assert reply.json["error"]["param"] == "series"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'{"model": "plain"}', b'{"inputs": [{}]}', b"\xff",
                                  b"[" * 100_000, b'{"model": "plain", "model": "table", "inputs": [{}]}',
                                  b'{"model": "plain", "inputs": [NaN]}', b"1" * 5000])  # fmt: skip
def test_a_body_that_says_something_else_is_refused_in_a_sentence(client: Client, body: bytes) -> None:
    reply = client.post(PATH, body)
    assert reply.status == 400
    assert len(reply.json["error"]["message"]) > 15


@pytest.mark.parametrize(("model", "sentence"), [("plainn", "no model 'plainn'; there is 'plain'"),
                                                 ("plain/2", "model 'plain' has no version 2; it has 1, stable"),
                                                 ("plain/canary", "model 'plain' has no label 'canary'")])  # fmt: skip
def test_a_model_that_is_not_there_is_not_found(client: Client, model: str, sentence: str) -> None:
    reply = client.post(PATH, series_body(model, SERIES))
    assert reply.status == 404
    assert sentence in reply.json["error"]["message"]


@pytest.mark.parametrize("model", ["plain/1", "plain/stable"])
def test_a_version_can_be_named_by_number_or_label(client: Client, model: str) -> None:
    assert client.post(PATH, series_body(model, SERIES)).json["model_version"] == "1"

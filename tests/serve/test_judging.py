"""Anomalies of a series that is sent whole are those of the detector in process."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

import pulsecast
from helpers.serving import Client

PATH = "/v1/anomalies"
START = 1_767_571_200  # 2026-01-05T00:00:00Z
SERIES = [round(250 + 90 * math.sin(2 * math.pi * i / 24) + 13 * math.sin(i * i)) for i in range(300)]
ASKED = {"model": "plain", "frequency": "H", "start_timestamp": "2026-01-05T00:00:00Z", "false_alarm_rate": 0.02}


def burst() -> list[float | None]:
    return [*map(float, SERIES[:280]), 4000.0, *map(float, SERIES[281:])]


def test_each_step_is_judged_as_the_detector_does(client: Client, bundle: Path) -> None:
    values = burst()
    values[100] = None
    found = client.post(PATH, {**ASKED, "series": values}).json
    detector = pulsecast.load(bundle).detector(false_alarm_rate=0.02)
    own = [
        detector.push(math.nan if value is None else value, timestamp=START + 3600 * i)
        for i, value in enumerate(values)
    ]
    known = [None if not math.isfinite(one.lower) else float(f"{one.lower:.6g}") for one in own]
    assert found["lower"] == known
    assert [one["step"] for one in found["anomalies"]] == [i for i, one in enumerate(own) if one.anomalous]
    spike = next(one for one in found["anomalies"] if one["step"] == 280)
    assert spike["value"] == 4000.0
    assert spike["time"].startswith("2026-01-16")
    assert spike["reason"] == own[280].reason
    assert found["judged"] == sum(math.isfinite(one.upper) for one in own)
    assert found["judged"] > 0


def test_a_series_that_is_too_short_to_judge_says_so_by_its_count(client: Client) -> None:
    found = client.post(PATH, {**ASKED, "series": [1.0, 2.0]}).json
    assert (found["judged"], found["anomalies"], found["upper"]) == (0, [], [None, None])


@pytest.mark.parametrize(("changes", "sentence"), [
    ({"series": []}, "series is missing or too long"),
    ({"series": ["1"]}, "series[0] is '1'; expected a number or null"),
    ({"series": [True]}, "series[0] is True; expected a number or null"),
    ({"series": [10**400]}, "series[0] is a number beyond float32"),
    ({"series": [1.0, 1e39]}, "series[1] is a number beyond float32"),
    ({"series": [-7.0]}, "series[0] is a number below 0, which this model does not take"),
    ({"rate": 0.1}, "there is no 'rate'; expected some of false_alarm_rate"),
    ({"start_timestamp": None}, "start_timestamp is missing"),
    ({"start_timestamp": "2026-01-05T00:10:00Z"}, "start_timestamp is 600 s after a whole step of 3,600 s"),
    ({"frequency": "D"}, "this model takes one every 3,600 s"),
    ({"false_alarm_rate": 2}, "false_alarm_rate is 2"),
    ({"false_alarm_rate": "often"}, "false_alarm_rate is 'often'"),
    ({"model": None}, "model is missing"),
])  # fmt: skip
def test_what_cannot_be_judged_is_refused(client: Client, changes: dict[str, object], sentence: str) -> None:
    reply = client.post(PATH, {**ASKED, "series": [1.0] * 100, **changes})
    assert reply.status == 400
    assert sentence in reply.json["error"]["message"]


def test_a_series_of_a_table_is_judged_by_its_name(client: Client) -> None:
    asked = {**ASKED, "model": "table", "series": burst()}
    assert client.post(PATH, asked).status == 400
    answers = [client.post(PATH, {**asked, "name": name}).json["forecast"] for name in ("a", "b")]
    assert answers[0] != answers[1]

"""A step is pushed: the answer is what a stream and a detector in process give, to the last bit."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.serving import Client, running
from helpers.serving.streams import HOUR, START, VALUES, address, pushes, same, same_anomaly, same_numbers, stepped
from pulsecast import POOL, Forecaster, load
from pulsecast.forecasting.living.kept_alive import KeptAlive
from pulsecast_serve.models.served import Served
from pulsecast_serve.protocols.streams.pushing import Past, pushed
from pulsecast_serve.protocols.streams.request import read_push
from pulsecast_serve.refusal import RefusedError

WHOLE = 73  # steps of a window


def filled(client: Client, where: str, steps: int = WHOLE, **more: Any) -> dict[str, Any]:
    """Push the first `steps` of the usual series at once, and return the answer to the last one."""
    reply = client.post(where, {"steps": pushes(range(steps)), **more})
    assert reply.status == 200, reply.body
    return dict(reply.json["steps"][-1])


def test_answers_are_those_of_a_detector_in_process(following: Client, model: Forecaster) -> None:
    detector = model.detector()
    for i, sent in enumerate(pushes(range(WHOLE + 12))):
        judged = detector.push(sent["value"], timestamp=sent["time"])
        answered = following.post(address("detector"), sent).json
        assert same_numbers(answered["forecast"], detector.forecasts)
        assert same_anomaly(answered["anomaly"], judged)
        assert (answered["forecast"] is None) == (i < WHOLE - 1)
        assert answered["due"] == sent["time"] + HOUR
    assert answered["model_version"] == "1"
    assert (answered["model"], answered["series"]) == ("plain", "detector")


def test_a_stream_that_stays_alive_is_answered_and_kept_as_one_that_is_read_anew(model: Forecaster) -> None:
    """A push in three is refused, or repeats; one in ten comes after another process pushed."""
    served, alive, kept = Served(name="plain", version=1, model=model), KeptAlive(), {True: None, False: None}
    sent: list[dict[str, Any]] = [{"steps": pushes(range(60))}, *pushes(range(60, 110))]
    sent[20:20] = [pushes([70])[0], pushes([3])[0], {"steps": [*pushes([78]), {"value": 1.0, "time": 10**10}]}]
    for place, one in enumerate(sent):
        found = {}
        for stays in (True, False):
            past = Past(kept[stays], list, alive if stays and place % 10 else KeptAlive())
            try:
                change, found[stays] = pushed(served, "a", read_push(one, model.manifest.spec), past)
            except RefusedError as error:
                change, found[stays] = None, str(error)
            kept[stays] = kept[stays] if change is None else change.kept
        assert found[True] == found[False]
        assert kept[True] == kept[False]
    assert [isinstance(one, str) for one in found.values()] == [False, False]


def test_answers_are_those_of_a_stream_that_adapts(following: Client, model: Forecaster) -> None:
    stream = model.stream(adapt=True)
    sent = pushes(range(260))
    answered = following.post(address("adapts"), {"steps": sent, "adapt": True}).json["steps"]
    for one, said in zip(sent, answered, strict=True):
        exact = stream.push(one["value"], timestamp=one["time"])
        assert same_numbers(said["forecast"], exact[0])
        assert same_numbers(said["adapted"]["forecast"], stream.adapted[0])
    assert answered[-1]["adapted"]["forecast"] != answered[-1]["forecast"]  # it has learnt something


def test_intervals_are_those_that_predict_gives(following: Client, model: Forecaster) -> None:
    last = filled(following, address("interval"))
    window = np.array(VALUES[:WHOLE], np.float32).reshape(1, -1, 1)
    found = model.predict(window, timestamps=[START + (WHOLE - 1) * HOUR], interval=0.9)
    assert last["interval"]["level"] == 0.9
    assert same_numbers(last["forecast"], found.forecast[0])
    assert same_numbers(last["interval"]["lower"], found.lower[0])
    assert same_numbers(last["interval"]["upper"], found.upper[0])


def test_several_steps_at_once_are_answered_as_one_by_one(following: Client, model: Forecaster) -> None:
    sent = pushes(range(WHOLE + 30))
    for at in (80, 81):  # a gap
        sent[at]["value"] = None
    del sent[90:92]
    answered = following.post(address("several"), {"steps": sent[:85]}).json["steps"]
    answered += following.post(address("several"), {"steps": sent[85:]}).json["steps"]
    assert all(same(*pair) for pair in zip(answered, stepped(model, sent), strict=True))


def test_a_null_is_a_step_that_is_known_to_be_missing(following: Client) -> None:
    filled(following, address("null"))
    answered = following.post(address("null"), {"value": None, "time": START + WHOLE * HOUR}).json
    assert (answered["arrival"], answered["values"], answered["forecast"]) == ("next", [None], None)
    assert answered["no_forecast"] == "the window is not whole: 73 more steps fill its 73"
    assert answered["anomaly"]["value"] is None


def test_a_gap_says_how_many_steps_are_missing(following: Client) -> None:
    filled(following, address("gap"))
    answered = following.post(address("gap"), pushes([WHOLE + 3])[0]).json
    assert (answered["arrival"], answered["missing"], answered["forecast"]) == ("gap", 3, None)
    assert answered["no_forecast"] == "the window is not whole: 72 more steps fill its 73"


def test_a_late_step_and_one_between_change_nothing(following: Client) -> None:
    filled(following, address("late"))
    late = following.post(address("late"), {"value": 1.0, "time": START + 2 * HOUR}).json
    between = following.post(address("late"), {"value": 1.0, "time": START + WHOLE * HOUR + 60, "adapt": True})
    assert (between.status, between.json["error"]["param"]) == (400, "time")
    assert between.json["error"]["message"].startswith(
        "time is 60 s after a whole step of 3,600 s, and the steps of this series come 0 s after one: correct the time"
    )
    assert late["arrival"] == "late"
    assert late["forecast"] is late["anomaly"] is None
    assert "older than the last one" in late["no_forecast"]
    after = following.post(address("late"), pushes([WHOLE])[0]).json
    filled(following, address("never%20late"))
    undisturbed = following.post(address("never%20late"), pushes([WHOLE])[0]).json
    assert after | {"series": ""} == undisturbed | {"series": ""}


def test_one_step_between_two_refuses_all_that_came_with_it(following: Client) -> None:
    filled(following, address("all%20or%20none"))
    steps = pushes([WHOLE, WHOLE + 1])
    steps[1]["time"] += 1800
    reply = following.post(address("all%20or%20none"), {"steps": steps})
    assert (reply.status, reply.json["error"]["param"]) == (400, "steps[1]")
    assert "none of the steps was taken" in reply.json["error"]["message"]
    assert following.get(address("all%20or%20none")).json["due"] == START + WHOLE * HOUR


def test_a_series_on_another_grid_than_training_s_says_so_once(following: Client) -> None:
    path = address("half%20past")
    first, second = ({"value": 210.0, "time": START + i * HOUR + 1800} for i in range(2))
    refused = following.post(path, first)
    assert (refused.status, refused.json["error"]["param"]) == (400, "time")
    assert refused.json["error"]["message"] == (
        "time is 1,800 s after a whole step of 3,600 s; this model was trained on steps 0 s after one: correct the "
        'time, or send "phase_seconds": 1800 if the series comes so'
    )
    assert following.get(path).status == 404
    assert following.post(path, first | {"phase_seconds": 1800}).json["due"] == START + HOUR + 1800
    assert following.post(path, second).status == 200
    assert following.post(path, second | {"time": START + 2 * HOUR}).status == 400
    assert following.post(path, {"steps": [first, second], "restart": True}).status == 400
    contrary = following.post(path, second | {"phase_seconds": 60})
    assert "phase_seconds says 60: correct one of the two" in contrary.json["error"]["message"]
    for wrong in (3600, -1, 1.0, True, "0"):
        reply = following.post(path, second | {"phase_seconds": wrong})
        assert "expected whole seconds from 0 to 3,599" in reply.json["error"]["message"], wrong


def test_a_model_that_is_not_there_is_not_found_whatever_is_asked_of_its_streams(following: Client) -> None:
    for method, path in (
        ("GET", "/v1/streams/plainn/a"), ("GET", "/v1/streams/plainn/a/drift"), ("DELETE", "/v1/streams/plainn/a"),
        ("GET", "/v1/streams/plainn"), ("GET", "/v1/streams/plainn?after=b"),
    ):  # fmt: skip
        reply = following.ask(method, path)
        assert reply.status == 404, path
        assert "no model 'plainn'; there is 'plain'" in reply.json["error"]["message"]
    assert following.get("/v1/streams/plain?after=zzzz").json["series"] == []
    assert following.ask("DELETE", address("never%20pushed")).json["forgotten"] is False


def test_a_request_that_is_sent_again_gets_the_same_answer(following: Client) -> None:
    filled(following, address("again"))
    sent = pushes([WHOLE])[0]
    first, again = (following.post(address("again"), sent).json for _ in range(2))
    assert (first["arrival"], again["arrival"], again["differs"]) == ("next", "repeated", False)
    assert first | {"arrival": "", "differs": False} == again | {"arrival": ""}


def test_another_value_at_the_last_time_does_not_stand_and_the_answer_says_so(following: Client) -> None:
    filled(following, address("differs"))
    answered = following.post(address("differs"), {"value": 5.0, "time": START + (WHOLE - 1) * HOUR}).json
    assert (answered["arrival"], answered["differs"]) == ("repeated", True)
    assert answered["values"] == [VALUES[WHOLE - 1]]


def test_several_steps_that_are_sent_again_end_in_the_same_answer(following: Client) -> None:
    body = {"steps": pushes(range(WHOLE))}
    first, again = (following.post(address("list"), body).json["steps"] for _ in range(2))
    assert [one["arrival"] for one in again] == ["late"] * (WHOLE - 1) + ["repeated"]
    assert first[-1] | {"arrival": "", "differs": False} == again[-1] | {"arrival": ""}


def test_a_stream_that_was_never_pushed_to_is_not_there(following: Client) -> None:
    reply = following.get(address("nothing"))
    assert reply.status == 404
    assert "nothing was pushed to this series" in reply.json["error"]["message"]


def test_the_last_answer_and_what_is_due_can_be_read(following: Client) -> None:
    filled(following, address("read"))
    sent = pushes([WHOLE])[0]
    answered = following.post(address("read"), sent).json
    read = following.get(address("read")).json
    assert read["last"].items() <= answered.items()
    assert (read["began"], read["due"], read["due_time"]) == (START, sent["time"] + HOUR, "2025-01-09T02:00:00Z")


def test_a_series_that_is_forgotten_begins_anew(following: Client) -> None:
    filled(following, address("forget"))
    assert [following.ask("DELETE", address("forget")).json["forgotten"] for _ in range(2)] == [True, False]
    answered = following.post(address("forget"), pushes([5])[0]).json
    assert (answered["arrival"], answered["forecast"]) == ("next", None)


def test_restart_begins_anew_once_however_often_the_request_is_sent(following: Client) -> None:
    where = address("restart")
    filled(following, where)
    request = {**pushes([200])[0], "restart": True}
    first = following.post(where, request).json
    assert (first["arrival"], first["forecast"]) == ("next", None)
    assert following.post(where, request).json["arrival"] == "repeated"
    assert following.post(where, pushes([201])[0]).json["arrival"] == "next"
    assert following.post(where, request).json["arrival"] == "late"  # what came after it stays
    assert following.get(where).json["last"]["time"] == START + 201 * HOUR


def test_restart_begins_anew_after_a_step_of_a_clock_that_ran_ahead(following: Client) -> None:
    where, now = address("ahead"), int(time.time()) // HOUR * HOUR
    true = [{"time": now - (3 - n) * HOUR, "value": 200.0 + n} for n in range(3)]
    following.post(where, {"steps": true})
    assert following.post(where, {"time": now + 300 * 24 * HOUR, "value": 9.0}).json["arrival"] == "gap"
    answered = following.post(where, {"steps": true, "restart": True}).json["steps"]
    assert [one["arrival"] for one in answered] == ["next"] * 3


def test_restart_with_another_value_at_the_first_time_begins_anew(following: Client) -> None:
    where = address("corrected")
    sent = pushes([0])[0]
    following.post(where, {**sent, "restart": True})
    assert following.post(where, {**sent, "value": 7.0, "restart": True}).json["values"] == [7.0]


def test_restart_with_corrected_steps_begins_anew(following: Client) -> None:
    where, sent = address("mended"), pushes(range(WHOLE))
    wrong = [sent[0], *({**one, "value": one["value"] * 1000} for one in sent[1:-1]), sent[-1]]
    following.post(where, {"steps": wrong})
    right, again = (following.post(where, {"steps": sent, "restart": True}).json["steps"] for _ in range(2))
    assert [one["arrival"] for one in right] == ["next"] * WHOLE
    assert again == right
    undisturbed = following.post(address("never%20wrong"), {"steps": sent}).json["steps"]
    assert right == undisturbed
    following.post(where, pushes([WHOLE])[0])
    late = following.post(where, {"steps": sent, "restart": True}).json["steps"]
    assert {one["arrival"] for one in late} == {"late"}  # what came after it stays


def test_a_time_may_be_iso_8601_in_any_zone(following: Client) -> None:
    first, second = "2025-01-06T00:00:00Z", "2025-01-06T03:00:00+02:00"
    assert following.post(address("iso"), {"value": 1, "time": first}).json["time"] == START
    assert following.post(address("iso"), {"value": 1, "time": second}).json["arrival"] == "next"


def test_a_name_is_whatever_its_encoding_says(following: Client) -> None:
    for name, encoded in (("a/b", "a%2Fb"), ("a/drift", "a%2Fdrift"), ("drift", "drift"), ("ü x?", "%C3%BC%20x%3F")):
        answered = following.post(address(encoded), pushes([0])[0])
        assert (answered.status, answered.json["series"]) == (200, name)
        assert following.get(address(encoded)).json["series"] == name
        assert following.get(f"{address(encoded)}/drift").json["verdict"] == "unknown"
    names = following.get("/v1/streams/plain").json["series"]
    assert {"a/b", "a/drift", "drift", "ü x?"} <= set(names)
    assert names == sorted(names)
    assert "a/b" not in following.get("/v1/streams/plain?after=a/b").json["series"]


def test_a_series_of_the_table_is_forecast_by_its_own_scale(following: Client, table_bundle: Path) -> None:
    model = load(table_bundle, backend="numpy")
    sent = pushes(range(80))
    for name, series in (("b", "b"), ("pulsecast.POOL:new", POOL)):
        answered = following.post(address(name, "table"), {"steps": sent}).json["steps"]
        assert all(same(*pair) for pair in zip(answered, stepped(model, sent, series=series), strict=True))
        assert answered[-1]["forecast"] is not None


@pytest.mark.parametrize("name", ["unknown", "pulsecast.POOL", "pulsecast.POOL:"])
def test_a_series_that_is_not_in_the_table_is_refused_and_told_how_to_ask(following: Client, name: str) -> None:
    reply = following.post(address(name, "table"), pushes([0])[0])
    assert reply.status == 400
    message = reply.json["error"]["message"]
    assert (
        "this model has 3 series, such as 'a'; a series that training never saw is called pulsecast.POOL:NAME"
        in message
    )


BAD: dict[str, tuple[Any, int, str]] = {
    "nothing": ({}, 400, "value is missing; expected a number, or null"),
    "a list": ([1], 400, "the request is not an object of JSON"),
    "no time": ({"value": 1}, 400, "time is missing; expected unix seconds, or ISO 8601 with a zone"),
    "a local time": ({"value": 1, "time": "2026-01-31T08:00:00"}, 400, "time '2026-01-31T08:00:00' has no zone"),
    "a day": ({"value": 1, "time": "2026-01-31"}, 400, "time '2026-01-31' has no zone"),
    "a word": ({"value": 1, "time": "now"}, 400, "time 'now' is not a time"),
    "half a second": ({"value": 1, "time": "2026-01-31T08:00:00.5Z"}, 400, "has a part of a second"),
    "a fraction": ({"value": 1, "time": 1.5}, 400, "time 1.5 is not a time"),
    "milliseconds": ({"value": 1, "time": 1769846400000}, 400, "divide milliseconds by 1,000"),
    "a huge time": ({"value": 1, "time": 10**40}, 400, "beyond the years 1 to 9999"),
    "a true value": ({"value": True, "time": START}, 400, "value is True; expected a number, or null"),
    "a text": ({"value": "12", "time": START}, 400, "value is '12'; expected a number, or null"),
    "beyond float32": ({"value": 1e39, "time": START}, 400, "value is beyond float32"),
    "a number without end": ({"value": 10**400, "time": START}, 400, "value is beyond float32"),
    "NaN": (b'{"value": NaN, "time": 0}', 400, "the request holds NaN"),
    "two columns": ({"values": [1, 2], "time": START}, 400, "values is [1, 2]; expected a number"),
    "both": ({"value": 1, "values": [1], "time": START}, 400, "value and values stand side by side"),
    "a misspelt key": ({"value": 1, "time": START, "adpat": True}, 400, "the request has 'adpat'; expected value"),
    "a key of a step": ({"steps": [{"value": 1, "time": START, "adapt": True}]}, 400, "steps[0] has 'adapt'"),
    "no steps": ({"steps": []}, 400, "steps is not a list of at least one step"),
    "steps and a value": ({"steps": [], "value": 1}, 400, "steps and value stand side by side"),
    "too many steps": ({"steps": [{}] * 1001}, 413, "steps has 1,001 steps; expected at most 1,000"),
    "adapt in words": ({"value": 1, "time": START, "adapt": "yes"}, 400, "adapt is 'yes'; expected true or false"),
    "a rate of 1": ({"value": 1, "time": START, "false_alarm_rate": 1}, 400, "expected a number between 0 and 1"),
    "not JSON": (b"{", 400, "the request is not JSON"),
    "a bomb": (b"[" * 100_000, 400, "nested too deeply"),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD)
def test_a_bad_request_is_refused_in_a_sentence_and_keeps_nothing(following: Client, what: str) -> None:
    body, status, sentence = BAD[what]
    reply = following.post(address("bad"), body)
    assert (reply.status, sentence in reply.json["error"]["message"]) == (status, True), reply.body
    assert following.get(address("bad")).status == 404


def test_a_bad_step_among_several_keeps_all_of_them_out(following: Client) -> None:
    steps = pushes(range(3))
    steps[2]["time"] = START + 400 * 24 * HOUR
    reply = following.post(address("atomic"), {"steps": steps})
    assert reply.status == 400
    message = reply.json["error"]["message"]
    assert message.startswith("steps[2]: the step comes 1.1 years after the last one")
    assert message.endswith('or begin again with "restart": true if it is right; none of the steps was taken')
    assert following.get(address("atomic")).status == 404


@pytest.mark.parametrize(("path", "status"), [
    ("/v1/streams/nobody/a", 404), ("/v1/streams/plain/%FF", 400), ("/v1/streams/plain/%00", 400),
    ("/v1/streams/plain/" + "a" * 501, 400), ("/v1/streams/plain/a/b/c", 404), ("/v1/streams/plain/", 400),
    ("/v1/streams//a", 404), ("/v1/streams/plain/%0d%0ax", 404), ("/v1/streams/plain/..%2f..%2fetc", 200),
])  # fmt: skip
def test_an_address_is_read_as_it_was_sent(following: Client, path: str, status: int) -> None:
    reply = following.post(path, pushes([0])[0])
    assert reply.status == status, reply.body


def test_without_a_store_the_answer_says_how_to_start_with_one(bundle: Path) -> None:
    with running(bundle) as client:
        reply = client.post(address(), pushes([0])[0])
    assert reply.status == 404
    assert "start it with --store streams.sqlite" in reply.json["error"]["message"]
